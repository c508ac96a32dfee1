package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

// good is the summary of a run on the week that is built in.
func good() *Summary {
	s := &Summary{
		Input: "flights-week.csv.gz (built in)", Events: 115_245, RecordsProduced: 116_397, MessagesPublished: 116_604,
		EventsCounted: 115_245, LateAccepted: 31_044, BatchRows: 16_372, BatchesLoaded: 42, BatchDropped: 1_093,
		Redeploys: 3, JobCrashes: 1, WindowsCut: 362, DuplicatesAcrossGenerations: 40, RecoverySeconds: 3.21, ServingWindows: 16_459,
		BridgeRestarts: 1, DuplicatePctRaw: 1.1655, LatencyP50: 0.213, LatencyP99: 2.402, LatencyMax: 3.1,
		BatchCutoff: (2 * time.Hour).String(), Duplicates: 0.01, RecordsPerSec: 3325.6, Seconds: 81.4, PeakMemoryBytes: 1_503_238_553,
		Phases: []PhaseLength{{"Produce", 35.1}},
	}
	s.takeTruth(&truth{Events: 115_245, Windows: 16_459, BigQuery: truthSide{Counted: 115_245, Same: true}, Bigtable: truthSide{Counted: 115_245, Same: true}, Agrees: true})
	s.takeComparison(&compare.Result{
		Counts: compare.Counts{Total: 16_459, Exact: 15_728, Mismatch: 644, Extra: 87},
		Verdict: compare.Verdict{Verdict: compare.Go, Rule: "all rules are met", Checks: []compare.Check{
			{Rule: "minExactPercent", Want: "at least 95 % exact", Got: "95.56 %", OK: true},
			{Rule: "maxUnexplained", Want: "at most 0 unexplained", Got: "0", OK: true},
		}},
		Causes: compare.Causes{Differing: 731, EvidenceRead: true, Entries: []compare.Cause{
			{Cause: "late_dropped_by_batch", Status: compare.Proven, Keys: 731},
		}},
	})
	return s
}

func bad() *Summary {
	s := good()
	s.takeTruth(&truth{Events: 115_245, Windows: 16_459,
		BigQuery: truthSide{Counted: 115_240, Lost: 7, DoubleCounted: 2, DisagreeingKeys: 8},
		Bigtable: truthSide{Counted: 115_245, DisagreeingKeys: 9}})
	s.takeComparison(&compare.Result{
		Counts:  compare.Counts{Total: 100, Exact: 90, Mismatch: 7, Missing: 1, Extra: 1, Nonunique: 1},
		Verdict: compare.Verdict{Verdict: compare.Hold, Rule: "90 % of keys are exact, at least 95 % are needed"},
		Causes: compare.Causes{Differing: 10, Unexplained: 3, Entries: []compare.Cause{
			{Cause: compare.Unexplained, Status: compare.Unexplained, Keys: 3},
			{Cause: "late_dropped_by_batch", Status: compare.Likely, Keys: 2},
			{Cause: "late_dropped_by_batch", Status: compare.Proven, Keys: 5},
		}},
	})
	return s
}

func TestSummaryText(t *testing.T) {
	paths := &Paths{Summary: "out/demo/summary.json", HTML: "out/demo/compare.html", Logs: "out/demo/logs"}
	for name, s := range map[string]*Summary{"good": good(), "bad": bad()} {
		var b bytes.Buffer
		if err := s.Write(&b, paths, Style{}); err != nil {
			t.Fatal(err)
		}
		goldentest.Check(t, "testdata/summary-"+name+".txt", b.Bytes())
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(line)); n > 101 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		var c bytes.Buffer
		if err := s.Write(&c, paths, Style{Color: true}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(c.String(), "\x1b[") || strings.Contains(b.String(), "\x1b[") {
			t.Error("colours are not where they belong")
		}
	}
}

// summary.json is read by scripts: its fields are a contract.
func TestSummaryJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "summary.json")
	if err := good().write(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/summary-good.json", data)
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(`events records_produced messages_published events_counted lost double_counted
		late_accepted late_dropped windows exact mismatch missing extra exact_pct explained_pct unexplained causes verdict
		redeploys bridge_restarts duplicate_pct_raw latency_p99_s seconds`) {
		if _, ok := fields[name]; !ok {
			t.Errorf("field %s is missing", name)
		}
	}
}

func TestSummaryErr(t *testing.T) {
	if err := good().Err(); err != nil {
		t.Errorf("a good run fails: %v", err)
	}
	if err := bad().Err(); exit.Of(err) != exit.Failed {
		t.Errorf("a bad run: %v", err)
	}
	for name, spoil := range map[string]func(*Summary){
		"lost":     func(s *Summary) { s.Lost = 1 },
		"twice":    func(s *Summary) { s.DoubleCounted = 1 },
		"disagree": func(s *Summary) { s.TruthAgrees = false },
	} {
		s := good()
		spoil(s)
		if s.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestShown(t *testing.T) {
	for _, tc := range []struct {
		part, whole int64
		want        string
	}{{15728, 16459, "95.56 %"}, {5, 5, "100.00 %"}, {99_999, 100_000, "99.99 %"}, {1, 1_000_000, "0.01 %"}, {0, 9, "0.00 %"}} {
		if got := shown(tc.part, tc.whole); got != tc.want {
			t.Errorf("shown(%d, %d) = %q, want %q", tc.part, tc.whole, got, tc.want)
		}
	}
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{{2 * time.Hour, "2h"}, {90 * time.Minute, "1h30m"}, {30 * time.Minute, "30m"}, {0, "0s"}, {10 * time.Minute, "10m"}, {61 * time.Second, "1m1s"}} {
		if got := short(tc.d.String()); got != tc.want {
			t.Errorf("short(%s) = %q, want %q", tc.d, got, tc.want)
		}
	}
}
