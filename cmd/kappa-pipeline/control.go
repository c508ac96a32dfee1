package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/worker"
)

// control speaks the worker protocol (package worker): commands from in,
// reports to out.
type control struct {
	in    io.Reader
	drain chan struct{}
	once  sync.Once

	mu  sync.Mutex
	out *json.Encoder
}

func newControl(in io.Reader, out io.Writer, drain chan struct{}) *control {
	return &control{in: in, drain: drain, out: json.NewEncoder(out)}
}

var errServiceGone = exit.With(exit.Interrupted, errors.New("the service that runs this job is gone; nothing was acknowledged"))

// serve takes commands until the service is gone.
func (c *control) serve() error {
	lines := bufio.NewScanner(c.in)
	for lines.Scan() {
		var cmd worker.Command
		if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
			return fmt.Errorf("a command is not JSON: %w", err)
		}
		if cmd.Do != worker.Drain {
			return fmt.Errorf("command %q is not known: want %q", cmd.Do, worker.Drain)
		}
		c.once.Do(func() { close(c.drain) })
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read commands: %w", err)
	}
	return errServiceGone
}

// report writes a report. That nobody reads it any more is seen by serve.
func (c *control) report(r worker.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(r)
}
