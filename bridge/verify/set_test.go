package verify

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type span3 struct{ First, Last, N int64 }

// TestSetIsASet: whatever is added in whatever order, a set answers as a map
// does, and its memory is accounted for exactly.
func TestSetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &meter{}
		s, other := newSet(m), newSet(m)
		model, otherModel := map[int64]bool{}, map[int64]bool{}
		steps := rapid.IntRange(1, 8).Draw(t, "steps")
		for range steps {
			from := rapid.Int64Range(0, 3*pageSize).Draw(t, "from")
			n := rapid.Int64Range(1, 70_000).Draw(t, "n")
			stride := rapid.Int64Range(1, 50).Draw(t, "stride")
			into, mod := s, model
			if rapid.Bool().Draw(t, "other") {
				into, mod = other, otherModel
			}
			down := rapid.Bool().Draw(t, "down")
			for i := range n / stride {
				o := from + i*stride
				if down {
					o = from + (n/stride-1-i)*stride
				}
				if into.add(o) == mod[o] {
					t.Fatalf("add(%d) does not say whether it was there", o)
				}
				mod[o] = true
			}
		}
		if s.len() != int64(len(model)) {
			t.Fatalf("%d offsets, want %d", s.len(), len(model))
		}
		for range 50 {
			if o := rapid.Int64Range(0, 5*pageSize).Draw(t, "o"); s.has(o) != model[o] {
				t.Fatalf("has(%d) = %v", o, s.has(o))
			}
		}
		for _, want := range []bool{false, true} {
			var got []span3
			s.ranges(other, want, func(a, b, n int64) { got = append(got, span3{a, b, n}) })
			if diff := cmp.Diff(modelRanges(model, otherModel, want), got); diff != "" {
				t.Fatalf("ranges(%v) (-want +got):\n%s", want, diff)
			}
		}
		if want := cost(s) + cost(other); m.used != want {
			t.Fatalf("%d bytes accounted for, %d are held", m.used, want)
		}
	})
}

func modelRanges(a, b map[int64]bool, want bool) (list []span3) {
	in := false
	for _, o := range slices.Sorted(maps.Keys(a)) {
		switch {
		case b[o] != want:
			in = false
		case in:
			list[len(list)-1].Last = o
			list[len(list)-1].N++
		default:
			list, in = append(list, span3{o, o, 1}), true
		}
	}
	return list
}

func cost(s *set) (n int64) {
	for _, p := range s.pages {
		n += pageCost + 2*int64(cap(p.list))
		if p.bits != nil {
			n += pageSize / 8
		}
	}
	return n
}

// TestSetIsSmall: a range without gaps costs next to nothing, and one with
// gaps about a bit per offset.
func TestSetIsSmall(t *testing.T) {
	m := &meter{}
	s := newSet(m)
	const n = 10_000_000
	for o := range int64(n) {
		s.add(o)
	}
	if m.used > 32<<10 {
		t.Errorf("a whole range of %d offsets takes %d bytes", n, m.used)
	}
	m = &meter{}
	s = newSet(m)
	for o := range int64(n) {
		s.add(3 * o)
	}
	if m.used > 3*n/8+64<<10 {
		t.Errorf("%d of %d offsets take %d bytes", n, 3*n, m.used)
	}
}
