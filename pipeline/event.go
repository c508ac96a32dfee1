package pipeline

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"hash/fnv"
	"math"
	"reflect"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

func init() {
	beam.RegisterCoder(reflect.TypeFor[*Messages](), encodeMessages, decodeMessages)
	beam.RegisterCoder(reflect.TypeFor[*Events](), encodeEvents, decodeEvents)
}

// unknownTime stands for a time, or a watermark, that is not known.
// It is the least time of all, so that every known one is after it.
const unknownTime = math.MinInt64

// Message is a delivery as the sources hand it over. Times are microseconds
// since the epoch.
type Message struct {
	ID        string // Pub/Sub message id
	Data      []byte
	EventID   string // attribute of the bridge; empty if absent
	Position  string // attribute of the bridge; empty if absent
	Time      int64  // of the event; unknownTime if the attribute is absent or no time
	Source    int64  // of the record; unknownTime likewise
	Publish   int64
	Watermark int64 // of the source when it was read; unknownTime if there is none
}

// newMessage takes what the pipeline needs from a Pub/Sub message.
func newMessage(id string, data []byte, attributes map[string]string, publish, watermark int64) *Message {
	return &Message{
		ID: id, Data: data, Publish: publish, Watermark: watermark,
		EventID: attributes[envelope.AttrID], Position: attributes[envelope.AttrPosition],
		Time:   parseTime(attributes[envelope.AttrEventTime]),
		Source: parseTime(attributes[envelope.AttrSourceTime]),
	}
}

// newMessages returns the messages of the events that a Pub/Sub message
// carries: itself, or one for each event of a bundle, all under the id of the
// message. Events are told apart by their own ids, and deduplicated by them, so
// this comes before everything else. A bundle that cannot be read is one
// message without an event id: it is kept in the raw table and reported.
func newMessages(id string, data []byte, attributes map[string]string, publish, watermark int64) []*Message {
	how, bundled := attributes[envelope.AttrBundle]
	if !bundled {
		return []*Message{newMessage(id, data, attributes, publish, watermark)}
	}
	events, err := envelope.Unbundle(how, data)
	if err != nil {
		return []*Message{newMessage(id, data, attributes, publish, watermark)}
	}
	list := make([]*Message, len(events))
	for i, e := range events {
		list[i] = &Message{
			ID: id, Data: e.Data, Publish: publish, Watermark: watermark,
			EventID: e.ID, Position: e.Position, Time: e.EventTime * 1000, Source: e.SourceTime * 1000,
		}
	}
	return list
}

func parseTime(s string) int64 {
	t, err := envelope.ParseTime(s)
	if err != nil {
		return unknownTime
	}
	return t.UnixMicro()
}

// partitionOf is a position without its offset.
func partitionOf(position string) string {
	return position[:max(0, strings.LastIndexByte(position, '/'))]
}

// Value is a field of an event.
type Value struct {
	Valid bool // false: null
	Int   int64
	Str   string
}

// Event is a decoded message. Times are microseconds since the epoch.
type Event struct {
	ID        string
	MessageID string
	Position  string
	Time      int64
	Source    int64
	Publish   int64
	Watermark int64
	Values    []Value // one for each field of the plan
}

// Messages and Events are the elements of the receiving stage: batches, so that
// the rows of a batch are written together and what a runner does for each
// element is done seldom. They stay within the stage on the runners that are
// used, so the coders are hardly ever run; what is shuffled is packed (pack.go).
// All of a batch are of one subscription, an index into Plan.Subscriptions or
// noSubscription.
type (
	Messages struct {
		Subscription int
		List         []*Message
	}
	Events struct {
		Subscription int
		List         []*Event
	}
)

func encodeMessages(m *Messages) ([]byte, error) { return encodeGob(m) }
func encodeEvents(e *Events) ([]byte, error)     { return encodeGob(e) }

func decodeMessages(b []byte) (*Messages, error) {
	m := new(Messages)
	return m, gob.NewDecoder(bytes.NewReader(b)).Decode(m)
}

func decodeEvents(b []byte) (*Events, error) {
	e := new(Events)
	return e, gob.NewDecoder(bytes.NewReader(b)).Decode(e)
}

// least is the smallest event time of messages, at which their batch stands.
func (m *Messages) least() int64 {
	least := int64(math.MaxInt64)
	for _, m := range m.List {
		if m.Time == unknownTime {
			least = min(least, m.Publish)
		} else {
			least = min(least, m.Time)
		}
	}
	return least
}

func encodeGob(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

// idBytes is an event id in the form in which deduplication keeps it: the 16
// bytes of a UUID. An id of any other form, which the bridge does not make, is
// hashed to as many.
func idBytes(id string) (out [16]byte) {
	if len(id) == 36 && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' {
		var digits [32]byte
		n := copy(digits[:], id[:8])
		n += copy(digits[n:], id[9:13])
		n += copy(digits[n:], id[14:18])
		n += copy(digits[n:], id[19:23])
		copy(digits[n:], id[24:])
		if _, err := hex.Decode(out[:], digits[:]); err == nil {
			return out
		}
	}
	h := fnv.New128a()
	h.Write([]byte(id))
	h.Sum(out[:0])
	return out
}
