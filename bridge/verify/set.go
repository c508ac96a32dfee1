package verify

import (
	"maps"
	"math/bits"
	"slices"
)

// meter accounts for the memory of a run.
type meter struct{ used, limit int64 }

func (m *meter) take(n int64) { m.used += n }
func (m *meter) over() bool   { return m.limit > 0 && m.used > m.limit }

// A page covers 65,536 offsets: as a sorted list while it holds few, as bits
// from then on, and as nothing but its count when it holds them all, which is
// what most pages of most ranges come to.
const (
	pageBits  = 16
	pageSize  = 1 << pageBits
	pageWords = pageSize / 64
	mostList  = 1024 // beyond it, a list is larger than half the bits
	pageCost  = 64   // of a page itself, in bytes, with its share of the map
)

type page struct {
	n    int
	list []uint16
	bits *[pageWords]uint64
}

func (p *page) full() bool { return p.n == pageSize }

func (p *page) has(low uint16) bool {
	switch {
	case p.full():
		return true
	case p.bits != nil:
		return p.bits[low>>6]>>(low&63)&1 != 0
	}
	_, ok := slices.BinarySearch(p.list, low)
	return ok
}

func (p *page) add(low uint16, m *meter) bool {
	switch {
	case p.full():
		return false
	case p.bits != nil:
		w, b := low>>6, uint64(1)<<(low&63)
		if p.bits[w]&b != 0 {
			return false
		}
		p.bits[w] |= b
		if p.n++; p.full() {
			p.bits = nil
			m.take(-pageSize / 8)
		}
		return true
	}
	at := len(p.list)
	if at > 0 && p.list[at-1] >= low { // mostly, offsets come in order
		var found bool
		if at, found = slices.BinarySearch(p.list, low); found {
			return false
		}
	}
	p.n++
	if len(p.list) < mostList {
		before := cap(p.list)
		p.list = slices.Insert(p.list, at, low)
		m.take(2 * int64(cap(p.list)-before))
		return true
	}
	p.bits = new([pageWords]uint64)
	for _, l := range p.list {
		p.bits[l>>6] |= 1 << (l & 63)
	}
	p.bits[low>>6] |= 1 << (low & 63)
	m.take(pageSize/8 - 2*int64(cap(p.list)))
	p.list = nil
	return true
}

// words returns the page as bits: its own, or into, filled; nil is an empty page.
func (p *page) words(into *[pageWords]uint64) *[pageWords]uint64 {
	switch {
	case p == nil:
		*into = [pageWords]uint64{}
	case p.full():
		for i := range into {
			into[i] = ^uint64(0)
		}
	case p.bits != nil:
		return p.bits
	default:
		*into = [pageWords]uint64{}
		for _, l := range p.list {
			into[l>>6] |= 1 << (l & 63)
		}
	}
	return into
}

// set is a set of offsets, none negative. The zero value with a meter is empty.
type set struct {
	m     *meter
	pages map[int64]*page
	last  *page // of the page numbered at
	at    int64
}

func newSet(m *meter) *set { return &set{m: m, pages: map[int64]*page{}, at: -1} }

func (s *set) page(number int64) *page {
	if number != s.at || s.last == nil {
		s.at, s.last = number, s.pages[number]
	}
	return s.last
}

// add adds an offset; it returns false if it was there.
func (s *set) add(offset int64) bool {
	number := offset >> pageBits
	p := s.page(number)
	if p == nil {
		p = &page{}
		s.pages[number], s.last = p, p
		s.m.take(pageCost)
	}
	return p.add(uint16(offset&(pageSize-1)), s.m)
}

// has reports whether an offset is in s; a nil set is empty.
func (s *set) has(offset int64) bool {
	if s == nil {
		return false
	}
	p := s.page(offset >> pageBits)
	return p != nil && p.has(uint16(offset&(pageSize-1)))
}

func (s *set) len() int64 {
	var n int64
	for _, p := range s.pages {
		n += int64(p.n)
	}
	return n
}

// each calls f with every offset of s, in order, and whether other, which may
// be nil, has it too.
func (s *set) each(other *set, f func(offset int64, both bool)) {
	var a, b [pageWords]uint64
	for _, number := range slices.Sorted(maps.Keys(s.pages)) {
		var q *page
		if other != nil {
			q = other.pages[number]
		}
		mine, theirs := s.pages[number].words(&a), q.words(&b)
		for w, word := range mine {
			for ; word != 0; word &= word - 1 {
				i := bits.TrailingZeros64(word)
				f(number<<pageBits|int64(w<<6|i), theirs[w]>>i&1 != 0)
			}
		}
	}
}

// ranges calls f with the ranges of what s has and other has not, where want is
// false; of what both have, where it is true. Neighbours are those that are
// next to each other in s: offsets that s lacks do not part a range.
func (s *set) ranges(other *set, want bool, f func(first, last, n int64)) {
	var first, last, n int64
	s.each(other, func(offset int64, both bool) {
		if both == want {
			if n == 0 {
				first = offset
			}
			last = offset
			n++
		} else if n > 0 {
			f(first, last, n)
			n = 0
		}
	})
	if n > 0 {
		f(first, last, n)
	}
}
