package bridge

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge/transform"
	"github.com/kappa-migrate/kappa/internal/envelope"
)

// Why a record can never be published: the attribute kappa-reason of its dead
// letter, and a label of a metric.
const (
	reasonTransform = "transform"  // not decodable, or an expression failed
	reasonTime      = "event_time" // no usable event time
	reasonID        = "id"         // no usable id
	reasonRoute     = "route"      // no topic for it
	reasonAttribute = "attribute"  // an attribute that Pub/Sub cannot take
	reasonTooLarge  = "too_large"  // beyond the largest message
	reasonRejected  = "rejected"   // refused by the destination by itself
)

// badRecord is the error for a record that can never be published.
type badRecord struct {
	reason string
	err    error
}

func (b *badRecord) Error() string { return b.reason + ": " + b.err.Error() }
func (b *badRecord) Unwrap() error { return b.err }

func bad(reason string, err error) *badRecord { return &badRecord{reason, err} }

// maker makes messages from records by a plan. It holds scratch memory: one
// per goroutine.
type maker struct {
	*plan
	machine *transform.Machine // nil where records pass unread
	decoded bool               // the record has fields: it is no tombstone
	asIs    bool               // the draft's data is the record's own value
	draft   draft
	scratch []byte
	value   []byte // encoded data
	clock   clock  // of event times

	sourceClock clock

	// Of the event that was identified last.
	uid          uuid
	when, source int64 // milliseconds
	lane         int
	ordering     []byte
}

func newMaker(p *plan) *maker {
	m := &maker{plan: p}
	if p.program.Decodes() {
		m.machine = p.program.NewMachine()
	}
	return m
}

// open decodes and filters a record, and returns the number of its events: 0
// where the filter has dropped all of it. The error is a *badRecord, or that of
// ctx.
func (m *maker) open(ctx context.Context, r *kgo.Record) (int, error) {
	m.decoded = m.machine != nil && r.Value != nil // a tombstone has no fields and passes as it is
	if !m.decoded {
		return 1, nil
	}
	n, err := m.machine.Apply(ctx, r.Value)
	var data *transform.DataError
	switch {
	case err == nil:
		return n, nil
	case errors.As(err, &data):
		return 0, bad(reasonTransform, err)
	default:
		return 0, err
	}
}

// field returns a field of event i.
func (m *maker) field(i int, p *transform.Path) (transform.Value, bool) {
	if !m.decoded {
		return transform.Value{}, false
	}
	return m.machine.Field(i, p)
}

// data returns the encoded value of event i.
func (m *maker) data(i int, r *kgo.Record) ([]byte, error) {
	if m.asIs = !m.decoded || !m.program.Rewrites() && !m.exploded; m.asIs {
		return r.Value, nil
	}
	var err error
	if m.value, err = m.machine.AppendData(m.value[:0], i); err != nil {
		return nil, bad(reasonTransform, err)
	}
	return m.value, nil
}

// identify finds the id and the times of event i of a record, and picks its
// lane. The error is a *badRecord.
func (m *maker) identify(i int, r *kgo.Record, from *origin) (err error) {
	if m.uid, err = m.id(i, r, from); err != nil {
		return bad(reasonID, err)
	}
	if err := m.times(i, r); err != nil {
		return bad(reasonTime, err)
	}
	if m.lane, err = m.topic(i, r); err != nil {
		return bad(reasonRoute, err)
	}
	m.ordering = nil
	if m.buckets > 0 {
		text, err := m.orderText(i, r)
		if err != nil {
			return bad(reasonRoute, err)
		}
		bucket := bucketOf(text, m.buckets)
		m.lane = m.lane*m.buckets + bucket
		m.ordering = m.bucketKeys[bucket]
	}
	return nil
}

// describe makes the draft of event i of a record, and picks its lane. The
// error is a *badRecord.
func (m *maker) describe(i int, r *kgo.Record, from *origin) error {
	if err := m.identify(i, r, from); err != nil {
		return err
	}
	d := &m.draft
	d.reset()
	d.begin(envelope.AttrID)
	d.text = m.uid.appendText(d.text)
	d.end()
	d.begin(envelope.AttrEventTime)
	d.text = m.clock.append(d.text, m.when)
	d.end()
	d.begin(envelope.AttrPosition)
	d.text = strconv.AppendInt(append(d.text, from.prefix...), r.Offset, 10)
	d.end()
	d.begin(envelope.AttrSourceTime)
	d.text = m.sourceClock.append(d.text, m.source)
	d.end()
	d.add(envelope.AttrBridge, m.bridge)
	if r.Value == nil {
		d.add(envelope.AttrNull, "true")
	}
	for j := range m.attributes {
		if err := m.mapped(&m.attributes[j], i, r); err != nil {
			return bad(reasonAttribute, fmt.Errorf("attribute %q: %w", m.attributes[j].Name, err))
		}
	}
	d.ordering = m.ordering
	var err error
	d.data, err = m.data(i, r)
	return err
}

// times finds the record's own time and the event time.
func (m *maker) times(i int, r *kgo.Record) (err error) {
	if m.source, err = inRange(r.Timestamp.UnixMilli()); err != nil {
		return fmt.Errorf("record timestamp: %w", err)
	}
	m.when = m.source
	if m.eventTime != nil {
		v, ok := m.field(i, m.eventTime)
		if !ok || v.Null() {
			return fmt.Errorf("field %q: the field is not there", m.eventTime)
		}
		if m.scratch, err = v.AppendPlain(m.scratch[:0]); err != nil {
			return fmt.Errorf("field %q: %w", m.eventTime, err)
		}
		if m.when, err = parseEventTime(m.scratch, v.Text(), m.unit); err != nil {
			return fmt.Errorf("field %q: %w", m.eventTime, err)
		}
		return nil
	}
	if len(r.Headers) > 0 {
		if given, ok := header(r, envelope.AttrEventTime); ok { // of an earlier hop
			if m.when, err = parseEventTime(given, true, "rfc3339"); err != nil {
				return fmt.Errorf("header %s: %w", envelope.AttrEventTime, err)
			}
		}
	}
	return nil
}

// id is the event id (invariant B2): the one of an earlier hop, else the
// spec's.
func (m *maker) id(i int, r *kgo.Record, from *origin) (u uuid, err error) {
	ordinal := 0
	if m.exploded && m.decoded {
		ordinal = m.machine.Ordinal(i)
	}
	if given, ok := m.given(r); ok {
		if u, err = parseUUID(given); err != nil {
			return u, fmt.Errorf("header %s: %w", envelope.AttrID, err)
		}
		if m.exploded { // the id of an earlier hop is that of the whole record
			u = uuidV5(u, strconv.AppendInt(nil, int64(ordinal), 10))
		}
		return u, nil
	}
	if m.idFields != nil {
		return m.fieldsID(i)
	}
	return positionID(from.hash, from.partition, r.Offset, uint16(ordinal))
}

// given is the id that an earlier hop gave.
func (m *maker) given(r *kgo.Record) ([]byte, bool) {
	if len(r.Headers) == 0 {
		return nil, false
	}
	return header(r, envelope.AttrID)
}

// fieldsID is the UUIDv5 of a business key: the canonical JSON texts of its
// fields. A key field must be there and be a string, a number or a boolean.
func (m *maker) fieldsID(i int) (uuid, error) {
	m.scratch = append(m.scratch[:0], m.namespace[:]...)
	for j, path := range m.idFields {
		if j > 0 {
			m.scratch = append(m.scratch, idSeparator)
		}
		v, ok := m.field(i, path)
		switch {
		case !ok:
			return uuid{}, fmt.Errorf("key field %q is not there", path)
		case v.Null() || v.Nested():
			return uuid{}, fmt.Errorf("key field %q is null, an object or an array", path)
		}
		var err error
		if m.scratch, err = v.AppendJSON(m.scratch); err != nil {
			return uuid{}, fmt.Errorf("key field %q: %w", path, err)
		}
	}
	return uuidV5Of(m.scratch), nil
}

// topic returns the number of the event's topic.
func (m *maker) topic(i int, r *kgo.Record) (int, error) {
	switch {
	case m.route != nil:
		return m.routed(i, r)
	case m.splits == 1:
		return 0, nil
	case len(m.splitKey) > 0 && m.decoded:
		var err error
		if m.scratch, err = m.plainTexts(m.scratch[:0], i, m.splitKey); err != nil {
			return 0, err
		}
		return splitOf(m.scratch, m.splits), nil
	case r.Key != nil:
		return splitOf(r.Key, m.splits), nil
	default:
		return splitOf(m.idText(), m.splits), nil
	}
}

func (m *maker) routed(i int, r *kgo.Record) (int, error) {
	var value []byte
	if m.route.field != nil {
		if v, ok := m.field(i, m.route.field); ok && !v.Null() {
			var err error
			if m.scratch, err = v.AppendPlain(m.scratch[:0]); err != nil {
				return 0, fmt.Errorf("field %q: %w", m.route.field, err)
			}
			value = m.scratch
		}
	} else {
		value, _ = header(r, m.route.header)
	}
	if lane, ok := m.route.lanes[string(value)]; ok && value != nil {
		return lane, nil
	}
	if m.route.other < 0 {
		return 0, errors.New("spec.route has no topic for its value, and no default")
	}
	return m.route.other, nil
}

// orderText is the text whose hash picks the ordering key.
func (m *maker) orderText(i int, r *kgo.Record) (_ []byte, err error) {
	switch {
	case len(m.orderKey) > 0 && m.decoded:
		m.scratch, err = m.plainTexts(m.scratch[:0], i, m.orderKey)
		return m.scratch, err
	case r.Key != nil:
		return r.Key, nil
	default:
		return m.idText(), nil
	}
}

// idText is the text of the event id, in scratch memory.
func (m *maker) idText() []byte {
	m.scratch = m.uid.appendText(m.scratch[:0])
	return m.scratch
}

// plainTexts appends the text of key fields whose hash picks a topic: plain
// texts, joined by 0x1f. A field that is null has the same text as one that is
// not there, for whoever reads the two sees the same.
func (m *maker) plainTexts(dst []byte, i int, key []*transform.Path) (_ []byte, err error) {
	for j, path := range key {
		if j > 0 {
			dst = append(dst, idSeparator)
		}
		if v, ok := m.field(i, path); ok && !v.Null() {
			if dst, err = v.AppendPlain(dst); err != nil {
				return dst, fmt.Errorf("key field %q: %w", path, err)
			}
		}
	}
	return dst, nil
}

// mapped adds one of the spec's attributes; what is not there or null is left
// out.
func (m *maker) mapped(a *mappedAttribute, i int, r *kgo.Record) error {
	var v []byte
	switch {
	case a.Key:
		v = r.Key
	case a.Header != "":
		v, _ = header(r, a.Header)
	default:
		f, ok := m.field(i, a.path)
		if !ok || f.Null() {
			return nil
		}
		var err error
		if m.scratch, err = f.AppendPlain(m.scratch[:0]); err != nil {
			return err
		}
		v = m.scratch
		if v == nil {
			v = []byte{}
		}
	}
	if v == nil {
		return nil
	}
	d := &m.draft
	plain := utf8.Valid(v)
	n := len(v)
	if !plain {
		n = base64.StdEncoding.EncodedLen(n)
	}
	switch {
	case a.Unfit == "omit" && (!plain || n > maxAttributeValue):
		return nil
	case a.Unfit == "refuse" && !plain:
		return errors.New("the value is not UTF-8")
	case n > maxAttributeValue:
		return fmt.Errorf("the value has %d bytes, Pub/Sub takes %d", n, maxAttributeValue)
	case plain:
		d.begin(a.Name)
		d.text = append(d.text, v...)
		d.end()
		return nil
	}
	d.begin(a.Name)
	d.text = base64.StdEncoding.AppendEncode(d.text, v)
	d.end()
	d.add(a.Name+envelope.EncodingSuffix, "base64")
	return nil
}

// header returns the value of a record's header, the last one of that name, as
// Kafka's own clients do.
func header(r *kgo.Record, name string) ([]byte, bool) {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == name {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}
