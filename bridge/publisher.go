package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// transport sends the messages of one lane in one request, or fails as a whole.
// It does not retry; a refused request is one that holds a message which the
// destination can never take.
type transport interface {
	publish(ctx context.Context, l *lane, events []*event) error
	// judge says what an error of publish means, and names it for a metric.
	judge(err error) (verdict, string)
}

// publisher runs the lanes: one per topic or ordering key, and one for dead
// letters.
type publisher struct {
	plan      *plan
	transport transport
	dead      *lane
	graves    transport // of dead letters
	maxPart   int       // largest part of a dead letter's value; 0: dead letters are not divided
	budget    *budget
	segments  *segments
	backoff   Backoff
	lanes     []*lane
	ordered   bool          // one request at a time per lane
	slots     chan struct{} // bounds the requests that are being sent, and so what they take in connections
	stats     *stats
	health    *health
	log       *slog.Logger
}

// start starts the senders; they end when ctx is done.
func (p *publisher) start(ctx context.Context, wg *sync.WaitGroup) {
	perLane := min(max(2*cap(p.slots)/len(p.lanes), 1), cap(p.slots))
	for _, l := range append([]*lane{p.dead}, p.lanes...) {
		senders := perLane
		if p.ordered && l != p.dead {
			senders = 1 // what comes next waits for what came before
		}
		for range senders {
			wg.Go(func() {
				s := sender{publisher: p, lane: l, transport: p.transport}
				if l == p.dead {
					s.transport = p.graves
				}
				for batch := l.take(); batch != nil; batch = l.take() {
					s.deliver(ctx, batch)
				}
			})
		}
	}
	wg.Go(func() {
		<-ctx.Done()
		p.dead.close()
		for _, l := range p.lanes {
			l.close()
		}
	})
}

// setFlush begins or ends a time in which all batches are due at once.
func (p *publisher) setFlush(on bool) {
	p.dead.setFlush(on)
	for _, l := range p.lanes {
		l.setFlush(on)
	}
}

// wake makes idle senders look again: the budget came under pressure.
func (p *publisher) wake() {
	p.dead.wake()
	for _, l := range p.lanes {
		l.wake()
	}
}

// sender delivers batches of one lane, one at a time.
type sender struct {
	*publisher
	lane      *lane
	transport transport
	seqs      []uint64
}

// deliver publishes a batch, for as long as it takes (invariant B6), and
// returns when every event of it is done, handed to the dead-letter lane, no
// longer ours, or when ctx is done.
func (p *sender) deliver(ctx context.Context, batch []*event) {
	l := p.lane
	for attempt := 1; ; attempt++ {
		if batch = p.dropFenced(batch); len(batch) == 0 {
			return
		}
		began := time.Now()
		err := p.attempt(ctx, batch)
		v, code := p.transport.judge(err)
		if ctx.Err() != nil && v != accepted {
			return // stopping: the records stay uncommitted and are read again
		}
		p.stats.requests.WithLabelValues(code).Inc()
		if v == accepted {
			p.stats.requestSeconds.Observe(time.Since(began).Seconds())
			l.state.mended(p.publisher, l)
			p.acknowledge(batch)
			return
		}
		keep(batch)
		if v == refused {
			if half := len(batch) / 2; half > 0 {
				p.deliver(ctx, batch[:half:half])
				p.deliver(ctx, batch[half:])
				return
			}
			if e := batch[0]; len(e.bundle) > 1 {
				p.deliver(ctx, p.unbundle(e))
				return
			}
			if l != p.dead {
				p.reject(batch[0], err)
				return
			}
			v = blocked // a dead letter has nowhere else to go
		}
		p.stats.retries.WithLabelValues(v.String(), code).Inc()
		mended := l.state.failed(p.publisher, l, v, attempt, err)
		timer := time.NewTimer(p.backoff.wait(v, attempt))
		select {
		case <-ctx.Done():
		case <-mended:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// keep marks segments whose bytes a connection may still read.
func keep(batch []*event) {
	for _, e := range batch {
		if e.held != nil && !e.held.kept.Load() {
			e.held.kept.Store(true)
		}
	}
}

// reject gives the record of a message that was refused by itself to the dead
// letters.
func (p *sender) reject(e *event, err error) {
	if e.bundle != nil {
		m := e.bundle[0]
		m.held = e.held
		e = m
	}
	p.deadLetter(e, bad(reasonRejected, err))
}

func (p *sender) attempt(ctx context.Context, batch []*event) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	ctx, cancel := context.WithTimeout(ctx, p.backoff.Timeout)
	defer cancel()
	return p.transport.publish(ctx, p.lane, batch)
}

// acknowledge notes that the destination has all messages of a batch.
func (p *sender) acknowledge(batch []*event) {
	now := time.Now()
	p.stats.ackSeconds.Observe(now.Sub(batch[0].chunk.polled).Seconds())
	if r := batch[0].first().record; r != nil {
		p.stats.ageSeconds.Observe(now.Sub(r.Timestamp).Seconds())
	}
	var bytes int64
	for _, e := range batch {
		bytes += int64(e.size())
	}
	if p.lane == p.dead {
		p.stats.deadLettersPublished.Add(int64(len(batch)))
	} else {
		p.stats.published.Add(int64(len(batch)))
		p.stats.publishedBytes.Add(bytes)
	}
	p.seqs = p.publisher.done(batch, true, p.seqs)
}

// dropFenced leaves out messages of partitions that are no longer ours: their
// new owner reads them again, and keeping them would only hold memory.
func (p *sender) dropFenced(batch []*event) []*event {
	fenced := 0
	for _, e := range batch {
		if e.fenced() {
			fenced++
		}
	}
	if fenced == 0 {
		return batch
	}
	kept, dropped := make([]*event, 0, len(batch)-fenced), make([]*event, 0, fenced)
	for _, e := range batch {
		if e.fenced() {
			dropped = append(dropped, e)
		} else {
			kept = append(kept, e)
		}
	}
	p.finish(dropped, false)
	return kept
}

// finish gives back what messages hold and, if they are done, tells the ledger.
func (p *publisher) finish(batch []*event, done bool) { p.done(batch, done, nil) }

// done is finish with scratch memory, which it returns.
func (p *publisher) done(batch []*event, done bool, seqs []uint64) []uint64 {
	f := finisher{publisher: p, done: done, seqs: seqs[:0]}
	for _, e := range batch {
		f.message(e)
		if e.bundle == nil {
			f.event(e)
			continue
		}
		for _, m := range e.bundle {
			f.event(m)
		}
		e.bundle = nil
	}
	f.flush()
	return f.seqs[:0]
}

// finisher finishes messages in runs: those that follow each other mostly have
// the partition, the poll and the segment in common.
type finisher struct {
	*publisher
	done bool

	to    *assignment
	seqs  []uint64
	chunk *chunk
	count int64 // records of chunk
	held  *segment
	uses  int32 // messages in held
}

func (f *finisher) message(e *event) {
	if e.held != f.held {
		f.segment()
		f.held = e.held
	}
	f.uses++
	e.held, e.entry, e.data = nil, nil, nil
}

func (f *finisher) event(e *event) {
	for p := e.parts; p != nil; p = p.of {
		if p.left.Add(-1) > 0 {
			return // other messages of the record are still on their way
		}
	}
	if e.ticket.to != f.to {
		f.tickets()
		f.to = e.ticket.to
	}
	f.seqs = append(f.seqs, e.ticket.seq)
	if e.chunk != f.chunk {
		f.records()
		f.chunk = e.chunk
	}
	f.count++
	e.record, e.entry = nil, nil // the slab that holds e may live longer
}

func (f *finisher) tickets() {
	if len(f.seqs) > 0 && f.done {
		f.to.ack(f.seqs)
	}
	f.seqs = f.seqs[:0]
}

func (f *finisher) records() {
	if f.count > 0 && f.chunk.left.Add(-f.count) == 0 {
		f.budget.release(f.chunk.bytes, 0)
	}
	f.count = 0
}

func (f *finisher) segment() {
	if f.held != nil && f.uses > 0 {
		f.held.release(f.uses)
	}
	f.uses = 0
}

func (f *finisher) flush() {
	f.tickets()
	f.records()
	f.segment()
}
