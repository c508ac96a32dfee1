package tables

import (
	"time"

	"cloud.google.com/go/bigquery"
)

// The history of comparisons: tables in the history dataset of a Comparison.
const (
	CompareRuns = "compare_runs"
	CompareKeys = "compare_keys"
)

// Values of the columns segment and source of compare_runs.
const (
	SegmentRange = ""    // the whole range of a run
	SegmentDay   = "day" // a settled day; range_from and range_to are its bounds

	SourceCLI      = "cli"
	SourceSchedule = "schedule"
)

// CompareRunsTable holds what comparisons have found: of every range, and of
// every settled day in one. A row is identified by comparison, spec_hash,
// range_from, range_to and segment, and written by MERGE on exactly that, so that
// a run that is repeated writes the same rows once. The columns from windows to
// metrics are facts of both sides, and equal whoever writes them; those from
// run_id on are what a run of the command line concludes from them. A schedule,
// which looks for no causes, writes NULL there; it leaves them in a row that it
// finds with the same facts.
func CompareRunsTable() Table {
	number := func(name, doc string) *bigquery.FieldSchema { return col(name, bigquery.IntegerFieldType, doc) }
	text := func(name, doc string) *bigquery.FieldSchema { return col(name, bigquery.StringFieldType, doc) }
	at := func(name, doc string) *bigquery.FieldSchema { return col(name, bigquery.TimestampFieldType, doc) }
	return Table{Name: CompareRuns, Description: "Results of comparisons, by range and by settled day. kappa tables v1.",
		ClusterBy: []string{"comparison", "spec_hash", "segment"},
		Schema: bigquery.Schema{
			text("comparison", "Name of the Comparison."),
			text("spec_hash", "SHA-256 of the resolved spec, hex."),
			at("range_from", "Start of the first window, inclusive; of a day, its start."),
			at("range_to", "End of the range, exclusive; of a day, its end."),
			text("segment", "Empty: the whole range. day: a settled day in it."),

			number("windows", "Settled windows."),
			number("keys", "Keys on either side."),
			number("exact", "Keys with equal values."),
			number("tolerated", "Keys that are equal within the tolerance."),
			number("mismatch", "Keys on both sides that differ."),
			number("missing", "Keys on the batch side alone."),
			number("extra", "Keys on the stream side alone."),
			number("nonunique", "Keys with several rows on a side that should have one."),
			nullable(number("batch_rows", "Rows of the batch side. NULL in a day's row.")),
			nullable(number("stream_rows", "Rows of the stream side that count. NULL in a day's row.")),
			text("metrics", "JSON list, in the order of the spec, of objects: name, batch and stream (totals; null for min and max), difference, absolute, weight (of all keys), agree (weight of exact and tolerated keys). Numbers are decimal texts without trailing zeros."),

			nullable(text("run_id", "Id of the run; ids sort by time.")),
			nullable(text("verdict", "GO, HOLD or NO DATA. NULL in a day's row.")),
			nullable(text("rule", "The rule that decided, as a sentence. In a day's row: the rule of the gate that it breaks, or empty.")),
			nullable(number("unexplained", "Differing keys that no cause explains.")),
			nullable(number("explained", "Differing keys that a cause or a known difference explains.")),
			nullable(text("unexplained_weights", "JSON object: the weight of unexplained keys by the name of the metric, decimal texts.")),
			nullable(text("settled", "JSON list of the spans that were compared, objects from and to. NULL in a day's row.")),
			nullable(text("left_out", "JSON list of the spans that were left out as not settled, likewise.")),
			nullable(text("warnings", "JSON list of texts. NULL in a day's row.")),
			nullable(number("bytes_billed", "Of the reconciliation. NULL in a day's row.")),
			nullable(text("job_id", "Ids of the reconciliation's query jobs, separated by spaces. NULL in a day's row.")),
			text("source", "Who has written the row last: cli or schedule."),
			nullable(at("started_at", "When the run began.")),
		}}
}

// CompareRun is a row of the table compare_runs.
type CompareRun struct {
	Comparison string    `bigquery:"comparison" json:"comparison"`
	SpecHash   string    `bigquery:"spec_hash" json:"spec_hash"`
	RangeFrom  time.Time `bigquery:"range_from" json:"range_from"`
	RangeTo    time.Time `bigquery:"range_to" json:"range_to"`
	Segment    string    `bigquery:"segment" json:"segment"`

	Windows    int64              `bigquery:"windows" json:"windows"`
	Keys       int64              `bigquery:"keys" json:"keys"`
	Exact      int64              `bigquery:"exact" json:"exact"`
	Tolerated  int64              `bigquery:"tolerated" json:"tolerated"`
	Mismatch   int64              `bigquery:"mismatch" json:"mismatch"`
	Missing    int64              `bigquery:"missing" json:"missing"`
	Extra      int64              `bigquery:"extra" json:"extra"`
	Nonunique  int64              `bigquery:"nonunique" json:"nonunique"`
	BatchRows  bigquery.NullInt64 `bigquery:"batch_rows" json:"batch_rows"`
	StreamRows bigquery.NullInt64 `bigquery:"stream_rows" json:"stream_rows"`
	Metrics    string             `bigquery:"metrics" json:"metrics"`

	RunID              bigquery.NullString    `bigquery:"run_id" json:"run_id"`
	Verdict            bigquery.NullString    `bigquery:"verdict" json:"verdict"`
	Rule               bigquery.NullString    `bigquery:"rule" json:"rule"`
	Unexplained        bigquery.NullInt64     `bigquery:"unexplained" json:"unexplained"`
	Explained          bigquery.NullInt64     `bigquery:"explained" json:"explained"`
	UnexplainedWeights bigquery.NullString    `bigquery:"unexplained_weights" json:"unexplained_weights"`
	Settled            bigquery.NullString    `bigquery:"settled" json:"settled"`
	LeftOut            bigquery.NullString    `bigquery:"left_out" json:"left_out"`
	Warnings           bigquery.NullString    `bigquery:"warnings" json:"warnings"`
	BytesBilled        bigquery.NullInt64     `bigquery:"bytes_billed" json:"bytes_billed"`
	JobID              bigquery.NullString    `bigquery:"job_id" json:"job_id"`
	Source             string                 `bigquery:"source" json:"source"`
	StartedAt          bigquery.NullTimestamp `bigquery:"started_at" json:"started_at"`
}

// CompareRunMetric is an element of the column metrics.
type CompareRunMetric struct {
	Name       string  `json:"name"`
	Batch      *string `json:"batch"`
	Stream     *string `json:"stream"`
	Difference string  `json:"difference"`
	Absolute   string  `json:"absolute"`
	Weight     string  `json:"weight"`
	Agree      string  `json:"agree"`
}

// CompareKeysTable holds the differing keys of the newest run of each comparison,
// at most 100,000. A run of the command line replaces those of its comparison in
// one statement; a schedule does not touch them.
func CompareKeysTable() Table {
	return Table{Name: CompareKeys, Description: "Differing keys of the newest run of each comparison. kappa tables v1.",
		ClusterBy: []string{"comparison"},
		Schema: bigquery.Schema{
			col("comparison", bigquery.StringFieldType, "Name of the Comparison."),
			col("run_id", bigquery.StringFieldType, "Run that found it."),
			col("window_start", bigquery.TimestampFieldType, "Start of the window."),
			col("key", bigquery.StringFieldType, "JSON list of the key's values as texts, in the order of the spec; NULL is null, and those of sensitive keys are hashes."),
			col("class", bigquery.StringFieldType, "mismatch, missing, extra, nonunique; tolerated keys are not here."),
			col("cause", bigquery.StringFieldType, "Cause, name of the known difference, or unexplained."),
			col("status", bigquery.StringFieldType, "proven, likely, known or unexplained."),
		}}
}

// CompareKey is a row of the table compare_keys.
type CompareKey struct {
	Comparison  string    `bigquery:"comparison" json:"comparison"`
	RunID       string    `bigquery:"run_id" json:"run_id"`
	WindowStart time.Time `bigquery:"window_start" json:"window_start"`
	Key         string    `bigquery:"key" json:"key"`
	Class       string    `bigquery:"class" json:"class"`
	Cause       string    `bigquery:"cause" json:"cause"`
	Status      string    `bigquery:"status" json:"status"`
}
