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
	beam.RegisterCoder(reflect.TypeFor[*Message](), encodeMessage, decodeMessage)
	beam.RegisterCoder(reflect.TypeFor[*Event](), encodeEvent, decodeEvent)
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

// Messages and events stay within the stage that reads them on the runners
// that are used, so these coders are seldom run; what is shuffled is packed
// (pack.go).
func encodeMessage(m *Message) ([]byte, error) { return encodeGob(m) }
func encodeEvent(e *Event) ([]byte, error)     { return encodeGob(e) }

func decodeMessage(b []byte) (*Message, error) {
	m := new(Message)
	return m, gob.NewDecoder(bytes.NewReader(b)).Decode(m)
}

func decodeEvent(b []byte) (*Event, error) {
	e := new(Event)
	return e, gob.NewDecoder(bytes.NewReader(b)).Decode(e)
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
