// Package child runs child processes that never outlive their parent: a child
// gets a pipe as stdin and exits when it is closed, which the kernel does for
// us however the parent ends, SIGKILL included. Parents start children with
// Start; children use WithParent, or read the pipe themselves.
package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Process is a running child.
type Process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	err   error // of Wait; valid once done is closed
}

// Config says what to run.
type Config struct {
	Path   string
	Args   []string // without the program's name
	Env    []string // added to the parent's environment
	Stdout func(line []byte)
	Stderr func(line []byte)
}

// Start starts a child. The functions of cfg are called with each line of
// output, from one goroutine each; nil discards it. The child is not in the
// parent's process group: Ctrl-C reaches the parent alone, which stops its
// children in the right order.
func Start(cfg Config) (*Process, error) {
	cmd := exec.Command(cfg.Path, cfg.Args...)
	cmd.Env = append(os.Environ(), cfg.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cfg.Path), err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cfg.Path), err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cfg.Path), err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cfg.Path), err)
	}
	p := &Process{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	var readers sync.WaitGroup
	for _, s := range []struct {
		r  io.Reader
		fn func([]byte)
	}{{stdout, cfg.Stdout}, {stderr, cfg.Stderr}} {
		readers.Go(func() { lines(s.r, s.fn) })
	}
	go func() {
		readers.Wait() // before Wait, which closes the pipes
		p.err = cmd.Wait()
		stdin.Close()
		close(p.done)
	}()
	return p, nil
}

func lines(r io.Reader, fn func([]byte)) {
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadBytes('\n')
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		if fn != nil && (len(line) > 0 || err == nil) {
			fn(line)
		}
		if err != nil {
			return
		}
	}
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stdin is the pipe to the child; closing it ends the child.
func (p *Process) Stdin() io.Writer { return p.stdin }

// Done is closed when the child has ended and all its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is nil if the child exited with 0; valid once Done is closed.
func (p *Process) Err() error { return p.err }

// ExitCode returns the child's exit code, -1 if a signal ended it; valid once
// Done is closed.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Kill ends the child with SIGKILL and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the child to end with SIGTERM, waits up to grace, then kills it.
// It returns the child's error.
func (p *Process) Stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
	}
	return p.err
}

// Wait waits until the child has ended or ctx is done.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WithParent returns a context that is cancelled when stdin reaches its end:
// when the parent that started this process with Start is gone.
func WithParent(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(errors.New("the parent process is gone"))
	}()
	return ctx
}

// EndWithoutParent waits until the process with the given id is no longer the
// parent, and soon after ends this one: for a child whose parent takes all with
// it that a stop in order could wait for.
func EndWithoutParent(parent int) {
	for os.Getppid() == parent {
		time.Sleep(200 * time.Millisecond) // there is nothing to wait for that every system has
	}
	time.Sleep(2 * time.Second)
	os.Exit(int(exit.Interrupted))
}

// Sibling returns the path of another program of this project: the one named
// by the environment variable if it is set, else the one beside this program,
// else the one on PATH.
func Sibling(name, variable string) (string, error) {
	if p := os.Getenv(variable); p != "" {
		return p, nil
	}
	if self, err := os.Executable(); err == nil {
		p := filepath.Join(filepath.Dir(self), name)
		if st, err := os.Stat(p); err == nil && !st.IsDir() {
			return p, nil
		}
	}
	p, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside this program nor on PATH: build it with `make build`, or set %s", name, variable)
	}
	return p, nil
}
