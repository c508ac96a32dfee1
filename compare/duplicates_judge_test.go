package compare

import (
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestDuplicatesRange(t *testing.T) {
	hour := time.Hour
	w := windowing{size: hour}
	spec := &jobspecs.DuplicateMonitorSpec{Range: jobspecs.DuplicateRange{Last: jobspecs.Duration(4 * hour)}, Counts: jobspecs.DuplicateCounts{SettleAfter: jobspecs.Duration(30 * time.Minute)}}
	through := func(h float64) streamState { return streamState{settled: true, through: hours(h)} }
	for _, c := range []struct {
		name   string
		asked  Range
		stream streamState
		from   float64
		to     float64
		reason string
	}{
		{"the newest", Range{}, through(10.6), 6, 10, ""},
		{"not past the end by settleAfter", Range{}, through(10.4), 5, 9, ""},
		{"everything is read", Range{}, streamState{settled: true, atMaximum: true}, 16, 20, ""},
		{"until", Range{To: hours(8.5)}, through(10.6), 4, 8, ""},
		{"beyond what is settled", Range{To: hours(15)}, through(10.6), 6, 10, ""},
		{"from", Range{From: hours(1.5)}, through(10.6), 2, 10, ""},
		{"both", Range{From: hours(1), To: hours(3)}, through(10.6), 1, 3, ""},
		{"from what is not settled", Range{From: hours(12)}, through(10.6), 0, 0, "the watermark is at"},
		{"nothing settled", Range{}, streamState{problem: "job flights-0: it is void"}, 0, 0, "it is void"},
	} {
		r, reason := duplicatesRange(w, c.asked, spec, c.stream, hours(20.9))
		switch {
		case c.reason != "":
			if !strings.Contains(reason, c.reason) {
				t.Errorf("%s: %v, reason %q, want %q", c.name, r, reason, c.reason)
			}
		case reason != "" || !r.From.Equal(hours(c.from)) || !r.To.Equal(hours(c.to)):
			t.Errorf("%s: %v, reason %q, want hours %v to %v", c.name, r, reason, c.from, c.to)
		}
	}
}

var alertTest = jobspecs.DuplicateAlert{MaxPercentBefore: "5", MaxPercentAfter: "0", MaxIncrease: "1"}

func duplicatesOf(now, past DuplicateCounts) *Duplicates {
	d := &Duplicates{Range: &Range{hours(4), hours(8)}, top: 10}
	d.count([]countedWindow{{hours(0), past.Deliveries, past.Late, past.Counted}, {hours(5), now.Deliveries, now.Late, now.Counted}})
	return d
}

func TestSecondLook(t *testing.T) {
	steady := DuplicateCounts{Deliveries: 1020, Counted: 1000}
	for _, c := range []struct {
		name      string
		now, past DuplicateCounts
		exact     bool
		want      string
	}{
		{"as in the past", steady, steady, false, ""},
		{"asked for", steady, steady, true, "asked for"},
		{"nothing at all", DuplicateCounts{}, steady, true, ""},
		{"nothing is counted", DuplicateCounts{Deliveries: 10}, steady, false, "nothing is counted"},
		{"too much is counted", DuplicateCounts{Deliveries: 999, Counted: 1000}, steady, false, "more events are counted"},
		{"all were late", DuplicateCounts{Deliveries: 1000, Late: 20, Counted: 1000}, steady, false, "more events are counted"},
		{"at the bound", DuplicateCounts{Deliveries: 1050, Counted: 1000}, DuplicateCounts{Deliveries: 1045, Counted: 1000}, false, ""},
		{"above the bound", DuplicateCounts{Deliveries: 1051, Counted: 1000}, DuplicateCounts{Deliveries: 1045, Counted: 1000}, false, "maxPercentBefore"},
		{"late ones are no duplicates", DuplicateCounts{Deliveries: 1100, Late: 80, Counted: 1000}, steady, false, ""},
		{"risen by a point", DuplicateCounts{Deliveries: 1030, Counted: 1000}, steady, false, ""},
		{"risen by more", DuplicateCounts{Deliveries: 1031, Counted: 1000}, steady, false, "risen"},
		{"fallen by a point", DuplicateCounts{Deliveries: 1010, Counted: 1000}, steady, false, ""},
		{"fallen by more", DuplicateCounts{Deliveries: 1009, Counted: 1000}, steady, false, "fallen"},
		{"no past", DuplicateCounts{Deliveries: 1050, Counted: 1000}, DuplicateCounts{}, false, ""},
	} {
		m := &monitor{cfg: DuplicatesConfig{Exact: c.exact}, spec: &jobspecs.DuplicateMonitorSpec{Alert: alertTest}, result: duplicatesOf(c.now, c.past)}
		if got := m.second(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDuplicatesVerdict(t *testing.T) {
	steady := DuplicateCounts{Deliveries: 1020, Counted: 1000}
	exact := func(d *Duplicates, c DistinctCounts, counted ...int64) *Duplicates {
		events, late := c.Events, c.TooLate
		d.distinct(distinctEvents{total: c, windows: map[time.Time]DuplicateWindow{hours(5): {Events: &events, TooLate: &late}}},
			[]countedWindow{{hours(0), 5000, 0, 1}, {hours(5), 1020, 0, counted[0]}})
		return d
	}
	for _, c := range []struct {
		name    string
		of      *Duplicates
		verdict string
		rule    string
	}{
		{"by counts", duplicatesOf(steady, steady), DuplicatesOK, "by counts of rows"},
		{"nothing settled", &Duplicates{Rule: "no watermark"}, DuplicatesNoData, "no watermark"},
		{"nothing there", duplicatesOf(DuplicateCounts{}, steady), DuplicatesNoData, "nothing was delivered or counted"},
		{"no raw events", duplicatesOf(DuplicateCounts{Counted: 5}, steady), DuplicatesNoData, "no delivery"},
		{"too many before", duplicatesOf(DuplicateCounts{Deliveries: 1060, Counted: 1000}, DuplicateCounts{}), DuplicatesAlert, "6.00 % of the counted events, wanted at most 5 % (maxPercentBefore)"},
		{"risen", duplicatesOf(DuplicateCounts{Deliveries: 1040, Counted: 1000}, steady), DuplicatesAlert, "maxIncrease"},
		{"exact", exact(duplicatesOf(steady, steady), DistinctCounts{Events: 1000, Redelivered: 20}, 1000), DuplicatesOK, "all thresholds hold"},
		{"one counted twice", exact(duplicatesOf(steady, steady), DistinctCounts{Events: 1000, Redelivered: 20}, 1001), DuplicatesAlert, "0.10 % of the events, wanted at most 0 % (maxPercentAfter)"},
		{"one too late is counted", exact(duplicatesOf(steady, steady), DistinctCounts{Events: 1000, TooLate: 1, Redelivered: 20}, 1000), DuplicatesAlert, "maxPercentAfter"},
		{"not all are counted", exact(duplicatesOf(steady, steady), DistinctCounts{Events: 1000, Redelivered: 20}, 990), DuplicatesOK, "all thresholds hold"},
		{"all were too late and one is counted", exact(duplicatesOf(steady, steady), DistinctCounts{Events: 1000, TooLate: 1000, Redelivered: 20}, 1), DuplicatesAlert, "none delivered in time"},
	} {
		c.of.judge(alertTest)
		if c.of.Verdict != c.verdict || !strings.Contains(c.of.Rule, c.rule) {
			t.Errorf("%s: %s, %q, want %s, %q", c.name, c.of.Verdict, c.of.Rule, c.verdict, c.rule)
		}
	}
}

func TestDimensionsOf(t *testing.T) {
	w := steady(t)
	w.create()
	md, err := client.Dataset(w.spec.Spec.Dataset).Table("stream_flights").Metadata(ctxBackground)
	if err != nil {
		t.Fatal(err)
	}
	if dims, rollup := dimensionsOf(md.Schema); len(dims) != 1 || dims[0] != "origin" || rollup != nil {
		t.Errorf("got %v, %v", dims, rollup)
	}
}
