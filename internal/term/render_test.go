package term

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var state = State{
	Phases: []Phase{
		{Name: "Start", Status: Done, Note: "six services", Elapsed: 1500 * time.Millisecond},
		{Name: "Produce", Unit: "records", Count: 57_000, Total: 116_397, Rate: 3319.6},
		{Name: "Arrive", Status: Failed, Unit: "records", Count: 12, Total: 20, Elapsed: 95 * time.Second},
		{Name: "Wait", Note: "for nothing"},
	},
	Gauges: []Gauge{{"flights-0", "2001-01-11 13:02"}, {"raw", "56,120"}},
}

func TestLive(t *testing.T) {
	want := []string{
		"  ✓ Start                   six services  1.5s",
		"  ◓ Produce                 █████████░░░░░░░░░░░  57,000/116,397 records  3,320/s  18s left",
		"  ✗ Arrive                  12 records  1m35s",
		"  ◓ Wait                    for nothing",
		"    flights-0  2001-01-11 13:02",
		"    raw        56,120",
	}
	if d := cmp.Diff(want, Live(state, 200, 0, 1, false)); d != "" {
		t.Error(d)
	}
}

// Where a line is too long, the bar goes before the time that is left.
func TestLiveIsNarrow(t *testing.T) {
	s := State{Phases: []Phase{{Name: "load batch", Unit: UnitBytes, Count: 52_000_000, Total: 311_112_174, Rate: 8_529_877}}}
	for width, want := range map[int]string{
		90: "  ◐ load batch              ███░░░░░░░░░░░░░░░░░  49.6 MiB/296.7 MiB  8.1 MiB/s  30s left",
		79: "  ◐ load batch              49.6 MiB/296.7 MiB  8.1 MiB/s  30s left",
		30: "  ◐ load batch              4…",
	} {
		if d := cmp.Diff([]string{want}, Live(s, width, 0, 0, false)); d != "" {
			t.Errorf("%d columns: %s", width, d)
		}
	}
	slow := State{Phases: []Phase{{Name: "reconcile", Unit: "partitions", Count: 2, Total: 31, Rate: 1. / 30, Note: "reading"}}}
	if d := cmp.Diff([]string{"  ◐ reconcile               2/31 partitions  14m30s left  reading"}, Live(slow, 79, 0, 0, false)); d != "" {
		t.Error(d)
	}
}

func TestLiveColours(t *testing.T) {
	got := Live(state, 200, 0, 1, true)
	for i, want := range []string{Green, "", Red, ""} {
		if want == "" && strings.Contains(got[i], "\x1b") {
			t.Errorf("line %d is coloured: %q", i, got[i])
		}
		if want != "" && (!strings.HasPrefix(got[i], want) || !strings.HasSuffix(got[i], Reset)) {
			t.Errorf("line %d is not coloured: %q", i, got[i])
		}
	}
}

// No line is wider and no state higher than the terminal, whatever it shows.
func TestLiveFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		for range rapid.IntRange(0, 12).Draw(t, "phases") {
			s.Phases = append(s.Phases, Phase{
				Name: rapid.StringMatching(`[a-zä ]{0,40}`).Draw(t, "name"), Unit: "records",
				Status: Status(rapid.IntRange(0, 2).Draw(t, "status")),
				Count:  rapid.Int64().Draw(t, "count"), Total: rapid.Int64Range(0, 1<<40).Draw(t, "total"),
				Rate: rapid.Float64Range(0, 1e9).Draw(t, "rate"), Note: rapid.StringMatching(`.{0,30}`).Draw(t, "note"),
			})
		}
		for range rapid.IntRange(0, 5).Draw(t, "gauges") {
			s.Gauges = append(s.Gauges, Gauge{"g", strings.Repeat("x", rapid.IntRange(0, 99).Draw(t, "value"))})
		}
		width, height := rapid.IntRange(1, 120).Draw(t, "width"), rapid.IntRange(1, 20).Draw(t, "height")
		lines := Live(s, width, height, rapid.IntRange(0, 1000).Draw(t, "frame"), false)
		if len(lines) > height {
			t.Fatalf("%d lines in a height of %d", len(lines), height)
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > width {
				t.Fatalf("%d columns in a width of %d: %q", n, width, l)
			}
		}
	})
}

func TestPlain(t *testing.T) {
	for _, tc := range []struct {
		p    Phase
		want string
	}{
		{state.Phases[0], "Start: done, six services, 1.5s"},
		{state.Phases[1], "Produce: …, 57,000/116,397 records, 3,320/s, 18s left, flights-0 2001-01-11 13:02, raw 56,120"},
		{state.Phases[2], "Arrive: FAILED, 12 records, 1m35s"},
	} {
		if got := Plain(tc.p, state.Gauges); got != tc.want {
			t.Errorf("got  %q\nwant %q", got, tc.want)
		}
	}
}

func TestLeft(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    Phase
		want time.Duration
		ok   bool
	}{
		{"half", Phase{Count: 50, Total: 100, Rate: 10}, 5 * time.Second, true},
		{"no rate", Phase{Count: 50, Total: 100}, 0, false},
		{"no total", Phase{Count: 50, Rate: 10}, 0, false},
		{"all", Phase{Count: 100, Total: 100, Rate: 10}, 0, false},
		{"done", Phase{Count: 50, Total: 100, Rate: 10, Status: Done}, 0, false},
		{"beyond sense", Phase{Total: 1 << 40, Rate: 0.001}, 0, false},
	} {
		if got, ok := tc.p.Left(); got != tc.want || ok != tc.ok {
			t.Errorf("%s: got %s, %t, want %s, %t", tc.name, got, ok, tc.want, tc.ok)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 115245: "115,245", -1234567: "-1,234,567", -12: "-12"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.0s", 420 * time.Millisecond: "0.4s", 9949 * time.Millisecond: "9.9s", 9960 * time.Millisecond: "10s",
		35 * time.Second: "35s", 59600 * time.Millisecond: "1m00s", 125 * time.Second: "2m05s",
		200 * time.Minute: "3h20m", time.Hour - time.Millisecond: "60m00s",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%s) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1503238553: "1.4 GiB", 5 << 40: "5.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m meter
	at := time.Unix(0, 0)
	var got float64
	for i := range 201 { // 10 s at 1,000/s, then 10 s of nothing
		n := int64(min(i, 100) * 100)
		got = m.rate(at.Add(time.Duration(i)*100*time.Millisecond), n)
		if i == 0 && got != 0 {
			t.Errorf("a rate from one point: %f", got)
		}
		if i == 100 && (got < 999 || got > 1001) {
			t.Errorf("rate %f, want 1000", got)
		}
	}
	if got > 1 {
		t.Errorf("rate %f after a stall of 10 s, want none", got)
	}
	if len(m.points) > 60 {
		t.Errorf("%d points kept", len(m.points))
	}
}
