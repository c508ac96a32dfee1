package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/internal/child"
)

// program is a running child. Its output is lines of JSON.
type program struct {
	*child.Process
	name  string
	lines chan []byte

	mu   sync.Mutex
	tail []string // of stderr
}

const tailLines = 20

// start starts a program of the benchmark's folder, or one by its path.
func (b *bench) start(path string, env []string, args ...string) (*program, error) {
	if !strings.ContainsRune(path, filepath.Separator) {
		path = filepath.Join(b.bin, path)
	}
	p := &program{name: filepath.Base(path), lines: make(chan []byte, 10_000)}
	proc, err := child.Start(child.Config{
		Path: path, Args: args, Env: env,
		Stdout: func(line []byte) {
			select {
			case p.lines <- bytes.Clone(line):
			default: // nobody waits for more
			}
		},
		Stderr: func(line []byte) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.tail = append(p.tail, string(line)); len(p.tail) > tailLines {
				p.tail = p.tail[1:]
			}
		},
	})
	if err != nil {
		return nil, err
	}
	p.Process = proc
	return p, nil
}

// read reads a line into v; within is how long that may take.
func (p *program) read(ctx context.Context, v any, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	select {
	case line := <-p.lines:
		if err := json.Unmarshal(line, v); err != nil {
			return fmt.Errorf("%s printed %q: %w", p.name, line, err)
		}
		return nil
	case <-p.Done():
		select {
		case line := <-p.lines:
			return json.Unmarshal(line, v)
		default:
			return p.failed(errors.New("it ended"))
		}
	case <-ctx.Done():
		return p.failed(ctx.Err())
	}
}

// result reads the one line of a program that ends by itself.
func (p *program) result(ctx context.Context, v any, within time.Duration) error {
	err := p.read(ctx, v, within)
	if err == nil {
		err = p.Wait(ctx)
	}
	if err != nil {
		_ = p.stop(5 * time.Second)
		return p.failed(err)
	}
	return nil
}

// all returns everything that a program prints that ends by itself.
func (p *program) all(ctx context.Context, within time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var text []byte
	for {
		select {
		case line := <-p.lines:
			text = append(append(text, line...), '\n')
		case <-p.Done():
			for len(p.lines) > 0 {
				text = append(append(text, <-p.lines...), '\n')
			}
			if err := p.Err(); err != nil {
				return nil, p.failed(err)
			}
			return text, nil
		case <-ctx.Done():
			_ = p.stop(5 * time.Second)
			return nil, p.failed(ctx.Err())
		}
	}
}

// failed adds the end of the program's stderr to err.
func (p *program) failed(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tail) == 0 {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return fmt.Errorf("%s: %w\n%s", p.name, err, strings.Join(p.tail, "\n"))
}

// stop asks the program to end and returns its error.
func (p *program) stop(grace time.Duration) error {
	if err := p.Stop(grace); err != nil {
		return p.failed(err)
	}
	return nil
}

const module = "github.com/kappa-migrate/kappa/"

// build builds programs of this module into dir.
func build(ctx context.Context, dir string, packages ...string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, p := range packages {
		args = append(args, module+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	return nil
}

// call calls the control interface of pubsubcount.
func call(ctx context.Context, method, url string, body, answer any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, bytes.TrimSpace(text))
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
