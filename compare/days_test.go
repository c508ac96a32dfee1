package compare

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestSettledDays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time { v, _ := time.Parse(time.RFC3339, s); return v.UTC() }
	days := func(numbers ...int) (out []time.Time) {
		for _, n := range numbers {
			out = append(out, hours(float64(24*n)))
		}
		return out
	}
	tests := []struct {
		name    string
		w       windowing
		settled []Range
		want    []time.Time
	}{
		{"none", windowing{size: time.Hour}, nil, nil},
		{"less than a day", windowing{size: time.Hour}, []Range{span(0, 23)}, nil},
		{"one, and parts of others", windowing{size: time.Hour}, []Range{span(-1, 30)}, days(0)},
		{"a hole", windowing{size: time.Hour}, []Range{span(0, 30), span(31, 72)}, days(0, 2)},
		{"spans that touch", windowing{size: time.Hour}, []Range{span(0, 4), span(4, 24)}, days(0)},
		{"windows with an offset", windowing{size: 2 * time.Hour, offset: time.Hour}, []Range{span(1, 25)}, days(0)},
		{"windows that do not divide a day", windowing{size: 7 * time.Hour}, []Range{span(-100*7, 100*7)}, nil},
		{"days", windowing{size: day, offset: 6 * time.Hour}, []Range{span(6, 54)}, []time.Time{hours(6), hours(30)}},
		{"weeks", windowing{size: 7 * day}, []Range{{hours(-96), hours(240)}}, []time.Time{hours(-96), hours(72)}},
		{"calendar days, one of them of 23 hours", windowing{size: day, zone: berlin}, []Range{{at("2001-03-24T00:00:00+01:00"), at("2001-03-26T00:00:00+02:00")}},
			[]time.Time{at("2001-03-24T00:00:00+01:00"), at("2001-03-25T00:00:00+01:00")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := settledDays(tt.w, tt.settled)
			if tt.name == "windows that do not divide a day" {
				if len(got) < 50 {
					t.Errorf("%d days", len(got))
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is unexplained by key and by value, where all differing keys are listed and
// where some are not.
func TestUnexplainedIn(t *testing.T) {
	w := partWindow{WindowResult: WindowResult{Counts: Counts{Total: 10, Exact: 6, Mismatch: 4}}, weight: []windowWeight{{whole(100), whole(60)}}}
	key := func(status string, batch, stream int64) difference {
		return difference{class: ClassMismatch, window: hours(0), status: status, batch: sideValue{true, []*big.Rat{whole(batch)}}, stream: sideValue{true, []*big.Rat{whole(stream)}}}
	}
	tests := []struct {
		name   string
		diffs  []difference
		n      int64
		weight string
	}{
		{"none is listed", nil, 4, "40"},
		{"all are explained", []difference{key(Proven, 10, 4), key(Likely, 4, 10), key(Known, -10, 4), key(Proven, 10, 10)}, 0, "0"},
		{"one is not", []difference{key(Proven, 10, 4), key(Unexplained, 4, -11), key(Known, 10, 4), key(Proven, 10, 10)}, 1, "11"},
		{"one is explained, three are not listed", []difference{key(Proven, 10, 4)}, 3, "30"},
		{"never less than nothing", []difference{key(Proven, 1000, 4)}, 3, "0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tolerated := key(Unexplained, 7, 7)
			tolerated.class = ClassTolerated
			n, weights := w.unexplainedIn(tallies(append(tt.diffs, tolerated), 1)[hours(0)])
			if n != tt.n || decimalText(weights[0]) != tt.weight {
				t.Errorf("%d keys of weight %s, want %d of %s", n, decimalText(weights[0]), tt.n, tt.weight)
			}
		})
	}
}

func TestHeat(t *testing.T) {
	q := testQueries(t, func(s *jobspecs.ComparisonSpec) {})
	key := func(origin any, hour float64, status string) difference {
		return difference{class: ClassExtra, keys: []bigqueryValue{origin}, window: hours(hour), status: status}
	}
	h := q.heat([]difference{key("ORD", 0, Unexplained), key("ORD", 30, Proven), key(nil, 239, Unexplained)}, []Range{span(0, 240)})
	if h.Step != "6h" || len(h.Starts) != 40 || !h.Starts[39].Equal(hours(234)) {
		t.Errorf("step %s, %d columns", h.Step, len(h.Starts))
	}
	if diff := cmp.Diff([][]string{{"ORD"}, {"NULL"}}, h.Values); diff != "" || h.Differing[0][0] != 1 || h.Differing[0][5] != 1 || h.Unexplained[0][5] != 0 || h.Unexplained[1][39] != 1 {
		t.Errorf("%+v", h)
	}
	if h := q.heat(nil, nil); h.Values == nil || len(h.Starts) != 0 {
		t.Errorf("of nothing: %+v", h)
	}
	for _, size := range []time.Duration{time.Second, 7 * time.Minute, time.Hour, day, 30 * day} {
		for _, n := range []int{1, 59, 61, 1000} {
			if step := heatStep(time.Duration(n)*size, size); step%size != 0 || time.Duration(n)*size > heatColumns*step {
				t.Errorf("%d windows of %s are joined by %s", n, size, step)
			}
		}
	}
}
