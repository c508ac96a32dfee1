package catchup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"
)

// Knot says how many bytes of a range lie before an offset.
type Knot struct {
	Offset int64
	Bytes  float64
}

// Curve is how the bytes of a range are spread over its offsets: linear between
// knots. Offsets grow from knot to knot, bytes grow or stay. The first knot is
// at the range's beginning with 0 bytes, the last at its end.
type Curve []Knot

// Bytes returns the bytes of the whole range.
func (c Curve) Bytes() float64 {
	if len(c) == 0 {
		return 0
	}
	return c[len(c)-1].Bytes
}

// Before returns the bytes before an offset.
func (c Curve) Before(offset int64) float64 {
	i := sort.Search(len(c), func(i int) bool { return c[i].Offset > offset })
	switch {
	case i == 0:
		return 0
	case i == len(c):
		return c.Bytes()
	}
	a, b := c[i-1], c[i]
	return a.Bytes + (b.Bytes-a.Bytes)*float64(offset-a.Offset)/float64(b.Offset-a.Offset)
}

// Offset returns the offset before which there are that many bytes, as near as
// whole offsets come.
func (c Curve) Offset(bytes float64) int64 {
	i := sort.Search(len(c), func(i int) bool { return c[i].Bytes >= bytes })
	switch {
	case len(c) == 0:
		return 0
	case i == 0:
		return c[0].Offset
	case i == len(c):
		return c[len(c)-1].Offset
	}
	a, b := c[i-1], c[i] // a.Bytes < bytes <= b.Bytes
	return a.Offset + int64(float64(b.Offset-a.Offset)*(bytes-a.Bytes)/(b.Bytes-a.Bytes)+0.5)
}

// scaled returns the curve with all bytes multiplied.
func (c Curve) scaled(by float64) Curve {
	s := slices.Clone(c)
	for i := range s {
		s[i].Bytes *= by
	}
	return s
}

// Sample is what a short read at an offset found.
type Sample struct {
	Offset int64   // where it began
	Next   int64   // after the last offset that it covered; greater than Offset
	Bytes  float64 // of the records in between
	Stored float64 // what they take on the broker's disk
}

func onDisk(s Sample) float64 { return s.Stored }
func plain(s Sample) float64  { return s.Bytes }

// edge is the density at an edge of a gap: of samples[i] and of what follows it
// without a gap, in the direction of step, up to half of what a sample reads. One
// piece of a sample holds too few records to speak for a whole gap.
func edge(samples []Sample, i, step int, of func(Sample) float64) float64 {
	var offsets int64
	var bytes, seen float64
	for {
		s := samples[i]
		offsets += s.Next - s.Offset
		bytes += of(s)
		seen += s.Bytes
		j := i + step
		if seen >= sampleBytes/2 || j < 0 || j == len(samples) ||
			step > 0 && samples[j].Offset != s.Next || step < 0 && samples[j].Next != s.Offset {
			return bytes / float64(offsets)
		}
		i = j
	}
}

// newCurve draws the curve of [from, to) through samples in the order of their
// offsets. Between two samples the bytes are taken to be spread as the mean of
// what both found. of picks what is drawn.
func newCurve(from, to int64, samples []Sample, of func(Sample) float64) Curve {
	c := Curve{{Offset: from}}
	if to <= from {
		return c
	}
	add := func(until int64, density func() float64) {
		last := c[len(c)-1]
		until = min(until, to)
		if until > last.Offset {
			c = append(c, Knot{until, last.Bytes + density()*float64(until-last.Offset)})
		}
	}
	for i, s := range samples {
		add(s.Offset, func() float64 {
			after := edge(samples, i, 1, of)
			if i == 0 {
				return after
			}
			return (edge(samples, i-1, -1, of) + after) / 2
		})
		add(s.Next, func() float64 { return of(s) / float64(s.Next-s.Offset) })
	}
	add(to, func() float64 {
		if len(samples) == 0 {
			return 1 // without a sample every offset counts alike
		}
		return edge(samples, len(samples)-1, -1, of)
	})
	return c
}

// sampler reads a short stretch of a partition, from an offset on. It returns
// what it found in consecutive pieces, so that a change of the records' sizes
// is seen where it is.
type sampler func(ctx context.Context, p *Partition, offset int64) ([]Sample, error)

// firstSamples is how many samples each partition gets before it is looked at
// where more are worth it.
const firstSamples = 5

// measured is a partition with its samples, in the order of their offsets.
type measured struct {
	*Partition
	samples []Sample
}

// gap is a stretch that no sample covers.
type gap struct {
	of       *measured
	from, to int64
	doubt    float64 // how many bytes the estimate may be off there
}

// gaps lists the stretches between the samples, with how much is in doubt
// there. A stretch between two samples that agree is in some doubt, too.
func (m *measured) gaps() []gap {
	var found []gap
	at := m.From
	add := func(to int64, before, after int) {
		if to-at <= 1 {
			return
		}
		a := edge(m.samples, max(before, 0), 1, plain)
		if before >= 0 {
			a = edge(m.samples, before, -1, plain)
		}
		b := a
		if after < len(m.samples) {
			b = edge(m.samples, after, 1, plain)
		}
		d := max(a, b) - min(a, b) + 0.05*max(a, b)
		found = append(found, gap{m, at, to, d * float64(to-at)})
	}
	for i, s := range m.samples {
		add(s.Offset, i-1, i)
		at = max(at, s.Next)
	}
	add(m.To, len(m.samples)-1, len(m.samples))
	return found
}

// measure samples partitions: each a few times, then wherever most bytes are in
// doubt, until the doubt is small or all samples are used. Partitions that hold
// more get more of them.
func measure(ctx context.Context, parts []*Partition, read sampler, more, parallel int) ([]*measured, error) {
	found := make([]*measured, len(parts))
	var first []gap
	for i, p := range parts {
		m := &measured{Partition: p}
		found[i] = m
		width := p.To - p.From
		for k := range int64(firstSamples) {
			at := p.From + width*k/firstSamples
			if k == firstSamples-1 {
				at = p.To - max(1, width/64) // the end is often not like the rest
			}
			first = append(first, gap{of: m, from: at, to: at})
		}
	}
	take := func(gaps []gap) error {
		taken := make([][]Sample, len(gaps))
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for i, gap := range gaps {
			g.Go(func() (err error) {
				at := gap.from + (gap.to-gap.from)/2
				if taken[i], err = read(ctx, gap.of.Partition, at); err == nil && len(taken[i]) == 0 {
					err = fmt.Errorf("a sample of %s at offset %d covers nothing", gap.of.Partition, at)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for i, gap := range gaps {
			gap.of.samples = append(gap.of.samples, taken[i]...)
		}
		for _, m := range found {
			m.sort()
		}
		return nil
	}
	if err := take(first); err != nil {
		return nil, err
	}
	for more > 0 {
		var gaps []gap
		var total, doubt float64
		for _, m := range found {
			for _, s := range m.samples {
				total += s.Bytes
			}
			for _, g := range m.gaps() {
				gaps = append(gaps, g)
				doubt += g.doubt
				total += g.doubt // of the order of it, at least
			}
		}
		if doubt <= 0.001*total {
			break
		}
		slices.SortFunc(gaps, func(a, b gap) int { return cmp.Compare(b.doubt, a.doubt) })
		n := min(len(gaps), more, parallel)
		if err := take(gaps[:n]); err != nil {
			return nil, err
		}
		more -= n
	}
	return found, nil
}

// sort puts samples in order and cuts those that overlap.
func (m *measured) sort() {
	slices.SortFunc(m.samples, func(a, b Sample) int { return cmp.Compare(a.Offset, b.Offset) })
	kept := m.samples[:0]
	for _, s := range m.samples {
		if n := len(kept); n > 0 && s.Offset < kept[n-1].Next {
			if s.Next <= kept[n-1].Next {
				continue
			}
			at := kept[n-1].Next
			left := float64(s.Next-at) / float64(s.Next-s.Offset)
			s = Sample{Offset: at, Next: s.Next, Bytes: s.Bytes * left, Stored: s.Stored * left}
		}
		kept = append(kept, s)
	}
	m.samples = kept
}

// calibrated draws the curve of a partition and scales it by the size that the
// brokers report for the whole partition, if the range is most of it and the
// two are near: a log also holds segments that are only partly in use.
func (m *measured) calibrated() Curve {
	c := newCurve(m.From, m.To, m.samples, plain)
	disk := newCurve(m.From, m.To, m.samples, onDisk).Bytes()
	part := float64(m.To-m.From) / float64(max(m.end-m.start, 1))
	if m.size <= 0 || disk <= 0 || part < 0.5 || m.covered() {
		return c
	}
	if by := float64(m.size) * part / disk; by > 0.8 && by < 1.25 {
		return c.scaled(by)
	}
	return c
}

// covered reports whether the samples are the whole range, so that there is
// nothing to estimate.
func (m *measured) covered() bool { return len(m.gaps()) == 0 }
