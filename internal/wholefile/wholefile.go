// Package wholefile replaces files in one step.
package wholefile

import (
	"os"
	"path/filepath"
)

// Write replaces the file, or makes it: whoever reads it, and whatever kills the
// program, finds what was there before or all of data, never half of it. The folder
// must exist.
func Write(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(data)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), mode)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
