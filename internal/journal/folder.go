package journal

import (
	"context"
	"errors"
)

var (
	errExists  = errors.New("it exists already")
	errMissing = errors.New("it does not exist")
	errChanged = errors.New("somebody else has changed it")
)

// folder is where a journal is kept. Names are relative, with slashes. A version
// is opaque: what a file was when it was read or written.
type folder interface {
	// create writes a file that does not exist; errExists.
	create(ctx context.Context, name string, data []byte) (version string, err error)
	// read reads a file; errMissing.
	read(ctx context.Context, name string) (data []byte, version string, err error)
	// replace writes a file in the place of a version; errChanged, also if the
	// file is gone.
	replace(ctx context.Context, name string, data []byte, version string) (newVersion string, err error)
	// remove removes a version of a file; errChanged, also if it is gone.
	remove(ctx context.Context, name, version string) error
	// list names, in order, what a folder holds: files, and folders with a slash at
	// the end. A folder that does not exist holds nothing.
	list(ctx context.Context, dir string) ([]string, error)
	// String names the folder for people.
	String() string
}
