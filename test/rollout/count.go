package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
)

// query reads the rows of a query.
func query[T any](ctx context.Context, client *bigquery.Client, sql string) ([]T, error) {
	it, err := client.Query(sql).Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	var out []T
	for {
		var row T
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		out = append(out, row)
	}
}

// arrived is how many messages of each shard are in the raw table.
func arrived(ctx context.Context, client *bigquery.Client) (int64, error) {
	rows, err := query[struct {
		N int64 `bigquery:"n"`
	}](ctx, client, "SELECT COUNT(DISTINCT message_id) AS n FROM kappa.raw_events")
	if err != nil {
		return 0, err
	}
	return rows[0].N, nil
}

// pause is the longest time in which a job wrote nothing.
type pause struct {
	from    time.Time
	seconds float64
}

// pauses are the longest pauses in the output of the jobs, by job.
func pauses(ctx context.Context, client *bigquery.Client, from, to time.Time) (map[string]pause, error) {
	rows, err := query[struct {
		Job string    `bigquery:"job"`
		At  time.Time `bigquery:"written"`
	}](ctx, client, "SELECT DISTINCT job, write_time AS written FROM kappa.raw_events ORDER BY job, written")
	if err != nil {
		return nil, err
	}
	out, last := map[string]pause{}, map[string]time.Time{}
	for _, r := range rows {
		before, ok := last[r.Job]
		last[r.Job] = r.At
		if gap := r.At.Sub(before).Seconds(); ok && r.At.After(from) && before.Before(to) && gap > out[r.Job].seconds {
			out[r.Job] = pause{before, gap}
		}
	}
	return out, nil
}

// counted is how often each event of a shard was counted, by the rule for readers
// of package tables: one row per pane, of writers whose rows count.
const countedSQL = `
WITH panes AS (
  SELECT block, window_start, job, generation, pane, ANY_VALUE(digits) AS digits
  FROM kappa.counted GROUP BY block, window_start, job, generation, pane),
writers AS (
  SELECT job, generation, state, ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY recorded_at DESC, seq DESC) AS age
  FROM kappa.generations)
SELECT p.block AS block, SUM(p.digits) AS digits
FROM panes AS p JOIN writers AS w ON w.job = p.job AND w.generation = p.generation
WHERE w.age = 1 AND w.state IN ('open', 'drained')
GROUP BY p.block`

// tally is what became of the events of a shard.
type tally struct {
	counted, lost, double int64
	examples              []string
}

// count holds what was counted against what was published.
func count(ctx context.Context, client *bigquery.Client, shards []*shard) ([]tally, error) {
	rows, err := query[struct {
		Block  string `bigquery:"block"`
		Digits int64  `bigquery:"digits"`
	}](ctx, client, countedSQL)
	if err != nil {
		return nil, err
	}
	sums := make([]map[int64]int64, len(shards))
	for i := range sums {
		sums[i] = map[int64]int64{}
	}
	for _, r := range rows {
		a, b, _ := strings.Cut(r.Block, "-")
		i, err := strconv.Atoi(a)
		block, err2 := strconv.ParseInt(b, 10, 64)
		if err := errors.Join(err, err2); err != nil || i >= len(shards) {
			return nil, fmt.Errorf("counted %q, which nobody published", r.Block)
		}
		sums[i][block] = r.Digits
	}
	out := make([]tally, len(shards))
	for i, s := range shards {
		out[i] = compare(s.events.Load(), sums[i])
	}
	return out, nil
}

// compare holds the sums of a shard's blocks against the number of its events.
func compare(events int64, sums map[int64]int64) tally {
	var t tally
	for n := range events {
		times := sums[n/perKey] >> (3 * (n % perKey)) & 7
		t.counted += times
		switch {
		case times == 0:
			t.lost++
		case times > 1:
			t.double += times - 1
		default:
			continue
		}
		if len(t.examples) < 3 {
			t.examples = append(t.examples, fmt.Sprintf("event %d counted %d times", n, times))
		}
	}
	return t
}
