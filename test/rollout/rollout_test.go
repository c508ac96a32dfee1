package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A ledger that cannot tell would make every run a success.
func TestCompare(t *testing.T) {
	full := func(n int64) int64 { // the sum of n events, each counted once
		sum := int64(0)
		for i := range n {
			sum += 1 << (3 * i)
		}
		return sum
	}
	for _, c := range []struct {
		name   string
		events int64
		sums   map[int64]int64
		want   tally
	}{
		{"each once", 20, map[int64]int64{0: full(16), 1: full(4)}, tally{counted: 20}},
		{"nothing", 0, nil, tally{}},
		{"a key is lost", 18, map[int64]int64{0: full(16)}, tally{counted: 16, lost: 2, examples: []string{"event 16 counted 0 times", "event 17 counted 0 times"}}},
		{"one is lost, another counted twice", 16, map[int64]int64{0: full(16) - 1<<9 + 1<<12}, tally{
			counted: 16, lost: 1, double: 1, examples: []string{"event 3 counted 0 times", "event 4 counted 2 times"},
		}},
		{"one is counted three times", 16, map[int64]int64{0: full(16) + 2}, tally{counted: 18, double: 2, examples: []string{"event 0 counted 3 times"}}},
	} {
		if diff := cmp.Diff(c.want, compare(c.events, c.sums), cmp.AllowUnexported(tally{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestMessage(t *testing.T) {
	s := &shard{index: 3}
	m := s.message(37)
	if got := string(m.GetData()); got != `{"block":"3-2","digit":32768}` {
		t.Errorf("data %s", got)
	}
	if diff := cmp.Diff(map[string]string{
		"kappa-id": "00000003-0000-8000-8000-000000000025", "kappa-position": "rollout/events/3/37",
		"kappa-event-time": "2001-01-08T00:01:06.600Z", "kappa-source-time": "2001-01-08T00:01:06.600Z",
	}, m.GetAttributes()); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestCommandRefuses(t *testing.T) {
	for _, args := range [][]string{{"--rate", "1"}, {"extra"}, {"--before", "-1s"}, {"--no-such-flag"}} {
		if err := command(t.Context(), args, &strings.Builder{}); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
	if err := command(t.Context(), []string{"--bin", t.TempDir()}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "kappa-sandbox") {
		t.Errorf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	r := &report{Shards: []shardReport{{Job: "events-0", Events: 10, Counted: 9, Lost: 1, Pause: 2.34}}, Lost: 1, Violations: []string{"events-0: event 3 counted 0 times"}}
	file := filepath.Join(t.TempDir(), "a", "r.json")
	if err := r.write(file); err != nil {
		t.Fatal(err)
	}
	if doc, err := os.ReadFile(file); err != nil || !strings.Contains(string(doc), `"pause_seconds": 2.34`) {
		t.Errorf("%s, %v", doc, err)
	}
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"2.3 s", "lost 1, counted twice 0", "VIOLATION: events-0: event 3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
}
