package compare

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPartitions(t *testing.T) {
	hourly := windowing{size: time.Hour}
	tests := []struct {
		name    string
		w       windowing
		settled []Range
		length  time.Duration
		want    [][]Range
	}{
		{"nothing", hourly, nil, day, nil},
		{"no longer than one", hourly, []Range{span(3, 27)}, day, [][]Range{{span(3, 27)}}},
		{"longer, at multiples", hourly, []Range{span(3, 28)}, day, [][]Range{{span(3, 24)}, {span(24, 28)}}},
		{"spans are cut", hourly, []Range{span(0, 2), span(3, 9)}, 4 * time.Hour, [][]Range{{span(0, 2), span(3, 4)}, {span(4, 8)}, {span(8, 9)}}},
		{"a gap has no partition", hourly, []Range{span(0, 2), span(20, 22)}, 4 * time.Hour, [][]Range{{span(0, 2)}, {span(20, 22)}}},
		{"boundaries are windows", windowing{size: 3 * time.Hour, offset: time.Hour}, []Range{span(1, 13)}, 4 * time.Hour, [][]Range{{span(1, 4)}, {span(4, 10)}, {span(10, 13)}}},
		{"never less than a window", windowing{size: 2 * time.Hour}, []Range{span(0, 6)}, time.Minute, [][]Range{{span(0, 2)}, {span(2, 4)}, {span(4, 6)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, partitions(tt.settled, tt.w, tt.length)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPartitionsAreBounded(t *testing.T) {
	seconds := windowing{size: time.Second}
	for _, spans := range partitions([]Range{span(0, 240)}, seconds, 10*day) {
		if n := seconds.count(spans); n > maxWindows {
			t.Fatalf("a partition of %d windows; a query returns %d", n, maxWindows)
		}
	}
	var many []Range
	for i := range 500 {
		many = append(many, span(float64(2*i), float64(2*i+1)))
	}
	for _, spans := range partitions(many, windowing{size: time.Hour}, 1000*day) {
		if len(spans) > maxSpans {
			t.Fatalf("a partition of %d spans; a query names %d", len(spans), maxSpans)
		}
	}
}

// Partitions hold every settled window once, whatever the spans, and in order.
func TestPartitionsCoverTheRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := windowing{size: time.Duration(rapid.IntRange(1, 30).Draw(t, "size")) * time.Hour}
		w.offset = min(w.size-time.Hour, time.Duration(rapid.IntRange(0, 5).Draw(t, "offset"))*time.Hour)
		var settled []Range
		at := w.ceil(hours(0))
		for range rapid.IntRange(1, 5).Draw(t, "spans") {
			from := at.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "gap")) * w.size)
			at = from.Add(time.Duration(rapid.IntRange(1, 50).Draw(t, "length")) * w.size)
			settled = append(settled, Range{from, at})
		}
		var all []Range
		for _, spans := range partitions(settled, w, time.Duration(rapid.IntRange(1, 400).Draw(t, "partition"))*time.Hour) {
			for _, s := range spans {
				if !w.floor(s.From).Equal(s.From) || !w.floor(s.To).Equal(s.To) {
					t.Fatalf("%v is not of whole windows", s)
				}
				all = append(all, s)
			}
		}
		if !slices.IsSortedFunc(all, func(a, b Range) int { return a.From.Compare(b.From) }) || w.count(all) != w.count(settled) {
			t.Fatalf("%v is not in order, or not all, of %v", all, settled)
		}
		if diff := cmp.Diff(settled, union(all)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// randomPart is what a query may have found, with at most a handful of each thing.
func randomPart(t *rapid.T, window int) *part {
	rat := func(label string) *big.Rat { return big.NewRat(rapid.Int64Range(-1000, 1000).Draw(t, label), 10) }
	counts := Counts{Exact: rapid.Int64Range(0, 9).Draw(t, "exact"), Missing: rapid.Int64Range(0, 9).Draw(t, "missing")}
	counts.Total = counts.Exact + counts.Missing
	p := &part{settled: []Range{span(float64(window), float64(window+1))}, counts: counts, batchRows: 1, streamRows: 3, copies: 5, conflicts: 6,
		ignored: map[string]int64{"a@1": rapid.Int64Range(1, 9).Draw(t, "ignored")}, unexamined: 7, evidence: 8, lowerBound: 9, jobs: []QueryJob{{Purpose: purposeReconcile, ID: fmt.Sprint(window), Processed: 1, Billed: 2}}}
	for range 2 {
		p.metrics = append(p.metrics, partMetric{batch: rat("batch"), stream: rat("stream"), difference: rat("difference"), absolute: rat("absolute"),
			weight: map[string]*big.Rat{ClassExact: rat("weight"), ClassMissing: rat("weight")}, skipped: 1})
	}
	p.windows = []partWindow{{WindowResult{Start: hours(float64(window)), Counts: counts, Metrics: []MetricDelta{{"a", "1.5", "1.5"}}}, []windowWeight{{rat("all"), rat("agree")}}}}
	var values []SegmentValue
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"", "ATL", "ORD", "ü"}), func(s string) string { return s }).Draw(t, "values") {
		v := &name
		if name == "" {
			v = nil
		}
		values = append(values, SegmentValue{Values: []*string{v}, Counts: counts, Metrics: []MetricDelta{{"a", decimalText(rat("d")), decimalText(rat("a"))}}})
	}
	p.segments = []partSegment{{worst: values}}
	p.differences = []difference{{class: ClassMissing, keys: []bigqueryValue{"ORD", int64(-7), nil, hours(0.5), true}, window: hours(float64(window)), batchRows: 2, batch: sideValue{true, []*big.Rat{rat("v"), nil}},
		stream: sideValue{false, []*big.Rat{nil, nil}}, cause: "late", status: Proven, evidence: "so it is", known: "k", batchTexts: []string{"NaN"}, streamTexts: []string{""}}}
	p.finish()
	return p
}

// Merging is exact and does not depend on the order.
func TestMergePartsIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []*part
		for i := range rapid.IntRange(1, 4).Draw(t, "parts") {
			parts = append(parts, randomPart(t, i))
		}
		var keys, ignored int64
		difference := new(big.Rat)
		byValue := map[string]int64{}
		for _, p := range parts {
			keys, ignored = keys+p.counts.Total, ignored+p.ignored["a@1"]
			difference.Add(difference, p.metrics[1].difference)
			for _, v := range p.segments[0].worst {
				byValue[keyJSON(v.Values)] += v.Counts.Total
			}
		}
		m := mergeParts(parts)
		slices.Reverse(parts)
		other := mergeParts(parts)
		n := int64(len(parts))
		if m.counts.Total != keys || m.ignored["a@1"] != ignored || m.metrics[1].difference.Cmp(difference) != 0 || m.batchRows != n || m.streamRows != 3*n ||
			m.copies != 5*n || m.conflicts != 6*n || m.unexamined != 7*n || m.evidence != 8*n || m.lowerBound != 9*n || m.metrics[0].skipped != n || len(m.jobs) != len(parts) || len(m.windows) != len(parts) {
			t.Fatalf("merged wrongly: %+v", m)
		}
		for _, v := range m.segments[0].worst {
			if byValue[keyJSON(v.Values)] != v.Counts.Total {
				t.Fatalf("value %s has %d keys, want %d", keyJSON(v.Values), v.Counts.Total, byValue[keyJSON(v.Values)])
			}
		}
		if len(m.segments[0].worst) != len(byValue) || !slices.IsSortedFunc(m.windows, func(a, b partWindow) int { return a.Start.Compare(b.Start) }) {
			t.Fatalf("values or windows are lost, or out of order")
		}
		slices.SortFunc(m.jobs, byID)
		slices.SortFunc(other.jobs, byID)
		slices.SortFunc(m.settled, byFrom)
		slices.SortFunc(other.settled, byFrom)
		if diff := cmp.Diff(m, other, partOptions...); diff != "" {
			t.Fatalf("the order matters:\n%s", diff)
		}
	})
}

func TestMergePartsBoundsTheDifferences(t *testing.T) {
	many := func(window int) *part {
		p := &part{counts: Counts{Total: maxDifferingKeys, Extra: maxDifferingKeys}}
		for i := range maxDifferingKeys {
			p.differences = append(p.differences, difference{class: ClassExtra, keys: []bigqueryValue{int64(i)}, window: hours(float64(window))})
		}
		return p
	}
	m := mergeParts([]*part{many(0), many(1)})
	if len(m.differences) != maxDifferingKeys || m.counts.Differing() != 2*maxDifferingKeys {
		t.Errorf("%d differences kept of %d", len(m.differences), m.counts.Differing())
	}
	if c := summarize(m.differences, m.counts.Differing(), 0); c.Unexamined != maxDifferingKeys {
		t.Errorf("%d keys are not examined", c.Unexamined)
	}
}

// A segment of more values than a query returns is not known as a whole.
func TestMergedSegmentsSayThatTheyAreApproximate(t *testing.T) {
	p := &part{segments: []partSegment{{truncated: true}}}
	if mergeParts([]*part{p}).segments[0].approximate || !mergeParts([]*part{p, {segments: []partSegment{{}}}}).segments[0].approximate {
		t.Error("one part is exact, two of which one was cut off are not")
	}
}

// Totals of all parts add up; what does not add up stays absent.
func TestMergePartsAddsUpTotals(t *testing.T) {
	of := func(n int64) *part {
		return &part{metrics: []partMetric{{batch: whole(n), stream: whole(-n), difference: whole(n), absolute: whole(n)}, {}}}
	}
	m := mergeParts([]*part{of(3), of(4)}).metrics
	if m[0].batch.Cmp(whole(7)) != 0 || m[0].stream.Cmp(whole(-7)) != 0 || m[1].batch != nil || m[1].stream != nil {
		t.Errorf("%+v", m)
	}
}
