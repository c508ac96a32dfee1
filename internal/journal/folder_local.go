package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// lockWithin bounds the wait for a lock, which nobody holds for long.
	lockWithin = 10 * time.Second
	lockPause  = 5 * time.Millisecond
)

// localFolder is a folder of this machine. A version is the file's contents: no
// two that are written in one place are the same.
type localFolder string

func (l localFolder) String() string { return string(l) }

func (l localFolder) path(name string) string {
	return filepath.Join(string(l), filepath.FromSlash(name))
}

// locked calls fn while no other process replaces anything. What it does must be
// short: a process that is stopped inside of it keeps all others out.
func (l localFolder) locked(ctx context.Context, fn func() error) error {
	lock, err := os.OpenFile(l.path(".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks it
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return fn()
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		case !sleep(ctx, lockPause):
			return fmt.Errorf("%s is locked by another process, which may have been stopped: %w", lock.Name(), ctx.Err())
		}
	}
}

// write writes a file beside another one, to the disk, and returns its path.
func (l localFolder) write(name string, data []byte) (string, error) {
	dir := filepath.Dir(l.path(name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// create needs no lock: a link is made as a whole, and over nothing.
func (l localFolder) create(_ context.Context, name string, data []byte) (string, error) {
	written, err := l.write(name, data)
	if err != nil {
		return "", err
	}
	err = os.Link(written, l.path(name))
	if errors.Is(err, fs.ErrExist) {
		err = errExists
	}
	return string(data), errors.Join(err, os.Remove(written))
}

func (l localFolder) read(_ context.Context, name string) ([]byte, string, error) {
	data, err := os.ReadFile(l.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", errMissing
	}
	return data, string(data), err
}

// unchanged calls fn if a file still is in a version.
func (l localFolder) unchanged(ctx context.Context, name, version string, fn func() error) error {
	return l.locked(ctx, func() error {
		data, err := os.ReadFile(l.path(name))
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && string(data) != version:
			return errChanged
		case err != nil:
			return err
		}
		return fn()
	})
}

func (l localFolder) replace(ctx context.Context, name string, data []byte, version string) (string, error) {
	written, err := l.write(name, data)
	if err != nil {
		return "", err
	}
	err = l.unchanged(ctx, name, version, func() error { return os.Rename(written, l.path(name)) })
	if err != nil {
		_ = os.Remove(written)
	}
	return string(data), err
}

func (l localFolder) remove(ctx context.Context, name, version string) error {
	err := l.unchanged(ctx, name, version, func() error { return os.Remove(l.path(name)) })
	if errors.Is(err, fs.ErrNotExist) {
		return errChanged // not even the folder is there
	}
	return err
}

func (l localFolder) list(_ context.Context, dir string) ([]string, error) {
	entries, err := os.ReadDir(l.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), "."): // half-written
		case e.IsDir():
			names = append(names, e.Name()+"/")
		default:
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}
