package catchup

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(seconds float64) *float64 { return &seconds }

func TestForecast(t *testing.T) {
	plan := &Plan{Bytes: 1000, Splits: []Split{{Ranges: []Range{{From: 0, To: 100, Next: 0, Bytes: 1000}}}}}
	half := &Plan{Bytes: 1000, Splits: []Split{{Ranges: []Range{{From: 0, To: 100, Next: 50, Bytes: 1000}}}}}
	done := &Plan{Bytes: 1000, Splits: []Split{{Ranges: []Range{{From: 0, To: 100, Next: 100, Bytes: 1000}}}}}
	in := &Inflow{BytesPerSecond: 40, RecordsPerSecond: 4}
	for _, c := range []struct {
		name string
		got  Forecast
		want Forecast
	}{
		{"no rate", NewForecast(plan, 0, nil), Forecast{Bytes: 1000, Offsets: 100, DayRate: 1000.0 / day}},
		{"no inflow known", NewForecast(plan, 50, nil), Forecast{Bytes: 1000, Offsets: 100, Rate: at(50), ReadIn: at(20), DayRate: 1000.0 / day}},
		{"inflow", NewForecast(plan, 50, in), Forecast{Bytes: 1000, Offsets: 100, Rate: at(50), Inflow: in, ReadIn: at(20), CaughtUpIn: at(100), Headroom: at(1.25), DayRate: 40 + 1000.0/day}},
		{"never", NewForecast(plan, 40, in), Forecast{Bytes: 1000, Offsets: 100, Rate: at(40), Inflow: in, ReadIn: at(25), Headroom: at(1), Never: true, DayRate: 40 + 1000.0/day}},
		{"half is done", NewForecast(half, 50, in), Forecast{Bytes: 500, Offsets: 50, Rate: at(50), Inflow: in, ReadIn: at(10), CaughtUpIn: at(50), Headroom: at(1.25), DayRate: 40 + 500.0/day}},
		{"all is done", NewForecast(done, 50, in), Forecast{Rate: at(50), Inflow: in, ReadIn: at(0), CaughtUpIn: at(0), Headroom: at(1.25), DayRate: 40}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	text, err := json.Marshal(NewForecast(plan, 40, in))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"bytes":1000,"offsets":100,"rate":40,"inflow":{"bytesPerSecond":40,"recordsPerSecond":4},"readInSeconds":25,"caughtUpInSeconds":null,"headroom":1,"neverCatchesUp":true,"rateForOneDay":40.011574074074076}`; string(text) != want {
		t.Errorf("JSON %s\nwant %s", text, want)
	}
}

func TestInflow(t *testing.T) {
	start := time.Unix(1000, 0)
	a := ends{start, map[string]int64{"s/t/0": 100, "s/t/1": 50, "s/t/2": 7}}
	b := ends{start.Add(2 * time.Second), map[string]int64{"s/t/0": 300, "s/t/1": 50, "s/t/2": 3, "s/t/9": 1000}}
	got, err := inflow(a, b, map[string]float64{"s/t/0": 10, "s/t/1": 1, "s/t/9": 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Inflow{BytesPerSecond: 1000, RecordsPerSecond: 100}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := inflow(a, a, nil); err == nil {
		t.Error("two looks at the same time")
	}
}

func TestDuration(t *testing.T) {
	if got := Duration(90.4); got != 90*time.Second {
		t.Errorf("%s", got)
	}
	if got := Duration(1e300); got <= 0 {
		t.Errorf("%s", got)
	}
}
