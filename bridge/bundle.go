package bridge

import (
	"context"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// bundler gathers the events of one lane into a bundle, within one unit.
type bundler struct {
	members []*event
	bytes   int
	earlier int64 // least event time
	source  int64 // least record time
}

// bundleMargin is what a bundle of one event has beside its entry: attributes
// and framing.
const bundleMargin = 512

// bundleUp adds an event to its lane's bundle. A bundle never crosses lanes,
// and so never a split.
func (w *worker) bundleUp(ctx context.Context, e *event) error {
	b := &w.bundles[e.lane]
	if n := len(b.members); n > 0 && (n >= w.bundle.MaxEvents || b.bytes+len(e.entry) > int(w.bundle.MaxBytes)) {
		if err := w.closeBundle(ctx, e.lane); err != nil {
			return err
		}
	}
	if len(b.members) == 0 {
		b.earlier, b.source = e.when, e.source
		w.bundled = append(w.bundled, e.lane)
	}
	b.earlier, b.source = min(b.earlier, e.when), min(b.source, e.source)
	b.members = append(b.members, e)
	b.bytes += len(e.entry) + 1
	return nil
}

// closeBundle makes a message of a lane's bundle.
func (w *worker) closeBundle(ctx context.Context, lane int) error {
	b := &w.bundles[lane]
	if len(b.members) == 0 {
		return nil
	}
	e := &event{bundle: b.members, lane: lane, chunk: b.members[0].chunk, ordering: b.members[0].ordering}
	entries := make([][]byte, len(b.members))
	for i, m := range b.members {
		entries[i] = m.entry
	}
	w.draftBundle(entries, b.earlier, b.source, e.ordering)
	*b = bundler{}
	if err := w.encode(ctx, e); err != nil {
		return err
	}
	w.add(e)
	return nil
}

// draftBundle makes the draft of a bundle.
func (m *maker) draftBundle(entries [][]byte, earlier, source int64, ordering []byte) {
	d := &m.draft
	d.reset()
	how := envelope.BundleJSON
	if m.avro {
		how = envelope.BundleAvro
	}
	d.add(envelope.AttrBundle, how)
	d.begin(envelope.AttrEventTime)
	d.text = m.clock.append(d.text, earlier)
	d.end()
	d.begin(envelope.AttrSourceTime)
	d.text = m.clock.append(d.text, source)
	d.end()
	d.add(envelope.AttrBridge, m.bridge)
	d.ordering = ordering
	m.value = envelope.AppendBundle(m.value[:0], m.avro, entries)
	d.data, m.asIs = m.value, false
}

// closeBundles makes messages of all that is gathered.
func (w *worker) closeBundles(ctx context.Context) error {
	for _, lane := range w.bundled {
		if err := w.closeBundle(ctx, lane); err != nil {
			return err
		}
	}
	w.bundled = w.bundled[:0]
	return nil
}

// unbundle makes a message of each event of a bundle that was refused, so that
// only the bad one goes to the dead letters.
func (p *publisher) unbundle(e *event) []*event {
	m := newMaker(p.plan)
	singles := make([]*event, len(e.bundle))
	for i, member := range e.bundle {
		m.draftBundle([][]byte{member.entry}, member.when, member.source, member.ordering)
		s := &event{bundle: e.bundle[i : i+1 : i+1], lane: e.lane, chunk: member.chunk, ordering: member.ordering}
		p.segments.forced(&m.draft, s)
		singles[i] = s
	}
	if e.held != nil {
		e.held.release(1)
		e.held = nil
	}
	return singles
}
