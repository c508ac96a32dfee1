package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// fileTransport appends dead letters to a file, a line of JSON each, and has
// them on disk before it says so.
type fileTransport struct {
	mu   sync.Mutex
	file *os.File
	size int64 // of what is complete
}

func openFileTransport(name string) (*fileTransport, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, exit.Environmentf("open the file of dead letters: %w", err).WithHint("correct spec.deadLetter.file")
	}
	size, err := completeLines(f)
	if err != nil {
		f.Close()
		return nil, exit.Environmentf("read the file of dead letters: %w", err)
	}
	return &fileTransport{file: f, size: size}, nil
}

// completeLines returns the size of f without a last line that was not written
// whole: a process was killed, and its record was not done.
func completeLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for end := info.Size(); end > 0; {
		n := min(end, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], end-n); err != nil {
			return 0, err
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] == '\n' {
				return end - n + i + 1, nil
			}
		}
		end -= n
	}
	return 0, nil
}

func (t *fileTransport) close() { t.file.Close() }

func (t *fileTransport) publish(_ context.Context, _ *lane, events []*event) error {
	var text []byte
	for _, e := range events {
		line, err := json.Marshal(fileLetter(e))
		if err != nil {
			return fmt.Errorf("encode a dead letter: %w", err)
		}
		text = append(append(text, line...), '\n')
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Written at the end of what is complete: what an earlier attempt wrote in
	// part is written over.
	if _, err := t.file.WriteAt(text, t.size); err != nil {
		return errors.Join(err, t.file.Truncate(t.size))
	}
	if err := t.file.Sync(); err != nil {
		return err
	}
	t.size += int64(len(text))
	return nil
}

// fileLetter is a dead letter as a line of a file has it.
func fileLetter(e *event) envelope.DeadLetter {
	var m wireMessage
	m.read(e)
	d := envelope.DeadLetter{
		Position: string(m.attr(envelope.AttrPosition)),
		ID:       string(m.attr(envelope.AttrID)),
		Reason:   string(m.attr(envelope.AttrReason)),
		Error:    string(m.attr(envelope.AttrError)),
		Bridge:   string(m.attr(envelope.AttrBridge)),
		Time:     string(m.attr(envelope.AttrSourceTime)),
		Key:      e.record.Key,
		Value:    m.data,
	}
	if d.Value == nil && e.record.Value != nil {
		d.Value = []byte{}
	}
	for _, h := range e.record.Headers {
		d.Headers = append(d.Headers, envelope.Header{Name: h.Key, Value: h.Value})
	}
	return d
}

// judge: whatever is wrong with a file, somebody has to mend it.
func (*fileTransport) judge(err error) (verdict, string) {
	if err == nil {
		return accepted, "OK"
	}
	return blocked, "FILE"
}
