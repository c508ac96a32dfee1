package transform

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// shape is the names of the fields of a record, in order. The records of a
// topic are mostly alike: a name that stands where it is expected is compared
// once, instead of being scanned, hashed and compared with all others.
type shape struct {
	quotes  [][]byte // with quotes; empty for a name with escapes
	wrong   int      // records in a row that were different
	version int      // grows when the names change
	exact   bool     // the last record had all of the names and no other
}

// ahead is how many places a name is looked for, so that fields that are left
// out do not spoil the rest.
const ahead = 4

// begin begins a record.
func (s *shape) begin() {
	if s != nil {
		s.exact = false
	}
}

// find returns the place of the name with which text begins, from place next
// on, or -1. Places that grow mean names that differ.
func (s *shape) find(text []byte, next int) int {
	if s == nil {
		return -1
	}
	for i := next; i < len(s.quotes) && i < next+ahead; i++ {
		if q := s.quotes[i]; len(q) > 0 && len(q) <= len(text) && string(text[:len(q)]) == string(q) {
			return i
		}
	}
	return -1
}

// learn takes the names of a record that had others. It learns less and less
// where no record is like the one before.
func (s *shape) learn(fields []field) {
	const most = 1 << 10
	if s == nil || len(fields) > most {
		return
	}
	if s.wrong++; s.wrong > 8 && s.wrong%32 != 0 {
		return
	}
	s.version++
	for len(s.quotes) < len(fields) {
		s.quotes = append(s.quotes, nil)
	}
	s.quotes = s.quotes[:len(fields)]
	for i := range fields {
		s.quotes[i] = s.quotes[i][:0]
		if bytes.IndexByte(fields[i].quote, '\\') < 0 {
			s.quotes[i] = append(s.quotes[i], fields[i].quote...)
		}
	}
}

// matched notes that a record had n of the names and no other.
func (s *shape) matched(n int) {
	if s != nil {
		s.wrong, s.exact = 0, n == len(s.quotes)
	}
}

// distinct refuses fields of which two have one name.
func distinct(fields []field) error {
	var seen names
	for i := range fields {
		if seen.add(fields[i].name, fields[:i]) {
			return fmt.Errorf("a field comes twice, the second time as number %d", i+1)
		}
	}
	return nil
}

// names finds repeated names without allocating for records of ordinary size:
// a small filter says whether a look at the earlier fields is needed at all.
type names struct {
	filter [8]uint64
	large  map[string]bool
}

// add adds the name of a field that comes after the earlier ones.
func (n *names) add(name []byte, earlier []field) (twice bool) {
	if len(earlier) >= 64 {
		return n.addLarge(name, earlier)
	}
	h := hashName(name)
	bit, word := uint64(1)<<(h&63), &n.filter[h>>6&7]
	if *word&bit == 0 {
		*word |= bit
		return false
	}
	for i := range earlier {
		if bytes.Equal(earlier[i].name, name) {
			return true
		}
	}
	return false
}

func (n *names) addLarge(name []byte, earlier []field) bool {
	if n.large == nil {
		n.large = make(map[string]bool, 2*len(earlier))
		for i := range earlier {
			n.large[string(earlier[i].name)] = true
		}
	}
	if n.large[string(name)] {
		return true
	}
	n.large[string(name)] = true
	return false
}

// hashName mixes the ends and the length of a name: it only has to tell the
// names of one object apart, mostly.
func hashName(name []byte) uint64 {
	h := uint64(len(name)) << 56
	if len(name) >= 8 {
		h ^= binary.LittleEndian.Uint64(name) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(name[len(name)-8:]), 23)
	} else {
		for i, c := range name {
			h ^= uint64(c) << (8 * i)
		}
	}
	return h * 0x9e3779b97f4a7c15 >> 55
}
