package bridge

import (
	"encoding/binary"
	"math/bits"
)

// A message is encoded once, by its worker, as an entry of a publish request
// (google/pubsub/v1/pubsub.proto): field 2 of PublishRequest, a PubsubMessage.
// Requests are built of such entries without touching them again, whichever
// way a batch is split; the other destinations read them back with wireMessage.
// A long value that passes as it is stays where it was fetched: its bytes are
// copied for the first time into the connection.
const (
	tagTopic       = 1<<3 | 2 // PublishRequest.topic
	tagMessage     = 2<<3 | 2 // PublishRequest.messages
	tagData        = 1<<3 | 2 // PubsubMessage.data
	tagAttribute   = 2<<3 | 2 // PubsubMessage.attributes, entries of a map
	tagOrderingKey = 5<<3 | 2 // PubsubMessage.ordering_key
	tagMapKey      = 1<<3 | 2
	tagMapValue    = 2<<3 | 2
)

// span is an attribute of the message that is being made: its value is a part
// of a text that all values stand in.
type span struct {
	name       string
	start, end int
}

// draft is a message that is being made.
type draft struct {
	data     []byte
	text     []byte // attribute values, one after the other
	spans    []span
	ordering []byte // ordering key, nil for none
}

func (d *draft) reset() {
	d.data, d.text, d.spans, d.ordering = nil, d.text[:0], d.spans[:0], nil
}

// begin begins the value of an attribute at the end of d.text.
func (d *draft) begin(name string) {
	d.spans = append(d.spans, span{name: name, start: len(d.text)})
}

func (d *draft) end() { d.spans[len(d.spans)-1].end = len(d.text) }

// add adds an attribute.
func (d *draft) add(name, value string) {
	d.begin(name)
	d.text = append(d.text, value...)
	d.end()
}

// value returns the value of attribute i.
func (d *draft) value(i int) string { return string(d.text[d.spans[i].start:d.spans[i].end]) }

// inner is the size of the PubsubMessage alone.
func (d *draft) inner() int {
	n := 0
	if len(d.data) > 0 {
		n += fieldSize(len(d.data))
	}
	for i := range d.spans {
		s := &d.spans[i]
		n += fieldSize(fieldSize(len(s.name)) + fieldSize(s.end-s.start))
	}
	if len(d.ordering) > 0 {
		n += fieldSize(len(d.ordering))
	}
	return n
}

// appendTo appends the entry of a request that d is; inner is d.inner(). With
// apart the data is left out: it belongs where the returned number of bytes of
// the entry ends, else that is 0.
func (d *draft) appendTo(dst []byte, inner int, apart bool) (_ []byte, cut int) {
	from := len(dst)
	dst = appendHead(dst, tagMessage, inner)
	if len(d.data) > 0 {
		dst = appendHead(dst, tagData, len(d.data))
		if apart {
			cut = len(dst) - from
		} else {
			dst = append(dst, d.data...)
		}
	}
	for i := range d.spans {
		s := &d.spans[i]
		value := d.text[s.start:s.end]
		dst = appendHead(dst, tagAttribute, fieldSize(len(s.name))+fieldSize(len(value)))
		dst = append(appendHead(dst, tagMapKey, len(s.name)), s.name...)
		dst = append(appendHead(dst, tagMapValue, len(value)), value...)
	}
	if len(d.ordering) > 0 {
		dst = append(appendHead(dst, tagOrderingKey, len(d.ordering)), d.ordering...)
	}
	return dst, cut
}

// appendHead appends the tag and the length of a field.
func appendHead(dst []byte, tag byte, n int) []byte {
	if n < 0x80 {
		return append(dst, tag, byte(n))
	}
	return binary.AppendUvarint(append(dst, tag), uint64(n))
}

// fieldSize is the size of a length-delimited field with a number below 16.
func fieldSize(n int) int { return 1 + varintSize(n) + n }

func varintSize(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

// requestHead is the beginning of each publish request to a topic.
func requestHead(topic string) []byte {
	return append(appendHead(nil, tagTopic, len(topic)), topic...)
}

// requestSize returns the bytes of a publish request without messages.
func requestSize(topic int) int { return fieldSize(topic) }

// wireMessage is an entry of a publish request, read back: its slices point
// into the entry.
type wireMessage struct {
	data     []byte
	attrs    []wireAttribute
	ordering []byte
}

type wireAttribute struct{ name, value []byte }

// read reads the message of an event.
func (m *wireMessage) read(e *event) {
	m.data, m.attrs, m.ordering = nil, m.attrs[:0], nil
	body := e.entry[e.cut:]
	if e.cut > 0 {
		m.data = e.data
	} else {
		_, body, _ = nextField(e.entry)
	}
	for len(body) > 0 {
		tag, value, rest := nextField(body)
		switch tag {
		case tagData:
			m.data = value
		case tagAttribute:
			_, name, v := nextField(value)
			_, v, _ = nextField(v)
			m.attrs = append(m.attrs, wireAttribute{name, v})
		case tagOrderingKey:
			m.ordering = value
		}
		body = rest
	}
}

func (m *wireMessage) attr(name string) []byte {
	for i := range m.attrs {
		if string(m.attrs[i].name) == name {
			return m.attrs[i].value
		}
	}
	return nil
}

// nextField splits off the first field of what draft.appendTo has written.
func nextField(b []byte) (tag byte, value, rest []byte) {
	n, size := binary.Uvarint(b[1:])
	at := 1 + size
	return b[0], b[at : at+int(n)], b[at+int(n):]
}
