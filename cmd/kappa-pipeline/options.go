package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/pipeline"
)

// Values of --control.
const (
	controlNone  = "none"
	controlStdio = "stdio"
)

// options are the program's own flags. Beam's packages have put theirs into
// the same flag set, --runner among them.
type options struct {
	jobspec, job, control, logLevel, runner string
	generation                              int64
	update                                  bool // take over from the job that runs: a flag of Beam's

	// Of a batch.
	archive, files, table, from, to string
	maxBytes                        int64
	shadow                          bool
}

// batch reports whether the run is a batch.
func (o options) batch() bool { return o.archive != "" || o.files != "" || o.table != "" }

const usage = `kappa-pipeline runs one job of a StreamJob: from its Pub/Sub subscriptions to
BigQuery and Bigtable, or, as a batch, from the archive of its messages, from files
of events or from a raw table.

Usage:
  kappa-pipeline --jobspec=FILE --job=NAME --generation=N [flags]

Flags:
  --jobspec=FILE     file with the StreamJob, a path or gs://BUCKET/OBJECT
  --job=NAME         job to run, NAME-0 to NAME-(jobs-1); of a batch the name under
                     which it writes
  --generation=N     generation of the job, from 1; with the job it names the writer
  --runner=RUNNER    prism (default; this process, one machine) or dataflow
  --archive=GLOB     run as a batch over these Avro files, as a Cloud Storage
                     subscription of Pub/Sub writes them with write_metadata:
                     paths, or gs://BUCKET/PATTERN
  --files=GLOB       run as a batch over these files of events, lines of JSON or
                     Avro, with the columns of a raw table: event_id, event_time
                     and the event's fields
  --table=D.TABLE    run as a batch over a raw table, DATASET.TABLE of the project;
                     takes --from and --to
  --maxbytes=N       most bytes that a query on the table may bill; 0: any
  --from=T, --to=T   of a batch: take events from T on and before T, RFC 3339
  --shadow           of a batch: write to BigQuery alone, not to Bigtable
  --control=MODE     none (default), or stdio: commands and reports, a line of
                     JSON each, on stdin and stdout; the end of stdin stops the job
  --log-level=LEVEL  debug, info (default), warn or error

A stream runs until it is drained: by command with --control=stdio, else by
SIGINT or SIGTERM (sent a second time, it stops at once). Off Dataflow, messages
are acknowledged only after the drain, when all that they caused is durable; a
job that is stopped at once has acknowledged nothing.

With --runner=dataflow the flags of Beam's Dataflow runner are taken as well:
--project, --region, --staging_location, --temp_location, --job_name, --labels,
--num_workers, --max_num_workers, --worker_machine_type, --experiments,
--worker_binary, --worker_harness_container_image, --network, --subnetwork,
--service_account_email and so on.
`

func parse(args []string) (options, error) {
	var o options
	f := flag.CommandLine
	f.Init("kappa-pipeline", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed by main
	f.StringVar(&o.jobspec, "jobspec", "", "file with the StreamJob")
	f.StringVar(&o.job, "job", "", "job to run")
	f.Int64Var(&o.generation, "generation", 0, "generation of the job")
	f.StringVar(&o.control, "control", controlNone, "none or stdio")
	f.StringVar(&o.archive, "archive", "", "Avro files of a backfill")
	f.StringVar(&o.files, "files", "", "files of events of a backfill")
	f.StringVar(&o.table, "table", "", "raw table of a backfill")
	f.StringVar(&o.from, "from", "", "least event time of a backfill")
	f.StringVar(&o.to, "to", "", "end of the event times of a backfill")
	f.Int64Var(&o.maxBytes, "maxbytes", 0, "most bytes that a query of a backfill may bill")
	f.BoolVar(&o.shadow, "shadow", false, "write to BigQuery alone")
	f.StringVar(&o.logLevel, "log-level", "info", "log level")
	f.Usage = func() {}
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return o, err
	case err != nil:
		return o, exit.Usagef("%w", err).WithHint("see kappa-pipeline --help")
	case f.NArg() > 0:
		return o, exit.Usagef("unexpected argument %q", f.Arg(0)).WithHint("flags are written --name=value")
	}
	if o.runner = *runners.Runner; o.runner == "" {
		o.runner = pipeline.Prism
	}
	o.update = f.Lookup("update").Value.String() == "true"
	return o, nil
}

// validate checks the flags against each other.
func (o options) validate() error {
	for _, f := range []struct{ name, value string }{{"jobspec", o.jobspec}, {"job", o.job}} {
		if f.value == "" {
			return exit.Usagef("--%s is missing", f.name).WithHint("see kappa-pipeline --help")
		}
	}
	switch {
	case o.generation < 1:
		return exit.Usagef("--generation must be at least 1")
	case o.control != controlNone && o.control != controlStdio:
		return exit.Usagef("--control=%s: want none or stdio", o.control)
	case o.runner != pipeline.Prism && !pipeline.Dataflow(o.runner):
		return exit.Usagef("--runner=%s: want prism or dataflow", o.runner)
	case o.update && !pipeline.Dataflow(o.runner):
		return exit.Usagef("--update is for Dataflow: here a job keeps its state in memory, and it cannot be handed over").
			WithHint("drain the job, then launch its next generation (strategy drain)")
	case o.control == controlStdio && pipeline.Dataflow(o.runner):
		return exit.Usagef("--control=stdio is for jobs that run in this process, not for Dataflow")
	}
	given := 0
	for _, source := range []string{o.archive, o.files, o.table} {
		if source != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return exit.Usagef("--archive, --files and --table exclude each other")
	case given == 0 && (o.from != "" || o.to != "" || o.shadow || o.maxBytes != 0):
		return exit.Usagef("--from, --to, --maxbytes and --shadow are for a batch, which takes --archive, --files or --table")
	case (o.from == "") != (o.to == ""):
		return exit.Usagef("--from and --to are given together")
	case o.maxBytes < 0:
		return exit.Usagef("--maxbytes=%d: must be at least 0", o.maxBytes)
	}
	return nil
}

// plan reads the spec and resolves it for the job.
func (o options) plan(ctx context.Context) (*pipeline.Plan, error) {
	spec, err := o.spec(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := gcp.Open(spec.Spec.Platform); err != nil { // rule A4, before anything is touched
		return nil, err
	}
	plan, err := pipeline.NewPlan(spec, o.job, o.generation)
	if err != nil {
		return nil, err
	}
	if o.batch() {
		return plan, o.batchOf(ctx, plan, spec)
	}
	if err := plan.Streams(spec, pipeline.Dataflow(o.runner)); err != nil {
		return nil, err
	}
	return plan, follow(ctx, plan, spec)
}

// batchOf makes a plan the batch that the options ask for.
func (o options) batchOf(ctx context.Context, plan *pipeline.Plan, spec *jobspecs.StreamJob) error {
	if o.from != "" {
		var span tables.Span
		for _, b := range []struct {
			flag, text string
			to         *time.Time
		}{{"from", o.from, &span.From}, {"to", o.to, &span.To}} {
			at, err := time.Parse(time.RFC3339Nano, b.text)
			if err != nil {
				return exit.Usagef("--%s=%s is not an RFC 3339 time", b.flag, b.text)
			}
			*b.to = at
		}
		if !span.From.Before(span.To) {
			return exit.Usagef("--from=%s is not before --to=%s", o.from, o.to)
		}
		plan.Within(span)
	}
	if o.shadow {
		plan.Table = ""
	}
	switch {
	case o.archive != "":
		return plan.FindArchive(ctx, o.archive)
	case o.files != "":
		return plan.FindFiles(ctx, o.files)
	}
	log, err := readHistory(ctx, spec)
	if err != nil {
		return err
	}
	var counting []string
	for _, s := range log.Standings() {
		if s.Counts {
			counting = append(counting, s.Writer().String())
		}
	}
	return plan.FindTable(o.table, counting, o.maxBytes)
}

// follow tells a plan what came before it, by the history of generations.
func follow(ctx context.Context, plan *pipeline.Plan, spec *jobspecs.StreamJob) error {
	log, err := readHistory(ctx, spec)
	if err != nil {
		return err
	}
	plan.Follow(log.Predecessors(), log.Replaced(spec.Metadata.Name))
	return nil
}

// readHistory reads the history of generations.
func readHistory(ctx context.Context, spec *jobspecs.StreamJob) (history.Log, error) {
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return history.Log{}, err
	}
	client, err := platform.BigQuery(ctx)
	if err != nil {
		return history.Log{}, err
	}
	defer client.Close()
	log, err := history.New(client, spec.Spec.Sinks.BigQuery.Dataset).Read(ctx)
	if err != nil {
		return log, exit.With(exit.Of(err), err).WithHint("`kappa deploy apply` creates the tables and launches the jobs")
	}
	return log, nil
}

// spec reads the one StreamJob of the file.
func (o options) spec(ctx context.Context) (*jobspecs.StreamJob, error) {
	// Where the file is read from is known before what it says: an emulator if
	// there is one. What it says is held against that by plan.
	from := jobspecs.Platform{Environment: "production"}
	if os.Getenv(gcp.EnvStorage) != "" {
		from.Environment = "sandbox"
	}
	if !strings.HasPrefix(o.jobspec, "gs://") {
		from.Environment = "sandbox" // no client is made
	}
	platform, err := gcp.Open(from)
	if err != nil {
		return nil, err
	}
	r, err := pipeline.OpenFile(ctx, platform, o.jobspec)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, exit.Environmentf("read %s: %w", o.jobspec, err)
	}
	set, err := jobspecs.Parse(o.jobspec, data, jobspecs.Vars{})
	if err != nil {
		return nil, err
	}
	if n := len(set.StreamJobs); n != 1 {
		return nil, exit.Usagef("%s holds %d StreamJobs, want one", o.jobspec, n)
	}
	return set.StreamJobs[0], set.StreamJobs[0].KappaPipeline("kappa-pipeline")
}

// tuneMemory trades memory for time, up to a bound, unless the environment
// says how: a job holds little that lives long.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(400 << 20)
	}
}
