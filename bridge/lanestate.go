package bridge

import (
	"sync"
	"sync/atomic"
)

// laneState says whether a topic takes messages. Changes are logged once,
// however many senders see them.
type laneState struct {
	bad atomic.Bool // fast path: nothing to mend

	mu     sync.Mutex
	now    verdict
	logged bool
	mend   chan struct{} // closed when a request is accepted again
}

// patience is the number of failures of one batch before a transient error is
// worth a line in the log.
const patience = 4

// failed notes a failure and returns a channel that is closed as soon as any
// request to the topic is accepted.
func (s *laneState) failed(p *publisher, l *lane, v verdict, attempt int, err error) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad.Store(true)
	if s.mend == nil {
		s.mend = make(chan struct{})
	}
	if v == blocked && s.now != blocked {
		s.now, s.logged = blocked, true
		p.health.problem("topic "+l.topic, "publishing to "+l.topic+" is blocked: "+err.Error())
		p.log.Error("publishing is blocked until somebody mends it; retrying", "topic", l.topic, "error", err)
	}
	if v == transient && !s.logged && attempt >= patience {
		s.logged = true
		p.log.Warn("publishing fails; retrying", "topic", l.topic, "error", err)
	}
	return s.mend
}

// mended notes that a request was accepted.
func (s *laneState) mended(p *publisher, l *lane) {
	if !s.bad.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mend != nil {
		close(s.mend)
		s.mend = nil
	}
	if s.now == blocked {
		p.health.solved("topic " + l.topic)
	}
	if s.logged {
		p.log.Info("publishing goes on", "topic", l.topic)
	}
	s.now, s.logged = accepted, false
	s.bad.Store(false)
}
