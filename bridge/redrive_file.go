package bridge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// fileLetters reads a file of dead letters; positions that were sent are noted
// in another one, so that the same file again sends nothing twice.
type fileLetters struct {
	file *os.File
	in   *lines
	seen map[string]bool // positions that were sent before
	done *os.File        // nil: nothing is noted
}

func openFileLetters(name, done string, note bool) (*fileLetters, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, exit.Environmentf("open the dead letters: %w", err)
	}
	s := &fileLetters{file: f, in: &lines{name: name, r: bufio.NewReaderSize(f, 1<<20)}, seen: make(map[string]bool)}
	sent, err := os.ReadFile(done)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.Close()
		return nil, exit.Environmentf("read the positions that were sent: %w", err)
	}
	whole := bytes.LastIndexByte(sent, '\n') + 1 // a line that was not written whole is not there
	for _, line := range strings.Fields(string(sent[:whole])) {
		s.seen[line] = true
	}
	if !note {
		return s, nil
	}
	if s.done, err = os.OpenFile(done, os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		if err = s.done.Truncate(int64(whole)); err == nil {
			_, err = s.done.Seek(0, io.SeekEnd)
		}
	}
	if err != nil {
		f.Close()
		return nil, exit.Environmentf("open the file of positions that were sent: %w", err).WithHint("name another one with --done")
	}
	return s, nil
}

func (s *fileLetters) next(context.Context) (*letter, error) {
	for {
		l, err := s.in.next()
		if err != nil || l == nil || !s.seen[l.Position] {
			return l, err
		}
	}
}

func (s *fileLetters) sent(_ context.Context, l *letter, _ bool) error {
	if _, err := s.done.WriteString(l.Position + "\n"); err != nil {
		return exit.Environmentf("note that a dead letter was sent: %w", err)
	}
	if err := s.done.Sync(); err != nil {
		return exit.Environmentf("note that a dead letter was sent: %w", err)
	}
	return nil
}

func (*fileLetters) leave(context.Context, *letter) error { return nil }
func (*fileLetters) returns() bool                        { return false }

func (s *fileLetters) close(context.Context) error {
	if s.done != nil {
		return errors.Join(s.done.Close(), s.file.Close())
	}
	return s.file.Close()
}

// lines reads letters, a line of JSON each.
type lines struct {
	name string
	r    *bufio.Reader
	n    int
}

// next returns the next letter, nil at the end.
func (s *lines) next() (*letter, error) {
	for {
		line, err := s.r.ReadBytes('\n')
		torn := errors.Is(err, io.EOF)
		if err != nil && !torn {
			return nil, exit.Environmentf("read %s: %w", s.name, err)
		}
		s.n++
		if len(bytes.TrimSpace(line)) == 0 {
			if torn {
				return nil, nil
			}
			continue
		}
		l := &letter{}
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l.DeadLetter); err != nil {
			if torn { // a bridge is writing it, or was killed while it did: the record is not done
				return nil, nil
			}
			return nil, exit.Usagef("%s:%d: not a dead letter: %w", s.name, s.n, err).WithHint("a line is a JSON object as `kappa bridge redrive --export` writes it; key and value are base64")
		}
		if l.Position == "" {
			return nil, exit.Usagef("%s:%d: the dead letter has no position", s.name, s.n)
		}
		return l, nil
	}
}

// readRepaired reads letters by position.
func readRepaired(name string) (map[string]*letter, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, exit.Environmentf("open the repaired dead letters: %w", err)
	}
	defer f.Close()
	in, all := &lines{name: name, r: bufio.NewReaderSize(f, 1<<20)}, make(map[string]*letter)
	for {
		l, err := in.next()
		if err != nil || l == nil {
			return all, err
		}
		if all[l.Position] != nil {
			return nil, exit.Usagef("%s:%d: position %s comes twice", name, in.n, l.Position)
		}
		all[l.Position] = l
	}
}

// export writes letters to a file. What is there is not written over.
func (r *redrive) export(ctx context.Context) (err error) {
	f, err := os.OpenFile(r.cfg.Export, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return exit.Environmentf("make the file of dead letters: %w", err).WithHint("name a file that is not there yet")
	}
	defer func() {
		if cerr := errors.Join(f.Sync(), f.Close()); err == nil && cerr != nil {
			err = exit.Environmentf("write the dead letters: %w", cerr)
		}
	}()
	for {
		l, err := r.read(ctx)
		if err != nil || l == nil {
			return err
		}
		if l.lacks != "" && l.Omitted == "" { // parts: half of a value is nothing to repair
			r.res.Incomplete++
			r.name(BadLetter{l.Position, "incomplete", l.lacks})
		} else {
			line, err := json.Marshal(l.DeadLetter)
			if err != nil {
				return fmt.Errorf("encode a dead letter: %w", err)
			}
			if _, err := f.Write(append(line, '\n')); err != nil {
				return exit.Environmentf("write the dead letters: %w", err)
			}
			r.res.Exported++
		}
		if err := r.source.leave(ctx, l); err != nil {
			return err
		}
	}
}
