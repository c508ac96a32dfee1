package jobspecs

// Comparison reconciles two sides of aggregates.
type Comparison struct {
	Header   `yaml:",inline"`
	Metadata Metadata       `yaml:"metadata" doc:"Name, purpose and labels." required:"true"`
	Spec     ComparisonSpec `yaml:"spec" doc:"What it is." required:"true"`
}

// ComparisonSpec is the spec of a Comparison.
type ComparisonSpec struct {
	Platform  `yaml:",inline"`
	Dataset   string            `yaml:"dataset" doc:"Dataset of tables that are named without one, and of the control tables (generations, watermarks, batch_loads)." default:"kappa" pattern:"[A-Za-z0-9_]{1,1000}"`
	Batch     BatchSide         `yaml:"batch" doc:"The old aggregates." required:"true"`
	Stream    StreamSide        `yaml:"stream" doc:"The new aggregates." required:"true"`
	Keys      []CompareKey      `yaml:"keys" doc:"What, with the window, makes the key." required:"true"`
	Window    Duration          `yaml:"window" doc:"Size of the windows." required:"true"`
	Alignment Alignment         `yaml:"alignment" doc:"Where windows begin; without it at multiples of their size since 1970-01-01 UTC."`
	Metrics   []Metric          `yaml:"metrics" doc:"Values that are compared." required:"true"`
	Segments  []Segment         `yaml:"segments" doc:"Combinations of keys that results are broken down by, beside each key alone."`
	Range     CompareRange      `yaml:"range" doc:"Which windows are compared."`
	Known     []KnownDifference `yaml:"knownDifferences" doc:"Differences that somebody answers for, until they expire."`
	Evidence  Evidence          `yaml:"evidence" doc:"The raw events by which causes are proven."`
	Gate      Gate              `yaml:"gate" doc:"The rule of the verdict."`
	History   CompareHistory    `yaml:"history" doc:"Where the results of runs are kept. Without it a run writes nothing to BigQuery."`
	Limits    CompareLimits     `yaml:"limits" doc:"Bounds on cost and output."`
	Sensitive []string          `yaml:"sensitive" doc:"Names of keys whose values are shown, logged and kept as hashes only."`
}

// Side is where the aggregates of a side are read from: exactly one of Table,
// Query and Files is given.
type Side struct {
	Table  string   `yaml:"table" one:"source" doc:"Table or view of the aggregates: NAME, DATASET.NAME or PROJECT.DATASET.NAME." pattern:"([a-z][-a-z0-9:.]{4,61}[a-z0-9]\\.)?([A-Za-z0-9_]{1,1000}\\.)?[A-Za-z_][-A-Za-z0-9_]{0,299}"`
	Query  string   `yaml:"query" one:"source" doc:"GoogleSQL query, one SELECT, that yields the aggregates. It reads the bounds of the range as @from and @to."`
	Files  []string `yaml:"files" one:"source" doc:"Local files of the aggregates, by path or pattern, relative to the spec: the comparison then needs no cloud, and both sides must be files."`
	Format string   `yaml:"format" doc:"Format of the files; by their names where it is not given." enum:"avro,parquet,csv,json"`
	Time   string   `yaml:"time" doc:"Column (TIMESTAMP, DATETIME or DATE) that holds the start of the window." default:"window_start" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Where  string   `yaml:"where" doc:"Rows that are compared: a GoogleSQL condition on the columns. Others are left out on this side."`
	Unique bool     `yaml:"unique" doc:"One row for each key and window; further ones make it nonunique. Where it is false they are parts, and merge as the metrics say." default:"true"`
}

// Ways in which the windows of a side are known to be settled.
const (
	SettledByLoads      = "loads"      // the control table batch_loads lists them
	SettledByWatermarks = "watermarks" // the jobs of the group are past them
	SettledByClock      = "clock"      // their end is settleAfter ago
)

// BatchSide is the old side.
type BatchSide struct {
	Side        `yaml:",inline"`
	Shadow      string   `yaml:"shadow" doc:"Shadow, STREAMJOB_shadow_SUFFIX, that has written the table in the place of a batch layer (kappa backfill --shadow): its rows count as its writers do, and the windows that it has computed count as loaded." pattern:"[a-z][-a-z0-9]*_shadow_[a-z0-9]{1,30}"`
	SettledBy   string   `yaml:"settledBy" doc:"What says that a window is complete: loads (the table batch_loads lists it, as BatchLoad writes it) or clock (its end is settleAfter ago). Without it: loads for a table, clock for a query and for files." enum:"loads,clock"`
	SettleAfter Duration `yaml:"settleAfter" doc:"With settledBy clock: how long after a window's end its batch rows are complete." default:"0s"`
	Cutoff      Duration `yaml:"cutoff" doc:"How long after a window's end the batch job still took events; later ones it dropped." default:"0s"`
}

// Settled is what says that a window is complete on the batch side.
func (b BatchSide) Settled() string {
	switch {
	case b.SettledBy != "":
		return b.SettledBy
	case b.Table != "":
		return SettledByLoads
	}
	return SettledByClock
}

// StreamSide is the new side.
type StreamSide struct {
	Side        `yaml:",inline"`
	Job         string   `yaml:"job" doc:"Name of the StreamJob that writes the table: rows count as its writers do, panes add up, and its jobs' watermarks say what is settled. Or a shadow, STREAMJOB_shadow_SUFFIX: then what it has computed is. Without it rows are plain, and a window is settled once its end is settleAfter ago." pattern:"[a-z]([-_a-z0-9]{0,120}[a-z0-9])?"`
	SettleAfter Duration `yaml:"settleAfter" doc:"How far past a window's end the watermark of every job, or without a job the clock, must be before the window is compared. Never less than batch.cutoff, which is also what holds where it is not given; the StreamJob's horizon waits until nothing can change any more."`
}

// Settled is what says that a window is complete on the stream side.
func (s StreamSide) Settled() string {
	if s.Job != "" {
		return SettledByWatermarks
	}
	return SettledByClock
}

// CompareKey is a part of the key.
type CompareKey struct {
	Name   string `yaml:"name" doc:"Name in results, and of the column on a side that gives none." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,99}"`
	Type   string `yaml:"type" doc:"BigQuery type in which it is compared. A column of another type is cast where that loses nothing." required:"true" enum:"STRING,INT64,TIMESTAMP,DATE,BOOL"`
	Batch  string `yaml:"batch" doc:"Column, or GoogleSQL expression of columns, on the batch side."`
	Stream string `yaml:"stream" doc:"Likewise on the stream side."`
}

// KeyFields are the keys as fields: their names and types.
func (s *ComparisonSpec) KeyFields() []Field {
	fields := make([]Field, len(s.Keys))
	for i, k := range s.Keys {
		fields[i] = Field{Name: k.Name, Type: k.Type}
	}
	return fields
}

// Alignment says where windows begin.
type Alignment struct {
	Offset   Duration `yaml:"offset" doc:"How long after a multiple of their size, or with a time zone after midnight, windows begin." default:"0s"`
	TimeZone string   `yaml:"timeZone" doc:"Time zone (Europe/Berlin) of windows of a day (24h): each is a calendar day there, of 23 or 25 hours when clocks change." pattern:"[A-Za-z][A-Za-z0-9_+/-]{0,63}"`
}

// Metric is a compared value.
type Metric struct {
	Name      string    `yaml:"name" doc:"Name in results, and of the column on a side that gives none." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,99}"`
	Type      string    `yaml:"type" doc:"How it is made from events, and how parts merge." required:"true" enum:"count,sum,min,max"`
	Value     string    `yaml:"value" doc:"BigQuery type in which it is compared. A column of another type is cast where that loses nothing. FLOAT64 needs a tolerance." default:"INT64" enum:"INT64,NUMERIC,BIGNUMERIC,FLOAT64"`
	Batch     string    `yaml:"batch" doc:"Column, or GoogleSQL expression of columns, on the batch side."`
	Stream    string    `yaml:"stream" doc:"Likewise on the stream side."`
	Field     string    `yaml:"field" doc:"Field of the raw events that it is made from; none for count, and of a measure that is made from an expression."`
	Tolerance Tolerance `yaml:"tolerance" doc:"How far both sides may be apart and still be called tolerated; without it only equal values are no mismatch."`
	Nulls     string    `yaml:"nulls" doc:"What NULL on one side equals: null (only NULL) or zero (0 as well)." default:"null" enum:"null,zero"`
}

// Tolerance is met if either of its bounds is.
type Tolerance struct {
	Absolute Decimal `yaml:"absolute" doc:"Greatest absolute difference."`
	Relative Decimal `yaml:"relative" doc:"Greatest difference in percent of the greater absolute value."`
}

// Given reports whether there is a tolerance.
func (t Tolerance) Given() bool { return t.Absolute != "" || t.Relative != "" }

// Segment is a combination of keys.
type Segment struct {
	Keys []string `yaml:"keys" doc:"Names of keys." required:"true"`
}

// CompareRange says which windows are compared.
type CompareRange struct {
	Last      Duration `yaml:"last" doc:"Without --from: the newest settled windows, this long. 0: from the first batch load on, which a side that is settled by the clock does not have." default:"0s"`
	Partition Duration `yaml:"partition" doc:"A longer range is compared in parts of this length, each by one query, and a run that was stopped goes on with the part that it was at." default:"168h"`
}

// KnownDifference is a set of differing keys that somebody answers for. Keys that
// it matches count as explained, up to its limit and until it expires.
type KnownDifference struct {
	Name    string            `yaml:"name" doc:"Name in results." required:"true" pattern:"[a-z]([-a-z0-9]{0,60}[a-z0-9])?"`
	Owner   string            `yaml:"owner" doc:"Who answers for it." required:"true"`
	Reason  string            `yaml:"reason" doc:"Why both sides differ there." required:"true"`
	Expires Instant           `yaml:"expires" doc:"From when on it holds no more: 2006-01-02 or RFC 3339." required:"true"`
	Limit   int               `yaml:"limit" doc:"Most keys that it may match in a run; with more it matches none." required:"true" min:"1"`
	Keys    map[string]string `yaml:"keys" doc:"Values, as text, of keys by their names."`
	From    Instant           `yaml:"from" doc:"First window start."`
	To      Instant           `yaml:"to" doc:"Window start at which it ends, exclusive."`
	Classes []string          `yaml:"classes" doc:"Classes of keys: mismatch, missing, extra, nonunique. Empty: all of them."`
}

// Evidence names the raw events.
type Evidence struct {
	Raw            string `yaml:"raw" doc:"Table of every delivery of every event. Empty: no causes are looked for." pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Late           string `yaml:"late" doc:"Table of events that the stream side dropped as too late." pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	DeadLetters    string `yaml:"deadLetters" doc:"Table of events that the bridge could not deliver, with the columns of the raw events; the column reason says why." pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	MaxBytesBilled Bytes  `yaml:"maxBytesBilled" doc:"Byte cap of the evidence queries of one partition (range.partition) together: a run over several of them may read as much for each. It is the cap of kappa compare why, too." default:"1GiB"`
}

// Gate is the rule of the verdict. All of it must be met.
type Gate struct {
	Days                       int     `yaml:"days" doc:"Consecutive settled days, the newest ones, each of which must meet the rules below; days that earlier runs of the same spec have compared count by their history. 0: the compared range as a whole must." default:"7" min:"0"`
	MinExactPercent            Decimal `yaml:"minExactPercent" doc:"Least share of exact and tolerated keys, in percent of all keys on either side." default:"0"`
	MinExactValuePercent       Decimal `yaml:"minExactValuePercent" doc:"Likewise, keys weighted by each metric's value." default:"0"`
	MaxUnexplained             int     `yaml:"maxUnexplained" doc:"Most keys whose difference no cause explains." default:"0" min:"0"`
	MaxUnexplainedValuePercent Decimal `yaml:"maxUnexplainedValuePercent" doc:"Greatest share of such keys, weighted by each metric's value, in percent." default:"0"`
}

// CompareHistory says where results are kept.
type CompareHistory struct {
	Dataset string `yaml:"dataset" doc:"Dataset in which the tables compare_runs and compare_keys are made and written. Empty: no history." pattern:"[A-Za-z0-9_]{1,1000}"`
}

// CompareLimits bounds a run.
type CompareLimits struct {
	MaxBytesBilled Bytes    `yaml:"maxBytesBilled" doc:"Byte cap of a reconciliation query." default:"10GiB"`
	JobTimeout     Duration `yaml:"jobTimeout" doc:"How long a query job may run." default:"30m"`
	Samples        int      `yaml:"samples" doc:"Most differing keys shown per class." default:"20" min:"0"`
	Unpruned       string   `yaml:"unpruned" doc:"What becomes of a side that would be read as a whole, because it is not partitioned by its time column: refuse or allow." default:"refuse" enum:"refuse,allow"`
}
