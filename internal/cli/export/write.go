package export

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/deploy/terraform"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// write writes files into a folder, and removes those of an earlier run that
// are none of them: they would declare what is no longer there. Nothing is
// touched if any file in the way is someone else's, unless overwrite says so.
func write(dir string, files []terraform.File, overwrite bool) (done []File, removed []string, err error) {
	var foreign, stale []string
	for _, name := range terraform.FileNames() {
		path := filepath.Join(dir, name)
		ours, err := isOurs(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, nil, exit.Environmentf("look at what is there: %w", err)
		}
		needed := slices.ContainsFunc(files, func(f terraform.File) bool { return f.Name == name })
		switch {
		case needed && !ours:
			foreign = append(foreign, path)
		case !needed && ours:
			stale = append(stale, path)
		}
	}
	if len(foreign) > 0 && !overwrite {
		return nil, nil, exit.Usagef("not written by kappa export terraform: %s", strings.Join(foreign, ", ")).
			WithHint("name another folder with --out, or write over them with --overwrite")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, exit.Environmentf("make the folder: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := replace(path, f.Text); err != nil {
			return nil, nil, exit.Environmentf("write %s: %w", path, err)
		}
		done = append(done, File{Name: f.Name, Path: path})
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil {
			return nil, nil, exit.Environmentf("remove what is needed no more: %w", err)
		}
	}
	return done, stale, nil
}

// isOurs reports whether a file begins with the marker.
func isOurs(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	return s.Scan() && strings.TrimSuffix(s.Text(), "\r") == terraform.Marker, ignoreTooLong(s.Err())
}

// ignoreTooLong: a line that is too long for the scanner is not the marker.
func ignoreTooLong(err error) error {
	if errors.Is(err, bufio.ErrTooLong) {
		return nil
	}
	return err
}

// replace writes a file whole or not at all.
func replace(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err = f.WriteString(text); err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
