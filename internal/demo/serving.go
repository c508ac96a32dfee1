package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// served is a key and window with its values, as either side gives it.
type served struct {
	Origin   string
	Start    time.Time
	Flights  int64
	Delay    int64
	Distance int64
}

type servedKey struct {
	origin string
	start  int64
}

// serve reads every key's windows from Bigtable, by `kappa serve query` of this
// very program, and holds them against BigQuery's stream table.
func (r *run) serve(ctx context.Context) error {
	return r.phase("Serve", "", 0, func(task *term.Task) (string, error) {
		fromBigtable, err := r.queryServing(ctx)
		if err != nil {
			return "", err
		}
		fromBigQuery, err := r.meter.stream(ctx)
		if err != nil {
			return "", err
		}
		s := &r.summary
		s.ServingWindows, s.ServingDiffering = int64(len(fromBigtable)), differing(fromBigtable, fromBigQuery)
		if s.ServingDiffering > 0 {
			return fmt.Sprintf("%s windows DIFFER between Bigtable and BigQuery", term.Count(s.ServingDiffering)), nil
		}
		return fmt.Sprintf("%s windows from Bigtable equal BigQuery's", term.Count(s.ServingWindows)), nil
	})
}

// differing counts the keys on which two sides are not the same.
func differing(a, b map[servedKey]served) (n int64) {
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			n++
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			n++
		}
	}
	return n
}

func (r *run) queryServing(ctx context.Context) (map[servedKey]served, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, exit.Environmentf("find this program: %w", err)
	}
	out, _, err := runTool(ctx, "serve", self, r.out.path(logsFolder), []string{
		"serve", "query", "-f", filepath.Join(r.out.path(specsFolder), streamFile), "--output", "json", r.logLevel(),
	})
	if err != nil {
		return nil, err
	}
	var res struct {
		Windows []struct {
			Key    map[string]*string `json:"key"`
			Start  time.Time          `json:"window_start"`
			Values map[string]*int64  `json:"values"`
		} `json:"windows"`
	}
	if err := json.Unmarshal(out, &res); err != nil {
		return nil, fmt.Errorf("read what kappa serve query printed: %w", err)
	}
	all := make(map[servedKey]served, len(res.Windows))
	for _, w := range res.Windows {
		origin, flights, delay, distance := w.Key["origin"], w.Values["flights"], w.Values["delay_sum"], w.Values["distance_sum"]
		if origin == nil || flights == nil || delay == nil || distance == nil {
			return nil, fmt.Errorf("kappa serve query printed a window without all of its values: %+v", w)
		}
		all[servedKey{*origin, w.Start.Unix()}] = served{*origin, w.Start.UTC(), *flights, *delay, *distance}
	}
	return all, nil
}

// stream reads the stream table by the reader's rule.
func (m meter) stream(ctx context.Context) (map[servedKey]served, error) {
	writers, err := m.counting(ctx)
	if err != nil {
		return nil, err
	}
	all := map[servedKey]served{}
	err = query(ctx, m, `WITH panes AS (
  SELECT origin, window_start, job, generation, pane, MAX(flights) AS flights, MAX(delay_sum) AS delay_sum, MAX(distance_sum) AS distance_sum
  FROM `+m.table(m.spec.Aggregations[0].Table)+`
  WHERE `+ofWriters+`
  GROUP BY origin, window_start, job, generation, pane
)
SELECT origin, window_start, SUM(flights) AS flights, SUM(delay_sum) AS delay_sum, SUM(distance_sum) AS distance_sum
FROM panes
GROUP BY origin, window_start`, func(row struct {
		Origin   string    `bigquery:"origin"`
		Start    time.Time `bigquery:"window_start"`
		Flights  int64     `bigquery:"flights"`
		Delay    int64     `bigquery:"delay_sum"`
		Distance int64     `bigquery:"distance_sum"`
	}) {
		all[servedKey{row.Origin, row.Start.Unix()}] = served{row.Origin, row.Start.UTC(), row.Flights, row.Delay, row.Distance}
	}, bigquery.QueryParameter{Name: "writers", Value: writers})
	return all, err
}
