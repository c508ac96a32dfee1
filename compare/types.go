package compare

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// ResultVersion is the version of the JSON form of Result. Fields are added
// without a new version; a field that changes its meaning takes a new one.
const ResultVersion = 2

// Config is what a run needs.
type Config struct {
	Spec   *jobspecs.Comparison
	Client *bigquery.Client

	// Range bounds the windows by their start; a zero bound is taken from what
	// the batch loads cover.
	Range Range
	Last  time.Duration // without Range.From: the newest settled windows, this long; 0: as the spec says

	StateDir     string  // folder of checkpoints; empty: none are kept
	Fresh        bool    // checkpoints of a run that was stopped count for nothing
	Baseline     *Result // an earlier run: the gate judges regressions alone; nil: none
	BaselineFile string  // where it was read from, for the report
	ReadOnly     bool    // the history is read and not written

	Progress func(Progress)   // nil: none; called from the goroutine of Run
	Log      *slog.Logger     // nil: discarded
	Now      func() time.Time // nil: time.Now
}

// Validate refuses a config that Run could not work with.
func (c Config) Validate() error {
	switch {
	case c.Spec == nil:
		return errors.New("compare: no spec")
	case c.Client == nil:
		return errors.New("compare: no BigQuery client")
	case !c.Range.From.IsZero() && !c.Range.To.IsZero() && !c.Range.From.Before(c.Range.To):
		return exit.Usagef("the range from %s to %s is empty", stamp(c.Range.From), stamp(c.Range.To)).
			WithHint("give --from before --to")
	case c.Last > 0 && !c.Range.From.IsZero():
		return exit.Usagef("both bounds of the range are given, and its length").WithHint("give --from or --last")
	case c.Baseline != nil:
		return c.Baseline.fitAsBaseline(c.BaselineFile)
	}
	return nil
}

// Range is a half-open span of time, in UTC.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Progress is a step of a run. Total is 0 while unknown.
type Progress struct {
	Phase   string // preflight, control, estimate, reconcile, evidence, history
	Message string
	Unit    string // of Done and Total
	Ended   bool   // the phase has: Message says how
	Done    int64
	Total   int64
}

// Verdicts.
const (
	Go     = "GO"
	Hold   = "HOLD"
	NoData = "NO DATA"
)

// Classes of a compared key.
const (
	ClassExact     = "exact"     // one value on each side, all metrics equal
	ClassTolerated = "tolerated" // equal within a declared tolerance
	ClassMismatch  = "mismatch"  // on both sides, some metric differs
	ClassMissing   = "missing"   // only on the batch side
	ClassExtra     = "extra"     // only on the stream side
	ClassNonunique = "nonunique" // several rows on the batch side, or copies of a stream row that differ
)

// Classes in the order of reports.
var Classes = []string{ClassExact, ClassTolerated, ClassMismatch, ClassMissing, ClassExtra, ClassNonunique}

// Result is the outcome of a run; every report is a view of it (rule C6), see package
// report.
type Result struct {
	Version     int       `json:"version"`
	Comparison  string    `json:"comparison"`
	Description string    `json:"description,omitempty"`
	Environment string    `json:"environment"`
	SpecHash    string    `json:"spec_hash"` // SHA-256 of the resolved spec, hex
	Started     time.Time `json:"started"`
	Seconds     float64   `json:"seconds"`

	Gate    Gate    `json:"gate"`
	Verdict Verdict `json:"verdict"`
	Scope   Scope   `json:"scope"`
	Counts  Counts  `json:"keys"`
	Exact   Ratio   `json:"exact"` // exact keys ÷ all keys
	Agree   Ratio   `json:"agree"` // exact and tolerated keys ÷ all keys

	Metrics  []Metric        `json:"metrics"`
	Causes   Causes          `json:"causes"`
	Days     []Day           `json:"days"`     // every settled day in the range, and those of earlier runs that the gate counts, in order
	Windows  []WindowResult  `json:"windows"`  // every compared window that has keys, in order
	Segments []SegmentResult `json:"segments"` // worst values of each key and of each chosen combination
	Heat     HeatMap         `json:"heat"`     // differing keys by window and worst values of the first segment
	Samples  []Sample        `json:"samples"`  // of keys that are not exact, by class

	DifferingKeys []DifferingKey `json:"differing_keys"` // at most 100,000, by window and key

	Known       []KnownDifference `json:"known_differences"`
	Last        *LastRun          `json:"last_run"`           // null: no history, or no earlier run
	Transitions []Transition      `json:"transitions"`        // of classes since the last run, of keys that differed then or differ now
	SecondLook  *SecondLook       `json:"second_look"`        // null: the last run left no window out as not settled
	Trend       []TrendPoint      `json:"trend"`              // the last 30 runs, oldest first, this one included
	Passes      int               `json:"consecutive_passes"` // runs that said GO without another verdict between, this one included
	Baseline    *Baseline         `json:"baseline,omitempty"` // with --baseline
	Partitions  int               `json:"partitions"`         // queries that the range was compared by
	Resumed     int               `json:"partitions_resumed"` // of them: done by a run that was stopped

	Batch    BatchFreshness  `json:"batch"`
	Stream   StreamFreshness `json:"stream"`
	Warnings []string        `json:"warnings"`
	Cost     Cost            `json:"cost"`
}

// Gate is the rule of the verdict, as the spec gives it.
type Gate struct {
	Days                       int    `json:"days"`              // 0: the range as a whole
	MinExactPercent            string `json:"min_exact_percent"` // decimal text
	MinExactValuePercent       string `json:"min_exact_value_percent"`
	MaxUnexplained             int64  `json:"max_unexplained"`
	MaxUnexplainedValuePercent string `json:"max_unexplained_value_percent"`
	RegressionsOnly            bool   `json:"regressions_only"` // with --baseline: only what the baseline did not have counts
}

// Verdict says whether the gate is met, and by which rule.
type Verdict struct {
	Verdict string  `json:"verdict"` // GO, HOLD or NO DATA
	Rule    string  `json:"rule"`    // the rule that decided, as a sentence
	Checks  []Check `json:"checks"`
}

// Check is one rule of the gate.
type Check struct {
	Rule string `json:"rule"` // name of the rule, as in the spec
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

// Scope says what was compared and what was left out (rule C4).
type Scope struct {
	Project    string    `json:"project"`
	Dataset    string    `json:"dataset"`
	Batch      SideScope `json:"batch"`
	Stream     SideScope `json:"stream"`
	Keys       []string  `json:"key_columns"`
	Range      Range     `json:"range"`
	Default    bool      `json:"range_is_default"` // a bound was taken from the batch loads
	WindowSize string    `json:"window_size"`
	Offset     string    `json:"window_offset,omitempty"`
	TimeZone   string    `json:"time_zone,omitempty"` // of windows of a day; else UTC
	Settled    []Range   `json:"settled"`
	Windows    int64     `json:"windows_settled"` // windows compared, with keys or without
	LeftOut    []LeftOut `json:"left_out"`
}

// Kinds of sides.
const (
	SideTable = "table"
	SideView  = "view"
	SideQuery = "query"
	SideFiles = "files"
)

// SideScope says what a side is read from.
type SideScope struct {
	Kind  string   `json:"kind"`            // table, view, query or files
	Name  string   `json:"name"`            // PROJECT.DATASET.TABLE; of a query or files: query, files
	Query string   `json:"query,omitempty"` // text of a query
	Files []string `json:"files,omitempty"`
	Where string   `json:"where,omitempty"` // condition of the spec
	Job   string   `json:"job,omitempty"`   // StreamJob or shadow that writes it
}

// Reasons for which windows are left out.
const (
	LeftOutNotLoaded  = "batch_not_loaded"   // no batch load covers the window
	LeftOutStreamOpen = "stream_not_settled" // the stream may still change it
	LeftOutBatchOpen  = "batch_not_settled"  // the batch side may still change it
)

// LeftOut is a set of windows in the range that were not compared.
type LeftOut struct {
	Reason  string  `json:"reason"`
	Message string  `json:"message"`
	Windows int64   `json:"windows"`
	Ranges  []Range `json:"ranges"`
}

// Text says for people what is left out, and why.
func (l LeftOut) Text() string {
	if l.Windows == 0 {
		return l.Message
	}
	return fmt.Sprintf("%s, %s: %s", countOf(l.Windows, "window"), l.Reason, l.Message)
}

// Counts are keys by class.
type Counts struct {
	Total     int64 `json:"total"`
	Exact     int64 `json:"exact"`
	Tolerated int64 `json:"tolerated"`
	Mismatch  int64 `json:"mismatch"`
	Missing   int64 `json:"missing"`
	Extra     int64 `json:"extra"`
	Nonunique int64 `json:"nonunique"`
}

// Of returns the keys of a class.
func (c Counts) Of(class string) int64 {
	switch class {
	case ClassExact:
		return c.Exact
	case ClassTolerated:
		return c.Tolerated
	case ClassMismatch:
		return c.Mismatch
	case ClassMissing:
		return c.Missing
	case ClassExtra:
		return c.Extra
	case ClassNonunique:
		return c.Nonunique
	}
	return 0
}

// Differing are the keys that are neither exact nor tolerated.
func (c Counts) Differing() int64 { return c.Mismatch + c.Missing + c.Extra + c.Nonunique }

// Metric is what became of one metric over all keys. Numbers are decimal
// texts: they may be beyond what a JSON number carries.
type Metric struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"`
	Value       string            `json:"value"`               // BigQuery type in which it is compared
	Tolerance   string            `json:"tolerance,omitempty"` // as the spec declares it, for people
	Approximate bool              `json:"approximate"`         // FLOAT64: compared under its tolerance alone (rule C2)
	BatchTotal  string            `json:"batch_total"`         // "" for min and max, which do not add up
	StreamTotal string            `json:"stream_total"`        // likewise
	Difference  string            `json:"difference"`          // sum over keys of stream − batch, an absent value counting as 0
	Absolute    string            `json:"absolute"`            // sum over keys of |stream − batch|
	Weight      map[string]string `json:"weight"`              // by class: sum of the greater of |batch| and |stream|
	Exact       Ratio             `json:"exact"`               // weight of exact keys ÷ weight of all
	Agree       Ratio             `json:"agree"`               // weight of exact and tolerated keys ÷ weight of all
	Unexplained Ratio             `json:"unexplained"`         // weight of unexplained keys ÷ weight of all
	Skipped     int64             `json:"skipped,omitempty"`   // keys that no sum holds: a FLOAT64 that is NaN or infinite
}

// Causes says why keys are not exact (rule C5). The keys of all entries add up
// to the keys that differ; what is unexplained comes first.
type Causes struct {
	Differing    int64   `json:"differing"`
	Unexplained  int64   `json:"unexplained"`
	Unexamined   int64   `json:"unexamined"` // of the unexplained: evidence was not read, see warnings
	Explained    Ratio   `json:"explained"`  // explained keys ÷ differing keys; 1 ÷ 1 where none differs
	Entries      []Cause `json:"entries"`
	EvidenceRead bool    `json:"evidence_read"`
}

// Attribution of a cause.
const (
	Proven      = "proven"
	Likely      = "likely"
	Known       = "known" // a known difference of the spec
	Unexplained = "unexplained"
)

// Cause is a set of flaws and the keys whose difference it makes.
type Cause struct {
	Cause  string `json:"cause"` // flaws joined by " + "; where several sets fit, the sets joined by " or "
	Status string `json:"status"`
	Keys   int64  `json:"keys"`
	Share  Ratio  `json:"share"` // of the keys that differ

	Evidence string        `json:"evidence"` // what shows it, as a sentence
	SQL      string        `json:"sql"`      // shows it for one of the keys, to copy
	Metrics  []MetricDelta `json:"metrics"`  // differences of its keys
}

// WindowResult is one window.
type WindowResult struct {
	Start   time.Time     `json:"start"`
	Counts  Counts        `json:"keys"`
	Metrics []MetricDelta `json:"metrics"`

	Unexplained int64 `json:"unexplained"` // keys that no cause explains
}

// MetricDelta is the difference of one metric over some keys.
type MetricDelta struct {
	Name       string `json:"name"`
	Difference string `json:"difference"`
	Absolute   string `json:"absolute"`
}

// SegmentResult holds the worst values of one key, or of one combination of
// keys: those with the most keys that differ.
type SegmentResult struct {
	Columns   []string       `json:"columns"`
	Worst     []SegmentValue `json:"worst"`
	Truncated bool           `json:"truncated"` // further values have keys that differ

	Approximate bool `json:"approximate"` // counts may be too low: a partition of the range had more than 1,000 values
}

// SegmentValue is the keys that have one value in each of the columns.
type SegmentValue struct {
	Values  []*string     `json:"values"` // per column; null: it is NULL
	Counts  Counts        `json:"keys"`
	Metrics []MetricDelta `json:"metrics"`
}

// Sample is one key that is not exact.
type Sample struct {
	Class      string         `json:"class"`
	Key        []KeyValue     `json:"key"`
	Window     time.Time      `json:"window_start"`
	BatchRows  int64          `json:"batch_rows"`
	StreamRows int64          `json:"stream_rows"` // panes that count
	Metrics    []SampleMetric `json:"metrics"`
	Cause      string         `json:"cause"`
	Status     string         `json:"status"`
	Evidence   string         `json:"evidence"`        // what shows the cause, as a sentence
	Known      string         `json:"known,omitempty"` // name of the known difference
	SQL        string         `json:"sql"`             // shows the rows of both sides and the raw events
}

// KeyValue is one key column of a key; a nil value is NULL.
type KeyValue struct {
	Column string  `json:"column"`
	Value  *string `json:"value"`
}

// SampleMetric is a metric's value on both sides; nil is absent or NULL. NaN, Inf
// and -Inf are texts, and have the difference "".
type SampleMetric struct {
	Name       string  `json:"name"`
	Batch      *string `json:"batch"`
	Stream     *string `json:"stream"`
	Difference string  `json:"difference"`
}

// Cost is what the run's queries read.
type Cost struct {
	Estimated  int64      `json:"bytes_estimated"` // of the reconciliation query, by dry run
	Accuracy   string     `json:"estimate_accuracy,omitempty"`
	Processed  int64      `json:"bytes_processed"`   // by the reconciliation query
	Billed     int64      `json:"bytes_billed"`      // by the reconciliation query
	LowerBound int64      `json:"bytes_lower_bound"` // of keys, windows and metrics of both sides in the range, by dry runs of each side alone; per side at least the billing minimum
	Ratio      Ratio      `json:"billed_to_lower_bound"`
	Evidence   int64      `json:"bytes_evidence"` // processed by evidence queries
	Jobs       []QueryJob `json:"jobs"`
}

// QueryJob is one query job of the run.
type QueryJob struct {
	Purpose   string `json:"purpose"`
	ID        string `json:"id"`
	Processed int64  `json:"bytes_processed"`
	Billed    int64  `json:"bytes_billed"`
}

// ExitCode is the exit code that the verdict leads to.
func (r *Result) ExitCode() exit.Code { return r.Verdict.ExitCode() }

// ExitCode is the exit code that the verdict leads to.
func (v Verdict) ExitCode() exit.Code {
	switch v.Verdict {
	case Go:
		return exit.OK
	case Hold:
		return exit.GateNotMet
	default:
		return exit.NoData
	}
}

// CauseCounts returns the differing keys by cause; what no cause explains is
// under "unexplained".
func (r *Result) CauseCounts() map[string]int64 {
	counts := map[string]int64{}
	for _, c := range r.Causes.Entries {
		counts[c.Cause] += c.Keys
	}
	return counts
}
