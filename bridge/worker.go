package bridge

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// unit is a run of records of one partition, in order: what a worker takes at
// a time.
type unit struct {
	partition *partition
	records   []*kgo.Record
	first     ticket
	chunk     *chunk
}

// maxUnit bounds a unit, so that several workers can share a large fetch.
const maxUnit = 512

// worker turns records into messages and hands them to the lanes.
type worker struct {
	maker     maker
	publisher *publisher
	perLane   [][]*event
	filtered  []*event
}

func newWorker(p *plan, pub *publisher) *worker {
	return &worker{maker: maker{plan: p}, publisher: pub, perLane: make([][]*event, len(pub.lanes))}
}

// run works until units is closed. When ctx is done the rest is thrown away:
// it stays uncommitted.
func (w *worker) run(ctx context.Context, units <-chan unit) {
	for u := range units {
		if ctx.Err() == nil {
			w.process(ctx, u)
		}
	}
}

func (w *worker) process(ctx context.Context, u unit) {
	budget := w.publisher.budget
	if u.first.to.fenced.Load() { // not ours any more: its new owner reads it
		if u.chunk.left.Add(-int64(len(u.records))) == 0 {
			budget.release(u.chunk.bytes, 0)
		}
		return
	}
	events := make([]event, len(u.records)) // one slab: the chunk's charge covers it
	attrs := make([]attribute, 0, len(u.records)*w.maker.attributesPerEvent())
	for i := range events {
		e := &events[i]
		e.record, e.chunk, e.origin = u.records[i], u.chunk, &u.partition.origin
		e.ticket = ticket{to: u.first.to, seq: u.first.seq + uint64(i)}
		var keep bool
		var err error
		keep, attrs, err = w.maker.make(e, attrs)
		if err != nil {
			var why *badRecord
			if !errors.As(err, &why) {
				why = bad(reasonTransform, err)
			}
			w.publisher.deadLetter(e, why)
			continue
		}
		if !keep {
			w.filtered = append(w.filtered, e)
			continue
		}
		if !budget.tryMessage(e.cost) {
			w.flush() // what is held here must be on its way before waiting for room
			if budget.acquireMessage(ctx, e.cost) != nil {
				return
			}
		}
		w.perLane[e.lane] = append(w.perLane[e.lane], e)
	}
	w.flush()
}

func (w *worker) flush() {
	for i, events := range w.perLane {
		w.publisher.lanes[i].add(events)
		clear(events)
		w.perLane[i] = events[:0]
	}
	if len(w.filtered) > 0 {
		w.publisher.stats.filtered.Add(int64(len(w.filtered)))
		w.publisher.finish(w.filtered, true)
		clear(w.filtered)
		w.filtered = w.filtered[:0]
	}
}
