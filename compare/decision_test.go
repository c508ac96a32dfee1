package compare

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// A GO rests on something recent, or is none.
func TestDecisionsGrowOld(t *testing.T) {
	const month = 31 * 24 * time.Hour
	day := func(n int, exact int64, started bool, at float64) tables.CompareRun {
		row := tables.CompareRun{SpecHash: "h", Segment: tables.SegmentDay, RangeFrom: hours(float64(24 * n)), RangeTo: hours(float64(24*n + 24)), Windows: 24, Keys: 5, Exact: exact, Mismatch: 5 - exact,
			BatchRows: intCell(5), StreamRows: intCell(5), Metrics: "[]"}
		if started {
			row.StartedAt = bigquery.NullTimestamp{Timestamp: hours(at), Valid: true}
		}
		return row
	}
	good := past{days: []tables.CompareRun{day(1, 5, true, 50), day(0, 5, true, 90)}} // the older day was compared once more
	scheduled := past{days: []tables.CompareRun{day(1, 5, false, 0), day(0, 5, false, 0)}}
	tests := map[string]struct {
		past   past
		days   int
		at     float64 // hour of the decision
		maxAge time.Duration
		want   string
		newest float64
		rule   string
	}{
		"recent":                        {good, 2, 53, 3 * time.Hour, Go, 50, "unexplained"},
		"too old":                       {good, 2, 53.1, 3 * time.Hour, NoData, 50, "compared at 2001-01-10T02:00:00Z, 3h6m ago; wanted compared within 3h (--max-age)"},
		"the older day does not count":  {good, 2, 91, 3 * time.Hour, NoData, 50, "--max-age"},
		"a month old":                   {good, 2, 50 + month.Hours(), 72 * time.Hour, NoData, 50, "744h ago"},
		"any age":                       {good, 2, 50 + month.Hours(), 0, Go, 50, "unexplained"},
		"of a schedule":                 {scheduled, 2, 50, 3 * time.Hour, Go, 48, "unexplained"},
		"of a schedule, too old":        {scheduled, 2, 52, 3 * time.Hour, NoData, 48, "--max-age"},
		"a HOLD stays one":              {past{days: []tables.CompareRun{day(0, 4, true, 30)}}, 1, 500, time.Hour, Hold, 30, "1 unexplained"},
		"by the newest run":             {past{runs: []tables.CompareRun{day(0, 5, true, 30), day(0, 5, true, 29)}}, 0, 31, time.Hour, Go, 30, "the newest run"},
		"by the newest run, too old":    {past{runs: []tables.CompareRun{day(0, 5, true, 30)}}, 0, 31.1, time.Hour, NoData, 30, "--max-age"},
		"by a scheduled run, too old":   {past{runs: []tables.CompareRun{day(0, 5, false, 0)}}, 0, 26, time.Hour, NoData, 24, "--max-age"},
		"nothing is recorded":           {past{}, 2, 0, time.Hour, NoData, -1, ""},
		"nothing is recorded of ranges": {past{}, 0, 0, time.Hour, NoData, -1, "no run of this spec is recorded"},
	}
	for name, tt := range tests {
		d, err := decideByPast(&Result{SpecHash: "h", Gate: Gate{Days: tt.days}}, tt.past, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.age(hours(tt.at), tt.maxAge)
		if d.Verdict.Verdict != tt.want || !strings.Contains(d.Verdict.Rule, tt.rule) {
			t.Errorf("%s: %s by %s, want %s by %q", name, d.Verdict.Verdict, d.Verdict.Rule, tt.want, tt.rule)
		}
		if known := d.Newest != nil; known != (tt.newest >= 0) || known && !d.Newest.Equal(hours(tt.newest)) {
			t.Errorf("%s: the newest was compared at %v", name, d.Newest)
		}
		if n := len(d.Verdict.Checks); tt.maxAge > 0 && d.Newest != nil && (d.Verdict.Checks[n-1].Rule != ruleAge || d.Verdict.Checks[n-1].OK != (tt.rule != "--max-age" && !strings.Contains(tt.rule, "ago") && tt.want == Go)) {
			t.Errorf("%s: checks %+v", name, d.Verdict.Checks)
		}
	}

	r := &Result{Started: hours(0), Scope: Scope{Windows: 1}, Counts: Counts{Total: 5, Exact: 5}, Batch: BatchFreshness{Rows: 5}, Stream: StreamFreshness{Rows: 5}}
	for at, want := range map[float64]string{3: Go, 3.5: NoData} {
		if d := DecideByResult(r, hours(at), 3*time.Hour); d.Verdict.Verdict != want {
			t.Errorf("a result of %g hours ago: %s by %s", at, d.Verdict.Verdict, d.Verdict.Rule)
		}
	}
}
