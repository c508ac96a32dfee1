package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// Summary is the outcome of a run; summary.json is its JSON form. Fields are
// added, never changed.
type Summary struct {
	Input string `json:"input"`

	Events            int64 `json:"events"`             // flights in the input
	RecordsProduced   int64 `json:"records_produced"`   // acknowledged by Kafka, second copies included
	MessagesPublished int64 `json:"messages_published"` // distinct Pub/Sub messages in the raw table
	EventsCounted     int64 `json:"events_counted"`     // in the stream table, by the reader's rule
	Lost              int64 `json:"lost"`               // against the truth: in neither aggregates nor late table
	DoubleCounted     int64 `json:"double_counted"`     // against the truth
	LateAccepted      int64 `json:"late_accepted"`      // counted after their window had closed
	LateDropped       int64 `json:"late_dropped"`       // beyond the horizon: in the late table alone

	Windows       int64            `json:"windows"` // keys on either side: origin and hour
	Exact         int64            `json:"exact"`
	Mismatch      int64            `json:"mismatch"`
	Missing       int64            `json:"missing"`   // only on the batch side
	Extra         int64            `json:"extra"`     // only on the stream side
	Nonunique     int64            `json:"nonunique"` // several rows where there must be one
	ExactPct      float64          `json:"exact_pct"`
	ExplainedPct  float64          `json:"explained_pct"` // of the keys that differ
	Unexplained   int64            `json:"unexplained"`
	Causes        map[string]int64 `json:"causes"` // keys by cause
	CausesProven  int64            `json:"causes_proven"`
	Verdict       string           `json:"verdict"`
	VerdictRule   string           `json:"verdict_rule"`   // the rule that decided
	VerdictChecks []compare.Check  `json:"verdict_checks"` // all rules
	BatchRows     int64            `json:"batch_rows"`
	BatchesLoaded int              `json:"batches_loaded"`
	BatchDropped  int64            `json:"batch_late_dropped"` // flights that the old batch layer dropped

	TruthAgrees     bool  `json:"truth_agrees"`
	BigtableSame    bool  `json:"bigtable_same"`
	TruthWindows    int64 `json:"truth_windows"`
	DisagreeingKeys int64 `json:"disagreeing_keys"` // in BigQuery or Bigtable

	ServingWindows   int64 `json:"serving_windows"`   // that kappa serve query returns
	ServingDiffering int64 `json:"serving_differing"` // from BigQuery's stream table

	Redeploys      int64 `json:"redeploys"`       // jobs drained and replaced while events flowed
	JobCrashes     int64 `json:"job_crashes"`     // streaming jobs killed with SIGKILL and started again
	WindowsCut     int64 `json:"windows_cut"`     // keys and windows that a redeploy closed early; the next generation had the rest
	BridgeRestarts int64 `json:"bridge_restarts"` // after a SIGKILL

	// Events that two counting generations have read, and one has counted.
	DuplicatesAcrossGenerations int64 `json:"duplicates_across_generations"`

	DuplicatePctRaw float64 `json:"duplicate_pct_raw"`
	RecoverySeconds float64 `json:"recovery_s"`    // from the job's SIGKILL until all that it had read was read again
	LatencyP50      float64 `json:"latency_p50_s"` // record to BigQuery's raw table
	LatencyP99      float64 `json:"latency_p99_s"`
	LatencyMax      float64 `json:"latency_max_s"`

	BatchCutoff     string        `json:"batch_cutoff"`
	Duplicates      float64       `json:"duplicates"`
	RecordsPerSec   float64       `json:"records_per_second"` // as paced
	Seconds         float64       `json:"seconds"`
	PeakMemoryBytes int64         `json:"peak_memory_bytes"` // over all processes
	Phases          []PhaseLength `json:"phases"`
}

// PhaseLength is how long a phase took. Phases may overlap.
type PhaseLength struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// OK reports whether nothing was lost or counted twice, the truth agrees, and
// what is served is what BigQuery has.
func (s *Summary) OK() bool {
	return s.TruthAgrees && s.Lost == 0 && s.DoubleCounted == 0 && s.ServingDiffering == 0
}

// Err is nil if the run is OK.
func (s *Summary) Err() error {
	if s.OK() {
		return nil
	}
	return exit.With(exit.Failed, fmt.Errorf("the stream side is wrong: %d lost, %d counted twice, %d keys disagree with the truth, %d served ones differ from BigQuery",
		s.Lost, s.DoubleCounted, s.DisagreeingKeys, s.ServingDiffering))
}

func (s *Summary) write(file string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the summary: %w", err)
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return exit.Environmentf("write the summary: %w", err)
	}
	return nil
}

func (s *Summary) takeComparison(r *compare.Result) {
	c := r.Counts
	s.Windows, s.Exact, s.Mismatch, s.Missing, s.Extra, s.Nonunique = c.Total, c.Exact, c.Mismatch, c.Missing, c.Extra, c.Nonunique
	s.ExactPct = percent(c.Exact, c.Total)
	s.ExplainedPct = 100
	if r.Causes.Differing > 0 {
		s.ExplainedPct = percent(r.Causes.Differing-r.Causes.Unexplained, r.Causes.Differing)
	}
	s.CausesProven = 0
	s.Unexplained, s.Causes = r.Causes.Unexplained, r.CauseCounts()
	for _, e := range r.Causes.Entries {
		if e.Status == compare.Proven {
			s.CausesProven += e.Keys
		}
	}
	s.Verdict, s.VerdictRule, s.VerdictChecks = r.Verdict.Verdict, r.Verdict.Rule, r.Verdict.Checks
}

func (s *Summary) takeTruth(t *truth) {
	s.Lost = max(t.BigQuery.Lost, t.Bigtable.Lost)
	s.DoubleCounted = max(t.BigQuery.DoubleCounted, t.Bigtable.DoubleCounted)
	s.LateDropped, s.TruthWindows = t.LateDropped, t.Windows
	s.DisagreeingKeys = max(t.BigQuery.DisagreeingKeys, t.Bigtable.DisagreeingKeys)
	s.TruthAgrees, s.BigtableSame = t.Agrees, t.Bigtable.Same
}

// percent is 100·part/whole with four decimals, cut, so that 100 means all.
func percent(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part*1_000_000/whole) / 10_000
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// Style says how Write renders.
type Style struct {
	Color bool
}

// Write renders the summary for people.
func (s *Summary) Write(w io.Writer, p *Paths, st Style) error {
	var b strings.Builder
	paint := func(code, text string) string {
		if !st.Color {
			return text
		}
		return code + text + term.Reset
	}
	b.WriteString("\n")
	if s.OK() {
		b.WriteString("  " + paint(term.Bold+term.Green, "✓ Nothing lost, nothing counted twice.") +
			fmt.Sprintf(" BigQuery and Bigtable hold the truth in all %s windows.\n", term.Count(s.TruthWindows)))
	} else {
		b.WriteString("  " + paint(term.Bold+term.Red, fmt.Sprintf("✗ The stream side is wrong: %s lost, %s counted twice, %s windows disagree with the truth.",
			term.Count(s.Lost), term.Count(s.DoubleCounted), term.Count(s.DisagreeingKeys))) + "\n")
	}
	b.WriteString("\n")
	row := func(name, text string) { fmt.Fprintf(&b, "  %-10s %s\n", name, text) }
	row("Kafka", fmt.Sprintf("%s records: %s flights, %s of them sent twice",
		term.Count(s.RecordsProduced), term.Count(s.Events), term.Count(s.RecordsProduced-s.Events)))
	row("Bridge", fmt.Sprintf("%s messages published; killed with SIGKILL and restarted %s",
		term.Count(s.MessagesPublished), times(s.BridgeRestarts)))
	row("Stream", fmt.Sprintf("%s events counted, %s of them late; %s too late; %.2f %% duplicates removed",
		term.Count(s.EventsCounted), term.Count(s.LateAccepted), term.Count(s.LateDropped), s.DuplicatePctRaw))
	row("Jobs", fmt.Sprintf("%s drained and replaced while events flowed: %s windows cut and made whole,", term.Count(s.Redeploys), term.Count(s.WindowsCut)))
	row("", fmt.Sprintf("%s events read by two generations and counted once;", term.Count(s.DuplicatesAcrossGenerations)))
	row("", fmt.Sprintf("%s killed with SIGKILL and started again, all read again in %.1f s", term.Count(s.JobCrashes), s.RecoverySeconds))
	row("Latency", fmt.Sprintf("p50 %.1f s, p99 %.1f s from record to BigQuery", s.LatencyP50, s.LatencyP99))
	serving := "equal to BigQuery's stream table for every key"
	if s.ServingDiffering > 0 {
		serving = fmt.Sprintf("%s of them NOT as in BigQuery's stream table", term.Count(s.ServingDiffering))
	}
	row("Serving", fmt.Sprintf("%s windows read from Bigtable, %s", term.Count(s.ServingWindows), serving))
	row("Old batch", fmt.Sprintf("%s windows in %s batches; dropped %s flights reported over %s after their hour",
		term.Count(s.BatchRows), term.Count(int64(s.BatchesLoaded)), term.Count(s.BatchDropped), short(s.BatchCutoff)))
	b.WriteString("\n")
	fmt.Fprintf(&b, "  Batch against stream, %s windows (origin, hour)\n", term.Count(s.Windows))
	for _, c := range []struct {
		name string
		n    int64
		note string
	}{
		{"exact", s.Exact, ""}, {"mismatch", s.Mismatch, "on both sides, different values"},
		{"missing", s.Missing, "only on the batch side"}, {"extra", s.Extra, "only on the stream side"},
		{"nonunique", s.Nonunique, "several rows where there must be one"},
	} {
		if c.n == 0 && c.name != "exact" {
			continue
		}
		line := fmt.Sprintf("    %-10s %8s %8s  %s", c.name, term.Count(c.n), shown(c.n, s.Windows), share(c.n, s.Windows))
		b.WriteString(strings.TrimRight(line+"  "+c.note, " ") + "\n")
	}
	if differing := s.Windows - s.Exact; differing > 0 {
		fmt.Fprintf(&b, "    why %s differ: %s explained, %s proven from the raw events\n",
			term.Count(differing), shown(differing-s.Unexplained, differing), term.Count(s.CausesProven))
		for _, name := range slices.SortedFunc(maps.Keys(s.Causes), s.worstFirst) {
			fmt.Fprintf(&b, "    %19s  %s\n", term.Count(s.Causes[name]), name)
		}
	}
	b.WriteString("\n")
	color := term.Green
	if s.Verdict != compare.Go {
		color = term.Red
	}
	row("Verdict", paint(term.Bold+color, s.Verdict)+"  "+s.gate())
	row("Run", fmt.Sprintf("%.0f s, at most %s of memory over all processes", s.Seconds, term.Bytes(s.PeakMemoryBytes)))
	b.WriteString("\n")
	for _, l := range [][2]string{{"Report", p.HTML}, {"Numbers", p.Summary}, {"Logs", p.Logs}} {
		row(l[0], l[1])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// gate says how the verdict came about.
func (s *Summary) gate() string {
	if len(s.VerdictChecks) == 0 {
		return s.VerdictRule
	}
	var out []string
	for _, c := range s.VerdictChecks {
		out = append(out, fmt.Sprintf("%s (%s)", c.Got, c.Want))
	}
	return strings.Join(out, ", ")
}

// worstFirst orders causes: unexplained first, then by keys.
func (s *Summary) worstFirst(a, b string) int {
	if (a == compare.Unexplained) != (b == compare.Unexplained) {
		if a == compare.Unexplained {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(s.Causes[b], s.Causes[a]), cmp.Compare(a, b))
}

// shown is a percentage for people: rounded, but 100 only if it is all, and 0
// only if it is nothing.
func shown(part, whole int64) string {
	text := fmt.Sprintf("%.2f %%", percent(part, whole))
	switch {
	case part != whole && text == "100.00 %":
		return "99.99 %"
	case part != 0 && text == "0.00 %":
		return "0.01 %"
	}
	return text
}

// short drops the zeros of a duration's text: 2h0m0s is 2h.
func short(d string) string {
	if t, ok := strings.CutSuffix(d, "m0s"); ok {
		d = t + "m"
	}
	if t, ok := strings.CutSuffix(d, "h0m"); ok {
		d = t + "h"
	}
	return d
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return term.Count(n) + " times"
}

const shareColumns = 24

// share draws part of whole as a bar; a part that is not nothing shows.
func share(part, whole int64) string {
	if whole == 0 || part == 0 {
		return strings.Repeat("░", shareColumns)
	}
	full := max(1, int(part*shareColumns/whole))
	return strings.Repeat("█", full) + strings.Repeat("░", shareColumns-full)
}
