package bridge

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Limits of Pub/Sub (cloud.google.com/pubsub/quotas).
const (
	maxRequestBytes    = 10_000_000
	maxRequestMessages = 1000
	maxAttributes      = 100
	maxAttributeName   = 256
	maxAttributeValue  = 1024
)

// attribute is an attribute of a message.
type attribute struct{ name, value string }

// event is one event on its way from a record to a message.
type event struct {
	record *kgo.Record
	ticket ticket
	origin *origin
	chunk  *chunk // whose bytes the record is part of
	dead   *deadLetter

	lane  int // number of the split's topic
	data  []byte
	attrs []attribute
	size  int   // bytes in a publish request
	cost  int64 // bytes charged to the budget for the message
}

// Why a record can never be published: the attribute kappa-reason of its dead
// letter, and a label of a metric.
const (
	reasonTransform = "transform"  // not decodable, or an expression failed
	reasonTime      = "event_time" // no usable event time
	reasonID        = "id"         // no usable id
	reasonAttribute = "attribute"  // an attribute that Pub/Sub cannot take
	reasonTooLarge  = "too_large"  // beyond the largest message
	reasonRejected  = "rejected"   // refused by Pub/Sub by itself
)

// badRecord is the error for a record that can never be published.
type badRecord struct {
	reason string
	err    error
}

func (b *badRecord) Error() string { return b.reason + ": " + b.err.Error() }
func (b *badRecord) Unwrap() error { return b.err }

func bad(reason string, err error) *badRecord { return &badRecord{reason, err} }

// origin is what all records of a partition have in common.
type origin struct {
	prefix    string // of the position: cluster/topic/partition/
	hash      uint64 // topicHash
	partition int32
}

// plan is a compiled spec: how records become messages. It is immutable.
type plan struct {
	transform  *transform
	ids        jobspecs.IDs
	namespace  uuid
	eventTime  jobspecs.EventTime
	splitKey   []string
	splits     int
	attributes []jobspecs.Attribute
	bridge     string // value of kappa-bridge
	maxMessage int    // largest message in bytes, as counted by event.size
}

func newPlan(name, version string, spec *jobspecs.BridgeSpec, longestTopic int) (*plan, error) {
	needFields := spec.EventTime.Field != "" || spec.IDs.From == "fields" || len(spec.Split.Key) > 0
	names := make(map[string]bool)
	for _, a := range spec.Attributes {
		needFields = needFields || a.Field != ""
		switch {
		case (a.Field == "") == (a.Header == ""):
			return nil, exit.Usagef("spec.attributes: %q needs either a field or a header", a.Name)
		case len(a.Name)+len(envelope.EncodingSuffix) > maxAttributeName || a.Name == "" || !utf8.ValidString(a.Name):
			return nil, exit.Usagef("spec.attributes: name %q is not UTF-8 of 1 to %d bytes", a.Name, maxAttributeName-len(envelope.EncodingSuffix))
		case strings.HasPrefix(a.Name, "goog"), strings.HasPrefix(a.Name, "kappa-"):
			return nil, exit.Usagef("spec.attributes: name %q begins with a reserved prefix (goog, kappa-)", a.Name)
		case names[a.Name], names[a.Name+envelope.EncodingSuffix], names[strings.TrimSuffix(a.Name, envelope.EncodingSuffix)]:
			return nil, exit.Usagef("spec.attributes: name %q comes twice", a.Name)
		}
		names[a.Name] = true
	}
	if n := 2 * len(spec.Attributes); n > maxAttributes-6 {
		return nil, exit.Usagef("spec.attributes: at most %d attributes can be mapped", (maxAttributes-6)/2)
	}
	if spec.IDs.From == "fields" && len(spec.IDs.Fields) == 0 {
		return nil, exit.Usagef("spec.ids: from: fields needs at least one field").WithHint("name the business key in ids.fields")
	}
	t, err := newTransform(spec.Transform, needFields)
	if err != nil {
		return nil, err
	}
	return &plan{
		transform:  t,
		ids:        spec.IDs,
		namespace:  uuidV5(kappaNamespace, []byte(spec.IDs.Namespace)),
		eventTime:  spec.EventTime,
		splitKey:   spec.Split.Key,
		splits:     spec.Split.Count,
		attributes: spec.Attributes,
		bridge:     name + "/" + version,
		maxMessage: maxRequestBytes - requestSize(longestTopic),
	}, nil
}

// maker makes messages from records by a plan. It holds scratch memory: one
// per goroutine.
type maker struct {
	*plan
	object  jsonObject
	text    []byte // attribute values of one message, one after the other
	scratch []byte
	spans   []span
}

type span struct {
	name       string
	start, end int
}

// attributesPerEvent is the room to reserve for the attributes of an event.
func (p *plan) attributesPerEvent() int { return 6 + 2*len(p.attributes) }

// make makes the message of e.record into e. It returns false for an event
// that the filter drops, and a *badRecord for one that can never be published.
// attrs is where the attributes are appended; the grown slice is returned.
func (m *maker) make(e *event, attrs []attribute) (keep bool, _ []attribute, _ error) {
	r := e.record
	e.data = r.Value
	m.object.fields = m.object.fields[:0]
	if m.transform.decode && r.Value != nil { // a tombstone has no fields and passes as it is
		keep, err := m.transform.apply(r.Value, &m.object)
		if err != nil {
			return false, attrs, bad(reasonTransform, err)
		}
		if !keep {
			return false, attrs, nil
		}
		if m.transform.rewrite {
			e.data = m.object.appendText(make([]byte, 0, len(r.Value)+len(r.Value)/8+16))
		}
	}
	if err := m.describe(e); err != nil {
		return false, attrs, err
	}
	values := string(m.text) // one allocation for all values
	first := len(attrs)
	for _, s := range m.spans {
		attrs = append(attrs, attribute{s.name, values[s.start:s.end]})
	}
	e.attrs = attrs[first:len(attrs):len(attrs)]
	e.size = messageSize(e.data, e.attrs)
	if e.size > m.maxMessage {
		return false, attrs, bad(reasonTooLarge, fmt.Errorf("the message has %d bytes, Pub/Sub takes %d", e.size, m.maxMessage))
	}
	e.cost = int64(len(values))
	if m.transform.rewrite {
		e.cost += int64(cap(e.data))
	}
	return true, attrs, nil
}

// begin begins the value of an attribute in m.text.
func (m *maker) begin(name string) {
	m.spans = append(m.spans, span{name: name, start: len(m.text)})
}

func (m *maker) end() { m.spans[len(m.spans)-1].end = len(m.text) }

func (m *maker) describe(e *event) error {
	r, from := e.record, e.origin
	m.text, m.spans = m.text[:0], m.spans[:0]

	m.begin(envelope.AttrID)
	if err := m.id(r, from); err != nil {
		return bad(reasonID, err)
	}
	m.end()
	id := m.spans[0]

	source, err := inRange(r.Timestamp.UnixMilli())
	if err != nil {
		return bad(reasonTime, fmt.Errorf("record timestamp: %w", err))
	}
	when := source
	if m.eventTime.Field != "" {
		if when, err = parseEventTime(m.object.get(m.eventTime.Field), m.eventTime.Unit); err != nil {
			return bad(reasonTime, fmt.Errorf("field %q: %w", m.eventTime.Field, err))
		}
	}
	m.begin(envelope.AttrEventTime)
	m.text = appendTime(m.text, when)
	m.end()
	m.begin(envelope.AttrPosition)
	m.text = strconv.AppendInt(append(m.text, from.prefix...), r.Offset, 10)
	m.end()
	m.begin(envelope.AttrSourceTime)
	m.text = appendTime(m.text, source)
	m.end()
	m.begin(envelope.AttrBridge)
	m.text = append(m.text, m.bridge...)
	m.end()
	if r.Value == nil {
		m.begin(envelope.AttrNull)
		m.text = append(m.text, "true"...)
		m.end()
	}
	for i := range m.attributes {
		if err := m.mapped(&m.attributes[i], r); err != nil {
			return bad(reasonAttribute, fmt.Errorf("attribute %q: %w", m.attributes[i].Name, err))
		}
	}
	e.lane = m.split(r, m.text[id.start:id.end])
	return nil
}

// id appends the event id (invariant B2): the one of an earlier hop, else the
// spec's.
func (m *maker) id(r *kgo.Record, from *origin) (err error) {
	var u uuid
	if given, ok := header(r, envelope.AttrID); ok {
		if u, err = parseUUID(given); err != nil {
			return fmt.Errorf("header %s: %w", envelope.AttrID, err)
		}
	} else if m.ids.From == "fields" {
		if u, m.scratch, err = fieldsID(m.namespace, m.ids.Fields, &m.object, m.scratch); err != nil {
			return err
		}
	} else if u, err = positionID(from.hash, from.partition, r.Offset, 0); err != nil {
		return err
	}
	m.text = u.appendText(m.text)
	return nil
}

// split returns the number of the record's topic.
func (m *maker) split(r *kgo.Record, id []byte) int {
	switch {
	case m.splits == 1:
		return 0
	case len(m.splitKey) > 0:
		m.scratch = splitText(m.scratch[:0], m.splitKey, &m.object)
		return splitOf(m.scratch, m.splits)
	case r.Key != nil:
		return splitOf(r.Key, m.splits)
	default:
		return int(xxhash.Sum64(id) % uint64(m.splits))
	}
}

// mapped appends one of the spec's attributes; what is not there or null is
// left out.
func (m *maker) mapped(a *jobspecs.Attribute, r *kgo.Record) error {
	var v []byte
	if a.Header != "" {
		var ok bool
		if v, ok = header(r, a.Header); !ok || v == nil {
			return nil
		}
	} else {
		switch v = m.object.get(a.Field); {
		case len(v) == 0 || v[0] == 'n':
			return nil
		case v[0] == '"':
			v = unquote(v)
		}
	}
	start := len(m.text)
	m.begin(a.Name)
	plain := utf8.Valid(v)
	if plain {
		m.text = append(m.text, v...)
	} else {
		m.text = base64.StdEncoding.AppendEncode(m.text, v)
	}
	m.end()
	if n := len(m.text) - start; n > maxAttributeValue {
		return fmt.Errorf("the value has %d bytes, Pub/Sub takes %d", n, maxAttributeValue)
	}
	if !plain {
		m.begin(a.Name + envelope.EncodingSuffix)
		m.text = append(m.text, "base64"...)
		m.end()
	}
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

// messageSize returns the bytes that a message takes in a publish request, as
// protocol buffers encode it.
func messageSize(data []byte, attrs []attribute) int {
	n := 0
	if len(data) > 0 {
		n += fieldSize(len(data))
	}
	for i := range attrs {
		n += fieldSize(fieldSize(len(attrs[i].name)) + fieldSize(len(attrs[i].value)))
	}
	return fieldSize(n)
}

// requestSize returns the bytes of a publish request without messages.
func requestSize(topic int) int { return fieldSize(topic) }

// fieldSize is the size of a length-delimited field with a number below 16.
func fieldSize(n int) int {
	size := 2 + n
	for v := n; v >= 0x80; v >>= 7 {
		size++
	}
	return size
}
