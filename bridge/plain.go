package bridge

import (
	"context"
	"strconv"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// fixedAttributes are the parts of a message that are the same for all messages
// of a plan, encoded once: what stands before each value of a known length, and
// kappa-bridge as a whole.
type fixedAttributes struct {
	id, eventTime, sourceTime, position, bridge []byte
	size                                        int // of all but the position, with their values
}

func newFixedAttributes(bridge string) fixedAttributes {
	before := func(name string, n int) []byte {
		head := appendHead(nil, tagAttribute, fieldSize(len(name))+fieldSize(n))
		head = append(appendHead(head, tagMapKey, len(name)), name...)
		return appendHead(head, tagMapValue, n)
	}
	f := fixedAttributes{
		id:         before(envelope.AttrID, idLength),
		eventTime:  before(envelope.AttrEventTime, timeLength),
		sourceTime: before(envelope.AttrSourceTime, timeLength),
		bridge:     append(before(envelope.AttrBridge, len(bridge)), bridge...),
	}
	f.position = append(appendHead(nil, tagMapKey, len(envelope.AttrPosition)), envelope.AttrPosition...)
	f.size = len(f.id) + idLength + len(f.eventTime) + len(f.sourceTime) + 2*timeLength + len(f.bridge)
	return f
}

// Lengths of attribute values.
const (
	idLength   = 36
	timeLength = len(envelope.TimeLayout)
)

// plain makes the message of an event that has no attributes but those that
// every message has: what describe and encode do, without a draft between. It
// is the hot path.
func (w *worker) plain(ctx context.Context, e *event, i int) error {
	r, f := e.record, &w.fixed
	if err := w.identify(i, r, e.origin); err != nil {
		return err
	}
	data, err := w.data(i, r)
	if err != nil {
		return err
	}
	e.lane = w.lane
	place := len(e.origin.prefix) + decimals(r.Offset)
	position := len(f.position) + fieldSize(place)
	inner := f.size + fieldSize(position)
	if len(data) > 0 {
		inner += fieldSize(len(data))
	}
	if w.ordering != nil {
		inner += fieldSize(len(w.ordering))
	}
	size := fieldSize(inner)
	if err := w.fits(size); err != nil {
		return err
	}
	if w.asIs && len(data) >= minApart {
		size -= len(data)
		e.data = data
	}
	s, err := w.room(ctx, e.lane, size)
	if err != nil {
		return err
	}
	dst := appendHead(s.all[:s.used], tagMessage, inner)
	if len(data) > 0 {
		dst = appendHead(dst, tagData, len(data))
		if e.data != nil {
			e.cut = len(dst) - s.used
		} else {
			dst = append(dst, data...)
		}
	}
	dst = w.uid.appendText(append(dst, f.id...))
	dst = w.clock.append(append(dst, f.eventTime...), w.when)
	when := dst[len(dst)-timeLength:]
	dst = append(dst, f.sourceTime...)
	if w.source == w.when {
		dst = append(dst, when...)
	} else {
		dst = w.sourceClock.append(dst, w.source)
	}
	dst = append(appendHead(dst, tagAttribute, position), f.position...)
	dst = append(appendHead(dst, tagMapValue, place), e.origin.prefix...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, f.bridge...)
	if w.ordering != nil {
		dst = append(appendHead(dst, tagOrderingKey, len(w.ordering)), w.ordering...)
	}
	e.held, e.at = s, s.used
	e.entry = dst[s.used:len(dst):len(dst)]
	s.used = len(dst)
	s.left.Add(1)
	return nil
}

// decimals is the length of n, which is not negative, in decimal digits.
func decimals(n int64) int {
	d := 1
	for ; n >= 10_000; n /= 10_000 {
		d += 4
	}
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
