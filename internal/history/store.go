package history

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const (
	// visible bounds the wait until an appended row can be read, and until a
	// table that was just created takes rows: the service promises neither at once.
	visible  = 2 * time.Minute
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// Store is the history in one dataset.
type Store struct {
	client       *bigquery.Client
	dataset      *bigquery.Dataset
	aggregations []jobspecs.Aggregation
	now          func() time.Time
	fresh        map[string]bool // tables that Ensure has created
}

// New returns the history in a dataset of the client's project. The caller
// owns the client. The aggregations are those that the streams in it write:
// what a drain cuts is counted in their tables. Without them it is not known.
func New(client *bigquery.Client, dataset string, aggregations ...jobspecs.Aggregation) *Store {
	return &Store{client: client, dataset: client.Dataset(dataset), aggregations: aggregations, now: time.Now, fresh: map[string]bool{}}
}

// Ensure creates the tables that are missing. The dataset must exist. It must
// not be called at the same time as other methods.
func (s *Store) Ensure(ctx context.Context) error {
	for _, t := range []tables.Table{tables.GenerationsTable(), tables.WatermarksTable()} {
		err := s.dataset.Table(t.Name).Create(ctx, t.Metadata())
		if err != nil && !hasStatus(err, http.StatusConflict) {
			return exit.Environmentf("create table %s.%s: %w", s.dataset.DatasetID, t.Name, err)
		}
		if err == nil {
			s.fresh[t.Name] = true
		}
	}
	return nil
}

// generationsSQL reads the whole log: it has a few rows per deployment, so
// that folding it here costs less than asking for the newest rows.
const generationsSQL = "SELECT job, generation, kind, state, supersedes, dataflow_job_id, recorded_at, seq,\n" +
	"  job_group, window_from, window_to, watermark, windows_cut\n" +
	"FROM `%s.%s.%s`\n" +
	"ORDER BY job, generation, recorded_at, seq"

// Read reads the log of generations.
func (s *Store) Read(ctx context.Context) (Log, error) {
	q := s.client.Query(fmt.Sprintf(generationsSQL, s.dataset.ProjectID, s.dataset.DatasetID, tables.Generations))
	it, err := q.Read(ctx)
	if err != nil {
		return Log{}, exit.Environmentf("read the history of generations: %w", err)
	}
	var rows []tables.Generation
	for {
		var g tables.Generation
		err := it.Next(&g)
		if errors.Is(err, iterator.Done) {
			return Fold(rows), nil
		}
		if err != nil {
			return Log{}, exit.Environmentf("read the history of generations: %w", err)
		}
		rows = append(rows, g)
	}
}

// Latest reads the newest row of the highest generation of a job.
func (s *Store) Latest(ctx context.Context, job string) (tables.Generation, bool, error) {
	log, err := s.Read(ctx)
	if err != nil {
		return tables.Generation{}, false, err
	}
	g, ok := log.Latest(job)
	return g, ok, nil
}

// Append records the state of a generation: job, generation, kind and state
// are given, of a new one the group too; what else is not given stays as it was.
// It returns the row that now holds, once it can be read.
func (s *Store) Append(ctx context.Context, g tables.Generation) (tables.Generation, error) {
	return s.append(ctx, func(log Log) (tables.Generation, bool, error) { return log.next(g, s.now()) })
}

// append appends the row that follows in the log, unless it is there.
func (s *Store) append(ctx context.Context, next func(Log) (row tables.Generation, known bool, err error)) (tables.Generation, error) {
	log, err := s.Read(ctx)
	if err != nil {
		return tables.Generation{}, err
	}
	row, known, err := next(log)
	if err != nil || known {
		return row, err
	}
	// A step that was begun is finished: half a record would have to be
	// guessed at by the next run.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), visible)
	defer cancel()
	id := fmt.Sprintf("%s@%d.%d.%s", row.Job, row.Generation, row.Seq, row.State)
	if err := s.insert(ctx, tables.Generations, &bigquery.StructSaver{Struct: row, InsertID: id}); err != nil {
		return row, err
	}
	// invariant D2: it is recorded only when it can be read.
	pause := minPause
	for {
		log, err := s.Read(ctx)
		if err != nil {
			return row, err
		}
		if got, ok := log.Writer(row.Job, row.Generation); ok && (same(got, row) || newer(got, row)) {
			return got, nil
		}
		if err := sleep(ctx, &pause); err != nil {
			return row, exit.Environmentf("record %s@%d: the row was written but cannot be read yet", row.Job, row.Generation).
				WithHint("run the command again in a few minutes")
		}
	}
}

// RecordDrained records that a Dataflow job has drained: its generation with
// the last watermark before the drain and what it has cut, and its final
// watermark, which is the maximum: from this writer nothing is still to come.
// The writer is the one with the Dataflow id; one whose id was never recorded
// is found by the generation that the job is labelled with (0: none). A zero
// last is a watermark that was never known.
func (s *Store) RecordDrained(ctx context.Context, group, job, dataflowJobID string, generation int64, last time.Time) error {
	log, err := s.Read(ctx)
	if err != nil {
		return err
	}
	g, ok := log.byDataflowID(job, dataflowJobID)
	if !ok {
		g, ok = log.Writer(job, generation)
		if !ok || g.DataflowJobID.Valid {
			return fmt.Errorf("record that %s has drained: the history knows no generation with the Dataflow job %s", job, dataflowJobID)
		}
	}
	if g.State == tables.StateDrained && g.DataflowJobID.StringVal == dataflowJobID {
		return nil // said before, and the watermark before that
	}
	// The watermark first: it is as true, and a record that says drained must
	// not lack it. Its successor waits for this, so both at once.
	both, bctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		return s.PublishWatermarks(bctx, tables.Watermark{
			Group: group, Job: job, Generation: g.Generation, AtMaximum: true,
			Watermark: bigquery.NullTimestamp{Timestamp: last, Valid: !last.IsZero()}, ObservedAt: s.now(),
		})
	})
	both.Go(func() (err error) {
		g.WindowsCut, err = s.windowsCut(bctx, tables.Writer{Job: job, Generation: g.Generation}, last)
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	g.Watermark = bigquery.NullTimestamp{Timestamp: last, Valid: !last.IsZero()}
	g.State = tables.StateDrained
	g.DataflowJobID = bigquery.NullString{StringVal: dataflowJobID, Valid: true}
	_, err = s.Append(ctx, g)
	return err
}

// PublishWatermarks appends watermarks.
func (s *Store) PublishWatermarks(ctx context.Context, rows ...tables.Watermark) error {
	var savers []*bigquery.StructSaver
	for _, w := range rows {
		w.ObservedAt = w.ObservedAt.UTC().Truncate(time.Microsecond)
		savers = append(savers, &bigquery.StructSaver{
			Struct: w, InsertID: fmt.Sprintf("%s@%d.%d", w.Job, w.Generation, w.ObservedAt.UnixMicro()),
		})
	}
	if len(savers) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, visible)
	defer cancel()
	return s.insert(ctx, tables.Watermarks, savers...)
}

// insert streams rows into a table, and waits for one that was just created.
func (s *Store) insert(ctx context.Context, table string, rows ...*bigquery.StructSaver) error {
	ins := s.dataset.Table(table).Inserter()
	pause := minPause
	for {
		err := ins.Put(ctx, rows)
		if err == nil {
			return nil
		}
		if !s.fresh[table] || !hasStatus(err, http.StatusNotFound) || sleep(ctx, &pause) != nil {
			return exit.Environmentf("write to %s.%s: %w", s.dataset.DatasetID, table, err)
		}
	}
}

// sleep waits, twice as long each time, or reports that ctx is done.
func sleep(ctx context.Context, pause *time.Duration) error {
	t := time.NewTimer(*pause)
	defer t.Stop()
	*pause = min(*pause*2, maxPause)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func hasStatus(err error, code int) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code == code
}
