package report

import (
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/compare"
)

func TestWhereRowsCount(t *testing.T) {
	except := func(n int) (out []compare.ReplacedRange) {
		for i := range n {
			out = append(out, compare.ReplacedRange{Range: span(float64(i), float64(i+1)), By: "fill\x1b@1"})
		}
		return out
	}
	within := span(0, 8)
	for _, c := range []struct {
		w    compare.Writer
		want string
	}{
		{compare.Writer{}, "in all windows"},
		{compare.Writer{Within: &within}, "from 2001-01-08T00:00:00Z to 2001-01-08T08:00:00Z"},
		{compare.Writer{Within: &within, Except: except(1)}, "from 2001-01-08T00:00:00Z to 2001-01-08T08:00:00Z but not from 2001-01-08T00:00:00Z to 2001-01-08T01:00:00Z (fill\ufffd@1)"},
		{compare.Writer{Except: except(5)}, "in all windows but not from 2001-01-08T00:00:00Z to 2001-01-08T01:00:00Z (fill\ufffd@1), from 2001-01-08T01:00:00Z to 2001-01-08T02:00:00Z (fill\ufffd@1)," +
			" from 2001-01-08T02:00:00Z to 2001-01-08T03:00:00Z (fill\ufffd@1) and 2 further"},
	} {
		if got := where(c.w); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestDigits(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "-1234567": "-1,234,567", "-123": "-123", "+1000": "+1,000",
		"92233720368547758070": "92,233,720,368,547,758,070"} {
		if got := digits(in); got != want {
			t.Errorf("digits(%s) = %s, want %s", in, got, want)
		}
	}
}

// One run is no trend, in no view.
func TestATrendBeginsWithTwoRuns(t *testing.T) {
	for n, want := range map[int]bool{1: false, 2: true} {
		r := fixture()
		r.Trend = r.Trend[:n]
		for name, word := range map[string]string{"txt": "Trend of", "md": "in a row said GO", "html": "in a row said GO"} {
			if got := strings.Contains(render(t, views(r)[name]), word); got != want {
				t.Errorf("%s shows a trend of %d: %t, want %t", name, n, got, want)
			}
		}
	}
}

// When a run began is said to the minute, whatever the clock gave.
func TestRunsAreTimedToTheMinute(t *testing.T) {
	r := fixture()
	at := r.Started.Add(7*time.Second + 123456789)
	r.Started, r.Last.Started, r.Baseline.Started = at, at, at
	for i := range r.Trend {
		r.Trend[i].Started = at
	}
	for _, name := range []string{"txt", "md", "html"} {
		if got := render(t, views(r)[name]); strings.Contains(got, ":07.123456789") {
			t.Errorf("%s shows nanoseconds of a run", name)
		}
	}
}

func TestGateText(t *testing.T) {
	for _, c := range []struct {
		gate compare.Gate
		want string
	}{
		{compare.Gate{Days: 7}, "each of the newest 7 settled days, without a gap, has nothing unexplained, by key and by value"},
		{compare.Gate{Days: 1, MinExactPercent: "95"}, "the newest settled day has at least 95 % of keys and 0 % by value exact or tolerated, and nothing unexplained, by key and by value"},
		{compare.Gate{MaxUnexplained: 3}, "the range as a whole has at most 3 keys and 0 % by value unexplained"},
		{compare.Gate{MinExactValuePercent: "90.5", MaxUnexplainedValuePercent: "0.1", RegressionsOnly: true},
			"the range as a whole has at least 0 % of keys and 90.5 % by value exact or tolerated, and at most 0 keys and 0.1 % by value unexplained; only what the baseline did not have counts"},
	} {
		if got := gateText(c.gate); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
