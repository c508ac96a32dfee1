package compare

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/tables"
)

var epoch = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func hours(n float64) time.Time { return epoch.Add(time.Duration(n * float64(time.Hour))) }

func gen(job string, n int64, kind, state, supersedes string) tables.Generation {
	g := tables.Generation{Job: job, Generation: n, Kind: kind, State: state, Seq: 1}
	if supersedes != "" {
		g.Supersedes = bigquery.NullString{StringVal: supersedes, Valid: true}
	}
	return g
}

func watermarkOf(job string, n int64, at time.Time, maximum bool) tables.Watermark {
	return tables.Watermark{Group: "flights", Job: job, Generation: n, AtMaximum: maximum, ObservedAt: hours(100),
		Watermark: bigquery.NullTimestamp{Timestamp: at, Valid: !at.IsZero()}}
}

func TestDecideStream(t *testing.T) {
	open := func(job string, n int64) tables.Generation { return gen(job, n, "stream", "open", "") }
	tests := []struct {
		name    string
		gens    []tables.Generation
		marks   []tables.Watermark
		settled bool
		through time.Time // zero: at maximum
		problem string
	}{
		{name: "no watermarks at all", gens: nil, problem: "no job of the group flights has published a watermark"},
		{name: "a job of the group without a watermark", gens: []tables.Generation{open("flights-0", 1), open("flights-1", 1)},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(5), false)}, problem: "job flights-1: generation 1 has published no watermark"},
		{name: "jobs of other groups do not matter", gens: []tables.Generation{open("flights-0", 1), open("flights-eu-0", 1), open("fares-0", 1)},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(5), false)}, settled: true, through: hours(5)},
		{name: "the slowest job holds", gens: []tables.Generation{open("flights-0", 1), open("flights-1", 1), open("flights-2", 1)},
			marks:   []tables.Watermark{watermarkOf("flights-0", 1, hours(5), false), watermarkOf("flights-1", 1, hours(3), false), watermarkOf("flights-2", 1, time.Time{}, true)},
			settled: true, through: hours(3)},
		{name: "all at maximum", gens: []tables.Generation{gen("flights-0", 1, "stream", "drained", "")},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(5), true)}, settled: true},
		{name: "the newest generation counts, not the drained one before", gens: []tables.Generation{gen("flights-0", 1, "stream", "drained", ""), open("flights-0", 2)},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(9), true), watermarkOf("flights-0", 2, hours(2), false)}, settled: true, through: hours(2)},
		{name: "a new generation has not spoken yet", gens: []tables.Generation{gen("flights-0", 1, "stream", "drained", ""), open("flights-0", 2)},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(9), true)}, problem: "job flights-0: generation 2 has published no watermark"},
		{name: "a void generation holds until another takes its place", gens: []tables.Generation{gen("flights-0", 1, "stream", "drained", ""), gen("flights-0", 2, "stream", "void", "")},
			marks:   []tables.Watermark{watermarkOf("flights-0", 1, hours(9), true), watermarkOf("flights-0", 2, hours(9), true)},
			problem: "job flights-0: its newest generation 2 is void, and none has taken its place"},
		{name: "a void generation that was replaced", gens: []tables.Generation{gen("flights-0", 1, "stream", "void", ""), gen("flights-0", 2, "stream", "drained", "")},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(1), false), watermarkOf("flights-0", 2, hours(9), true)}, settled: true},
		{name: "unknown watermark", gens: []tables.Generation{open("flights-0", 1)}, marks: []tables.Watermark{watermarkOf("flights-0", 1, time.Time{}, false)},
			problem: "job flights-0: the watermark of generation 1 is not known yet"},
		{name: "a watermark of an unlisted job", marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(1), false)}, problem: "job flights-0: it is not in the generations table"},
		{name: "a backfill is no job of the group", gens: []tables.Generation{gen("flights-0", 1, "stream", "drained", ""), gen("flights-9", 1, "backfill", "open", "")},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(9), true)}, settled: true},
		{name: "nor is one that published a watermark", gens: []tables.Generation{gen("flights-0", 1, "stream", "drained", ""), gen("fill", 1, "backfill", "open", "")},
			marks: []tables.Watermark{watermarkOf("flights-0", 1, hours(9), true), watermarkOf("fill", 1, hours(1), false)}, settled: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := decideStream("flights", tt.gens, tt.marks)
			if s.settled != tt.settled || s.problem != tt.problem {
				t.Fatalf("settled %v, problem %q; want %v, %q", s.settled, s.problem, tt.settled, tt.problem)
			}
			if !s.settled {
				return
			}
			if s.atMaximum != tt.through.IsZero() || !s.atMaximum && !s.through.Equal(tt.through) {
				t.Errorf("at maximum %v, through %v; want through %v", s.atMaximum, s.through, tt.through)
			}
		})
	}
}

var hourly = windowing{size: time.Hour}

func load(from, to float64) tables.BatchLoad {
	return tables.BatchLoad{RangeStart: hours(from), RangeEnd: hours(to), LoadedAt: hours(200)}
}

func span(from, to float64) Range { return Range{hours(from), hours(to)} }

func TestDecideScope(t *testing.T) {
	through := func(h float64) streamState { return streamState{settled: true, through: hours(h)} }
	maximum := streamState{settled: true, atMaximum: true}
	tests := []struct {
		name    string
		r       Range
		after   time.Duration
		loads   []tables.BatchLoad
		stream  streamState
		settled []Range
		left    map[string]int64
	}{
		{"all of it", span(0, 8), 0, []tables.BatchLoad{load(0, 4), load(4, 8)}, maximum, []Range{span(0, 8)}, nil},
		{"a gap in the loads", span(0, 12), 0, []tables.BatchLoad{load(8, 12), load(0, 4)}, maximum, []Range{span(0, 4), span(8, 12)}, map[string]int64{LeftOutNotLoaded: 4}},
		{"overlapping loads", span(0, 6), 0, []tables.BatchLoad{load(0, 4), load(1, 2), load(3, 6)}, maximum, []Range{span(0, 6)}, nil},
		{"watermark inside", span(0, 8), 0, []tables.BatchLoad{load(0, 8)}, through(5.5), []Range{span(0, 5)}, map[string]int64{LeftOutStreamOpen: 3}},
		{"watermark exactly at a window's end settles it", span(0, 8), 0, []tables.BatchLoad{load(0, 8)}, through(5), []Range{span(0, 5)}, map[string]int64{LeftOutStreamOpen: 3}},
		{"settle after", span(0, 8), 2 * time.Hour, []tables.BatchLoad{load(0, 8)}, through(5), []Range{span(0, 3)}, map[string]int64{LeftOutStreamOpen: 5}},
		{"one microsecond short", span(0, 8), 0, []tables.BatchLoad{load(0, 8)}, streamState{settled: true, through: hours(5).Add(-time.Microsecond)}, []Range{span(0, 4)}, map[string]int64{LeftOutStreamOpen: 4}},
		{"watermark before everything", span(0, 8), 0, []tables.BatchLoad{load(0, 8)}, through(-5), nil, map[string]int64{LeftOutStreamOpen: 8}},
		{"nothing known of the stream", span(0, 8), 0, []tables.BatchLoad{load(0, 4)}, streamState{problem: "none"}, nil, map[string]int64{LeftOutNotLoaded: 4, LeftOutStreamOpen: 4}},
		{"bounds inside windows take whole windows", span(0.5, 3.5), 0, []tables.BatchLoad{load(0, 8)}, maximum, []Range{span(1, 4)}, nil},
		{"loads that end inside a window do not cover it", span(0, 8), 0, []tables.BatchLoad{load(0.5, 7.5)}, maximum, []Range{span(1, 7)}, map[string]int64{LeftOutNotLoaded: 2}},
		{"an empty range", Range{}, 0, nil, maximum, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			settled, left := decideScope(tt.r, hourly, tt.after, batchState{loads: tt.loads}, tt.stream)
			if diff := cmp.Diff(tt.settled, settled); diff != "" {
				t.Errorf("settled (-want +got):\n%s", diff)
			}
			got := map[string]int64{}
			for _, l := range left {
				got[l.Reason] = l.Windows
			}
			if tt.left == nil {
				tt.left = map[string]int64{}
			}
			if diff := cmp.Diff(tt.left, got); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

// Every window of the range is either settled or left out, once; and it is
// settled exactly if a load covers it and the watermark is past it.
func TestDecideScopeLosesNoWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hour := func(name string) float64 { return float64(rapid.IntRange(-30, 30).Draw(t, name)) }
		from := hour("from")
		r := span(from, from+float64(rapid.IntRange(1, 40).Draw(t, "length")))
		var loads []tables.BatchLoad
		for range rapid.IntRange(0, 5).Draw(t, "loads") {
			at := hour("load")
			loads = append(loads, load(at, at+float64(rapid.IntRange(1, 12).Draw(t, "size"))))
		}
		after := time.Duration(rapid.IntRange(0, 300).Draw(t, "after")) * time.Minute
		stream := streamState{settled: rapid.Bool().Draw(t, "known"), atMaximum: rapid.Bool().Draw(t, "maximum"), through: hours(hour("watermark"))}
		settled, left := decideScope(r, hourly, after, batchState{loads: loads}, stream)
		in := func(spans []Range, w time.Time) int {
			n := 0
			for _, s := range spans {
				if !w.Before(s.From) && w.Before(s.To) {
					n++
				}
			}
			return n
		}
		for w := r.From; w.Before(r.To); w = w.Add(time.Hour) {
			loaded := slices.ContainsFunc(coverageByHour(loads), func(h time.Time) bool { return h.Equal(w) })
			past := stream.settled && (stream.atMaximum || !w.Add(time.Hour+after).After(stream.through))
			if got := in(settled, w) == 1; got != (loaded && past) {
				t.Fatalf("window %s settled %v; loaded %v, past %v", w, got, loaded, past)
			}
			n := in(settled, w)
			for _, l := range left {
				n += in(l.Ranges, w)
				if in(l.Ranges, w) > 0 && (l.Reason == LeftOutNotLoaded) == loaded {
					t.Fatalf("window %s is left out for %s; loaded %v", w, l.Reason, loaded)
				}
			}
			if n != 1 {
				t.Fatalf("window %s is accounted for %d times", w, n)
			}
		}
	})
}

func coverageByHour(loads []tables.BatchLoad) []time.Time {
	var hs []time.Time
	for _, l := range loads {
		for w := l.RangeStart; w.Before(l.RangeEnd); w = w.Add(time.Hour) {
			hs = append(hs, w)
		}
	}
	return hs
}

func TestDefaultRange(t *testing.T) {
	batch := batchState{loads: []tables.BatchLoad{load(4, 8), load(0, 4)}}
	tests := []struct {
		name        string
		given, want Range
	}{
		{"nothing given", Range{}, span(0, 8)},
		{"from given", Range{From: hours(2)}, span(2, 8)},
		{"to given", Range{To: hours(2)}, span(0, 2)},
		{"both given", span(-4, 20), span(-4, 20)},
		{"from beyond the loads", Range{From: hours(9)}, span(9, 9)},
	}
	for _, tt := range tests {
		if got, err := defaultRange(batch, hourly, tt.given, 0); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	if got, err := defaultRange(batchState{}, hourly, Range{}, 0); err != nil || got != (Range{}) {
		t.Errorf("without loads: %v, %v, want none", got, err)
	}
	if s := (Config{Range: span(3, 3)}).Validate(); s == nil || !strings.Contains(s.Error(), "no spec") {
		t.Errorf("Validate = %v", s)
	}
}

// A week is seven calendar days, whatever clocks do in it.
func TestNewestDaysAcrossChangesOfClocks(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	w := windowing{size: day, zone: berlin}
	for _, end := range []time.Time{time.Date(2001, 3, 27, 0, 0, 0, 0, berlin), time.Date(2001, 10, 30, 0, 0, 0, 0, berlin), time.Date(2001, 6, 1, 0, 0, 0, 0, berlin)} {
		all := Range{end.AddDate(0, -2, 0).UTC(), end.UTC()}
		for last, want := range map[time.Duration]int64{7 * day: 7, 36 * time.Hour: 1} {
			if r := newest(all, []Range{all}, w, last); w.count([]Range{r}) != want || !w.floor(r.From).Equal(r.From) {
				t.Errorf("the newest %s before %s begin at %s: %d days", last, end, stamp(r.From), w.count([]Range{r}))
			}
		}
	}
	if r := newest(span(0, 30), []Range{span(0, 20)}, hourly, 90*time.Minute); r != span(19, 30) {
		t.Errorf("the newest 90 minutes of whole hours: %v", r)
	}
}
