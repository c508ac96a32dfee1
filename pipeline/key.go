package pipeline

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A key is what events are grouped by, beside the window: the values of the
// dimensions, one after the other. In an aggregation with rollups the index of
// the set stands before them, so that sets which hold equal values stay apart.
// invariant P2

// everything is the index of the set of all dimensions.
const everything = 0

// dimensions are the values of an event's dimensions, encoded once for all sets.
type dimensions struct {
	data []byte
	ends []int // of each value in data
}

// dimensions encodes those of an event into d.
func (p *Plan) dimensions(d *dimensions, agg *Aggregation, e *packed) {
	d.data, d.ends = d.data[:0], d.ends[:0]
	for _, i := range agg.Dims {
		d.data = appendValue(d.data, e.values[i], p.usedKind(i))
		d.ends = append(d.ends, len(d.data))
	}
}

// appendKey appends the key that an event has in a set.
func (a *Aggregation) appendKey(b []byte, set int, d *dimensions) []byte {
	if len(a.Sets) == 0 {
		return append(b, d.data...)
	}
	b = binary.AppendUvarint(b, uint64(set))
	for _, i := range a.Sets[set].Dims {
		start := 0
		if i > 0 {
			start = d.ends[i-1]
		}
		b = append(b, d.data[start:d.ends[i]]...)
	}
	return b
}

// readKey reads a key: the index of its set, and the values of all dimensions,
// of which those that the set leaves out are null.
func (p *Plan) readKey(agg *Aggregation, key []byte) (set int, dims []Value, err error) {
	dims = make([]Value, len(agg.Dims))
	if len(agg.Sets) > 0 {
		n, size := binary.Uvarint(key)
		if size <= 0 || n >= uint64(len(agg.Sets)) {
			return 0, nil, fmt.Errorf("aggregation %s: key: %w", agg.Name, errPack)
		}
		set, key = int(n), key[size:]
	}
	for _, i := range agg.in(set) {
		if dims[i], key, err = readPackedValue(key, p.usedKind(agg.Dims[i])); err != nil {
			return 0, nil, fmt.Errorf("aggregation %s: key: %w", agg.Name, err)
		}
	}
	return set, dims, nil
}

// in are the indexes of the dimensions of a set.
func (a *Aggregation) in(set int) []int {
	if len(a.Sets) > 0 {
		return a.Sets[set].Dims
	}
	all := make([]int, len(a.Dims))
	for i := range all {
		all[i] = i
	}
	return all
}

// describeKey is a key for people.
func (p *Plan) describeKey(agg *Aggregation, key []byte) string {
	set, dims, err := p.readKey(agg, key)
	if err != nil {
		return "?"
	}
	var parts []string
	for _, i := range agg.in(set) {
		d, text := agg.Dims[i], "null"
		if s := dims[i].text(p.usedKind(d)); s != nil {
			text = *s
		}
		parts = append(parts, p.Fields[p.Used[d]].Name+"="+text)
	}
	return strings.Join(parts, ", ")
}
