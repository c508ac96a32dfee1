// Package sandboxchild runs kappa-sandbox as a child process and knows the one
// line that it prints when it is ready. The programs that use the sandbox have
// neither its services nor DuckDB in them.
package sandboxchild

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// Program and its override in the environment.
const (
	Program     = "kappa-sandbox"
	EnvOverride = "KAPPA_SANDBOX_BIN"
)

// StopGrace is how long the sandbox may take to stop before it is killed.
const StopGrace = 20 * time.Second

// Endpoints is what kappa-sandbox prints once it is ready, as one line of JSON
// with --output json.
type Endpoints struct {
	Project     string            `json:"project"`     // Google Cloud project to use
	Environment map[string]string `json:"environment"` // variables by which clients find the services
}

// Variables returns the environment as NAME=VALUE, sorted.
func (e Endpoints) Variables() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(e.Environment)) {
		out = append(out, name+"="+e.Environment[name])
	}
	return out
}

// Formats of Print.
const (
	FormatText = "text" // for people
	FormatJSON = "json" // one line
	FormatEnv  = "env"  // lines for a shell
)

// Print writes e in one of the formats.
func (e Endpoints) Print(w io.Writer, format string) error {
	var b bytes.Buffer
	switch format {
	case FormatJSON:
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.Write(line)
		b.WriteByte('\n')
	case FormatEnv:
		for _, v := range e.Variables() {
			fmt.Fprintf(&b, "export %s\n", v)
		}
	case FormatText:
		fmt.Fprintf(&b, "The sandbox is ready. Use project %s and these variables:\n", e.Project)
		for _, v := range e.Variables() {
			fmt.Fprintf(&b, "  %s\n", v)
		}
	default:
		return fmt.Errorf("unknown format %q", format)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Config says how to start the child.
type Config struct {
	Args []string     // in addition to --child and --output
	Env  []string     // added to the environment
	Log  func([]byte) // gets each line of its log; nil discards them
}

// Process is a running sandbox.
type Process struct {
	*child.Process
	Endpoints
}

// Start starts kappa-sandbox and waits until it is ready. The child ends when
// this process does, however it does. If ctx ends first, the child is stopped.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	path, err := child.Sibling(Program, EnvOverride)
	if err != nil {
		return nil, exit.With(exit.Environment, err)
	}
	ready := make(chan []byte, 1)
	var once sync.Once
	var last lastError
	p, err := child.Start(child.Config{
		Path: path,
		Args: append([]string{"--child", "--output", FormatJSON}, cfg.Args...),
		Env:  cfg.Env,
		Stdout: func(line []byte) {
			once.Do(func() { ready <- slices.Clone(line) })
		},
		Stderr: func(line []byte) {
			last.look(line)
			if cfg.Log != nil {
				cfg.Log(line)
			}
		},
	})
	if err != nil {
		return nil, exit.With(exit.Environment, err)
	}
	select {
	case line := <-ready:
		out := &Process{Process: p}
		if err := json.Unmarshal(line, &out.Endpoints); err != nil {
			p.Kill()
			return nil, fmt.Errorf("read what %s printed: %w", path, err)
		}
		return out, nil
	case <-p.Done():
		if p.ExitCode() == int(exit.Usage) && last.said() != "" { // it was given what it cannot take
			return nil, exit.Usagef("%s%s", Program, last.said())
		}
		return nil, exit.Environmentf("%s ended with code %d before it was ready%s", Program, p.ExitCode(), last.said())
	case <-ctx.Done():
		_ = p.Stop(StopGrace) // how it ended says nothing: it may not have got as far as handling signals
		return nil, ctx.Err()
	}
}

// lastError remembers the child's last line that reports an error.
type lastError struct {
	mu   sync.Mutex
	line string
}

func (l *lastError) look(line []byte) {
	if text, ok := bytes.CutPrefix(line, []byte("error: ")); ok {
		l.mu.Lock()
		l.line = string(text)
		l.mu.Unlock()
	}
}

func (l *lastError) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line == "" {
		return ""
	}
	return ": " + strings.TrimSpace(l.line)
}
