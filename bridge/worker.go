package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
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
	*maker
	publisher *publisher
	perLane   [][]*event
	touched   []int // lanes that have events in perLane
	open      []*segment
	bundles   []bundler // by lane; nil without bundles
	bundled   []int     // lanes that have events in bundles
	passed    []*event  // done without a message
	filtered  int64     // of passed, by the filter
}

func newWorker(p *plan, pub *publisher) *worker {
	w := &worker{maker: newMaker(p), publisher: pub, perLane: make([][]*event, len(pub.lanes))}
	w.open = make([]*segment, min(len(pub.lanes), maxOpen))
	if p.bundle.MaxEvents > 0 {
		w.bundles = make([]bundler, len(pub.lanes))
	}
	if w.machine != nil {
		w.machine.Blocked = func(problem string) {
			if problem == "" {
				pub.health.solved("transform")
			} else {
				pub.health.problem("transform", problem)
			}
		}
	}
	return w
}

// maxOpen bounds the segments that a worker fills at a time. Messages of one
// lane that stand side by side are sent as one piece.
const maxOpen = 16

// run works until units is closed. When ctx is done the rest is thrown away:
// it stays uncommitted.
func (w *worker) run(ctx context.Context, units <-chan unit) {
	defer w.letGo()
	for {
		var u unit
		ok := true
		select {
		case u, ok = <-units:
		default:
			w.letGo() // or an idle bridge would never have all of its budget
			u, ok = <-units
		}
		if !ok {
			return
		}
		if ctx.Err() == nil {
			w.process(ctx, u)
		}
	}
}

func (w *worker) process(ctx context.Context, u unit) {
	if u.first.to.fenced.Load() { // not ours any more: its new owner reads it
		if u.chunk.left.Add(-int64(len(u.records))) == 0 {
			w.publisher.budget.release(u.chunk.bytes, 0)
		}
		return
	}
	slab := make([]event, len(u.records)) // the chunk's charge covers it
	for i := range slab {
		e := &slab[i]
		e.record, e.chunk, e.origin = u.records[i], u.chunk, &u.partition.origin
		e.ticket = ticket{to: u.first.to, seq: u.first.seq + uint64(i)}
		if e.record.Attrs.IsControl() {
			// The marker of a transaction. It is read so that the leader epoch of
			// what was read last is known, and offsets are committed past it.
			w.passed = append(w.passed, e)
			continue
		}
		if err := w.record(ctx, e); err != nil {
			return // stopping: what is left is not done
		}
	}
	if w.closeBundles(ctx) == nil {
		w.flush()
	}
}

// record makes the messages of a record. The error is that of ctx.
func (w *worker) record(ctx context.Context, e *event) error {
	n, err := w.maker.open(ctx, e.record)
	var why *badRecord
	switch {
	case errors.As(err, &why):
		w.publisher.deadLetter(e, why)
		return nil
	case err != nil:
		return err
	case n == 0:
		w.passed = append(w.passed, e)
		w.filtered++
		return nil
	case n > 1 || w.bundles != nil:
		return w.several(ctx, e, n)
	}
	if err := w.event(ctx, e, 0); err != nil {
		if errors.As(err, &why) {
			w.publisher.deadLetter(e, why)
			return nil
		}
		return err
	}
	w.add(e)
	return nil
}

// event makes the message of event i of e's record into e. The error is a
// *badRecord or that of ctx.
func (w *worker) event(ctx context.Context, e *event, i int) error {
	if len(w.attributes) == 0 && e.record.Value != nil {
		return w.plain(ctx, e, i)
	}
	if err := w.describe(i, e.record, e.origin); err != nil {
		return err
	}
	e.lane = w.lane
	return w.encode(ctx, e)
}

// encode writes the draft into a segment.
func (w *worker) encode(ctx context.Context, e *event) error {
	inner := w.draft.inner()
	size := fieldSize(inner)
	if err := w.fits(size); err != nil {
		return err
	}
	apart := w.asIs && len(w.draft.data) >= minApart
	if apart {
		size -= len(w.draft.data)
		e.data = w.draft.data
	}
	s, err := w.room(ctx, e.lane, size)
	if err != nil {
		return err
	}
	e.held, e.at = s, s.used
	text, cut := w.draft.appendTo(s.all[:s.used], inner, apart)
	s.used, e.cut = len(text), cut
	e.entry = s.all[e.at:s.used:s.used]
	s.left.Add(1)
	return nil
}

// fits refuses a message that no request has room for.
func (p *plan) fits(size int) error {
	if size > p.maxMessage {
		return bad(reasonTooLarge, fmt.Errorf("the message has %d bytes, Pub/Sub takes %d", size, p.maxMessage))
	}
	return nil
}

// minApart is from how many bytes on it is cheaper to pass a value on where it
// stands than to copy it: each costs a piece of a request of its own.
const minApart = 4 << 10

// room returns a segment with room for n bytes.
func (w *worker) room(ctx context.Context, lane, n int) (*segment, error) {
	slot := &w.open[lane%len(w.open)]
	if s := *slot; s != nil {
		if len(s.all)-s.used >= n {
			return s, nil
		}
		*slot = nil
		s.release(1)
	}
	s := w.publisher.segments.try(n)
	if s == nil {
		w.flush() // what is held here must be on its way before waiting for room
		w.letGo()
		var err error
		if s, err = w.publisher.segments.get(ctx, n); err != nil {
			return nil, err
		}
	}
	*slot = s
	return s, nil
}

// letGo gives up the segments that are being filled.
func (w *worker) letGo() {
	for i, s := range w.open {
		if s != nil {
			w.open[i] = nil
			s.release(1)
		}
	}
}

// add puts a message where flush finds it.
func (w *worker) add(e *event) {
	if len(w.perLane[e.lane]) == 0 {
		w.touched = append(w.touched, e.lane)
	}
	w.perLane[e.lane] = append(w.perLane[e.lane], e)
}

// flush hands over what is held here.
func (w *worker) flush() {
	for _, lane := range w.touched {
		events := w.perLane[lane]
		w.publisher.lanes[lane].add(events)
		clear(events)
		w.perLane[lane] = events[:0]
	}
	w.touched = w.touched[:0]
	if len(w.passed) > 0 {
		w.publisher.stats.filtered.Add(w.filtered)
		w.filtered = 0
		w.publisher.finish(w.passed, true)
		clear(w.passed)
		w.passed = w.passed[:0]
	}
}

// several makes the messages of a record that has more than one event, or
// whose events are bundled. Either all events of a record are published or
// none: if one of them is bad, the record goes to the dead letters.
func (w *worker) several(ctx context.Context, e *event, n int) error {
	made := []event{*e}
	if n > 1 {
		shared := &parts{}
		shared.left.Store(int32(n))
		made = make([]event, n)
		for i := range made {
			made[i] = *e
			made[i].parts = shared
		}
	}
	for i := range made {
		err := w.one(ctx, &made[i], i)
		var why *badRecord
		if errors.As(err, &why) {
			for j := range made[:i] {
				if s := made[j].held; s != nil {
					s.release(1)
				}
			}
			w.publisher.deadLetter(e, why)
			return nil
		}
		if err != nil {
			return err
		}
	}
	for i := range made {
		if w.bundles == nil {
			w.add(&made[i])
		} else if err := w.bundleUp(ctx, &made[i]); err != nil {
			return err
		}
	}
	return nil
}

// one makes event i of a record: a message, or an entry for a bundle.
func (w *worker) one(ctx context.Context, m *event, i int) error {
	if w.bundles == nil {
		return w.event(ctx, m, i)
	}
	if err := w.describe(i, m.record, m.origin); err != nil {
		return err
	}
	d := &w.draft
	m.lane = w.lane
	entry, err := envelope.AppendBundled(nil, w.avro, envelope.Bundled{
		ID: d.value(0), EventTime: w.when, Position: d.value(2), SourceTime: w.source, Data: d.data, Null: m.record.Value == nil,
	})
	if err != nil {
		return bad(reasonTransform, err)
	}
	if size := len(entry) + bundleMargin; size > w.maxMessage {
		return bad(reasonTooLarge, fmt.Errorf("the event has %d bytes, Pub/Sub takes %d", len(entry), w.maxMessage-bundleMargin))
	}
	m.entry, m.when, m.source, m.ordering = entry, w.when, w.source, d.ordering
	return nil
}
