package bridge

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// deadLetter is shared by the parts of one dead letter.
type deadLetter struct {
	left atomic.Int32 // parts that are not published
}

// deadLetter hands a record that can never be published to the dead-letter
// lane. The record is done when Pub/Sub has all of it, not before.
//
// invariant B6: only that record, and only after the data was found to be the reason.
func (p *publisher) deadLetter(e *event, why *badRecord) {
	p.stats.deadLetters.WithLabelValues(why.reason).Inc()
	p.stats.deadLettered.Add(1)
	r := e.record
	position := e.origin.prefix + strconv.FormatInt(r.Offset, 10)
	p.log.Debug("record goes to the dead letters", "position", position, "reason", why.reason)
	attrs := []attribute{
		{envelope.AttrPosition, position},
		{envelope.AttrBridge, p.bridge},
		{envelope.AttrReason, why.reason},
		{envelope.AttrError, cut(why.err.Error(), maxAttributeValue)},
	}
	if milli, err := inRange(r.Timestamp.UnixMilli()); err == nil {
		attrs = append(attrs, attribute{envelope.AttrSourceTime, string(appendTime(nil, milli))})
	}
	if r.Value == nil {
		attrs = append(attrs, attribute{envelope.AttrNull, "true"})
	}
	var omitted []string
	if r.Key != nil {
		if key := carried(envelope.AttrKey, r.Key); key != nil {
			attrs = append(attrs, key...)
		} else {
			omitted = append(omitted, "key")
		}
	}
	lost, carriedHeaders := false, make(map[string]bool)
	for i := len(r.Headers) - 1; i >= 0; i-- {
		h := r.Headers[i]
		c := carried(envelope.AttrHeader+h.Key, h.Value)
		if c == nil || carriedHeaders[h.Key] || len(attrs)+len(c) > maxAttributes-2 {
			lost = true
			continue
		}
		carriedHeaders[h.Key] = true
		attrs = append(attrs, c...)
	}
	if lost {
		omitted = append(omitted, "headers")
	}
	if len(omitted) > 0 {
		attrs = append(attrs, attribute{envelope.AttrOmitted, strings.Join(omitted, ",")})
	}

	parts := max(1, (len(r.Value)+p.maxPart-1)/p.maxPart)
	shared := &deadLetter{}
	shared.left.Store(int32(parts))
	events := make([]*event, parts)
	for i := range events {
		d := &event{record: r, origin: e.origin, ticket: e.ticket, chunk: e.chunk, dead: shared, attrs: attrs}
		d.data = r.Value[min(len(r.Value), i*p.maxPart):min(len(r.Value), (i+1)*p.maxPart)]
		if parts > 1 {
			d.attrs = append(attrs[:len(attrs):len(attrs)], attribute{envelope.AttrPart, fmt.Sprintf("%d/%d", i+1, parts)})
		}
		d.size = messageSize(d.data, d.attrs)
		d.cost = int64(d.size - len(d.data))
		p.budget.addMessage(d.cost)
		events[i] = d
	}
	p.budget.release(0, e.cost) // the message that the record did not become
	e.data, e.attrs, e.record = nil, nil, nil
	p.dead.add(events)
}

// carried returns the attributes that carry bytes under a name, nil if Pub/Sub
// cannot take them.
func carried(name string, value []byte) []attribute {
	if len(name)+len(envelope.EncodingSuffix) > maxAttributeName || !utf8.ValidString(name) {
		return nil
	}
	if utf8.Valid(value) {
		if len(value) > maxAttributeValue {
			return nil
		}
		return []attribute{{name, string(value)}}
	}
	if base64.StdEncoding.EncodedLen(len(value)) > maxAttributeValue {
		return nil
	}
	return []attribute{{name, base64.StdEncoding.EncodeToString(value)}, {name + envelope.EncodingSuffix, "base64"}}
}

// cut shortens s to at most n bytes of UTF-8.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
