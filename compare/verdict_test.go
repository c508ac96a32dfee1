package compare

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// judged is a result of one metric, whose value is the number of keys.
func judged(total, exact, unexplained int64) *Result {
	text := func(n int64) string { return big.NewInt(n).String() }
	return &Result{
		Scope: Scope{Windows: 10}, Counts: Counts{Total: total, Exact: exact, Mismatch: total - exact}, Exact: NewRatio(exact, total),
		Metrics: []Metric{{Name: "flights", Agree: NewRatio(exact, total), Unexplained: Ratio{text(unexplained), text(total)}}},
		Causes:  Causes{Differing: total - exact, Unexplained: unexplained}, Batch: BatchFreshness{Rows: 1}, Stream: StreamFreshness{Rows: 1},
	}
}

// judgedDays are days of one metric, of 1000 keys each.
func judgedDays(unexplained ...int64) []Day {
	var days []Day
	for i, n := range unexplained {
		whole := judged(1000, 960, n).whole()
		whole.Start = hours(0).Add(time.Duration(i) * day)
		whole.End = whole.Start.Add(day)
		days = append(days, whole)
	}
	return days
}

func TestDecide(t *testing.T) {
	edit := func(r *Result, f func(*Result)) *Result { f(r); return r }
	tests := []struct {
		name string
		gate Gate
		r    *Result
		want string
		rule string
	}{
		{"met", Gate{MinExactPercent: "95"}, judged(16459, 15728, 0), Go,
			"the compared range: 95.56 % of 16,459 keys, wanted at least 95 % of keys exact or tolerated (minExactPercent); 0 unexplained of 16,459 keys, wanted at most 0 unexplained (maxUnexplained); 0.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"exactly at the gate", Gate{MinExactPercent: "95"}, judged(100, 95, 0), Go,
			"the compared range: 95.00 % of 100 keys, wanted at least 95 % of keys exact or tolerated (minExactPercent); 0 unexplained of 100 keys, wanted at most 0 unexplained (maxUnexplained); 0.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"a hair below does not show as met", Gate{MinExactPercent: "95"}, judged(100_000_000, 94_999_999, 0), Hold,
			"the compared range: 94.999999 % of 100,000,000 keys, wanted at least 95 % of keys exact or tolerated (minExactPercent)"},
		{"one key of a billion short of all", Gate{MinExactPercent: "100"}, judged(1_000_000_000, 999_999_999, 0), Hold,
			"the compared range: 99.99 % of 1,000,000,000 keys, wanted at least 100 % of keys exact or tolerated (minExactPercent)"},
		{"the strict default", Gate{}, judged(100, 97, 1), Hold,
			"the compared range: 1 unexplained of 100 keys, wanted at most 0 unexplained (maxUnexplained); 1.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"too many unexplained", Gate{MaxUnexplained: 2, MaxUnexplainedValuePercent: "5"}, judged(100, 97, 3), Hold,
			"the compared range: 3 unexplained of 100 keys, wanted at most 2 unexplained (maxUnexplained)"},
		{"as many as allowed", Gate{MaxUnexplained: 3, MaxUnexplainedValuePercent: "3"}, judged(100, 97, 3), Go,
			"the compared range: 3 unexplained of 100 keys, wanted at most 3 unexplained (maxUnexplained); 3.00 % of flights, wanted at most 3 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"by value", Gate{MaxUnexplained: 10, MinExactValuePercent: "99"}, judged(100, 98, 0), Hold,
			"the compared range: 98.00 % of flights, wanted at least 99 % of the value exact or tolerated (minExactValuePercent)"},
		{"of no value there is no share", Gate{MinExactValuePercent: "99"}, edit(judged(100, 100, 0), func(r *Result) {
			r.Metrics[0].Agree, r.Metrics[0].Unexplained = NewRatio(0, 0), NewRatio(0, 0)
		}), Go, "the compared range: no value, wanted at least 99 % of the value exact or tolerated (minExactValuePercent); 0 unexplained of 100 keys, wanted at most 0 unexplained (maxUnexplained); no value, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"no window settled", Gate{}, edit(judged(0, 0, 0), func(r *Result) {
			r.Scope.Windows = 0
			r.Scope.LeftOut = []LeftOut{{LeftOutStreamOpen, "the watermark is behind", 8, nil}}
		}), NoData, "no window is settled: 8 windows, stream_not_settled: the watermark is behind"},
		{"no keys", Gate{}, judged(0, 0, 0), NoData, "neither side has a key in the settled windows"},
		{"an empty batch side is no pass, even where no gate is set", Gate{MaxUnexplained: 1000}, edit(judged(10, 0, 0), func(r *Result) { r.Batch.Rows = 0 }), NoData,
			"the batch side has no rows in the settled windows"},
		{"an empty stream side neither", Gate{MaxUnexplained: 1000}, edit(judged(10, 0, 0), func(r *Result) { r.Stream.Rows = 0 }), NoData,
			"the stream side has no rows that count in the settled windows"},
		{"regressions alone", Gate{RegressionsOnly: true, Days: 7, MinExactPercent: "0"}, edit(judged(100, 90, 5), func(r *Result) {
			r.Baseline = &Baseline{Started: hours(0), NewUnexplained: 1, NewUnexplainedValue: map[string]Ratio{"flights": NewRatio(1, 100)}}
		}), Hold, "regressions against the baseline of 2001-01-08: 1 unexplained of 100 keys, wanted at most 0 unexplained (maxUnexplained); 1.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"no regression", Gate{RegressionsOnly: true}, edit(judged(100, 90, 5), func(r *Result) {
			r.Baseline = &Baseline{Started: hours(0), NewUnexplainedValue: map[string]Ratio{"flights": NewRatio(0, 100)}}
		}), Go, "regressions against the baseline of 2001-01-08: 0 unexplained of 100 keys, wanted at most 0 unexplained (maxUnexplained); 0.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Gate = tt.gate
			if v := decide(tt.r); v.Verdict != tt.want || v.Rule != tt.rule {
				t.Errorf("%s by %q;\nwant %s by %q", v.Verdict, v.Rule, tt.want, tt.rule)
			}
		})
	}
}

func TestDecideDays(t *testing.T) {
	without := func(days []Day, i int) []Day { return append(days[:i:i], days[i+1:]...) }
	oneSided := func(days []Day, i int) []Day {
		days[i].Counts = Counts{Total: 1000, Missing: 1000}
		return days
	}
	tests := []struct {
		name string
		gate Gate
		days []Day
		rest int64 // unexplained in the range
		want string
		rule string
	}{
		{"seven days", Gate{Days: 7}, judgedDays(0, 0, 0, 0, 0, 0, 0), 0, Go,
			"7 consecutive settled days, 2001-01-08 to 2001-01-14, and on the worst of them 0 unexplained of 1,000 keys, wanted at most 0 unexplained (maxUnexplained); 0.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"what was before the newest days is past", Gate{Days: 2}, judgedDays(9, 0, 0), 9, Go,
			"2 consecutive settled days, 2001-01-09 to 2001-01-10, and on the worst of them 0 unexplained of 1,000 keys, wanted at most 0 unexplained (maxUnexplained); 0.00 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"the oldest of them", Gate{Days: 3}, judgedDays(9, 0, 0), 9, Hold,
			"2001-01-08: 9 unexplained of 1,000 keys, wanted at most 0 unexplained (maxUnexplained); 2001-01-08: 0.90 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"the worst day is named", Gate{Days: 3, MaxUnexplained: 5, MaxUnexplainedValuePercent: "100"}, judgedDays(6, 3, 7), 0, Hold,
			"2001-01-10: 7 unexplained of 1,000 keys, wanted at most 5 unexplained (maxUnexplained), broken on 2 of 3 days"},
		{"fewer days", Gate{Days: 7}, judgedDays(0, 0, 0), 0, NoData,
			"3 consecutive settled days, 2001-01-08 to 2001-01-10, wanted 7 consecutive settled days; nothing there breaks the gate"},
		{"fewer days, and one breaks it", Gate{Days: 7}, judgedDays(0, 2, 0), 2, Hold,
			"2001-01-09: 2 unexplained of 1,000 keys, wanted at most 0 unexplained (maxUnexplained); 2001-01-09: 0.20 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"a gap", Gate{Days: 3}, without(judgedDays(0, 0, 0, 0), 1), 0, NoData,
			"2 consecutive settled days, 2001-01-10 to 2001-01-11, wanted 3 consecutive settled days; nothing there breaks the gate"},
		{"no day", Gate{Days: 1}, nil, 0, NoData, "no settled day, wanted 1 settled day; nothing there breaks the gate"},
		{"no day, and what there is breaks it", Gate{Days: 1}, nil, 4, Hold,
			"what is settled, less than a day: 4 unexplained of 1,000 keys, wanted at most 0 unexplained (maxUnexplained); what is settled, less than a day: 0.40 % of flights, wanted at most 0 % of the value unexplained (maxUnexplainedValuePercent)"},
		{"a day of one side, explained away", Gate{Days: 2}, oneSided(judgedDays(0, 0, 0), 1), 0, NoData, "on 2001-01-09 only the batch side has a key"},
		{"a share of every day", Gate{Days: 2, MinExactPercent: "96.1"}, judgedDays(0, 0), 0, Hold,
			"2001-01-08: 96.00 % of 1,000 keys, wanted at least 96.1 % of keys exact or tolerated (minExactPercent), broken on 2 of 2 days"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := decideDays(tt.gate, tt.days, judged(1000, 960, tt.rest).whole())
			if v.Verdict != tt.want || v.Rule != tt.rule {
				t.Errorf("%s by %q;\nwant %s by %q", v.Verdict, v.Rule, tt.want, tt.rule)
			}
			if v.Checks[0].Rule != ruleDays || v.Checks[0].OK != (len(newestDays(tt.days, tt.gate.Days)) == tt.gate.Days) {
				t.Errorf("checks %+v", v.Checks)
			}
		})
	}
}

// A day that has keys on one side alone, or none, does not meet even the laxest gate.
func TestDaysOfOneSide(t *testing.T) {
	lax := Gate{Days: 1, MaxUnexplained: 1000, MaxUnexplainedValuePercent: "100"}
	for want, c := range map[string]Counts{"": {Total: 3, Exact: 1, Missing: 1, Extra: 1}, "neither side has a key": {}, "only the stream side has a key": {Total: 2, Extra: 2}, "only the batch side has a key": {Total: 2, Missing: 2}} {
		days := []Day{{Start: hours(0), End: hours(24), Counts: c}}
		markDays(lax, days)
		if days[0].Why != want || days[0].OK != (want == "") {
			t.Errorf("%+v: ok %v, %q, want %q", c, days[0].OK, days[0].Why, want)
		}
		if v := decideDays(lax, days, Day{}); (v.Verdict == Go) != (want == "") || want != "" && v.Verdict != NoData {
			t.Errorf("%+v: %s by %s", c, v.Verdict, v.Rule)
		}
	}
}

// A history without a run of the spec is nothing to decide by, whatever the gate.
func TestDecideByAnEmptyHistory(t *testing.T) {
	p := past{runs: []tables.CompareRun{{SpecHash: "another", Windows: 1, Keys: 1, Exact: 1, BatchRows: intCell(1), StreamRows: intCell(1), Metrics: "[]"}}}
	for _, days := range []int{0, 1} {
		d, err := decideByPast(&Result{SpecHash: "this", Gate: Gate{Days: days}}, p, nil)
		if err != nil || d.Verdict.Verdict != NoData {
			t.Errorf("a gate of %d days: %+v, %v", days, d, err)
		}
	}
	p.runs[0].SpecHash = "this"
	if d, err := decideByPast(&Result{SpecHash: "this"}, p, nil); err != nil || d.Verdict.Verdict != Go {
		t.Errorf("by a run of the spec: %+v, %v", d, err)
	}
}

// A verdict is GO only if every day that it counts meets every rule by itself.
func TestDaysThatGoMeetTheGate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Gate{Days: rapid.IntRange(1, 5).Draw(t, "days"), MaxUnexplained: rapid.Int64Range(0, 2).Draw(t, "max"), MaxUnexplainedValuePercent: rapid.SampledFrom([]string{"0", "0.1", "50"}).Draw(t, "value")}
		days := judgedDays(rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 8).Draw(t, "unexplained")...)
		markDays(g, days)
		ok := len(days) >= g.Days
		for _, d := range days[max(0, len(days)-g.Days):] {
			ok = ok && d.OK
		}
		if v := decideDays(g, days, Day{Counts: Counts{Total: 1}}); (v.Verdict == Go) != ok {
			t.Fatalf("%s by %s, of %+v", v.Verdict, v.Rule, days)
		}
	})
}

func TestMergeDays(t *testing.T) {
	all := judgedDays(0, 1, 2, 3)
	now, earlier := all[1:3], judgedDays(7, 8, 9, 9)
	got := mergeDays(now, earlier, all[2].End)
	var unexplained []int64
	for _, d := range got {
		unexplained = append(unexplained, d.Unexplained)
	}
	if diff := cmp.Diff([]int64{7, 1, 2}, unexplained); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPercent(t *testing.T) {
	tests := []struct {
		num, den int64
		want     string
	}{
		{15728, 16459, "95.56"}, {1, 1, "100.00"}, {999999, 1000000, "99.99"}, {0, 5, "0.00"}, {1, 1000000, "<0.01"}, {0, 0, "n/a"}, {1, 3, "33.33"}, {2, 3, "66.67"},
	}
	for _, tt := range tests {
		if got := NewRatio(tt.num, tt.den).Percent(2); got != tt.want {
			t.Errorf("%d/%d = %s, want %s", tt.num, tt.den, got, tt.want)
		}
	}
	if got := NewRatio(2, 3).floorPercent(2); got != "66.66" {
		t.Errorf("floorPercent = %s", got)
	}
}

func TestPercentNeverShowsWhatIsNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		den := rapid.Int64Range(1, 1<<62).Draw(t, "den")
		num := rapid.Int64Range(0, den).Draw(t, "num")
		decimals := rapid.IntRange(0, 6).Draw(t, "decimals")
		r := NewRatio(num, den)
		if shown, ok := new(big.Rat).SetString(r.Percent(decimals)); ok {
			if shown.Cmp(big.NewRat(100, 1)) == 0 && num != den || shown.Sign() == 0 && num != 0 {
				t.Fatalf("%d/%d shows as %s", num, den, r.Percent(decimals))
			}
		}
		if f, _ := new(big.Rat).SetString(r.floorPercent(decimals)); f.Cmp(new(big.Rat).SetFrac64(num, den).Mul(new(big.Rat).SetFrac64(num, den), big.NewRat(100, 1))) > 0 {
			t.Fatalf("floorPercent of %d/%d is more than it is", num, den)
		}
	})
}
