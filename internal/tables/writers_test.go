package tables

import (
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var day = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func at(hour int) time.Time { return day.Add(time.Duration(hour) * time.Hour) }

func stream(job string, n int64, state, supersedes string) Generation {
	return Generation{Job: job, Generation: n, Kind: WriterStream, State: state, Group: "flights", RecordedAt: at(0), Seq: 1,
		Supersedes: bigquery.NullString{StringVal: supersedes, Valid: supersedes != ""}}
}

// backfill of the hours from, inclusive, to, exclusive, recorded after a number of hours.
func backfill(job, state string, from, to, recorded int) Generation {
	g := stream(job, 1, state, "")
	g.Kind, g.RecordedAt = WriterBackfill, at(recorded)
	g.WindowFrom = bigquery.NullTimestamp{Timestamp: at(from), Valid: true}
	g.WindowTo = bigquery.NullTimestamp{Timestamp: at(to), Valid: true}
	return g
}

func TestStandings(t *testing.T) {
	noSpan := backfill("fill", StateDrained, 0, 0, 1)
	noSpan.WindowTo.Valid = false
	otherGroup := stream("fares-0", 1, StateDrained, "")
	otherGroup.Group = "fares"
	for _, c := range []struct {
		name   string
		rows   []Generation
		counts map[string]string // writer → hours, of 0 to 5, in which it counts
		why    map[string]string
	}{
		{name: "open and drained count", rows: []Generation{stream("a", 2, StateOpen, ""), stream("a", 1, StateDrained, "")},
			counts: map[string]string{"a@1": "012345", "a@2": "012345"}},
		{name: "void and cancelled do not", rows: []Generation{stream("a", 1, StateVoid, ""), stream("a", 2, StateCancelled, ""), stream("a", 3, StateOpen, "a@2")},
			counts: map[string]string{"a@3": "012345"}, why: map[string]string{"a@1": "void", "a@2": "cancelled without a drain"}},
		{name: "what a later version says does not", rows: []Generation{stream("a", 1, "paused", ""), func() Generation { g := stream("a", 2, StateOpen, ""); g.Kind = "sketch"; return g }()},
			why: map[string]string{"a@1": `state "paused" is not known to this version`, "a@2": `kind "sketch" is not known to this version`}},
		{name: "a counting writer supersedes", rows: []Generation{stream("a", 1, StateDrained, ""), stream("a", 2, StateOpen, "a@1")},
			counts: map[string]string{"a@2": "012345"}, why: map[string]string{"a@1": "superseded by a@2"}},
		{name: "a void writer supersedes nothing", rows: []Generation{stream("a", 1, StateDrained, ""), stream("a", 2, StateVoid, "a@1")},
			counts: map[string]string{"a@1": "012345"}, why: map[string]string{"a@2": "void"}},
		{name: "a complete backfill replaces its windows, of later writers too",
			rows:   []Generation{stream("a", 1, StateDrained, ""), backfill("fill", StateDrained, 1, 3, 1), stream("a", 2, StateOpen, ""), otherGroup},
			counts: map[string]string{"a@1": "0345", "a@2": "0345", "fill@1": "12", "fares-0@1": "012345"}},
		{name: "one that is not complete, dead or without windows replaces nothing",
			rows:   []Generation{stream("a", 1, StateDrained, ""), backfill("f", StateOpen, 1, 3, 1), backfill("g", StateVoid, 1, 3, 1), noSpan},
			counts: map[string]string{"a@1": "012345"},
			why:    map[string]string{"f@1": "backfill not yet complete", "g@1": "void", "fill@1": "backfill without a span of windows"}},
		{name: "the last of overlapping backfills holds",
			rows:   []Generation{stream("a", 1, StateDrained, ""), backfill("f", StateDrained, 0, 3, 2), backfill("g", StateDrained, 2, 4, 1)},
			counts: map[string]string{"a@1": "45", "f@1": "012", "g@1": "3"}},
		{name: "a backfill that is superseded replaces nothing", rows: []Generation{stream("a", 1, StateDrained, ""), backfill("f", StateDrained, 0, 4, 1),
			func() Generation {
				g := backfill("g", StateDrained, 0, 2, 2)
				g.Supersedes = bigquery.NullString{StringVal: "f@1", Valid: true}
				return g
			}()},
			counts: map[string]string{"a@1": "2345", "g@1": "01"}, why: map[string]string{"f@1": "superseded by g@1"}},
		{name: "recorded at once: one holds", rows: []Generation{backfill("f", StateDrained, 0, 2, 1), backfill("g", StateDrained, 0, 2, 1)},
			counts: map[string]string{"g@1": "01"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			counts, why := map[string]string{}, map[string]string{}
			for _, s := range Standings(c.rows) {
				hours := ""
				for h := range 6 {
					if s.CountsAt(at(h)) {
						hours += string(rune('0' + h))
					}
				}
				if hours != "" {
					counts[s.Writer().String()] = hours
				}
				if s.Reason != "" {
					why[s.Writer().String()] = s.Reason
				}
			}
			if c.why == nil {
				c.why = map[string]string{}
			}
			if c.counts == nil {
				c.counts = map[string]string{}
			}
			if diff := cmp.Diff(c.counts, counts); diff != "" {
				t.Errorf("counting hours (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.why, why); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseWriter(t *testing.T) {
	if w, err := ParseWriter("flights-0@12"); err != nil || w != (Writer{"flights-0", 12}) || w.String() != "flights-0@12" {
		t.Errorf("%v, %v", w, err)
	}
	for _, bad := range []string{"", "flights-0", "@1", "a@", "a@0", "a@x"} {
		if _, err := ParseWriter(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestIDSlices(t *testing.T) {
	s := IDSlice{Subscription: "flights-3", Shard: 7, Shards: 16, Start: at(7), Size: time.Hour}
	if got, want := s.RowKey(), "flights-3#7.16#20010108T070000Z#3600"; got != want {
		t.Errorf("row key %s, want %s", got, want)
	}
	if back, err := ParseIDRowKey(s.RowKey()); err != nil || back != s {
		t.Errorf("read back %+v, %v", back, err)
	}
	for _, bad := range []string{"", "a#1.2#20010108T070000Z", "a#2.2#20010108T070000Z#60", "a#1#20010108T070000Z#60", "a#0.1#x#60", "a#0.1#20010108T070000Z#0"} {
		if _, err := ParseIDRowKey(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, c := range []struct {
		start time.Time
		size  time.Duration
		want  bool
	}{
		{at(0), 24 * time.Hour, true}, {at(6), 6 * time.Hour, true}, {at(7), time.Hour, true}, {at(7).Add(59 * time.Minute), time.Minute, true},
		{at(8), time.Hour, false}, {at(6), time.Hour, false}, {at(0), 6 * time.Hour, false}, {at(-24), 24 * time.Hour, false},
	} {
		o := s
		o.Start, o.Size = c.start, c.size
		within := slices.ContainsFunc(s.Overlapping(), func(r [2]string) bool { return r[0] <= o.RowKey() && o.RowKey() < r[1] })
		if within != c.want {
			t.Errorf("overlap with %s: %v", o.RowKey(), within)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) IDSlice {
			o := s
			o.Size = rapid.SampledFrom(SliceSizes).Draw(rt, name+" size")
			o.Start = day.Add(time.Duration(rapid.IntRange(0, 3*24*60).Draw(rt, name+" minute")) * time.Minute).Truncate(o.Size)
			return o
		}
		a, b := draw("a"), draw("b")
		within := slices.ContainsFunc(a.Overlapping(), func(r [2]string) bool { return r[0] <= b.RowKey() && b.RowKey() < r[1] })
		if want := a.Start.Before(b.Start.Add(b.Size)) && b.Start.Before(a.Start.Add(a.Size)); within != want {
			rt.Fatalf("%s and %s: %v, want %v", a.RowKey(), b.RowKey(), within, want)
		}
	})
	w := Writer{"flights-3", 2}
	if got, chunk, err := ParseIDQualifier(IDQualifier(w, 4)); err != nil || got != w || chunk != 4 {
		t.Errorf("%v %d %v", got, chunk, err)
	}
	for _, bad := range []string{"", "a/1", "a/x/0", "a/1/x"} {
		if _, _, err := ParseIDQualifier(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, c := range []struct{ horizon, want time.Duration }{
		{time.Second, time.Minute}, {time.Hour, time.Minute}, {4 * time.Hour, 15 * time.Minute}, {24 * time.Hour, time.Hour}, {96 * time.Hour, 6 * time.Hour}, {31 * 24 * time.Hour, 24 * time.Hour},
	} {
		if got := SliceSize(c.horizon); got != c.want {
			t.Errorf("slices for a horizon of %s: %s, want %s", c.horizon, got, c.want)
		}
	}
	for i := range SliceSizes[1:] {
		if SliceSizes[i+1]%SliceSizes[i] != 0 {
			t.Errorf("%s does not divide %s", SliceSizes[i], SliceSizes[i+1])
		}
	}
}
