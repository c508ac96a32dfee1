package pubsub

import (
	"errors"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of google.pubsub.v1, in the messages that are read and written
// as bytes.
const (
	fieldRequestTopic    = 1 // PublishRequest
	fieldRequestMessages = 2

	fieldData        = 1 // PubsubMessage
	fieldAttributes  = 2
	fieldMessageID   = 3
	fieldPublishTime = 4
	fieldOrderingKey = 5

	fieldEntryKey   = 1 // map entry
	fieldEntryValue = 2

	fieldSeconds = 1 // Timestamp
	fieldNanos   = 2

	fieldReceived        = 1 // PullResponse, StreamingPullResponse
	fieldAckID           = 1 // ReceivedMessage
	fieldMessage         = 2
	fieldDeliveryAttempt = 3
)

var errMalformed = errors.New("malformed request")

// fields calls fn with every field of an encoded message: its number, its type,
// its value if it is length-delimited, and its whole encoding.
func fields(b []byte, fn func(num protowire.Number, typ protowire.Type, value, whole []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMalformed
		}
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		if m < 0 {
			return errMalformed
		}
		var value []byte
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(b[n:])
		}
		if err := fn(num, typ, value, b[:n+m]); err != nil {
			return err
		}
		b = b[n+m:]
	}
	return nil
}

// publishRequest is a scanned PublishRequest; its slices point into the request.
type publishRequest struct {
	topic    string
	messages []scanned
	size     int
}

// scanned is a message of a request that keeps to the limits.
type scanned struct {
	encoded     []byte
	orderingKey []byte
	clean       bool // encoded holds nothing that the server must set itself
}

// scanPublish reads a PublishRequest and checks the service's limits. Errors
// are gRPC statuses, or errMalformed.
func scanPublish(b []byte) (publishRequest, error) {
	req := publishRequest{size: len(b)}
	var bodies [][]byte
	err := fields(b, func(num protowire.Number, typ protowire.Type, value, _ []byte) error {
		switch {
		case num == fieldRequestTopic && typ == protowire.BytesType:
			if !utf8.Valid(value) {
				return errNotUTF8("topic")
			}
			req.topic = string(value)
		case num == fieldRequestMessages && typ == protowire.BytesType:
			bodies = append(bodies, value)
		}
		return nil
	})
	if err != nil {
		return req, err
	}
	if err := checkRequest(len(b), len(bodies)); err != nil {
		return req, err
	}
	req.messages = make([]scanned, len(bodies))
	for i, body := range bodies {
		if req.messages[i], err = scanMessage(body); err != nil {
			return req, err
		}
		if string(req.messages[i].orderingKey) != string(req.messages[0].orderingKey) {
			return req, errMixedOrderingKeys
		}
	}
	return req, nil
}

// scanMessage reads one PubsubMessage of a request.
func scanMessage(b []byte) (scanned, error) {
	m := scanned{encoded: b, clean: true}
	data, attributes := 0, 0
	err := fields(b, func(num protowire.Number, typ protowire.Type, value, _ []byte) error {
		switch {
		case num == fieldData && typ == protowire.BytesType:
			data = len(value)
		case num == fieldAttributes && typ == protowire.BytesType:
			attributes++
			return checkAttribute(value)
		case num == fieldOrderingKey && typ == protowire.BytesType:
			m.orderingKey = value
		default:
			m.clean = false
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	return m, checkMessage(data, attributes, m.orderingKey)
}

// checkAttribute checks one entry of the attributes map.
func checkAttribute(entry []byte) error {
	var key, val []byte
	err := fields(entry, func(num protowire.Number, typ protowire.Type, value, _ []byte) error {
		switch {
		case num == fieldEntryKey && typ == protowire.BytesType:
			key = value
		case num == fieldEntryValue && typ == protowire.BytesType:
			val = value
		}
		return nil
	})
	if err != nil {
		return err
	}
	return checkAttributePair(key, val)
}

// stamp returns a copy of m's encoding with its id and publish time, which the
// service sets whatever the publisher sent.
func (m scanned) stamp(id string, published time.Time) []byte {
	out := make([]byte, 0, len(m.encoded)+len(id)+20)
	if m.clean {
		out = append(out, m.encoded...)
	} else {
		_ = fields(m.encoded, func(num protowire.Number, _ protowire.Type, _, whole []byte) error {
			if num == fieldData || num == fieldAttributes || num == fieldOrderingKey {
				out = append(out, whole...)
			}
			return nil
		})
	}
	return appendStamp(out, id, published)
}

func appendStamp(out []byte, id string, published time.Time) []byte {
	out = protowire.AppendTag(out, fieldMessageID, protowire.BytesType)
	out = protowire.AppendString(out, id)
	out = protowire.AppendTag(out, fieldPublishTime, protowire.BytesType)
	seconds, nanos := uint64(published.Unix()), uint64(published.Nanosecond())
	size := 1 + protowire.SizeVarint(seconds)
	if nanos > 0 {
		size += 1 + protowire.SizeVarint(nanos)
	}
	out = protowire.AppendVarint(out, uint64(size))
	out = protowire.AppendTag(out, fieldSeconds, protowire.VarintType)
	out = protowire.AppendVarint(out, seconds)
	if nanos > 0 {
		out = protowire.AppendTag(out, fieldNanos, protowire.VarintType)
		out = protowire.AppendVarint(out, nanos)
	}
	return out
}

// appendReceived appends one received_messages entry of a pull response.
// attempt is left out if it is 0.
func appendReceived(out []byte, ackID []byte, message []byte, attempt int32) []byte {
	size := 1 + protowire.SizeBytes(len(ackID)) + 1 + protowire.SizeBytes(len(message))
	if attempt > 0 {
		size += 1 + protowire.SizeVarint(uint64(attempt))
	}
	out = protowire.AppendTag(out, fieldReceived, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(size))
	out = protowire.AppendTag(out, fieldAckID, protowire.BytesType)
	out = protowire.AppendBytes(out, ackID)
	out = protowire.AppendTag(out, fieldMessage, protowire.BytesType)
	out = protowire.AppendBytes(out, message)
	if attempt > 0 {
		out = protowire.AppendTag(out, fieldDeliveryAttempt, protowire.VarintType)
		out = protowire.AppendVarint(out, uint64(attempt))
	}
	return out
}
