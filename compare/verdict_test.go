package compare

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func judged(total, exact, unexplained int64) *Result {
	return &Result{
		Scope: Scope{Windows: 10}, Counts: Counts{Total: total, Exact: exact, Mismatch: total - exact}, Exact: NewRatio(exact, total),
		Causes: Causes{Differing: total - exact, Unexplained: unexplained}, Batch: BatchFreshness{Rows: 1}, Stream: StreamFreshness{Rows: 1},
	}
}

func TestDecide(t *testing.T) {
	edit := func(r *Result, f func(*Result)) *Result { f(r); return r }
	tests := []struct {
		name string
		gate jobspecs.Gate
		r    *Result
		want string
		rule string
	}{
		{"met", jobspecs.Gate{MinExactPercent: "95"}, judged(16459, 15728, 0), Go,
			"minExactPercent: 95.56 %, wanted at least 95 % exact; maxUnexplained: 0, wanted at most 0 unexplained"},
		{"exactly at the gate", jobspecs.Gate{MinExactPercent: "95"}, judged(100, 95, 0), Go,
			"minExactPercent: 95.00 %, wanted at least 95 % exact; maxUnexplained: 0, wanted at most 0 unexplained"},
		{"a hair below does not show as met", jobspecs.Gate{MinExactPercent: "95"}, judged(100_000_000, 94_999_999, 0), Hold,
			"minExactPercent: 94.999999 %, wanted at least 95 % exact"},
		{"one key of a billion short of all", jobspecs.Gate{MinExactPercent: "100"}, judged(1_000_000_000, 999_999_999, 0), Hold,
			"minExactPercent: 99.99 %, wanted at least 100 % exact"},
		{"unexplained", jobspecs.Gate{MinExactPercent: "95", MaxUnexplained: 2}, judged(100, 97, 3), Hold, "maxUnexplained: 3, wanted at most 2 unexplained"},
		{"as many as allowed", jobspecs.Gate{MaxUnexplained: 3}, judged(100, 97, 3), Go,
			"minExactPercent: 97.00 %, wanted at least 0 % exact; maxUnexplained: 3, wanted at most 3 unexplained"},
		{"both broken", jobspecs.Gate{MinExactPercent: "99.5"}, judged(100, 97, 3), Hold,
			"minExactPercent: 97.00 %, wanted at least 99.5 % exact; maxUnexplained: 3, wanted at most 0 unexplained"},
		{"no window settled", jobspecs.Gate{}, edit(judged(0, 0, 0), func(r *Result) {
			r.Scope.Windows = 0
			r.Scope.LeftOut = []LeftOut{{LeftOutStreamOpen, "the watermark is behind", 8, nil}}
		}), NoData, "no window is settled: 8 windows, stream_not_settled: the watermark is behind"},
		{"no keys", jobspecs.Gate{}, judged(0, 0, 0), NoData, "neither side has a key in the settled windows"},
		{"an empty batch side is no pass, even where no gate is set", jobspecs.Gate{MaxUnexplained: 1000}, edit(judged(10, 0, 0), func(r *Result) { r.Batch.Rows = 0 }), NoData,
			"the batch side has no rows in the settled windows"},
		{"an empty stream side neither", jobspecs.Gate{MaxUnexplained: 1000}, edit(judged(10, 0, 0), func(r *Result) { r.Stream.Rows = 0 }), NoData,
			"the stream side has no rows that count in the settled windows"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v := decide(tt.gate, tt.r); v.Verdict != tt.want || v.Rule != tt.rule {
				t.Errorf("%s by %q;\nwant %s by %q", v.Verdict, v.Rule, tt.want, tt.rule)
			}
		})
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

func TestDigits(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "-1234567": "-1,234,567", "-123": "-123", "+1000": "+1,000",
		"92233720368547758070": "92,233,720,368,547,758,070"} {
		if got := digits(in); got != want {
			t.Errorf("digits(%s) = %s, want %s", in, got, want)
		}
	}
}
