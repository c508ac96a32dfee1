package catchup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

func mustBound(t *testing.T, flag string, values ...string) Bound {
	t.Helper()
	b, err := ParseBound(flag, values)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseBound(t *testing.T) {
	for _, c := range []struct {
		flag   string
		values []string
		want   string // text, or what the error says
	}{
		{"from", nil, "committed"},
		{"from", []string{"committed"}, "committed"},
		{"from", []string{"earliest"}, "earliest"},
		{"to", []string{"end"}, "end"},
		{"to", []string{"2026-01-31T10:00:00+02:00"}, "2026-01-31T08:00:00Z"},
		{"from", []string{"b/0=7,a/1=5", "s/a/0=3"}, "a/1=5,b/0=7,s/a/0=3"},
		{"from", []string{"end"}, "error: neither committed, earliest, a time nor an offset"},
		{"to", []string{"committed"}, "error: neither end, a time nor an offset"},
		{"from", []string{"a/x=5"}, "error: neither"},
		{"from", []string{"a=5"}, "error: neither"},
		{"from", []string{"a/0=-5"}, "error: neither"},
		{"from", []string{"a/b/c/0=5"}, "error: neither"},
		{"from", []string{"a/0=5", "a/0=6"}, "error: twice"},
		{"from", []string{"a/0=5", "earliest"}, "error: beside other values"},
	} {
		b, err := ParseBound(c.flag, c.values)
		other := "committed"
		if c.flag == "to" {
			other = "end"
		}
		if want, bad := strings.CutPrefix(c.want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), want) || exit.Of(err) != exit.Usage {
				t.Errorf("--%s %q: error %v, want %q", c.flag, c.values, err, want)
			}
		} else if err != nil || b.text(other) != c.want {
			t.Errorf("--%s %q: %q, %v, want %q", c.flag, c.values, b.text(other), err, c.want)
		}
	}
}

func FuzzParseBound(f *testing.F) {
	for _, s := range []string{"", "earliest", "2026-01-31T10:00:00Z", "a/0=1,b/1=2", "=", "/=", "a//0=1", "a/0=1,", "s/a/0=1"} {
		f.Add("from", s)
		f.Add("to", s)
	}
	f.Fuzz(func(t *testing.T, flag, value string) {
		b, err := ParseBound(flag, []string{value})
		if err != nil {
			return
		}
		b.partitions("s", "a")
		again, err := ParseBound(flag, []string{b.text("")})
		if err != nil || again.text("") != b.text("") {
			t.Fatalf("%q is written %q, which is read as %q, %v", value, b.text(""), again.text(""), err)
		}
	})
}

func TestResolve(t *testing.T) {
	e := extent{name: "s/t/0", start: 10, end: 100, committed: 40, begin: 10, accepted: -1, from: 60, to: 80}
	without := e
	without.committed = -1
	truncated := e
	truncated.committed = 4
	accepted := truncated
	accepted.accepted = 12
	again := truncated
	again.accepted = 8
	cut := e
	cut.committed = 120
	young := e
	young.from = 100
	when := time.Now().Format(time.RFC3339)
	for _, c := range []struct {
		name     string
		e        extent
		from, to []string
		a, b     int64
		err      string
	}{
		{"by default", e, nil, nil, 40, 100, ""},
		{"without an offset", without, nil, nil, 10, 100, ""},
		{"earliest", e, []string{"earliest"}, nil, 10, 100, ""},
		{"times", e, []string{when}, []string{when}, 60, 80, ""},
		{"a time after all", young, []string{when}, nil, 100, 100, ""},
		{"offsets", e, []string{"t/0=20"}, []string{"s/t/0=30"}, 20, 30, ""},
		{"offsets of another partition", e, []string{"t/1=20"}, []string{"t/1=30"}, 40, 100, ""},
		{"the end before the beginning", e, []string{"t/0=50"}, []string{"t/0=30"}, 50, 50, ""},
		{"truncated", truncated, nil, nil, 0, 0, "offsets 4 to 9 (6 of them) are gone"},
		{"truncated and accepted", accepted, nil, nil, 12, 100, ""},
		{"truncated, accepted, and truncated further", again, nil, nil, 0, 0, "offsets 8 to 9 (2 of them) are gone"},
		{"truncated, but all is asked for", truncated, []string{"earliest"}, nil, 10, 100, ""},
		{"an offset that is gone", e, []string{"t/0=3"}, nil, 0, 0, "offsets 3 to 9 (7 of them) are gone"},
		{"an end that is not there yet", e, nil, []string{"t/0=101"}, 0, 0, "ends at offset 100"},
		{"cut back", cut, nil, nil, 0, 0, "the log ends at 100"},
	} {
		a, b, err := resolve(mustBound(t, "from", c.from...), mustBound(t, "to", c.to...), c.e, "s", "t", 0)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
		} else if err != nil || a != c.a || b != c.b {
			t.Errorf("%s: %d to %d, %v, want %d to %d", c.name, a, b, err, c.a, c.b)
		}
	}
}

func TestAccords(t *testing.T) {
	var offsets []string
	for i := range 100 {
		offsets = append(offsets, fmt.Sprintf("topic/%d=%d", i, i))
	}
	long := mustBound(t, "from", offsets...)
	earliest, when := mustBound(t, "from", "earliest"), mustBound(t, "to", "2026-01-31T08:00:00Z")
	for _, c := range []struct {
		made, now Request
		want      bool
	}{
		{Request{Splits: 4}, Request{Splits: 4}, true},
		{Request{Splits: 4}, Request{Splits: 8}, true}, // the default of another machine
		{Request{Splits: 4}, Request{Splits: 8, SplitsGiven: true}, false},
		{Request{Splits: 40}, Request{Splits: 4, SplitsGiven: true}, false},
		{Request{From: earliest, To: when, Splits: 4, SplitsGiven: true}, Request{}, true},
		{Request{From: earliest, To: when, Splits: 4}, Request{From: earliest}, true},
		{Request{From: earliest, Splits: 4}, Request{From: mustBound(t, "from", "committed")}, false},
		{Request{To: when, Splits: 4}, Request{To: mustBound(t, "to", "2026-01-31T09:00:00+01:00")}, true},
		{Request{To: when, Splits: 4}, Request{To: mustBound(t, "to", "end")}, false},
		{Request{From: long, Splits: 4}, Request{From: long}, true},
		{Request{From: long, Splits: 4}, Request{From: mustBound(t, "from", offsets[1:]...)}, false},
	} {
		p := &Plan{Arguments: c.made.arguments()}
		if len(p.Arguments) > 3*maxBound {
			t.Errorf("%d bytes of arguments", len(p.Arguments))
		}
		if got := p.Accords(c.now); got != c.want {
			t.Errorf("made with %s, now %s: %v", p.Arguments, c.now.arguments(), got)
		}
	}
}
