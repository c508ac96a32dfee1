package demo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

// Names of what a run publishes into its output folder.
const (
	summaryFile     = "summary.json"
	compareTextFile = "compare.txt"
	compareJSONFile = "compare.json"
	compareHTMLFile = "compare.html"
	truthFile       = "truth.json"
	environmentFile = "sandbox.env"
	specsFolder     = "specs"
	logsFolder      = "logs"
)

// tempFolder is where the sandbox's processes make their temporary files: what
// one of them leaves behind when it is killed goes with the run's folder.
const tempFolder = "tmp"

var published = []string{summaryFile, compareTextFile, compareJSONFile, compareHTMLFile, truthFile, specsFolder, logsFolder}

// Paths are where a run's results were published.
type Paths struct {
	Summary string
	Text    string
	JSON    string
	HTML    string
	Truth   string
	Specs   string
	Logs    string
}

// output is the folder of one run. Files are made in a folder of the run's own
// inside the output folder and moved to their place at the end, so that runs
// that overlap do not mix. The run's folder is locked for as long as the
// process lives: a folder without a lock was left by a run that was killed.
type output struct {
	root string
	made bool // root did not exist before
	dir  string
	lock *os.File
}

const runPrefix = ".run-"

func openOutput(root string) (*output, error) {
	_, err := os.Stat(root)
	made := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, exit.Usagef("make the output folder: %w", err).WithHint("name a folder that can be written with --out")
	}
	o := &output{root: root, made: made}
	// Under the root's lock, nobody takes a folder for left behind that is only just made.
	err = o.locked(func() error {
		removeLeftBehind(root)
		dir, err := os.MkdirTemp(root, runPrefix)
		if err != nil {
			return err
		}
		o.dir = dir
		if o.lock, err = lockFolder(dir, false); err != nil {
			return err
		}
		return errors.Join(os.Mkdir(o.path(logsFolder), 0o755), os.Mkdir(o.path(tempFolder), 0o755))
	})
	if err != nil {
		o.remove()
		return nil, exit.Usagef("make the output folder: %w", err).WithHint("name a folder that can be written with --out")
	}
	return o, nil
}

// writeEnvironment writes the sandbox's variables beside the results, for a
// shell to read, and returns the file's path.
func (o *output) writeEnvironment(e sandboxchild.Endpoints) (string, error) {
	var b strings.Builder
	if err := e.Print(&b, sandboxchild.FormatEnv); err != nil {
		return "", err
	}
	path := filepath.Join(o.root, environmentFile)
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return "", fmt.Errorf("write the sandbox's variables: %w", err)
	}
	return path, nil
}

// path is where a file of the run is made.
func (o *output) path(name string) string { return filepath.Join(o.dir, name) }

// publish moves what the run has made to its place. What it has not made is
// removed there, so that no older run's result stands beside this one's.
func (o *output) publish() (*Paths, error) {
	err := o.locked(func() error {
		old := o.path("old")
		if err := os.MkdirAll(old, 0o755); err != nil {
			return err
		}
		for _, name := range published {
			at := filepath.Join(o.root, name)
			if err := os.Rename(at, filepath.Join(old, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			if err := os.Rename(o.path(name), at); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, exit.Environmentf("publish the results: %w", err)
	}
	at := func(name string) string { return filepath.Join(o.root, name) }
	return &Paths{
		Summary: at(summaryFile), Text: at(compareTextFile), JSON: at(compareJSONFile), HTML: at(compareHTMLFile),
		Truth: at(truthFile), Specs: at(specsFolder), Logs: at(logsFolder),
	}, nil
}

// remove deletes the run's folder, and the output folder if the run has made it
// and nothing is in it.
func (o *output) remove() {
	if o.dir != "" {
		_ = os.RemoveAll(o.dir)
	}
	if o.lock != nil {
		o.lock.Close()
	}
	if o.made {
		_ = os.Remove(o.root) // fails unless empty, as it should
	}
}

// locked runs fn while no other run makes or publishes in the same folder.
func (o *output) locked(fn func() error) error {
	f, err := lockFolder(o.root, true)
	if err != nil {
		return err
	}
	defer f.Close()
	return fn()
}

// lockFolder locks a folder itself: no file is left behind, and the kernel
// unlocks it however the process ends.
func lockFolder(dir string, wait bool) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return f, nil
}

// removeLeftBehind deletes folders of runs that were killed.
func removeLeftBehind(root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), runPrefix) {
			continue
		}
		dir := filepath.Join(root, e.Name())
		if f, err := lockFolder(dir, false); err == nil {
			_ = os.RemoveAll(dir)
			f.Close()
		}
	}
}
