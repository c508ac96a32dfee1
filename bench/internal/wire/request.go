package wire

import (
	"encoding/binary"
	"errors"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Attributes of a message that the benchmarks read or write.
const (
	AttrID         = "kappa-id"
	AttrEventTime  = "kappa-event-time"
	AttrPosition   = "kappa-position"
	AttrSourceTime = "kappa-source-time"
	AttrBridge     = "kappa-bridge"
)

// Field tags of google.pubsub.v1; all are length-delimited.
const (
	tagTopic    = 1<<3 | 2 // PublishRequest
	tagMessages = 2<<3 | 2
	tagData     = 1<<3 | 2 // PubsubMessage
	tagAttrs    = 2<<3 | 2
	tagKey      = 1<<3 | 2 // entry of a map
	tagValue    = 2<<3 | 2
	tagIDs      = 1<<3 | 2 // PublishResponse
)

var errMalformed = errors.New("malformed publish request")

// Message is what the server looks at in a message; the slices are the
// request's own. ID is nil where there is no such attribute.
type Message struct {
	ID, SourceTime []byte
	Data           int // bytes
}

// Scan calls fn with each message of an encoded PublishRequest.
func Scan(request []byte, fn func(Message)) (topic []byte, err error) {
	for b := request; len(b) > 0; {
		tag, value, rest, ok := field(b)
		if !ok {
			return nil, errMalformed
		}
		b = rest
		switch tag {
		case tagTopic:
			topic = value
		case tagMessages:
			m, err := scanMessage(value)
			if err != nil {
				return nil, err
			}
			fn(m)
		}
	}
	return topic, nil
}

func scanMessage(b []byte) (m Message, err error) {
	for len(b) > 0 {
		tag, value, rest, ok := field(b)
		if !ok {
			return m, errMalformed
		}
		b = rest
		switch tag {
		case tagData:
			m.Data += len(value)
		case tagAttrs:
			var k, v []byte
			for e := value; len(e) > 0; {
				tag, part, rest, ok := field(e)
				if !ok {
					return m, errMalformed
				}
				e = rest
				switch tag {
				case tagKey:
					k = part
				case tagValue:
					v = part
				}
			}
			switch string(k) {
			case AttrID:
				m.ID = v
			case AttrSourceTime:
				m.SourceTime = v
			}
		}
	}
	return m, nil
}

// field takes the next field off an encoded message. value is nil for a field
// that is not length-delimited.
func field(b []byte) (tag uint64, value, rest []byte, ok bool) {
	if len(b) >= 2 && b[0]&7 == 2 && b[0] < 0x80 && b[1] < 0x80 { // nearly all of them
		n := int(b[1]) + 2
		if n > len(b) {
			return 0, nil, nil, false
		}
		return uint64(b[0]), b[2:n], b[n:], true
	}
	tag, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return 0, nil, nil, false
	}
	b = b[n:]
	num, typ := protowire.DecodeTag(tag)
	if typ == protowire.BytesType {
		value, n = protowire.ConsumeBytes(b)
	} else {
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 || num < 1 {
		return 0, nil, nil, false
	}
	return tag, value, b[n:], true
}

// idWidth is the length of the message ids that the server gives.
const idWidth = 16

// Response is an encoded PublishResponse for n messages.
func Response(n int) []byte {
	b := make([]byte, 0, n*(idWidth+2))
	for range n {
		b = append(b, tagIDs, idWidth)
		b = append(b, "1234567890123456"...)
	}
	return b
}

// ResponseSize is the length of a response for n messages; the shorter ones
// are prefixes of the longer ones.
func ResponseSize(n int) int { return n * (idWidth + 2) }

// Request is a PublishRequest that is being encoded.
type Request struct {
	Bytes    []byte
	Messages int
}

// Begin begins a request in b, which is overwritten.
func Begin(b []byte, topic string) Request {
	return Request{Bytes: appendString(b[:0], tagTopic, topic)}
}

// Position is where the messages of a request stand: what is the same for all
// of them is encoded once.
type Position struct {
	Hash      uint64
	Partition int
	Prefix    string // cluster/topic/partition/
	Time      string // source and event time
	Bridge    string
}

// Add adds a message with the five attributes that the bridge sets.
func (r *Request) Add(at *Position, offset int64, data []byte) {
	var scratch [24]byte
	digits := strconv.AppendInt(scratch[:0], offset, 10)
	position := len(at.Prefix) + len(digits)
	n := size(len(data)) +
		size(entry(len(AttrID), IDLength)) +
		size(entry(len(AttrEventTime), len(at.Time))) +
		size(entry(len(AttrPosition), position)) +
		size(entry(len(AttrSourceTime), len(at.Time))) +
		size(entry(len(AttrBridge), len(at.Bridge)))
	b := binary.AppendUvarint(append(r.Bytes, tagMessages), uint64(n))
	b = append(binary.AppendUvarint(append(b, tagData), uint64(len(data))), data...)
	b = AppendID(appendAttr(b, AttrID, IDLength), at.Hash, at.Partition, offset)
	b = append(appendAttr(b, AttrEventTime, len(at.Time)), at.Time...)
	b = append(append(appendAttr(b, AttrPosition, position), at.Prefix...), digits...)
	b = append(appendAttr(b, AttrSourceTime, len(at.Time)), at.Time...)
	b = append(appendAttr(b, AttrBridge, len(at.Bridge)), at.Bridge...)
	r.Bytes = b
	r.Messages++
}

// appendAttr appends an attribute up to its value, which is n bytes long.
func appendAttr(b []byte, name string, n int) []byte {
	b = binary.AppendUvarint(append(b, tagAttrs), uint64(entry(len(name), n)))
	b = appendString(b, tagKey, name)
	return binary.AppendUvarint(append(b, tagValue), uint64(n))
}

func appendString(b []byte, tag byte, s string) []byte {
	return append(binary.AppendUvarint(append(b, tag), uint64(len(s))), s...)
}

// size is the encoded size of a length-delimited field of n bytes.
func size(n int) int { return 1 + protowire.SizeBytes(n) }

func entry(key, value int) int { return size(key) + size(value) }
