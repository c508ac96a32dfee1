package bigquery

import (
	"fmt"
	"io"
	"os"
)

// spool is a file without a name: it is gone with the process, however that
// ends. Uploads, and objects that cannot be read from front to back, wait there
// rather than in memory.
type spool struct {
	f    *os.File
	size int64
}

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "kappa-upload-")
	if err != nil {
		return nil, fmt.Errorf("make room for a file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("make room for a file: %w", err)
	}
	return &spool{f: f}, nil
}

// writeAt takes what r holds as the bytes from off on; off is at most the size.
func (s *spool) writeAt(r io.Reader, off int64) error {
	n, err := io.Copy(io.NewOffsetWriter(s.f, off), r)
	s.size = max(s.size, off+n)
	return err
}

// reader reads all of it; several may do so.
func (s *spool) reader() *io.SectionReader { return io.NewSectionReader(s.f, 0, s.size) }

func (s *spool) close() {
	if s != nil {
		s.f.Close() // it has no name to keep, so there is nothing to lose
	}
}
