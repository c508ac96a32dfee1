package bridge

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// deadLetter hands a record that can never be published to the dead-letter
// lane. The record is done when the dead letters' destination has all of it,
// not before.
//
// invariant B6: only that record, and only after the data was found to be the reason.
func (p *publisher) deadLetter(e *event, why *badRecord) {
	p.stats.deadLetters.WithLabelValues(why.reason).Inc()
	p.stats.deadLettered.Add(1)
	r := e.record
	position := e.origin.prefix + strconv.FormatInt(r.Offset, 10)
	p.log.Debug("record goes to the dead letters", "position", position, "reason", why.reason)
	if e.held != nil { // the message that the record did not become
		e.held.release(1)
		e.held, e.entry = nil, nil
	}
	d := &draft{}
	d.add(envelope.AttrPosition, position)
	d.add(envelope.AttrBridge, p.plan.bridge)
	d.add(envelope.AttrReason, why.reason)
	d.add(envelope.AttrError, cut(why.err.Error(), maxAttributeValue))
	if id, err := p.deadID(e); err == nil {
		d.add(envelope.AttrID, id.String())
	}
	if milli, err := inRange(r.Timestamp.UnixMilli()); err == nil {
		d.add(envelope.AttrSourceTime, string(appendTime(nil, milli)))
	}
	if r.Value == nil {
		d.add(envelope.AttrNull, "true")
	}
	if p.maxPart > 0 {
		d.describeRecord(e)
	}
	shared, parts := &parts{of: e.parts}, 1
	if p.maxPart > 0 {
		parts = max(1, (len(r.Value)+p.maxPart-1)/p.maxPart)
	}
	shared.left.Store(int32(parts))
	events := make([]*event, parts)
	spans := d.spans
	for i := range events {
		m := &event{record: r, origin: e.origin, ticket: e.ticket, chunk: e.chunk, parts: shared}
		d.data = r.Value
		if parts > 1 {
			d.data = r.Value[i*p.maxPart : min(len(r.Value), (i+1)*p.maxPart)]
			d.spans = spans[:len(spans):len(spans)]
			d.add(envelope.AttrPart, fmt.Sprintf("%d/%d", i+1, parts))
		}
		p.segments.forced(d, m)
		events[i] = m
	}
	e.record = nil
	p.dead.add(events)
}

// deadID is the id that the record's events have, or would have had, as far as
// it does not take their fields: an earlier hop's, or that of the position.
func (p *publisher) deadID(e *event) (uuid, error) {
	if given, ok := header(e.record, envelope.AttrID); ok {
		return parseUUID(given)
	}
	if p.plan.ids.From != idsFromPosition {
		return uuid{}, fmt.Errorf("ids are made from fields")
	}
	return positionID(e.origin.hash, e.origin.partition, e.record.Offset, 0)
}

// describeRecord adds the record's key and headers as attributes.
func (d *draft) describeRecord(e *event) {
	r := e.record
	var omitted []string
	if r.Key != nil && !d.carry(envelope.AttrKey, r.Key) {
		omitted = append(omitted, "key")
	}
	lost, carried := false, make(map[string]bool)
	for i := len(r.Headers) - 1; i >= 0; i-- {
		h := r.Headers[i]
		if carried[h.Key] || len(d.spans) > maxAttributes-4 || !d.carry(envelope.AttrHeader+h.Key, h.Value) {
			lost = true
			continue
		}
		carried[h.Key] = true
	}
	if lost {
		omitted = append(omitted, "headers")
	}
	if len(omitted) > 0 {
		d.add(envelope.AttrOmitted, strings.Join(omitted, ","))
	}
}

// carry adds bytes as an attribute; false: Pub/Sub cannot take them.
func (d *draft) carry(name string, value []byte) bool {
	switch {
	case len(name)+len(envelope.EncodingSuffix) > maxAttributeName || !utf8.ValidString(name):
		return false
	case utf8.Valid(value):
		if len(value) > maxAttributeValue {
			return false
		}
		d.add(name, string(value))
		return true
	case base64.StdEncoding.EncodedLen(len(value)) > maxAttributeValue:
		return false
	}
	d.add(name, base64.StdEncoding.EncodeToString(value))
	d.add(name+envelope.EncodingSuffix, "base64")
	return true
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
