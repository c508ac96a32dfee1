package demo

import (
	"context"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// writersOf returns the writers, JOB@GENERATION, whose rows count.
func writersOf(standings []tables.Standing) []string {
	writers := []string{} // never nil: a parameter needs a type
	for _, s := range standings {
		if s.Counts {
			writers = append(writers, s.Writer().String())
		}
	}
	return writers
}

// counting returns the writers whose rows count now.
func (m meter) counting(ctx context.Context) ([]string, error) {
	log, err := m.history.Read(ctx)
	if err != nil {
		return nil, err
	}
	return writersOf(log.Standings()), nil
}

// ofWriters is a condition on rows of the raw table.
const ofWriters = "CONCAT(job, '@', CAST(generation AS STRING)) IN UNNEST(@writers)"

// arrived counts the records of which a writer that counts has at least one
// delivery in the raw table: what a dead job had read has yet to arrive again.
func (m meter) arrived(ctx context.Context) (int64, error) {
	writers, err := m.counting(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	err = query(ctx, m, "SELECT COUNT(DISTINCT position) AS n FROM "+m.raw()+" WHERE "+ofWriters, func(r struct {
		N int64 `bigquery:"n"`
	}) {
		n = r.N
	}, bigquery.QueryParameter{Name: "writers", Value: writers})
	return n, err
}

// acrossGenerations counts the events that several generations of which all
// count have read: whose second delivery was recognised across a drain.
func (m meter) acrossGenerations(ctx context.Context) (int64, error) {
	writers, err := m.counting(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	err = query(ctx, m, `SELECT COUNT(*) AS n
FROM (
  SELECT event_id
  FROM `+m.raw()+`
  WHERE `+ofWriters+`
  GROUP BY event_id
  HAVING COUNT(DISTINCT CONCAT(job, '@', CAST(generation AS STRING))) > 1
)`, func(r struct {
		N int64 `bigquery:"n"`
	}) {
		n = r.N
	}, bigquery.QueryParameter{Name: "writers", Value: writers})
	return n, err
}

// windowsCut sums the windows that drains have cut of which a later generation
// of the job has the rest.
func (m meter) windowsCut(ctx context.Context) (int64, error) {
	log, err := m.history.Read(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, s := range log.Standings() {
		if log.NextGeneration(s.Job) > s.Generation.Generation+1 {
			n += s.WindowsCut.Int64
		}
	}
	return n, nil
}

// recovery is how long after a job's death everything that had been sent before
// was read by a writer that counts.
func (m meter) recovery(ctx context.Context, death time.Time, sent *ledger) (time.Duration, error) {
	writers, err := m.counting(ctx)
	if err != nil {
		return 0, err
	}
	var last time.Time
	var bad error
	err = query(ctx, m, "SELECT position, MIN(write_time) AS first_write FROM "+m.raw()+" WHERE "+ofWriters+" GROUP BY position", func(r struct {
		Position   string    `bigquery:"position"`
		FirstWrite time.Time `bigquery:"first_write"`
	}) {
		p, err := envelope.ParsePosition(r.Position)
		if err != nil {
			bad = err
			return
		}
		if at, ok := sent.get(p.Partition, p.Offset); ok && at.Before(death) && r.FirstWrite.After(last) {
			last = r.FirstWrite
		}
	}, bigquery.QueryParameter{Name: "writers", Value: writers})
	if err == nil {
		err = bad
	}
	return max(0, last.Sub(death)), err
}
