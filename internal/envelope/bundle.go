package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// AttrBundle is on a message that carries several events, and says how: json or
// avro. Such a message has no AttrID and no AttrPosition: its events have.
// AttrEventTime and AttrSourceTime are the least of its events'.
const AttrBundle = "kappa-bundle"

// Values of AttrBundle.
const (
	BundleJSON = "json"
	BundleAvro = "avro"
)

// BundleSchema is the Avro schema of the data of a message whose AttrBundle is
// avro. In a JSON bundle the same fields are those of the objects of a list;
// times are RFC 3339, and data is the event itself where it is JSON.
const BundleSchema = `{"type": "array", "items": {"type": "record", "name": "Event", "namespace": "kappa", "fields": [
  {"name": "id", "type": "string"},
  {"name": "eventTime", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "position", "type": "string"},
  {"name": "sourceTime", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "data", "type": ["null", "bytes"]}
]}}`

// Bundled is one event of a bundle.
type Bundled struct {
	ID         string
	EventTime  int64 // milliseconds since the epoch
	Position   string
	SourceTime int64 // milliseconds since the epoch
	Data       []byte
	Null       bool // a tombstone: Data is nil
}

// AppendBundled appends one event as an entry of a bundle.
func AppendBundled(dst []byte, avro bool, e Bundled) ([]byte, error) {
	if avro {
		dst = appendAvroString(dst, e.ID)
		dst = binary.AppendVarint(dst, e.EventTime)
		dst = appendAvroString(dst, e.Position)
		dst = binary.AppendVarint(dst, e.SourceTime)
		if e.Null {
			return append(dst, 0), nil
		}
		return appendAvroString(append(dst, 2), string(e.Data)), nil
	}
	dst = append(append(dst, `{"id":"`...), e.ID...)
	dst = append(dst, `","eventTime":"`...)
	dst = append(dst, FormatTime(time.UnixMilli(e.EventTime))...)
	position, err := json.Marshal(e.Position)
	if err != nil {
		return dst, fmt.Errorf("position: %w", err)
	}
	dst = append(append(dst, `","position":`...), position...)
	dst = append(append(dst, `,"sourceTime":"`...), FormatTime(time.UnixMilli(e.SourceTime))...)
	dst = append(dst, `","data":`...)
	if e.Null {
		return append(dst, "null}"...), nil
	}
	if !json.Valid(e.Data) || !utf8.Valid(e.Data) || string(bytes.TrimSpace(e.Data)) == "null" {
		return dst, errors.New("the event is not JSON, which a JSON bundle holds")
	}
	return append(append(dst, e.Data...), '}'), nil
}

func appendAvroString(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

// AppendBundle appends the data of a message made of entries.
func AppendBundle(dst []byte, avro bool, entries [][]byte) []byte {
	if avro {
		dst = binary.AppendVarint(dst, int64(len(entries)))
		for _, e := range entries {
			dst = append(dst, e...)
		}
		return append(dst, 0)
	}
	for i, e := range entries {
		dst = append(dst, "[,"[min(i, 1)])
		dst = append(dst, e...)
	}
	return append(dst, ']')
}

// BundleMargin is the most bytes that AppendBundle adds to n entries.
func BundleMargin(n int) int { return n + 12 }

// Unbundle returns the events of a message's data; how is its AttrBundle.
func Unbundle(how string, data []byte) ([]Bundled, error) {
	switch how {
	case BundleJSON:
		return unbundleJSON(data)
	case BundleAvro:
		return unbundleAvro(data)
	default:
		return nil, fmt.Errorf("a bundle of the unknown kind %q", how)
	}
}

func unbundleJSON(data []byte) ([]Bundled, error) {
	var list []struct {
		ID         string          `json:"id"`
		EventTime  time.Time       `json:"eventTime"`
		Position   string          `json:"position"`
		SourceTime time.Time       `json:"sourceTime"`
		Data       json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, errors.New("the bundle is not a JSON list of events")
	}
	events := make([]Bundled, len(list))
	for i, e := range list {
		events[i] = Bundled{ID: e.ID, EventTime: e.EventTime.UnixMilli(), Position: e.Position, SourceTime: e.SourceTime.UnixMilli(), Data: e.Data}
		if len(e.Data) == 0 || string(e.Data) == "null" {
			events[i].Data, events[i].Null = nil, true
		}
	}
	return events, nil
}

var errAvroBundle = errors.New("the bundle is not an Avro list of events")

func unbundleAvro(data []byte) ([]Bundled, error) {
	var events []Bundled
	r := avroReader{data}
	for {
		n, err := r.long()
		if err != nil || n == 0 {
			if err == nil && len(r.left) > 0 {
				err = errAvroBundle
			}
			return events, err
		}
		if n < 0 { // a block that says its size
			n = -n
			if _, err := r.long(); err != nil {
				return nil, err
			}
		}
		for range n { // ends with the data, whatever n claims: an entry has bytes
			e, err := r.event()
			if err != nil {
				return nil, err
			}
			events = append(events, e)
		}
	}
}

type avroReader struct{ left []byte }

func (r *avroReader) long() (int64, error) {
	n, size := binary.Varint(r.left)
	if size <= 0 {
		return 0, errAvroBundle
	}
	r.left = r.left[size:]
	return n, nil
}

func (r *avroReader) bytes() ([]byte, error) {
	n, err := r.long()
	if err != nil || n < 0 || n > int64(len(r.left)) {
		return nil, errAvroBundle
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b, nil
}

func (r *avroReader) event() (e Bundled, err error) {
	var id, position []byte
	if id, err = r.bytes(); err != nil {
		return e, err
	}
	if e.EventTime, err = r.long(); err != nil {
		return e, err
	}
	if position, err = r.bytes(); err != nil {
		return e, err
	}
	if e.SourceTime, err = r.long(); err != nil {
		return e, err
	}
	e.ID, e.Position = string(id), string(position)
	branch, err := r.long()
	switch {
	case err != nil:
		return e, err
	case branch == 0:
		e.Null = true
	case branch == 1:
		e.Data, err = r.bytes()
	default:
		err = errAvroBundle
	}
	return e, err
}

// DecodeBytes reads an attribute that may be encoded: encoding is the value of
// the attribute of the same name with EncodingSuffix.
func DecodeBytes(value, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return []byte(value), nil
	case "base64":
		return base64.StdEncoding.DecodeString(value)
	default:
		return nil, fmt.Errorf("an attribute of the unknown encoding %q", encoding)
	}
}
