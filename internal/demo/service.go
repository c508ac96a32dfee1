package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// service is a child process whose log goes to a file, and whose end is an
// error unless it was asked for.
type service struct {
	name     string
	proc     *child.Process
	log      *os.File
	tail     tail
	expected atomic.Bool // its end was asked for
}

// newService opens the log of a service that is yet to be started.
func newService(name, logs string) (*service, error) {
	f, err := os.OpenFile(filepath.Join(logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, exit.Environmentf("open the log of %s: %w", name, err)
	}
	return &service{name: name, log: f}, nil
}

// startService starts a program. Its stderr, and its stdout if no function
// takes that, are appended to a log file of its name.
func startService(name, path, logs string, args []string, stdout func([]byte)) (*service, error) {
	s, err := newService(name, logs)
	if err != nil {
		return nil, err
	}
	if stdout == nil {
		stdout = s.write
	}
	s.proc, err = child.Start(child.Config{Path: path, Args: args, Stdout: stdout, Stderr: s.write})
	if err != nil {
		s.log.Close()
		return nil, exit.Environmentf("%w", err)
	}
	return s, nil
}

// write takes one line of output; the log's mutex keeps the two streams apart.
func (s *service) write(line []byte) {
	s.tail.add(string(line), func() {
		_, _ = s.log.Write(append(line, '\n'))
	})
}

// watch calls fail if the service ends without having been asked to.
func (s *service) watch(fail func(error)) {
	go func() {
		<-s.proc.Done()
		if !s.expected.Load() {
			fail(s.died())
		}
	}()
}

// died says how the service ended; the last lines of its log say why.
func (s *service) died() error {
	how := "it exited with 0"
	if err := s.proc.Err(); err != nil {
		how = err.Error()
	}
	return exit.With(exit.Failed, fmt.Errorf("%s ended unexpectedly (%s)%s", s.name, how, s.tail.text()))
}

// kill ends the service with SIGKILL, as a crash would.
func (s *service) kill() {
	s.expected.Store(true)
	s.proc.Kill()
	s.log.Close()
}

// stop ends the service in its own time, up to grace.
func (s *service) stop(grace time.Duration) error {
	s.expected.Store(true)
	err := s.proc.Stop(grace)
	s.log.Close()
	return err
}

// tailLines is how much of a log an error shows.
const tailLines = 8

// tail keeps the last lines of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string, also func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
	also()
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return "; it wrote no log"
	}
	return "; the last lines of its log:\n    " + strings.Join(t.lines, "\n    ")
}

// runTool runs a program to its end and returns its stdout. An exit code in ok
// is not an error.
func runTool(ctx context.Context, name, path, logs string, args []string, ok ...int) ([]byte, int, error) {
	var out []byte
	s, err := startService(name, path, logs, args, func(line []byte) { out = append(append(out, line...), '\n') })
	if err != nil {
		return nil, 0, err
	}
	s.expected.Store(true)
	defer s.log.Close()
	err = s.proc.Wait(ctx)
	if ctx.Err() != nil {
		s.proc.Kill()
		return nil, 0, context.Cause(ctx)
	}
	code := 0
	if err != nil {
		code = s.proc.ExitCode()
		for _, c := range ok {
			if code == c {
				return out, code, nil
			}
		}
		return nil, code, exit.With(exit.Failed, fmt.Errorf("%s failed: %w%s", name, err, s.tail.text()))
	}
	return out, 0, nil
}

// errStopped is the cause of a run that was stopped from outside.
var errStopped = exit.With(exit.Interrupted, errors.New("stopped"))
