// Package tables holds the storage contracts, version 1: the BigQuery tables
// and the Bigtable layout that pipeline, load, deploy, compare and serve share.
//
// Reader's rules (P1, P2), which every reader obeys:
//
//   - An aggregate table holds one row per key, window, writer and pane.
//     A writer is a job and its generation. Sinks may write a row twice: keep
//     one per (key, window_start, job, generation, pane), then merge over panes
//     and writers: count and sum add up, min and max keep the extreme. In the
//     table of an aggregation with rollups an event is in the rows of every set
//     of dimensions: rollup is a part of the key, and a reader takes one set.
//   - Rows count only as the newest row of their writer in the generations
//     table (by recorded_at, then seq) lets them (Standings). A writer that is
//     not listed does not count.
//   - A raw table holds one row per delivery of an event and writer that read
//     it: keep one per (event_id, message_id). A late table likewise. As evidence
//     of what a window should hold, rows count as their writer's standing lets
//     them in the window of event_time; late rows of a stream that counts
//     anywhere do in all, for a window that a backfill has replaced is closed.
package tables

import (
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Tables with a fixed name, one of each per dataset.
const (
	Generations = "generations"
	Watermarks  = "watermarks"
	BatchLoads  = "batch_loads"
	Deployments = "deployments"
)

// States of a generation.
const (
	StateOpen      = "open"      // running, or believed to be
	StateDrained   = "drained"   // ended by a drain: its rows count for ever
	StateCancelled = "cancelled" // ended by a cancel: void unless said otherwise
	StateVoid      = "void"      // its rows do not count
)

// Kinds of writers.
const (
	WriterStream   = "stream"
	WriterBackfill = "backfill"
)

// Table is a table to create: its schema and how it is laid out.
type Table struct {
	Name        string
	Description string
	Schema      bigquery.Schema
	PartitionBy string // column of daily partitions; empty: none
	ClusterBy   []string
}

// Metadata returns the creation request of t.
func (t Table) Metadata() *bigquery.TableMetadata {
	md := &bigquery.TableMetadata{Description: t.Description, Schema: t.Schema}
	if t.PartitionBy != "" {
		md.TimePartitioning = &bigquery.TimePartitioning{Type: bigquery.DayPartitioningType, Field: t.PartitionBy}
	}
	if len(t.ClusterBy) > 0 {
		md.Clustering = &bigquery.Clustering{Fields: t.ClusterBy}
	}
	return md
}

func col(name string, typ bigquery.FieldType, doc string) *bigquery.FieldSchema {
	return &bigquery.FieldSchema{Name: name, Type: typ, Required: true, Description: doc}
}

func nullable(f *bigquery.FieldSchema) *bigquery.FieldSchema { f.Required = false; return f }

// Raw is the table of every delivery of every event: the evidence for causes
// and for the duplicate percentage. Event fields are nullable columns at the end.
func Raw(name string, ev jobspecs.Event) Table {
	s := bigquery.Schema{
		col("event_id", bigquery.StringFieldType, "Event id (attribute kappa-id, or of the event within a bundle)."),
		col("message_id", bigquery.StringFieldType, "Pub/Sub message id of the delivery."),
		col("event_time", bigquery.TimestampFieldType, "When it happened."),
		col("source_time", bigquery.TimestampFieldType, "Timestamp of the Kafka record: when its report arrived."),
		col("publish_time", bigquery.TimestampFieldType, "When Pub/Sub took the message."),
		col("write_time", bigquery.TimestampFieldType, "When the sink sent this row."),
		col("position", bigquery.StringFieldType, "cluster/topic/partition/offset of the Kafka record."),
		col("job", bigquery.StringFieldType, "Job that read the delivery."),
		col("generation", bigquery.IntegerFieldType, "Generation of the job."),
	}
	return Table{
		Name: name, Description: "Every delivery of every event. kappa tables v1.",
		Schema: append(s, eventColumns(ev)...), PartitionBy: "event_time",
	}
}

// Late is the table of events that were later than the horizon (rule P4): the
// columns of Raw and the watermark that they were behind.
func Late(name string, ev jobspecs.Event) Table {
	t := Raw(name, ev)
	t.Description = "Events behind the watermark by more than the horizon; not in any aggregate. kappa tables v1."
	t.Schema = append(t.Schema, col("watermark", bigquery.TimestampFieldType, "Watermark of the source when the event was read."))
	return t
}

func eventColumns(ev jobspecs.Event) bigquery.Schema {
	var s bigquery.Schema
	for _, f := range ev.Fields {
		s = append(s, nullable(col(f.Name, fieldType(f.Type), "Field of the event.")))
	}
	return s
}

// fieldType maps the type names of specs, which are those of GoogleSQL, to
// those of the API.
func fieldType(t string) bigquery.FieldType {
	switch t {
	case "INT64":
		return bigquery.IntegerFieldType
	case "TIMESTAMP":
		return bigquery.TimestampFieldType
	default:
		return bigquery.StringFieldType
	}
}

// Aggregate is the table of an aggregation: one row per key, window, writer
// and pane. Dimensions and measures are nullable: an event may lack a field.
// With rollups each row says by which dimensions it is grouped, and the others
// are NULL: a reader takes the rows of one set.
func Aggregate(a jobspecs.Aggregation, ev jobspecs.Event) Table {
	types := map[string]string{}
	for _, f := range ev.Fields {
		types[f.Name] = f.Type
	}
	var s bigquery.Schema
	cluster := a.Dimensions
	if len(a.Rollups) > 0 {
		s = append(s, col(jobspecs.RollupColumn, bigquery.StringFieldType, "Dimensions that this row is grouped by, separated by commas; the others are NULL."))
		cluster = append([]string{jobspecs.RollupColumn}, cluster...)
	}
	for _, d := range a.Dimensions {
		s = append(s, nullable(col(d, fieldType(types[d]), "Dimension.")))
	}
	s = append(s, col("window_start", bigquery.TimestampFieldType, "Start of the window, inclusive; its size is the aggregation's."))
	for _, m := range a.Measures {
		s = append(s, nullable(col(m.Name, bigquery.IntegerFieldType, "Measure ("+m.Type+") of this pane alone.")))
	}
	s = append(s,
		col("job", bigquery.StringFieldType, "Writer: job."),
		col("generation", bigquery.IntegerFieldType, "Writer: generation of the job."),
		col("pane", bigquery.IntegerFieldType, "Index of the pane within key, window and writer, from 0."),
		col("timing", bigquery.StringFieldType, "early, on_time or late."),
		col("write_time", bigquery.TimestampFieldType, "When the sink sent this row."),
	)
	return Table{
		Name: a.Table, Description: "Aggregation " + a.Name + ", one row per key, window, writer and pane. kappa tables v1.",
		Schema: s, PartitionBy: "window_start", ClusterBy: clusterBy(cluster),
	}
}

// clusterBy returns the first four columns: BigQuery takes no more.
func clusterBy(cols []string) []string { return cols[:min(len(cols), 4)] }

// Batch is the table of the old batch layer's aggregates: one row per key and window.
func Batch(l jobspecs.BatchLoadSpec) Table {
	var s bigquery.Schema
	var keys []string
	for _, k := range l.Keys {
		s = append(s, nullable(col(k.Name, fieldType(k.Type), "Key.")))
		keys = append(keys, k.Name)
	}
	s = append(s, col("window_start", bigquery.TimestampFieldType, "Start of the window, inclusive."))
	for _, m := range l.Metrics {
		s = append(s, nullable(col(m.Name, fieldType(m.Type), "Value.")))
	}
	return Table{Name: l.Table, Description: "Aggregates of the old batch layer. kappa tables v1.",
		Schema: s, PartitionBy: "window_start", ClusterBy: clusterBy(keys)}
}

// GenerationsTable is the append-only log of writers.
func GenerationsTable() Table {
	return Table{Name: Generations, Description: "What every writer is; the newest row of a writer holds. kappa tables v1.",
		Schema: bigquery.Schema{
			col("job", bigquery.StringFieldType, "Writer: job."),
			col("generation", bigquery.IntegerFieldType, "Writer: generation, from 1."),
			col("kind", bigquery.StringFieldType, "stream or backfill."),
			col("state", bigquery.StringFieldType, "open, drained, cancelled or void."),
			nullable(col("supersedes", bigquery.StringFieldType, "Writer, JOB@GENERATION, that this one takes the place of.")),
			nullable(col("dataflow_job_id", bigquery.StringFieldType, "Id of the Dataflow job.")),
			col("recorded_at", bigquery.TimestampFieldType, "When this row was recorded."),
			col("seq", bigquery.IntegerFieldType, "Number of the row within the writer, from 1."),
			col("job_group", bigquery.StringFieldType, "Name of the StreamJob."),
			nullable(col("window_from", bigquery.TimestampFieldType, "Of a backfill: start of the first window that it replaces.")),
			nullable(col("window_to", bigquery.TimestampFieldType, "Of a backfill: start of the first window after those that it replaces.")),
			nullable(col("watermark", bigquery.TimestampFieldType, "Of a drained stream: its watermark before the drain; windows that end after it were cut. NULL: not known.")),
			nullable(col("windows_cut", bigquery.IntegerFieldType, "Of a drained stream: keys and windows that the drain cut. NULL: not known.")),
		}}
}

// Generation is a row of the generations table.
type Generation struct {
	Job           string              `bigquery:"job"`
	Generation    int64               `bigquery:"generation"`
	Kind          string              `bigquery:"kind"`
	State         string              `bigquery:"state"`
	Supersedes    bigquery.NullString `bigquery:"supersedes"`
	DataflowJobID bigquery.NullString `bigquery:"dataflow_job_id"`
	RecordedAt    time.Time           `bigquery:"recorded_at"`
	Seq           int64               `bigquery:"seq"`

	Group      string                 `bigquery:"job_group"`
	WindowFrom bigquery.NullTimestamp `bigquery:"window_from"`
	WindowTo   bigquery.NullTimestamp `bigquery:"window_to"`
	Watermark  bigquery.NullTimestamp `bigquery:"watermark"`
	WindowsCut bigquery.NullInt64     `bigquery:"windows_cut"`
}

// WatermarksTable is the append-only log of the jobs' watermarks: what
// "settled" means (rule C4). Group is the StreamJob's name.
func WatermarksTable() Table {
	return Table{Name: Watermarks, Description: "Published watermark of each job; the newest row of a job and generation holds. kappa tables v1.",
		Schema: bigquery.Schema{
			col("job_group", bigquery.StringFieldType, "Name of the StreamJob."),
			col("job", bigquery.StringFieldType, "Job."),
			col("generation", bigquery.IntegerFieldType, "Generation of the job."),
			nullable(col("watermark", bigquery.TimestampFieldType, "No event before this time is still to come, but late ones; NULL while unknown.")),
			col("at_maximum", bigquery.BooleanFieldType, "All sources are exhausted: nothing at all is still to come."),
			col("observed_at", bigquery.TimestampFieldType, "When it was observed."),
		}}
}

// Watermark is a row of the watermarks table.
type Watermark struct {
	Group      string                 `bigquery:"job_group"`
	Job        string                 `bigquery:"job"`
	Generation int64                  `bigquery:"generation"`
	Watermark  bigquery.NullTimestamp `bigquery:"watermark"`
	AtMaximum  bool                   `bigquery:"at_maximum"`
	ObservedAt time.Time              `bigquery:"observed_at"`
}

// BatchLoadsTable is the append-only log of what was loaded from the batch layer.
func BatchLoadsTable() Table {
	return Table{Name: BatchLoads, Description: "Batches that were loaded; windows outside are not settled on the batch side. kappa tables v1.",
		Schema: bigquery.Schema{
			col("load", bigquery.StringFieldType, "Name of the BatchLoad."),
			col("target", bigquery.StringFieldType, "Table that was loaded."),
			col("range_start", bigquery.TimestampFieldType, "Start of the batch's span of windows, inclusive."),
			col("range_end", bigquery.TimestampFieldType, "End of the span, exclusive."),
			col("row_count", bigquery.IntegerFieldType, "Rows loaded."),
			col("source", bigquery.StringFieldType, "Folder that was loaded, with the generations of its objects hashed."),
			col("job_id", bigquery.StringFieldType, "Id of the load job."),
			col("loaded_at", bigquery.TimestampFieldType, "When the load job ended."),
		}}
}

// BatchLoad is a row of the batch loads table.
type BatchLoad struct {
	Load       string    `bigquery:"load"`
	Target     string    `bigquery:"target"`
	RangeStart time.Time `bigquery:"range_start"`
	RangeEnd   time.Time `bigquery:"range_end"`
	RowCount   int64     `bigquery:"row_count"`
	Source     string    `bigquery:"source"`
	JobID      string    `bigquery:"job_id"`
	LoadedAt   time.Time `bigquery:"loaded_at"`
}

// DeploymentsTable is the mirror of the journal of deployments.
func DeploymentsTable() Table {
	return Table{Name: Deployments, Description: "Who deployed what when and why, a row per entry of the journal; keep one per deployment and seq. kappa tables v1.",
		PartitionBy: "recorded_at",
		Schema: bigquery.Schema{
			col("job_group", bigquery.StringFieldType, "Name of the StreamJob."),
			col("deployment", bigquery.StringFieldType, "Id of the deployment; ids sort by time."),
			col("seq", bigquery.IntegerFieldType, "Number of the entry within the deployment, from 1."),
			col("recorded_at", bigquery.TimestampFieldType, "When it was recorded: a step, before it was taken."),
			col("recorded_by", bigquery.StringFieldType, "Who ran the command."),
			col("kind", bigquery.StringFieldType, "begin, resume, step, fact or end."),
			nullable(col("command", bigquery.StringFieldType, "Of begin: apply, rollback, adopt, drain, backfill or repair.")),
			nullable(col("reason", bigquery.StringFieldType, "Of begin: why, as was said.")),
			nullable(col("spec", bigquery.StringFieldType, "Of begin: hash of the resolved spec.")),
			nullable(col("template", bigquery.StringFieldType, "Of begin: the template.")),
			nullable(col("step", bigquery.StringFieldType, "Of step and fact: what.")),
			nullable(col("job", bigquery.StringFieldType, "Of step and fact: the job. NULL: of none.")),
			nullable(col("generation", bigquery.IntegerFieldType, "Of step and fact: the job's generation.")),
			nullable(col("dataflow_job_id", bigquery.StringFieldType, "Of step and fact: id of the Dataflow job.")),
			nullable(col("text", bigquery.StringFieldType, "Of step and fact: more about it.")),
			nullable(col("outcome", bigquery.StringFieldType, "Of end: done, failed, aborted or superseded.")),
			nullable(col("error", bigquery.StringFieldType, "Of end: what failed.")),
		}}
}

// Deployment is a row of the deployments table.
type Deployment struct {
	Group         string              `bigquery:"job_group"`
	Deployment    string              `bigquery:"deployment"`
	Seq           int64               `bigquery:"seq"`
	RecordedAt    time.Time           `bigquery:"recorded_at"`
	RecordedBy    string              `bigquery:"recorded_by"`
	Kind          string              `bigquery:"kind"`
	Command       bigquery.NullString `bigquery:"command"`
	Reason        bigquery.NullString `bigquery:"reason"`
	Spec          bigquery.NullString `bigquery:"spec"`
	Template      bigquery.NullString `bigquery:"template"`
	Step          bigquery.NullString `bigquery:"step"`
	Job           bigquery.NullString `bigquery:"job"`
	Generation    bigquery.NullInt64  `bigquery:"generation"`
	DataflowJobID bigquery.NullString `bigquery:"dataflow_job_id"`
	Text          bigquery.NullString `bigquery:"text"`
	Outcome       bigquery.NullString `bigquery:"outcome"`
	Error         bigquery.NullString `bigquery:"error"`
}
