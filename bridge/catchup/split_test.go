package catchup

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawCurve draws a curve over [from, from+width).
func drawCurve(t *rapid.T, from, width int64) Curve {
	c := Curve{{Offset: from}}
	for at := from; at < from+width; {
		n := rapid.Int64Range(1, from+width-at).Draw(t, "stretch")
		density := rapid.SampledFrom([]float64{0, 0.5, 10, 100, 1000, 10_000}).Draw(t, "density")
		at += n
		c = append(c, Knot{at, c.Bytes() + density*float64(n)})
	}
	return c
}

func drawParts(t *rapid.T) []*Partition {
	var parts []*Partition
	for i := range rapid.IntRange(1, 12).Draw(t, "partitions") {
		from := rapid.Int64Range(0, 1<<40).Draw(t, "from")
		width := rapid.Int64Range(1, rapid.SampledFrom([]int64{1, 10, 1000, 1_000_000, 1 << 35}).Draw(t, "most")).Draw(t, "width")
		p := &Partition{
			Source: fmt.Sprint("s", i%2), Topic: fmt.Sprint("t", i%3), Partition: int32(i), TopicID: "id",
			From: from, To: from + width, Curve: drawCurve(t, from, width),
		}
		parts = append(parts, p)
	}
	return parts
}

// Whatever the range, every offset is in exactly one split, and a split has at
// most one range of a partition.
func TestDivideLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := drawParts(t)
		n := rapid.IntRange(1, 60).Draw(t, "splits")
		p := newPlan("p", time.Now(), "", parts, n)
		if len(p.Splits) > n {
			t.Fatalf("%d splits instead of %d", len(p.Splits), n)
		}
		next := make(map[string]int64)
		var bytes, offsets int64
		for _, part := range parts {
			next[part.String()] = part.From
		}
		for i, s := range p.Splits {
			if s.Number != i || len(s.Ranges) == 0 {
				t.Fatalf("split %d has number %d and %d ranges", i, s.Number, len(s.Ranges))
			}
			seen := make(map[string]bool)
			var sum int64
			for _, r := range s.Ranges {
				name := r.String()
				if seen[name] {
					t.Fatalf("split %d has %s twice", i, name)
				}
				seen[name] = true
				if r.From != next[name] || r.To <= r.From || r.Next != r.From || r.Bytes < 0 {
					t.Fatalf("split %d: %+v, due is offset %d", i, r, next[name])
				}
				next[name] = r.To
				sum += r.Bytes
				offsets += r.To - r.From
			}
			if sum != s.Bytes {
				t.Fatalf("split %d has %d bytes, its ranges %d", i, s.Bytes, sum)
			}
			bytes += sum
		}
		var total float64
		for _, part := range parts {
			if next[part.String()] != part.To {
				t.Fatalf("%s is read up to %d instead of %d", part, next[part.String()], part.To)
			}
			total += part.Curve.Bytes()
		}
		if bytes != p.Bytes || offsets != p.Offsets || math.Abs(float64(bytes)-total) > 1 {
			t.Fatalf("plan of %d bytes and %d offsets, splits of %d and %d, partitions of %f", p.Bytes, p.Offsets, bytes, offsets, total)
		}
	})
}

// Where records are small against a split, no split but the last is more than a
// thousandth off the mean.
func TestDivideIsEven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := drawParts(t)
		n := rapid.IntRange(2, 60).Draw(t, "splits")
		p := newPlan("p", time.Now(), "", parts, n)
		largest := 0.0
		for _, part := range parts {
			for i := range part.Curve[1:] {
				a, b := part.Curve[i], part.Curve[i+1]
				largest = max(largest, (b.Bytes-a.Bytes)/float64(b.Offset-a.Offset))
			}
		}
		mean := float64(p.Bytes) / float64(n)
		if len(p.Splits) < n {
			if mean > 2*largest {
				t.Fatalf("%d splits of %d, though a split holds several records", len(p.Splits), n)
			}
			return
		}
		allowed := max(0.001*mean, largest+2)
		for _, s := range p.Splits[:n-1] {
			if off := math.Abs(float64(s.Bytes) - mean); off > allowed {
				t.Fatalf("split %d has %d bytes, the mean is %f", s.Number, s.Bytes, mean)
			}
		}
	})
}

// One of 8 partitions holds 80 % of the bytes: most splits read it, all are
// equal.
func TestDivideSkewed(t *testing.T) {
	var parts []*Partition
	for i := range int32(8) {
		n := int64(1_000_000)
		if i == 3 {
			n = 28_000_000
		}
		parts = append(parts, &Partition{Source: "s", Topic: "t", Partition: i, To: n, Curve: Curve{{0, 0}, {n, float64(n) * 997}}})
	}
	p := newPlan("p", time.Now(), "", parts, 40)
	if p.Even() > 0.001 || len(p.Splits) != 40 {
		t.Fatalf("%d splits, off by %f", len(p.Splits), p.Even())
	}
	readers := 0
	for _, s := range p.Splits {
		for _, r := range s.Ranges {
			if r.Partition == 3 {
				readers++
			}
		}
	}
	if readers < 32 || readers > 34 {
		t.Errorf("%d splits read the large partition", readers)
	}
}

func TestCurveIsItsOwnInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64Range(0, 1<<40).Draw(t, "from")
		width := rapid.Int64Range(1, 1<<20).Draw(t, "width")
		c := drawCurve(t, from, width)
		at := rapid.Int64Range(from, from+width).Draw(t, "at")
		bytes := c.Before(at)
		if back := c.Before(c.Offset(bytes)); math.Abs(back-bytes) > 1e-6*max(1, bytes) {
			t.Fatalf("offset %d has %f bytes before it, the offset for that has %f", at, bytes, back)
		}
		if c.Before(from) != 0 || c.Before(from+width) != c.Bytes() || c.Before(from-1) != 0 || c.Before(from+width+1) != c.Bytes() {
			t.Fatalf("the ends of %v", c)
		}
	})
}

func TestNewCurve(t *testing.T) {
	bytes := func(s Sample) float64 { return s.Bytes }
	for _, c := range []struct {
		name     string
		from, to int64
		samples  []Sample
		want     Curve
	}{
		{"no samples", 10, 20, nil, Curve{{10, 0}, {20, 10}}},
		{"one sample is all", 0, 10, []Sample{{0, 10, 500, 0}}, Curve{{0, 0}, {10, 500}}},
		{"between samples the mean", 0, 30, []Sample{{0, 10, 100, 0}, {20, 30, 300, 0}}, Curve{{0, 0}, {10, 100}, {20, 300}, {30, 600}}},
		{"beyond the last as the last", 0, 30, []Sample{{5, 10, 50, 0}}, Curve{{0, 0}, {5, 50}, {10, 100}, {30, 300}}},
		{"a sample that goes too far", 0, 8, []Sample{{0, 10, 100, 0}}, Curve{{0, 0}, {8, 80}}},
		{"nothing", 5, 5, nil, Curve{{5, 0}}},
	} {
		if diff := cmp.Diff(c.want, newCurve(c.from, c.to, c.samples, bytes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
