package load

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/storage"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// parallel is how many load jobs run at once: they take seconds each, and
// BigQuery runs far more.
const parallel = 8

// maxAttempts bounds the ids that are tried after failed jobs.
const maxAttempts = 100

// Config says what to load and with which clients.
type Config struct {
	Spec     *jobspecs.BatchLoad
	BigQuery *bigquery.Client
	Storage  *storage.Client
	Log      *slog.Logger
	Progress func(done, total int, b Batch) // after every batch; may be nil
	Now      func() time.Time               // nil: time.Now
}

// Validate reports what is missing.
func (c Config) Validate() error {
	if c.Spec == nil || c.BigQuery == nil || c.Storage == nil || c.Log == nil {
		return errors.New("load: spec, BigQuery client, Storage client and logger are needed")
	}
	return nil
}

// Result is what a run found and did.
type Result struct {
	Load    string  `json:"load"`
	Target  string  `json:"target"` // DATASET.TABLE
	Rows    int64   `json:"rows"`   // of all batches
	Loaded  int     `json:"loaded"`
	Already int     `json:"already"`
	Batches []Batch `json:"batches"`
}

// Run loads every batch that is not loaded yet. It creates the target table
// and the log of loads if they are missing; the dataset must exist. Stopping
// it leaves nothing half-done: the next run goes on where it was.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &runner{Config: cfg, dataset: cfg.BigQuery.Dataset(cfg.Spec.Spec.Dataset)}
	res, err := r.run(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("load %s: %w", cfg.Spec.Metadata.Name, ctx.Err())
	}
	return res, err
}

func (r *runner) run(ctx context.Context) (*Result, error) {
	spec := r.Spec.Spec
	found, err := list(ctx, r.Storage, spec.Source.URI)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, exit.Environmentf("there is no batch folder below %s", spec.Source.URI).
			WithHint("folders are named by the start of their batch, such as %s", folderLayout)
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	recorded, present, err := r.state(ctx, found)
	if err != nil {
		return nil, err
	}
	batches, err := plan(r.Spec, found, recorded, present)
	if err != nil {
		return nil, err
	}
	if err := r.loadAll(ctx, batches); err != nil {
		return nil, err
	}
	res := &Result{Load: r.Spec.Metadata.Name, Target: spec.Dataset + "." + spec.Table, Batches: batches}
	for _, b := range batches {
		res.Rows += b.Rows
		if b.State == Loaded {
			res.Loaded++
		} else {
			res.Already++
		}
	}
	return res, nil
}

type runner struct {
	Config
	dataset  *bigquery.Dataset
	location string
}

// reachWithin is how long a service may take to answer at all. The clients
// retry refused connections for ever.
const reachWithin = time.Minute

// prepare makes sure that the tables exist and have the columns that are needed.
func (r *runner) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	md, err := r.dataset.Metadata(ctx)
	if status(err) == http.StatusNotFound {
		return exit.Environmentf("dataset %s does not exist", r.dataset.DatasetID).
			WithHint("create it, or mend spec.dataset")
	}
	if err != nil {
		return exit.Environmentf("read dataset %s: %w", r.dataset.DatasetID, err)
	}
	r.location = md.Location
	for _, t := range []tables.Table{tables.Batch(r.Spec.Spec), tables.BatchLoadsTable()} {
		if err := r.ensure(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) ensure(ctx context.Context, want tables.Table) error {
	t := r.dataset.Table(want.Name)
	err := t.Create(ctx, want.Metadata())
	if err == nil {
		r.Log.Info("created table", "table", want.Name)
		return nil
	}
	if status(err) != http.StatusConflict {
		return exit.Environmentf("create table %s: %w", want.Name, err)
	}
	md, err := t.Metadata(ctx)
	if err != nil {
		return exit.Environmentf("read table %s: %w", want.Name, err)
	}
	have := map[string]bigquery.FieldType{}
	for _, f := range md.Schema {
		have[f.Name] = f.Type
	}
	for _, f := range want.Schema {
		if got, ok := have[f.Name]; !ok {
			return exit.Environmentf("table %s.%s has no column %s", r.dataset.DatasetID, want.Name, f.Name).
				WithHint("add it, or load into another table")
		} else if got != f.Type {
			return exit.Environmentf("column %s of table %s.%s is %s, not %s", f.Name, r.dataset.DatasetID, want.Name, got, f.Type).
				WithHint("load into another table")
		}
	}
	return nil
}

// state reads what was recorded as loaded, and which windows have rows.
func (r *runner) state(ctx context.Context, found []Folder) ([]tables.BatchLoad, []window, error) {
	target := bigquery.QueryParameter{Name: "target", Value: r.Spec.Spec.Table}
	recorded, err := query[tables.BatchLoad](ctx, r, recordedSQL(r.dataset), target)
	if err != nil {
		return nil, nil, fmt.Errorf("read table %s: %w", tables.BatchLoads, err)
	}
	last := found[len(found)-1].Start.Add(r.Spec.Spec.Source.Batch.D())
	present, err := query[window](ctx, r, presentSQL(r.dataset, r.Spec.Spec.Table),
		bigquery.QueryParameter{Name: "first", Value: found[0].Start},
		bigquery.QueryParameter{Name: "last", Value: last})
	if err != nil {
		return nil, nil, fmt.Errorf("read table %s: %w", r.Spec.Spec.Table, err)
	}
	return recorded, present, nil
}

func recordedSQL(d *bigquery.Dataset) string {
	return "SELECT `load`, target, range_start, range_end, row_count, source, job_id, loaded_at FROM " +
		quoted(d, tables.BatchLoads) + " WHERE target = @target ORDER BY loaded_at"
}

func presentSQL(d *bigquery.Dataset, table string) string {
	return "SELECT window_start, COUNT(*) AS n FROM " + quoted(d, table) +
		" WHERE window_start >= @first AND window_start < @last GROUP BY window_start"
}

func quoted(d *bigquery.Dataset, table string) string {
	return "`" + d.ProjectID + "`.`" + d.DatasetID + "`.`" + table + "`"
}

func query[T any](ctx context.Context, r *runner, sql string, params ...bigquery.QueryParameter) ([]T, error) {
	q := r.BigQuery.Query(sql)
	q.Parameters = params
	q.Location = r.location
	q.Labels = map[string]string{"kappa": "load"}
	it, err := q.Read(ctx)
	if err != nil {
		return nil, err
	}
	var out []T
	for {
		var row T
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
}

// loadAll loads what is not loaded yet, several batches at once. The first
// failure stops it; jobs that run on are found by their ids in the next run.
func (r *runner) loadAll(ctx context.Context, batches []Batch) error {
	var mu sync.Mutex
	done := 0
	report := func(b Batch) {
		mu.Lock()
		defer mu.Unlock()
		done++
		if r.Progress != nil {
			r.Progress(done, len(batches), b)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range batches {
		b := &batches[i]
		if b.State == Already {
			report(*b)
			continue
		}
		g.Go(func() error {
			if err := r.load(ctx, b); err != nil {
				return fmt.Errorf("load %s: %w", b.Folder, err)
			}
			report(*b)
			return nil
		})
	}
	return g.Wait()
}

// load runs the load job of one batch and records it.
func (r *runner) load(ctx context.Context, b *Batch) error {
	for attempt := range maxAttempts {
		id, err := jobID(r.Spec, b.folder, attempt)
		if err != nil {
			return err
		}
		job, ours, err := r.job(ctx, b, id)
		if err != nil {
			return err
		}
		st, err := job.Wait(ctx)
		if err != nil {
			return exit.Environmentf("wait for job %s: %w", id, err)
		}
		if err := st.Err(); err != nil {
			if ours {
				return exit.With(exit.Failed, fmt.Errorf("job %s failed: %w", id, detailed(st))).
					WithHint("mend the files or the table, then run again: a failed job loads nothing")
			}
			r.Log.Info("an earlier load job failed, trying again", "job_id", id, "error", err.Error())
			continue
		}
		stats, ok := st.Statistics.Details.(*bigquery.LoadStatistics)
		if !ok {
			return fmt.Errorf("job %s is not a load job", id)
		}
		b.JobID, b.Rows, b.State = id, stats.OutputRows, Loaded
		return r.record(ctx, b, st.Statistics.EndTime)
	}
	return exit.With(exit.Failed, fmt.Errorf("%d load jobs failed", maxAttempts)).WithHint("look at the last one: bq show -j JOB")
}

// job starts the job with the given id, or finds it if it has run already;
// ours is true if this call started it.
func (r *runner) job(ctx context.Context, b *Batch, id string) (job *bigquery.Job, ours bool, err error) {
	job, err = r.BigQuery.JobFromIDLocation(ctx, id, r.location)
	if err == nil {
		return job, false, nil
	}
	if status(err) != http.StatusNotFound {
		return nil, false, exit.Environmentf("look for job %s: %w", id, err)
	}
	if b.orphans > 0 {
		return nil, false, exit.With(exit.Failed, fmt.Errorf("%s.%s holds %d rows between %s and %s that no load has recorded",
			r.dataset.DatasetID, r.Spec.Spec.Table, b.orphans, b.RangeStart.Format(time.RFC3339), b.RangeEnd.Format(time.RFC3339))).
			WithHint("if they are not wanted: DELETE FROM %s.%s WHERE %s", r.dataset.DatasetID, r.Spec.Spec.Table, between("window_start", *b))
	}
	bucket, _ := splitURI(b.Folder)
	uris := make([]string, len(b.folder.Objects))
	for i, o := range b.folder.Objects {
		uris[i] = "gs://" + bucket + "/" + o.Name
	}
	src := bigquery.NewGCSReference(uris...)
	src.SourceFormat = bigquery.Avro
	l := r.dataset.Table(r.Spec.Spec.Table).LoaderFrom(src)
	l.JobIDConfig = bigquery.JobIDConfig{JobID: id, Location: r.location}
	l.CreateDisposition = bigquery.CreateNever
	l.WriteDisposition = bigquery.WriteAppend
	l.UseAvroLogicalTypes = true
	l.Labels = map[string]string{"kappa": "load", "kappa_load": r.Spec.Metadata.Name}
	job, err = l.Run(ctx)
	if status(err) == http.StatusConflict {
		// Another run of the same load was faster.
		job, err = r.BigQuery.JobFromIDLocation(ctx, id, r.location)
		if err != nil {
			return nil, false, exit.Environmentf("look for job %s: %w", id, err)
		}
		return job, false, nil
	}
	if err != nil {
		return nil, false, exit.Environmentf("start job %s: %w", id, err)
	}
	return job, true, nil
}

// record appends the batch's row to batch_loads. The insert id lets BigQuery
// drop the copy of a run that does the same at the same moment.
func (r *runner) record(ctx context.Context, b *Batch, loaded time.Time) error {
	if loaded.IsZero() {
		loaded = r.Now()
	}
	// The rows are in the table now: recording them must not be cut short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	t := tables.BatchLoadsTable()
	row := tables.BatchLoad{
		Load: r.Spec.Metadata.Name, Target: r.Spec.Spec.Table,
		RangeStart: b.RangeStart, RangeEnd: b.RangeEnd, RowCount: b.Rows,
		Source: b.source, JobID: b.JobID, LoadedAt: loaded.UTC(),
	}
	err := r.dataset.Table(t.Name).Inserter().Put(ctx, &bigquery.StructSaver{Struct: row, Schema: t.Schema, InsertID: b.JobID})
	if err != nil {
		return exit.Environmentf("record the load in %s: %w", t.Name, err)
	}
	r.Log.Info("loaded batch", "folder", b.Folder, "rows", b.Rows, "job_id", b.JobID)
	return nil
}

// detailed joins a failed job's errors: the first alone often says no more
// than that there are others.
func detailed(st *bigquery.JobStatus) error {
	errs := []error{st.Err()}
	for _, e := range st.Errors {
		if e.Message != "" && !strings.Contains(errs[0].Error(), e.Message) {
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// status is the HTTP status of an API error, else zero.
func status(err error) int {
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
