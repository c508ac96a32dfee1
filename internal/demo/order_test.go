package demo

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

func drawFlights(t *rapid.T) []flights.Flight {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) flights.Flight {
		return flights.Flight{
			Scheduled: 978912000_000000 + rapid.Int64Range(0, 300).Draw(t, "minute")*60_000_000,
			Delay:     rapid.Int32Range(-60, 600).Draw(t, "delay"), Distance: rapid.Int32Range(0, 3000).Draw(t, "distance"),
			Origin: rapid.SampledFrom([]string{"ATL", "LAS", "ORD"}).Draw(t, "origin"), Destination: "SFO",
		}
	}), 1, 300).Draw(t, "flights")
}

// Every flight is sent once, in order of arrival and then of its number, and
// exactly round(fraction·n) of them once more, later.
func TestSendOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawFlights(t)
		fraction := rapid.Float64Range(0, 1).Draw(t, "fraction")
		got := sendOrder(in, fraction)
		if want := len(in) + int(math.Round(fraction*float64(len(in)))); len(got) != want {
			t.Fatalf("%d records, want %d", len(got), want)
		}
		times := make([]int, len(in))
		last := int32(-1)
		for _, i := range got {
			times[i]++
			if times[i] == 2 {
				continue
			}
			if last >= 0 {
				a, b := in[last].ArrivesAt(), in[i].ArrivesAt()
				if a.After(b) || a.Equal(b) && last > i {
					t.Fatalf("flight %d is sent before flight %d", last, i)
				}
			}
			last = i
		}
		for i, n := range times {
			if n < 1 || n > 2 {
				t.Fatalf("flight %d is sent %d times", i, n)
			}
		}
		if !slices.Equal(got, sendOrder(in, fraction)) {
			t.Fatal("another order the second time")
		}
	})
}

func TestRetriesAreLater(t *testing.T) {
	in := make([]flights.Flight, 10_000)
	for i := range in {
		in[i] = flights.Flight{Scheduled: 978912000_000000 + int64(i)*60_000_000}
	}
	at := map[int32]int{}
	retries, atOnce := 0, 0
	for pos, i := range sendOrder(in, 0.1) {
		first, again := at[i]
		if !again {
			at[i] = pos
			continue
		}
		retries++
		if pos-first == 1 {
			atOnce++
		}
		if pos-first > 2*longestRetry {
			t.Errorf("flight %d is sent again %d records later", i, pos-first)
		}
	}
	if retries != 1000 {
		t.Errorf("%d retries, want 1000", retries)
	}
	if atOnce > retries/10 {
		t.Errorf("%d of %d retries follow at once: they prove nothing", atOnce, retries)
	}
}

func TestPace(t *testing.T) {
	for _, tc := range []struct {
		rate    float64
		records int
		want    float64
	}{
		{0, 70_000, 2000}, {0, 100, slowestPace}, {0, 3_000_000, fastestPace}, {12.5, 100, 12.5},
	} {
		if got := (Config{Rate: tc.rate}).pace(tc.records); got != tc.want {
			t.Errorf("pace of %d records at --rate %v: %v, want %v", tc.records, tc.rate, got, tc.want)
		}
	}
}
