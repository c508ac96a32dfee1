package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
)

func text(s string) *string { return &s }

var epoch = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func hours(n float64) time.Time { return epoch.Add(time.Duration(n * float64(time.Hour))) }

func span(from, to float64) compare.Range { return compare.Range{From: hours(from), To: hours(to)} }

// fixture is a result like that of the flights week in which everything that a
// result can hold is there, with texts in it that must be escaped. Its verdict is
// HOLD.
func fixture() *compare.Result {
	watermark, seen, replaced := hours(170), hours(171), span(40, 42)
	covered, loaded := hours(168), hours(172)
	r := &compare.Result{
		Version: compare.ResultVersion, Comparison: "flights", Description: "May the hourly flights per origin <airport> be served from the stream?",
		Environment: "sandbox", SpecHash: strings.Repeat("5e", 32), Started: hours(173), Seconds: 2.5,
		Gate: compare.Gate{Days: 7, MinExactPercent: "95", MinExactValuePercent: "90.5", MaxUnexplained: 0, MaxUnexplainedValuePercent: "0"},
		Scope: compare.Scope{Project: "kappa-demo", Dataset: "kappa",
			Batch:  compare.SideScope{Kind: compare.SideView, Name: "kappa-demo.kappa.batch_flights", Where: "origin <> 'XXX'", Query: "SELECT 1\nFROM `view`"},
			Stream: compare.SideScope{Kind: compare.SideFiles, Name: "files", Files: []string{"new/*.avro"}, Job: "flights"}, Keys: []string{"origin", "carrier"},
			Range: span(0, 172), Default: true, WindowSize: "1h", Offset: "15m", Settled: []compare.Range{span(0, 60), span(61, 169)}, Windows: 168,
			LeftOut: []compare.LeftOut{{Reason: compare.LeftOutStreamOpen, Message: "the stream's watermark, 2001-01-15T02:00:00Z, is not past their end by 2h", Windows: 3, Ranges: []compare.Range{span(169, 172)}},
				{Reason: compare.LeftOutNotLoaded, Message: "no load covers them", Windows: 1, Ranges: []compare.Range{span(60, 61)}}}},
		Batch: compare.BatchFreshness{Loads: 43, Reloaded: 2, CoveredTo: &covered, LastLoaded: &loaded, Rows: 16372},
		Stream: compare.StreamFreshness{SettledTo: &watermark, Rows: 18000, Copies: 3,
			Jobs: []compare.JobState{{Job: "flights-0", Generation: 2, Watermark: &watermark, ObservedAt: &seen}, {Job: "flights-1", Generation: 1, AtMaximum: true, ObservedAt: &seen}},
			Generations: []compare.Writer{
				{Job: "fill", Generation: 1, Kind: "backfill", State: "drained", Counts: true, Within: &replaced},
				{Job: "flights-0", Generation: 1, Kind: "stream", State: "void", Reason: "void", Ignored: 120},
				{Job: "flights-0", Generation: 2, Kind: "stream", State: "open", Counts: true, Except: []compare.ReplacedRange{{Range: replaced, By: "fill@1"}}, Ignored: 7},
				{Job: "flights-1", Generation: 1, Kind: "stream", State: "drained", Counts: true, Except: []compare.ReplacedRange{{Range: replaced, By: "fill@1"}}}}},
		Warnings: []string{"3 rows of ghost@1 do not count: the writer is not in the generations table"},
		Cost: compare.Cost{Estimated: 1_700_000, Accuracy: "PRECISE", Processed: 1_700_000, Billed: 20 << 20, LowerBound: 20 << 20, Ratio: compare.NewRatio(1, 1), Evidence: 9_000_000,
			Jobs: []compare.QueryJob{{Purpose: "reconcile", ID: "job_abc", Processed: 1_700_000, Billed: 20 << 20}, {Purpose: "evidence", ID: "job_def", Processed: 9_000_000, Billed: 20 << 20}}},
		Partitions: 3, Resumed: 1,
	}
	fillWindows(r)
	r.Exact, r.Agree = compare.NewRatio(r.Counts.Exact, r.Counts.Total), compare.NewRatio(r.Counts.Exact+r.Counts.Tolerated, r.Counts.Total)
	weight := func(exact, tolerated, mismatch, extra string) map[string]string {
		return map[string]string{compare.ClassExact: exact, compare.ClassTolerated: tolerated, compare.ClassMismatch: mismatch, compare.ClassExtra: extra, compare.ClassMissing: "0", compare.ClassNonunique: "0"}
	}
	r.Metrics = []compare.Metric{
		{Name: "flights", Type: "count", Value: "INT64", BatchTotal: "114000", StreamTotal: "115245", Difference: "1245", Absolute: "1245", Weight: weight("110000", "100", "4900", "245"), Exact: compare.Ratio{Num: "110000", Den: "115245"}, Agree: compare.Ratio{Num: "110100", Den: "115245"}, Unexplained: compare.Ratio{Num: "2", Den: "115245"}},
		{Name: "delay_sum", Type: "sum", Value: "BIGNUMERIC", BatchTotal: "9007199254740993.000000001", StreamTotal: "-5", Difference: "-9007199254740998.000000001", Absolute: "9007199254740998.000000001", Weight: weight("0", "0", "9007199254740993", "0"), Exact: compare.Ratio{Num: "0", Den: "9007199254740993"}, Agree: compare.Ratio{Num: "0", Den: "9007199254740993"}, Unexplained: compare.Ratio{Num: "9007199254740993", Den: "9007199254740993"}},
		{Name: "speed_max", Type: "max", Value: "FLOAT64", Tolerance: "0.5 %", Approximate: true, Skipped: 6, Difference: "0.25", Absolute: "3.5", Weight: weight("1000.5", "20", "3", "0"), Exact: compare.Ratio{Num: "1000.5", Den: "1023.5"}, Agree: compare.Ratio{Num: "1020.5", Den: "1023.5"}, Unexplained: compare.Ratio{Num: "0", Den: "1023.5"}},
	}
	fillSamples(r)
	fillRuns(r)
	r.DifferingKeys = []compare.DifferingKey{{Window: hours(17), Key: `["<script>","UA"]`, Class: compare.ClassMismatch, Cause: compare.Unexplained, Status: compare.Unexplained}, {Window: hours(19), Key: `[null,"UA"]`, Class: compare.ClassExtra, Cause: "duplicates_in_batch or late_dropped_by_batch", Status: compare.Likely}}
	r.Verdict = compare.Verdict{Verdict: compare.Hold, Rule: "maxUnexplained: 2, wanted at most 0 unexplained; days: 6 of 7 in a row meet the gate", Checks: []compare.Check{
		{Rule: "minExactPercent", Want: "at least 95 % exact", Got: r.Exact.Percent(2) + " %", OK: true},
		{Rule: "maxUnexplained", Want: "at most 0 unexplained", Got: "2", OK: false},
		{Rule: "days", Want: "7 settled days in a row", Got: "6", OK: false}}}
	return r
}

// windows fills the windows, with their sum, the days, the segments and the map.
func fillWindows(r *compare.Result) {
	for h := range 168 {
		w := compare.WindowResult{Start: hours(float64(h)), Counts: compare.Counts{Total: 98}, Metrics: []compare.MetricDelta{{Name: "flights", Difference: "0", Absolute: "0"}, {Name: "delay_sum", Difference: "0", Absolute: "0"}, {Name: "speed_max", Difference: "0", Absolute: "0"}}}
		if h%24 >= 15 {
			w.Counts.Mismatch, w.Counts.Extra = int64(h%7)+3, int64(h%3)
			w.Metrics = []compare.MetricDelta{{Name: "flights", Difference: "12", Absolute: "12"}, {Name: "delay_sum", Difference: "-9007199254740993", Absolute: "9007199254740993"}, {Name: "speed_max", Difference: "0.25", Absolute: "0.25"}}
		}
		switch h {
		case 17:
			w.Unexplained = 2
		case 20:
			w.Counts.Missing, w.Counts.Nonunique, w.Counts.Tolerated = 4, 1, 2
		}
		w.Counts.Exact = w.Counts.Total - w.Counts.Differing() - w.Counts.Tolerated
		r.Windows = append(r.Windows, w)
		r.Counts = sumCounts(r.Counts, w.Counts)
	}
	for d := range 8 {
		x := compare.Day{Start: hours(float64(24 * (d - 1))), End: hours(float64(24 * d)), Windows: 24, OK: true, Run: "run-2001-01-14"}
		if d == 0 {
			x.Counts, x.OK, x.Why = compare.Counts{Total: 90, Exact: 80, Missing: 10}, false, "minExactPercent: 88.88 %, wanted at least 95 % exact"
		}
		for h := 24 * (d - 1); d > 0 && h < 24*d; h++ {
			x.Counts = sumCounts(x.Counts, r.Windows[h].Counts)
			x.Unexplained += r.Windows[h].Unexplained
		}
		if x.Unexplained > 0 {
			x.OK, x.Why = false, "maxUnexplained: 2, wanted at most 0 <unexplained>"
		}
		if d == 7 {
			x.Run = ""
		}
		x.Metrics = []compare.DayMetric{{Name: "flights", Weight: "1000", Agree: "990", Unexplained: "2", Difference: "178", Absolute: "180"}, {Name: "delay_sum", Weight: "9007199254740993", Agree: "0", Unexplained: "0.5", Difference: "-64", Absolute: "64"}, {Name: "speed_max", Weight: "10", Agree: "10", Unexplained: "0", Difference: "0", Absolute: "0"}}
		r.Days = append(r.Days, x)
	}
	deltas := []compare.MetricDelta{{Name: "flights", Difference: "90", Absolute: "91"}, {Name: "delay_sum", Difference: "1200", Absolute: "1202"}, {Name: "speed_max", Difference: "0", Absolute: "0.5"}}
	r.Segments = []compare.SegmentResult{{Columns: []string{"origin"}, Truncated: true, Worst: []compare.SegmentValue{
		{Values: []*string{text("ORD")}, Counts: compare.Counts{Total: 168, Exact: 120, Mismatch: 48}, Metrics: deltas},
		{Values: []*string{nil}, Counts: compare.Counts{Total: 9, Exact: 8, Extra: 1}, Metrics: deltas}}},
		{Columns: []string{"origin", "carrier"}, Approximate: true, Worst: []compare.SegmentValue{{Values: []*string{text(`<b>"O'Hare"</b>`), text("UA")}, Counts: compare.Counts{Total: 8, Exact: 6, Mismatch: 2}, Metrics: deltas}}}}
	r.Heat = compare.HeatMap{Columns: []string{"origin"}, Values: [][]string{{"ORD"}, {"<i>ATL</i>"}, {"NULL"}, {"東京羽田国際空港"}}, Step: "6h"}
	for c := range 28 {
		r.Heat.Starts = append(r.Heat.Starts, hours(float64(6*c)))
	}
	for row := range r.Heat.Values {
		differing, unexplained := make([]int64, 28), make([]int64, 28)
		for c := range 28 {
			if c%4 >= 2 {
				differing[c] = int64((row*7+c*3)%11) * int64(4-row)
			}
		}
		if row == 0 {
			differing[2], unexplained[2] = 9, 2
		}
		r.Heat.Differing, r.Heat.Unexplained = append(r.Heat.Differing, differing), append(r.Heat.Unexplained, unexplained)
	}
}

func sumCounts(c, o compare.Counts) compare.Counts {
	return compare.Counts{Total: c.Total + o.Total, Exact: c.Exact + o.Exact, Tolerated: c.Tolerated + o.Tolerated, Mismatch: c.Mismatch + o.Mismatch, Missing: c.Missing + o.Missing, Extra: c.Extra + o.Extra, Nonunique: c.Nonunique + o.Nonunique}
}

func fillSamples(r *compare.Result) {
	n := r.Counts.Differing()
	sql := func(key string) string {
		return "SELECT *\nFROM `kappa-demo.kappa.raw_flights` -- ``` </pre><script>\nWHERE origin = '" + key + "'"
	}
	cause := func(name, status string, keys int64, evidence string) compare.Cause {
		return compare.Cause{Cause: name, Status: status, Keys: keys, Share: compare.NewRatio(keys, n), Evidence: evidence, SQL: sql(name),
			Metrics: []compare.MetricDelta{{Name: "flights", Difference: fmt.Sprint(keys), Absolute: fmt.Sprint(keys)}, {Name: "delay_sum", Difference: "-9007199254740993", Absolute: "9007199254740995"}, {Name: "speed_max", Difference: "0", Absolute: "0"}}}
	}
	r.Causes = compare.Causes{Differing: n, Unexplained: 2, Unexamined: 1, Explained: compare.NewRatio(n-2, n), EvidenceRead: true, Entries: []compare.Cause{
		cause(compare.Unexplained, compare.Unexplained, 2, "no set of flaws meets both values"),
		cause("late_dropped_by_batch", compare.Proven, n-11, "without the events that came after the cut-off the batch value is met, with them the stream's"),
		cause("duplicates_in_batch or late_dropped_by_batch", compare.Likely, 5, "both sets of flaws meet both values"),
		cause("airport-renamed", compare.Known, 4, "data-team answers for it <until it expires>")}}
	sample := func(class, cause, status string, origin *string, hour float64, batch, stream *string) compare.Sample {
		s := compare.Sample{Class: class, Key: []compare.KeyValue{{Column: "origin", Value: origin}, {Column: "carrier", Value: text("UA")}}, Window: hours(hour), BatchRows: 1, StreamRows: 2, Cause: cause, Status: status,
			Evidence: "1 event came 3h5m after the window's end | counted <once>", SQL: sql(orNull(origin)),
			Metrics: []compare.SampleMetric{{Name: "flights", Batch: batch, Stream: stream, Difference: "1"}, {Name: "delay_sum", Batch: nil, Stream: text("9007199254740993"), Difference: "9007199254740993"}, {Name: "speed_max", Batch: text("NaN"), Stream: text("-Inf"), Difference: ""}}}
		if status == compare.Known {
			s.Known = cause
		}
		return s
	}
	r.Samples = []compare.Sample{
		sample(compare.ClassMismatch, compare.Unexplained, compare.Unexplained, text(`<script>alert("x")</script>`), 17, text("3"), text("4")),
		sample(compare.ClassMismatch, "late_dropped_by_batch", compare.Proven, text("O'Hare\x1b[31m\n`"), 17, text("3"), text("4")),
		sample(compare.ClassMismatch, "late_dropped_by_batch", compare.Proven, text("ORD"), 18, text("30001"), text("30002")),
		sample(compare.ClassMissing, "late_dropped_by_stream", compare.Proven, text("東京羽田国際空港|a_b*c"), 20, text("1"), nil),
		sample(compare.ClassExtra, "duplicates_in_batch or late_dropped_by_batch", compare.Likely, nil, 19, nil, text("1")),
		sample(compare.ClassNonunique, "airport-renamed", compare.Known, text("ORD"), 20, text("1"), text("2")),
	}
}

// runs is what a result says of other runs and of known differences.
func fillRuns(r *compare.Result) {
	r.Known = []compare.KnownDifference{
		{Name: "airport-renamed", Owner: "@data-team", Reason: "the old layer keeps the name | until March", Expires: hours(24 * 60), Limit: 10, Hits: 4, State: compare.KnownUsed},
		{Name: "old-carrier", Owner: "ops", Reason: "merged", Expires: hours(24), Limit: 10, Hits: 3, State: compare.KnownExpired},
		{Name: "no-more", Owner: "ops", Reason: "fixed long ago", Expires: hours(24 * 60), Limit: 10, Hits: 0, State: compare.KnownUnused},
		{Name: "too-many", Owner: "ops", Reason: "a few only", Expires: hours(24 * 60), Limit: 1, Hits: 12, State: compare.KnownOverLimit}}
	r.Last = &compare.LastRun{ID: "run-2001-01-14", Started: hours(149), Range: span(0, 144), Verdict: compare.Hold, SpecHash: strings.Repeat("4d", 32), Exact: compare.NewRatio(940, 1000)}
	r.Transitions = []compare.Transition{{From: compare.ClassMismatch, To: compare.ClassExact, Keys: 120}, {From: "unknown", To: compare.ClassMismatch, Keys: 31}, {From: compare.ClassExact, To: compare.ClassMissing, Keys: 2}}
	r.SecondLook = &compare.SecondLook{Windows: 6, Compared: 5, Differing: 9, StillOpen: []compare.Range{span(168, 169)}}
	r.Baseline = &compare.Baseline{File: "main/<compare>.json", Started: hours(100), SpecHash: strings.Repeat("3c", 32), New: 2, Gone: 40, Same: 300, Exact: compare.NewRatio(93, 100), NewUnexplained: 1, NewUnexplainedValue: map[string]compare.Ratio{"flights": compare.NewRatio(1, 115245)}}
	for i := range 30 {
		p := compare.TrendPoint{ID: fmt.Sprintf("run-%02d", i), Started: r.Started.Add(time.Duration(i-29) * day), Verdict: compare.Hold, Keys: 16000, Exact: compare.NewRatio(int64(14600+37*i), 16000), Agree: compare.NewRatio(int64(14700+37*i), 16000), Unexplained: int64(29-i) * 3, SpecHash: r.SpecHash}
		switch {
		case i < 9:
			p.SpecHash = strings.Repeat("4d", 32)
		case i == 12:
			p.Verdict, p.Keys, p.Exact, p.Agree, p.Unexplained = compare.NoData, 0, compare.NewRatio(0, 0), compare.NewRatio(0, 0), 0
		case i > 14 && i < 20 || i == 22:
			p.Verdict = compare.Go
		}
		r.Trend = append(r.Trend, p)
	}
}

// passed is a result whose verdict is GO and that has neither history nor evidence.
func passed() *compare.Result {
	r := fixture()
	r.Counts = compare.Counts{Total: 98 * 168, Exact: 98 * 168}
	for i := range r.Windows {
		r.Windows[i].Counts, r.Windows[i].Unexplained = compare.Counts{Total: 98, Exact: 98}, 0
		r.Windows[i].Metrics = []compare.MetricDelta{{Name: "flights", Difference: "0", Absolute: "0"}}
	}
	r.Exact, r.Agree = compare.NewRatio(r.Counts.Exact, r.Counts.Total), compare.NewRatio(r.Counts.Exact, r.Counts.Total)
	r.Metrics = []compare.Metric{{Name: "flights", Type: "count", Value: "INT64", BatchTotal: "115245", StreamTotal: "115245", Difference: "0", Absolute: "0",
		Weight: map[string]string{compare.ClassExact: "115245"}, Exact: compare.Ratio{Num: "115245", Den: "115245"}, Agree: compare.Ratio{Num: "115245", Den: "115245"}, Unexplained: compare.Ratio{Num: "0", Den: "115245"}}}
	r.Causes = compare.Causes{Explained: compare.NewRatio(1, 1)}
	for i := range r.Days {
		r.Days[i].OK, r.Days[i].Why, r.Days[i].Counts, r.Days[i].Unexplained = true, "", compare.Counts{Total: 98 * 24, Exact: 98 * 24}, 0
		r.Days[i].Metrics = []compare.DayMetric{{Name: "flights", Weight: "1000", Agree: "1000", Unexplained: "0", Difference: "0", Absolute: "0"}}
	}
	r.Description, r.Heat = "", compare.HeatMap{}
	r.Segments, r.Samples, r.Warnings, r.Known, r.Last, r.Transitions, r.SecondLook, r.Baseline, r.Trend, r.DifferingKeys = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
	r.Scope.LeftOut, r.Scope.Default, r.Partitions, r.Resumed = nil, false, 1, 0
	r.Scope.Settled, r.Scope.Windows = []compare.Range{span(0, 168)}, 168
	r.Scope.Batch = compare.SideScope{Kind: compare.SideTable, Name: "kappa-demo.kappa.batch_flights"}
	r.Scope.Stream = compare.SideScope{Kind: compare.SideQuery, Name: "query", Query: "SELECT origin, flights\nFROM `a.b.c` WHERE t >= @from"}
	r.Verdict = compare.Verdict{Verdict: compare.Go, Rule: "minExactPercent: 100.00 %, wanted at least 95 % exact; maxUnexplained: 0, wanted at most 0 unexplained", Checks: []compare.Check{
		{Rule: "minExactPercent", Want: "at least 95 % exact", Got: "100.00 %", OK: true}, {Rule: "maxUnexplained", Want: "at most 0 unexplained", Got: "0", OK: true}}}
	return r
}

func nothingToJudge() *compare.Result {
	r := fixture()
	r.Counts, r.Exact, r.Agree, r.Metrics, r.Windows, r.Segments, r.Samples, r.Days = compare.Counts{}, compare.NewRatio(0, 0), compare.NewRatio(0, 0), []compare.Metric{}, []compare.WindowResult{}, []compare.SegmentResult{}, []compare.Sample{}, []compare.Day{}
	r.Heat, r.Known, r.Transitions, r.Trend, r.Last, r.SecondLook, r.Baseline, r.DifferingKeys, r.Passes, r.Partitions, r.Resumed = compare.HeatMap{}, nil, nil, nil, nil, nil, nil, nil, 0, 0, 0
	r.Scope.Settled, r.Scope.Windows, r.Scope.Range = []compare.Range{}, 0, compare.Range{}
	r.Scope.LeftOut = []compare.LeftOut{{Reason: compare.LeftOutNotLoaded, Message: "the table batch_loads lists no load of batch_flights", Windows: 0, Ranges: []compare.Range{}}}
	r.Batch, r.Stream, r.Warnings, r.Cost = compare.BatchFreshness{}, compare.StreamFreshness{Jobs: []compare.JobState{{Job: "flights-0", Problem: "it is not in the generations table"}}}, []string{}, compare.Cost{}
	r.Causes = compare.Causes{Explained: compare.NewRatio(1, 1), Entries: []compare.Cause{}}
	r.Verdict = compare.Verdict{Verdict: compare.NoData, Rule: "no window is settled: the table batch_loads lists no load of batch_flights"}
	return r
}

// fixtures are the results of which there are golden reports.
func fixtures() map[string]*compare.Result {
	return map[string]*compare.Result{"hold": fixture(), "go": passed(), "nodata": nothingToJudge()}
}
