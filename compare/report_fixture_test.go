package compare

import (
	"fmt"
	"strings"
	"time"
)

func text(s string) *string { return &s }

// fixture is a result like that of the flights week in which everything that a
// result can hold is there, with texts in it that must be escaped. Its verdict is
// HOLD.
func fixture() *Result {
	watermark, seen, replaced := hours(170), hours(171), span(40, 42)
	covered, loaded := hours(168), hours(172)
	r := &Result{
		Version: ResultVersion, Comparison: "flights", Description: "May the hourly flights per origin <airport> be served from the stream?",
		Environment: "sandbox", SpecHash: strings.Repeat("5e", 32), Started: hours(173), Seconds: 2.5,
		Gate: Gate{Days: 7, MinExactPercent: "95", MinExactValuePercent: "90.5", MaxUnexplained: 0, MaxUnexplainedValuePercent: "0"},
		Scope: Scope{Project: "kappa-demo", Dataset: "kappa",
			Batch:  SideScope{Kind: SideView, Name: "kappa-demo.kappa.batch_flights", Where: "origin <> 'XXX'", Query: "SELECT 1\nFROM `view`"},
			Stream: SideScope{Kind: SideFiles, Name: "files", Files: []string{"new/*.avro"}, Job: "flights"}, Keys: []string{"origin", "carrier"},
			Range: span(0, 172), Default: true, WindowSize: "1h", Offset: "15m", Settled: []Range{span(0, 60), span(61, 169)}, Windows: 168,
			LeftOut: []LeftOut{{LeftOutStreamOpen, "the stream's watermark, 2001-01-15T02:00:00Z, is not past their end by 2h", 3, []Range{span(169, 172)}},
				{LeftOutNotLoaded, "no load covers them", 1, []Range{span(60, 61)}}}},
		Batch: BatchFreshness{Loads: 43, Reloaded: 2, CoveredTo: &covered, LastLoaded: &loaded, Rows: 16372},
		Stream: StreamFreshness{SettledTo: &watermark, Rows: 18000, Copies: 3,
			Jobs: []JobState{{Job: "flights-0", Generation: 2, Watermark: &watermark, ObservedAt: &seen}, {Job: "flights-1", Generation: 1, AtMaximum: true, ObservedAt: &seen}},
			Generations: []Writer{
				{Job: "fill", Generation: 1, Kind: "backfill", State: "drained", Counts: true, Within: &replaced},
				{Job: "flights-0", Generation: 1, Kind: "stream", State: "void", Reason: "void", Ignored: 120},
				{Job: "flights-0", Generation: 2, Kind: "stream", State: "open", Counts: true, Except: []ReplacedRange{{replaced, "fill@1"}}, Ignored: 7},
				{Job: "flights-1", Generation: 1, Kind: "stream", State: "drained", Counts: true, Except: []ReplacedRange{{replaced, "fill@1"}}}}},
		Warnings: []string{"3 rows of ghost@1 do not count: the writer is not in the generations table"},
		Cost: Cost{Estimated: 1_700_000, Accuracy: "PRECISE", Processed: 1_700_000, Billed: 20 << 20, LowerBound: 20 << 20, Ratio: NewRatio(1, 1), DryRun: []string{"batch"}, Evidence: 9_000_000,
			Jobs: []QueryJob{{"reconcile", "job_abc", 1_700_000, 20 << 20}, {"evidence", "job_def", 9_000_000, 20 << 20}}},
		Partitions: 3, Resumed: 1,
	}
	fillWindows(r)
	r.Exact, r.Agree = NewRatio(r.Counts.Exact, r.Counts.Total), NewRatio(r.Counts.Exact+r.Counts.Tolerated, r.Counts.Total)
	weight := func(exact, tolerated, mismatch, extra string) map[string]string {
		return map[string]string{ClassExact: exact, ClassTolerated: tolerated, ClassMismatch: mismatch, ClassExtra: extra, ClassMissing: "0", ClassNonunique: "0"}
	}
	r.Metrics = []Metric{
		{Name: "flights", Type: "count", Value: "INT64", BatchTotal: "114000", StreamTotal: "115245", Difference: "1245", Absolute: "1245", Weight: weight("110000", "100", "4900", "245"), Exact: Ratio{"110000", "115245"}, Agree: Ratio{"110100", "115245"}, Unexplained: Ratio{"2", "115245"}},
		{Name: "delay_sum", Type: "sum", Value: "BIGNUMERIC", BatchTotal: "9007199254740993.000000001", StreamTotal: "-5", Difference: "-9007199254740998.000000001", Absolute: "9007199254740998.000000001", Weight: weight("0", "0", "9007199254740993", "0"), Exact: Ratio{"0", "9007199254740993"}, Agree: Ratio{"0", "9007199254740993"}, Unexplained: Ratio{"9007199254740993", "9007199254740993"}},
		{Name: "speed_max", Type: "max", Value: "FLOAT64", Tolerance: "0.5 %", Approximate: true, Skipped: 6, Difference: "0.25", Absolute: "3.5", Weight: weight("1000.5", "20", "3", "0"), Exact: Ratio{"1000.5", "1023.5"}, Agree: Ratio{"1020.5", "1023.5"}, Unexplained: Ratio{"0", "1023.5"}},
	}
	fillSamples(r)
	fillRuns(r)
	r.DifferingKeys = []DifferingKey{{hours(17), `["<script>","UA"]`, ClassMismatch, Unexplained, Unexplained}, {hours(19), `[null,"UA"]`, ClassExtra, "duplicates_in_batch or late_dropped_by_batch", Likely}}
	r.Verdict = Verdict{Verdict: Hold, Rule: "maxUnexplained: 2, wanted at most 0 unexplained; days: 6 of 7 in a row meet the gate", Checks: []Check{
		{"minExactPercent", "at least 95 % exact", r.Exact.Percent(2) + " %", true},
		{"maxUnexplained", "at most 0 unexplained", "2", false},
		{"days", "7 settled days in a row", "6", false}}}
	return r
}

// windows fills the windows, with their sum, the days, the segments and the map.
func fillWindows(r *Result) {
	for h := range 168 {
		w := WindowResult{Start: hours(float64(h)), Counts: Counts{Total: 98}, Metrics: []MetricDelta{{"flights", "0", "0"}, {"delay_sum", "0", "0"}, {"speed_max", "0", "0"}}}
		if h%24 >= 15 {
			w.Counts.Mismatch, w.Counts.Extra = int64(h%7)+3, int64(h%3)
			w.Metrics = []MetricDelta{{"flights", "12", "12"}, {"delay_sum", "-9007199254740993", "9007199254740993"}, {"speed_max", "0.25", "0.25"}}
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
		x := Day{Start: hours(float64(24 * (d - 1))), End: hours(float64(24 * d)), Windows: 24, OK: true, Run: "run-2001-01-14"}
		if d == 0 {
			x.Counts, x.OK, x.Why = Counts{Total: 90, Exact: 80, Missing: 10}, false, "minExactPercent: 88.88 %, wanted at least 95 % exact"
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
		x.Metrics = []DayMetric{{"flights", "1000", "990", "2", "178", "180"}, {"delay_sum", "9007199254740993", "0", "0.5", "-64", "64"}, {"speed_max", "10", "10", "0", "0", "0"}}
		r.Days = append(r.Days, x)
	}
	deltas := []MetricDelta{{"flights", "90", "91"}, {"delay_sum", "1200", "1202"}, {"speed_max", "0", "0.5"}}
	r.Segments = []SegmentResult{{Columns: []string{"origin"}, Truncated: true, Worst: []SegmentValue{
		{[]*string{text("ORD")}, Counts{Total: 168, Exact: 120, Mismatch: 48}, deltas},
		{[]*string{nil}, Counts{Total: 9, Exact: 8, Extra: 1}, deltas}}},
		{Columns: []string{"origin", "carrier"}, Approximate: true, Worst: []SegmentValue{{[]*string{text(`<b>"O'Hare"</b>`), text("UA")}, Counts{Total: 8, Exact: 6, Mismatch: 2}, deltas}}}}
	r.Heat = HeatMap{Columns: []string{"origin"}, Values: [][]string{{"ORD"}, {"<i>ATL</i>"}, {"NULL"}, {"東京羽田国際空港"}}, Step: "6h"}
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

func sumCounts(c, o Counts) Counts {
	return Counts{c.Total + o.Total, c.Exact + o.Exact, c.Tolerated + o.Tolerated, c.Mismatch + o.Mismatch, c.Missing + o.Missing, c.Extra + o.Extra, c.Nonunique + o.Nonunique}
}

func fillSamples(r *Result) {
	n := r.Counts.Differing()
	sql := func(key string) string {
		return "SELECT *\nFROM `kappa-demo.kappa.raw_flights` -- ``` </pre><script>\nWHERE origin = '" + key + "'"
	}
	cause := func(name, status string, keys int64, evidence string) Cause {
		return Cause{Cause: name, Status: status, Keys: keys, Share: NewRatio(keys, n), Evidence: evidence, SQL: sql(name),
			Metrics: []MetricDelta{{"flights", fmt.Sprint(keys), fmt.Sprint(keys)}, {"delay_sum", "-9007199254740993", "9007199254740995"}, {"speed_max", "0", "0"}}}
	}
	r.Causes = Causes{Differing: n, Unexplained: 2, Unexamined: 1, Explained: NewRatio(n-2, n), EvidenceRead: true, Entries: []Cause{
		cause(Unexplained, Unexplained, 2, "no set of flaws meets both values"),
		cause("late_dropped_by_batch", Proven, n-11, "without the events that came after the cut-off the batch value is met, with them the stream's"),
		cause("duplicates_in_batch or late_dropped_by_batch", Likely, 5, "both sets of flaws meet both values"),
		cause("airport-renamed", Known, 4, "data-team answers for it <until it expires>")}}
	sample := func(class, cause, status string, origin *string, hour float64, batch, stream *string) Sample {
		s := Sample{Class: class, Key: []KeyValue{{"origin", origin}, {"carrier", text("UA")}}, Window: hours(hour), BatchRows: 1, StreamRows: 2, Cause: cause, Status: status,
			Evidence: "1 event came 3h5m after the window's end | counted <once>", SQL: sql(orNull(origin)),
			Metrics: []SampleMetric{{"flights", batch, stream, "1"}, {"delay_sum", nil, text("9007199254740993"), "9007199254740993"}, {"speed_max", text("NaN"), text("-Inf"), ""}}}
		if status == Known {
			s.Known = cause
		}
		return s
	}
	r.Samples = []Sample{
		sample(ClassMismatch, Unexplained, Unexplained, text(`<script>alert("x")</script>`), 17, text("3"), text("4")),
		sample(ClassMismatch, "late_dropped_by_batch", Proven, text("O'Hare\x1b[31m\n`"), 17, text("3"), text("4")),
		sample(ClassMismatch, "late_dropped_by_batch", Proven, text("ORD"), 18, text("30001"), text("30002")),
		sample(ClassMissing, "late_dropped_by_stream", Proven, text("東京羽田国際空港|a_b*c"), 20, text("1"), nil),
		sample(ClassExtra, "duplicates_in_batch or late_dropped_by_batch", Likely, nil, 19, nil, text("1")),
		sample(ClassNonunique, "airport-renamed", Known, text("ORD"), 20, text("1"), text("2")),
	}
}

// runs is what a result says of other runs and of known differences.
func fillRuns(r *Result) {
	r.Known = []KnownDifference{
		{Name: "airport-renamed", Owner: "@data-team", Reason: "the old layer keeps the name | until March", Expires: hours(24 * 60), Limit: 10, Hits: 4, State: KnownUsed},
		{Name: "old-carrier", Owner: "ops", Reason: "merged", Expires: hours(24), Limit: 10, Hits: 3, State: KnownExpired},
		{Name: "no-more", Owner: "ops", Reason: "fixed long ago", Expires: hours(24 * 60), Limit: 10, Hits: 0, State: KnownUnused},
		{Name: "too-many", Owner: "ops", Reason: "a few only", Expires: hours(24 * 60), Limit: 1, Hits: 12, State: KnownOverLimit}}
	r.Last = &LastRun{ID: "run-2001-01-14", Started: hours(149), Range: span(0, 144), Verdict: Hold, SpecHash: strings.Repeat("4d", 32), Exact: NewRatio(940, 1000)}
	r.Transitions = []Transition{{ClassMismatch, ClassExact, 120}, {"unknown", ClassMismatch, 31}, {ClassExact, ClassMissing, 2}}
	r.SecondLook = &SecondLook{Windows: 6, Compared: 5, Differing: 9, StillOpen: []Range{span(168, 169)}}
	r.Baseline = &Baseline{File: "main/<compare>.json", Started: hours(100), SpecHash: strings.Repeat("3c", 32), New: 2, Gone: 40, Same: 300, Exact: NewRatio(93, 100), NewUnexplained: 1, NewUnexplainedValue: map[string]Ratio{"flights": NewRatio(1, 115245)}}
	for i := range 30 {
		p := TrendPoint{ID: fmt.Sprintf("run-%02d", i), Started: r.Started.Add(time.Duration(i-29) * day), Verdict: Hold, Keys: 16000, Exact: NewRatio(int64(14600+37*i), 16000), Agree: NewRatio(int64(14700+37*i), 16000), Unexplained: int64(29-i) * 3, SpecHash: r.SpecHash}
		switch {
		case i < 9:
			p.SpecHash = strings.Repeat("4d", 32)
		case i == 12:
			p.Verdict, p.Keys, p.Exact, p.Agree, p.Unexplained = NoData, 0, NewRatio(0, 0), NewRatio(0, 0), 0
		case i > 14 && i < 20 || i == 22:
			p.Verdict = Go
		}
		r.Trend = append(r.Trend, p)
	}
}

// passed is a result whose verdict is GO and that has neither history nor evidence.
func passed() *Result {
	r := fixture()
	r.Counts = Counts{Total: 98 * 168, Exact: 98 * 168}
	for i := range r.Windows {
		r.Windows[i].Counts, r.Windows[i].Unexplained = Counts{Total: 98, Exact: 98}, 0
		r.Windows[i].Metrics = []MetricDelta{{"flights", "0", "0"}}
	}
	r.Exact, r.Agree = NewRatio(r.Counts.Exact, r.Counts.Total), NewRatio(r.Counts.Exact, r.Counts.Total)
	r.Metrics = []Metric{{Name: "flights", Type: "count", Value: "INT64", BatchTotal: "115245", StreamTotal: "115245", Difference: "0", Absolute: "0",
		Weight: map[string]string{ClassExact: "115245"}, Exact: Ratio{"115245", "115245"}, Agree: Ratio{"115245", "115245"}, Unexplained: Ratio{"0", "115245"}}}
	r.Causes = Causes{Explained: NewRatio(1, 1)}
	for i := range r.Days {
		r.Days[i].OK, r.Days[i].Why, r.Days[i].Counts, r.Days[i].Unexplained = true, "", Counts{Total: 98 * 24, Exact: 98 * 24}, 0
		r.Days[i].Metrics = []DayMetric{{"flights", "1000", "1000", "0", "0", "0"}}
	}
	r.Description, r.Heat = "", HeatMap{}
	r.Segments, r.Samples, r.Warnings, r.Known, r.Last, r.Transitions, r.SecondLook, r.Baseline, r.Trend, r.DifferingKeys = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
	r.Scope.LeftOut, r.Scope.Default, r.Partitions, r.Resumed = nil, false, 1, 0
	r.Scope.Settled, r.Scope.Windows = []Range{span(0, 168)}, 168
	r.Scope.Batch = SideScope{Kind: SideTable, Name: "kappa-demo.kappa.batch_flights"}
	r.Scope.Stream = SideScope{Kind: SideQuery, Name: "query", Query: "SELECT origin, flights\nFROM `a.b.c` WHERE t >= @from"}
	r.Verdict = Verdict{Verdict: Go, Rule: "minExactPercent: 100.00 %, wanted at least 95 % exact; maxUnexplained: 0, wanted at most 0 unexplained", Checks: []Check{
		{"minExactPercent", "at least 95 % exact", "100.00 %", true}, {"maxUnexplained", "at most 0 unexplained", "0", true}}}
	return r
}

func nothingToJudge() *Result {
	r := fixture()
	r.Counts, r.Exact, r.Agree, r.Metrics, r.Windows, r.Segments, r.Samples, r.Days = Counts{}, NewRatio(0, 0), NewRatio(0, 0), []Metric{}, []WindowResult{}, []SegmentResult{}, []Sample{}, []Day{}
	r.Heat, r.Known, r.Transitions, r.Trend, r.Last, r.SecondLook, r.Baseline, r.DifferingKeys, r.Passes, r.Partitions, r.Resumed = HeatMap{}, nil, nil, nil, nil, nil, nil, nil, 0, 0, 0
	r.Scope.Settled, r.Scope.Windows, r.Scope.Range = []Range{}, 0, Range{}
	r.Scope.LeftOut = []LeftOut{{LeftOutNotLoaded, "the table batch_loads lists no load of batch_flights", 0, []Range{}}}
	r.Batch, r.Stream, r.Warnings, r.Cost = BatchFreshness{}, StreamFreshness{Jobs: []JobState{{Job: "flights-0", Problem: "it is not in the generations table"}}}, []string{}, Cost{}
	r.Causes = Causes{Explained: NewRatio(1, 1), Entries: []Cause{}}
	r.Verdict = Verdict{Verdict: NoData, Rule: "no window is settled: the table batch_loads lists no load of batch_flights"}
	return r
}

// fixtures are the results of which there are golden reports.
func fixtures() map[string]*Result {
	return map[string]*Result{"hold": fixture(), "go": passed(), "nodata": nothingToJudge()}
}
