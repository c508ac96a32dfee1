package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// meter measures a run by what BigQuery holds.
type meter struct {
	client  *bigquery.Client
	history *history.Store
	spec    jobspecs.StreamJobSpec
}

func (m meter) table(name string) string {
	return "`" + m.spec.Project + "`.`" + m.spec.Sinks.BigQuery.Dataset + "`.`" + name + "`"
}

func (m meter) raw() string { return m.table(m.spec.Sinks.BigQuery.Raw) }

// query calls each for every row of a result.
func query[T any](ctx context.Context, m meter, sql string, each func(T), params ...bigquery.QueryParameter) error {
	q := m.client.Query(sql)
	q.Parameters = params
	q.Labels = map[string]string{"kappa": "demo"}
	it, err := q.Read(ctx)
	if err != nil {
		return exit.Environmentf("query BigQuery: %w", err)
	}
	for {
		var row T
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return exit.Environmentf("query BigQuery: %w", err)
		}
		each(row)
	}
}

// missing returns up to most records that were produced and have no delivery
// in the raw table, in the form topic/partition/offset.
func (m meter) missing(ctx context.Context, topic string, sent *ledger, most int) ([]string, error) {
	there := map[envelope.Position]bool{}
	err := query(ctx, m, "SELECT DISTINCT position FROM "+m.raw(), func(r struct {
		Position string `bigquery:"position"`
	}) {
		if p, err := envelope.ParsePosition(r.Position); err == nil {
			p.Cluster = ""
			there[p] = true
		}
	})
	var out []string
	sent.each(func(partition int32, offset int64) bool {
		if !there[envelope.Position{Topic: topic, Partition: partition, Offset: offset}] {
			out = append(out, fmt.Sprintf("%s/%d/%d", topic, partition, offset))
		}
		return len(out) < most
	})
	return out, err
}

// deliveries are the contents of the raw table, by the reader's rule: one row
// per event and message.
type deliveries struct {
	Deliveries int64 `bigquery:"deliveries"`
	Events     int64 `bigquery:"events"`
	Messages   int64 `bigquery:"messages"`
}

func (m meter) deliveries(ctx context.Context) (deliveries, error) {
	var d deliveries
	err := query(ctx, m, `SELECT COUNT(*) AS deliveries, COUNT(DISTINCT event_id) AS events, COUNT(DISTINCT message_id) AS messages
FROM (SELECT DISTINCT event_id, message_id FROM `+m.raw()+`)`, func(r deliveries) { d = r })
	return d, err
}

// duplicatePercent is the share of deliveries that deduplication has to remove.
func (d deliveries) duplicatePercent() float64 {
	if d.Deliveries == 0 {
		return 0
	}
	return 100 * float64(d.Deliveries-d.Events) / float64(d.Deliveries)
}

// counted are the events in the stream table, by the reader's rule: copies of
// a pane dropped, rows that do not count by their writer's standing left out.
// Late are those that came in panes after the window's first.
type counted struct {
	Counted int64
	Late    int64
}

// written is what a writer has in the windows that start at a time.
type written struct {
	WindowStart time.Time `bigquery:"window_start"`
	Job         string    `bigquery:"job"`
	Generation  int64     `bigquery:"generation"`
	Events      int64     `bigquery:"events"`
	Late        int64     `bigquery:"late"`
}

func (m meter) counted(ctx context.Context) (counted, error) {
	log, err := m.history.Read(ctx)
	if err != nil {
		return counted{}, err
	}
	var all []written
	err = query(ctx, m, `WITH panes AS (
  SELECT origin, window_start, job, generation, pane, MAX(flights) AS flights, MAX(timing) AS timing
  FROM `+m.table(m.spec.Aggregations[0].Table)+`
  GROUP BY origin, window_start, job, generation, pane
)
SELECT window_start, job, generation, SUM(flights) AS events, SUM(IF(timing = 'late', flights, 0)) AS late
FROM panes
GROUP BY window_start, job, generation`, func(w written) { all = append(all, w) })
	return count(log.Standings(), all), err
}

// count adds up what counts (invariant P2).
func count(standings []tables.Standing, all []written) counted {
	by := map[tables.Writer]tables.Standing{}
	for _, s := range standings {
		by[s.Writer()] = s
	}
	var c counted
	for _, w := range all {
		if s, listed := by[tables.Writer{Job: w.Job, Generation: w.Generation}]; listed && s.CountsAt(w.WindowStart) {
			c.Counted, c.Late = c.Counted+w.Events, c.Late+w.Late
		}
	}
	return c
}

// latencies are how long records took from the producer to the raw table, the
// first of their deliveries, in order.
type latencies []time.Duration

func (m meter) latencies(ctx context.Context, sent *ledger) (latencies, error) {
	var l latencies
	var bad error
	err := query(ctx, m, "SELECT position, MIN(write_time) AS first_write FROM "+m.raw()+" GROUP BY position", func(r struct {
		Position   string    `bigquery:"position"`
		FirstWrite time.Time `bigquery:"first_write"`
	}) {
		p, err := envelope.ParsePosition(r.Position)
		if err != nil {
			bad = err
			return
		}
		if at, ok := sent.get(p.Partition, p.Offset); ok {
			l = append(l, r.FirstWrite.Sub(at))
		}
	})
	slices.Sort(l)
	return l, errors.Join(err, bad)
}

// percentile is the nearest-rank percentile, zero of nothing.
func (l latencies) percentile(p float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(l))))
	return l[max(0, rank-1)]
}
