package compare

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FileWidth is the width of text reports that no terminal bounds.
const FileWidth = 160

// Files are the reports that WriteFiles writes.
var Files = []string{"compare.txt", "compare.json", "compare.html", "compare.md", "compare.junit.xml"}

// WriteFiles writes every view of the result into a folder, which it makes if
// need be. A file is replaced in one step, so a reader never sees half of one.
func (r *Result) WriteFiles(dir string) error {
	views := []func(io.Writer) error{
		func(w io.Writer) error { return r.WriteText(w, FileWidth, false) },
		r.WriteJSON, r.WriteHTML, r.WriteMarkdown, r.WriteJUnit,
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write reports: %w", err)
	}
	for i, name := range Files {
		var b bytes.Buffer
		if err := views[i](&b); err != nil {
			return err
		}
		if err := replace(filepath.Join(dir, name), b.Bytes()); err != nil {
			return fmt.Errorf("write reports: %w", err)
		}
	}
	return nil
}

func replace(path string, data []byte) error { return replaceFile(path, data, 0o644) }

func replaceFile(path string, data []byte, mode os.FileMode) error {
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
