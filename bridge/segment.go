package bridge

import (
	"context"
	"sync"
	"sync/atomic"
)

// segment is a buffer in which encoded messages stand one after the other. It
// is charged to the budget from when a worker takes it until no message in it
// is needed any more.
type segment struct {
	all  []byte       // never written over while a message in it is needed
	used int          // of all; known to the worker that fills it alone
	left atomic.Int32 // messages that are not done, and 1 while a worker fills it
	// kept is set when a request with bytes of this segment failed: the
	// connection may still read them, so they must not be written over. The
	// garbage collector takes such a segment.
	kept atomic.Bool
	pool *segments
}

// release gives up n references.
func (s *segment) release(n int32) {
	if s.left.Add(-n) == 0 {
		s.pool.put(s)
	}
}

// segments hands out segments.
type segments struct {
	size   int // of an ordinary one, in bytes
	budget *budget

	mu   sync.Mutex
	free []*segment
	most int // of free
}

func newSegments(size int, b *budget, most int) *segments {
	return &segments{size: size, budget: b, most: most}
}

// try returns a segment with room for n bytes, nil if the budget has none now.
func (p *segments) try(n int) *segment {
	size := max(n, p.size)
	if !p.budget.tryMessage(int64(size)) {
		return nil
	}
	return p.make(size)
}

// get is try, but waits for room.
func (p *segments) get(ctx context.Context, n int) (*segment, error) {
	size := max(n, p.size)
	if err := p.budget.acquireMessage(ctx, int64(size)); err != nil {
		return nil, err
	}
	return p.make(size), nil
}

// forced writes a draft into a segment of its own that is charged without
// waiting: for dead letters, whose records are charged already. Waiting there
// could wait for the very batch that the dead letter comes from.
func (p *segments) forced(d *draft, e *event) {
	inner := d.inner()
	s := &segment{pool: p}
	s.all, _ = d.appendTo(make([]byte, 0, fieldSize(inner)), inner, false)
	s.kept.Store(true)
	s.left.Store(1)
	p.budget.addMessage(int64(cap(s.all)))
	e.entry, e.held, e.at, e.data, e.cut = s.all, s, 0, nil, 0
}

func (p *segments) make(size int) *segment {
	var s *segment
	if size == p.size {
		p.mu.Lock()
		if n := len(p.free); n > 0 {
			s, p.free[n-1] = p.free[n-1], nil
			p.free = p.free[:n-1]
		}
		p.mu.Unlock()
	}
	if s == nil {
		s = &segment{all: make([]byte, size), pool: p}
	}
	s.left.Store(1)
	return s
}

func (p *segments) put(s *segment) {
	size := cap(s.all)
	if size == p.size && !s.kept.Load() {
		s.used = 0
		p.mu.Lock()
		if len(p.free) < p.most {
			p.free = append(p.free, s)
		}
		p.mu.Unlock()
	}
	p.budget.release(0, int64(size))
}
