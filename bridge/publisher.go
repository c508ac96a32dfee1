package bridge

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// transport sends one publish request. It does not retry.
type transport interface {
	publish(ctx context.Context, topic string, events []*event) error
}

// chunk is the records of one poll. Their bytes are charged together and given
// back together: one record keeps the fetch's whole buffer alive.
type chunk struct {
	polled time.Time
	bytes  int64
	left   atomic.Int64 // records that are not done
}

// publisher runs the lanes: one per topic of the split, and one for dead letters.
type publisher struct {
	transport transport
	budget    *budget
	backoff   Backoff
	lanes     []*lane
	dead      *lane
	slots     chan struct{} // bounds the requests that are being sent, and so their encoded bytes
	stats     *stats
	health    *health
	log       *slog.Logger
	bridge    string
	maxPart   int // largest part of a dead letter's value
}

// start starts the senders; they end when ctx is done.
func (p *publisher) start(ctx context.Context, wg *sync.WaitGroup) {
	perLane := min(max(2*cap(p.slots)/len(p.lanes), 1), cap(p.slots))
	for _, l := range append([]*lane{p.dead}, p.lanes...) {
		for range perLane {
			wg.Go(func() {
				for batch := l.take(); batch != nil; batch = l.take() {
					p.deliver(ctx, l, batch)
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

// deliver publishes a batch, for as long as it takes (invariant B6), and
// returns when every event of it is done, handed to the dead-letter lane, no
// longer ours, or when ctx is done.
func (p *publisher) deliver(ctx context.Context, l *lane, batch []*event) {
	for attempt := 1; ; attempt++ {
		if batch = p.dropFenced(batch); len(batch) == 0 {
			return
		}
		err := p.attempt(ctx, l, batch)
		v, code := judge(err)
		if ctx.Err() != nil && v != accepted {
			return // stopping: the records stay uncommitted and are read again
		}
		p.stats.requests.WithLabelValues(code.String()).Inc()
		switch v {
		case accepted:
			l.state.mended(p, l)
			p.acknowledge(l, batch)
			return
		case refused:
			if len(batch) > 1 {
				half := len(batch) / 2
				p.deliver(ctx, l, batch[:half:half])
				p.deliver(ctx, l, batch[half:])
				return
			}
			if l != p.dead {
				p.deadLetter(batch[0], bad(reasonRejected, err))
				return
			}
			v = blocked // a dead letter has nowhere else to go
		}
		p.stats.retries.WithLabelValues(v.String(), code.String()).Inc()
		mended := l.state.failed(p, l, v, attempt, err)
		timer := time.NewTimer(p.backoff.wait(v, attempt))
		select {
		case <-ctx.Done():
		case <-mended:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (p *publisher) attempt(ctx context.Context, l *lane, batch []*event) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	ctx, cancel := context.WithTimeout(ctx, p.backoff.Timeout)
	defer cancel()
	return p.transport.publish(ctx, l.topic, batch)
}

// acknowledge notes that Pub/Sub has all messages of a batch.
func (p *publisher) acknowledge(l *lane, batch []*event) {
	p.stats.ackSeconds.Observe(time.Since(batch[0].chunk.polled).Seconds())
	var bytes int64
	for _, e := range batch {
		bytes += int64(e.size)
	}
	if l == p.dead {
		p.stats.deadLettersPublished.Add(int64(len(batch)))
	} else {
		p.stats.published.Add(int64(len(batch)))
		p.stats.publishedBytes.Add(bytes)
	}
	p.finish(batch, true)
}

// dropFenced leaves out events of partitions that are no longer ours: their
// new owner reads them again, and keeping them would only hold memory.
func (p *publisher) dropFenced(batch []*event) []*event {
	fenced := 0
	for _, e := range batch {
		if e.ticket.to.fenced.Load() {
			fenced++
		}
	}
	if fenced == 0 {
		return batch
	}
	kept, dropped := make([]*event, 0, len(batch)-fenced), make([]*event, 0, fenced)
	for _, e := range batch {
		if e.ticket.to.fenced.Load() {
			dropped = append(dropped, e)
		} else {
			kept = append(kept, e)
		}
	}
	p.finish(dropped, false)
	return kept
}

// finish gives back what events hold and, if they are done, tells the ledger.
func (p *publisher) finish(batch []*event, done bool) {
	var messages, records int64
	var run []ticket
	flush := func() {
		if len(run) > 0 && done {
			run[0].to.ack(run...)
		}
		run = run[:0]
	}
	for _, e := range batch {
		messages += e.cost
		if e.dead != nil && e.dead.left.Add(-1) > 0 {
			continue // other parts of the dead letter are still on their way
		}
		if len(run) > 0 && run[0].to != e.ticket.to {
			flush()
		}
		run = append(run, e.ticket)
		if e.chunk.left.Add(-1) == 0 {
			records += e.chunk.bytes
		}
		e.record, e.data, e.attrs = nil, nil, nil // the slab that holds e may live longer
	}
	flush()
	p.budget.release(records, messages)
}
