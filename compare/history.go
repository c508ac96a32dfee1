package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// history reads and writes the tables of the history. It is the one part of a
// comparison that writes to BigQuery, and there is one only where the spec names a
// dataset.
type history struct {
	runner  *runner
	dataset *bigquery.Dataset
}

const (
	purposeHistory = "history"
	trendRuns      = 30
	maxDays        = 10_000 // days of earlier runs that are read
	keysPerLoad    = 20_000 // some 4 MB of JSON
	scratchAge     = time.Hour
	mergeTries     = 6 // after the first, when others write the history at the same time
	mergeWait      = 500 * time.Millisecond
)

// openHistory is the history of a spec; nil: it has none.
func openHistory(r *runner, spec *jobspecs.ComparisonSpec) (*history, error) {
	name := spec.History.Dataset
	if name == "" {
		return nil, nil
	}
	if err := checkIdentifier("history.dataset", name, datasetPattern); err != nil {
		return nil, err
	}
	return &history{r, r.client.DatasetInProject(spec.Project, name)}, nil
}

func (h *history) table(name string) table {
	return quoteTable(h.dataset.ProjectID, h.dataset.DatasetID, name)
}

// past is what the history says of a comparison.
type past struct {
	runs []tables.CompareRun // of whole ranges, newest first
	days []tables.CompareRun // of one spec hash, newest first
	keys []DifferingKey      // of the newest run
	of   string              // id of the run that keys are of
}

// read reads what the history says. Tables that are not there yet say nothing;
// a dataset that is not there is an error, now and not after the run.
func (h *history) read(ctx context.Context, comparison, specHash string) (past, error) {
	var p past
	if _, err := h.dataset.Metadata(ctx); err != nil {
		if notThere(err) {
			return p, exit.Environmentf("the dataset of the history, %s.%s, does not exist", h.dataset.ProjectID, h.dataset.DatasetID).
				WithHint("make it, or leave history.dataset out of the spec")
		}
		return p, classify("look at the dataset of the history", err)
	}
	name := bigquery.QueryParameter{Name: "comparison", Value: comparison}
	runs := func(segment string, limit int, order string, further ...bigquery.QueryParameter) ([]tables.CompareRun, error) {
		where := "comparison = @comparison AND segment = @segment"
		if len(further) > 0 {
			where += " AND spec_hash = @spec_hash"
		}
		var rows []tables.CompareRun
		q := query{purpose: purposeHistory, params: append([]bigquery.QueryParameter{name, {Name: "segment", Value: segment}}, further...),
			sql: fmt.Sprintf("SELECT * FROM %s\nWHERE %s\nORDER BY %s DESC\nLIMIT %d", h.table(tables.CompareRuns), where, order, limit)}
		_, err := h.runner.run(ctx, q, func(row row) error {
			r, err := readRun(row)
			rows = append(rows, r)
			return err
		})
		return rows, err
	}
	there, err := h.exists(ctx, tables.CompareRuns)
	if err != nil || !there {
		return p, err
	}
	if p.runs, err = runs(tables.SegmentRange, trendRuns+1, "COALESCE(started_at, range_to)"); err != nil {
		return p, err
	}
	if p.days, err = runs(tables.SegmentDay, maxDays, "range_from", bigquery.QueryParameter{Name: "spec_hash", Value: specHash}); err != nil {
		return p, err
	}
	if there, err = h.exists(ctx, tables.CompareKeys); err != nil || !there {
		return p, err
	}
	_, err = h.runner.run(ctx, query{purpose: purposeHistory, params: []bigquery.QueryParameter{name},
		sql: fmt.Sprintf("SELECT run_id, window_start, key, class, cause, status FROM %s\nWHERE comparison = @comparison\nORDER BY window_start, key\nLIMIT %d", h.table(tables.CompareKeys), maxDifferingKeys)},
		func(row row) error {
			k, run, err := readKey(row)
			p.keys, p.of = append(p.keys, k), run
			return err
		})
	return p, err
}

func readKey(row row) (k DifferingKey, run string, err error) {
	for name, to := range map[string]*string{"run_id": &run, "key": &k.Key, "class": &k.Class, "cause": &k.Cause, "status": &k.Status} {
		if *to, err = get[string](row, name); err != nil {
			return k, run, err
		}
	}
	at, err := get[time.Time](row, "window_start")
	k.Window = at.UTC()
	return k, run, err
}

func (h *history) exists(ctx context.Context, name string) (bool, error) {
	_, err := h.dataset.Table(name).Metadata(ctx)
	if notThere(err) {
		return false, nil
	}
	if err != nil {
		return false, classify("look at the table "+name+" of the history", err)
	}
	return true, nil
}

func notThere(err error) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code == http.StatusNotFound
}

// write records a run: its differing keys in the place of those of the run before,
// then its rows, each by one statement. A run that is stopped between both leaves
// keys of a run that no row names, which readers take for none. Writing a run again
// changes nothing but who has written it last.
func (h *history) write(ctx context.Context, res *Result, id string) error {
	rows, err := historyRows(res, id)
	if err != nil {
		return err
	}
	all, lines := keyRows(res, id), [][]byte{}
	for chunk := range slices.Chunk(all, keysPerLoad) {
		data, err := jsonLines(chunk)
		if err != nil {
			return err
		}
		lines = append(lines, data)
	}
	keys := tables.CompareKeysTable()
	comparison := bigquery.QueryParameter{Name: "comparison", Value: res.Comparison}
	err = h.merge(ctx, keys, id, lines, []bigquery.QueryParameter{comparison}, "ON FALSE\nWHEN NOT MATCHED BY TARGET THEN INSERT ROW\nWHEN NOT MATCHED BY SOURCE AND t.comparison = @comparison THEN DELETE")
	if err != nil {
		return err
	}
	data, err := jsonLines(rows)
	if err != nil {
		return err
	}
	return h.merge(ctx, tables.CompareRunsTable(), id, [][]byte{data}, nil, mergeRuns())
}

// runIdentity are the columns that a row of compare_runs is known by.
var runIdentity = []string{"comparison", "spec_hash", "range_from", "range_to", "segment"}

// mergeRuns is the rest of the MERGE that writes rows of compare_runs.
func mergeRuns() string {
	var on, set []string
	for _, c := range runIdentity {
		on = append(on, fmt.Sprintf("t.%s = s.%s", c, c))
	}
	for _, f := range tables.CompareRunsTable().Schema {
		if !slices.Contains(runIdentity, f.Name) {
			set = append(set, fmt.Sprintf("%s = s.%s", column(f.Name), column(f.Name)))
		}
	}
	return fmt.Sprintf("ON %s\nWHEN MATCHED THEN UPDATE SET %s\nWHEN NOT MATCHED THEN INSERT ROW", strings.Join(on, " AND "), strings.Join(set, ", "))
}

func jsonLines[T any](rows []T) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, r := range rows {
		if err := enc.Encode(r); err != nil {
			return nil, fmt.Errorf("write the history: %w", err)
		}
	}
	return b.Bytes(), nil
}

// merge loads rows into a table of its own, which BigQuery drops by itself if this
// program cannot, and merges that into the table of the history, which it makes if
// need be.
func (h *history) merge(ctx context.Context, t tables.Table, id string, lines [][]byte, params []bigquery.QueryParameter, rest string) error {
	if err := h.create(ctx, t.Name, t.Metadata()); err != nil {
		return err
	}
	md := tables.Table{Name: t.Name, Schema: t.Schema}.Metadata()
	md.ExpirationTime = time.Now().Add(scratchAge) // of the service's clock, whatever the run takes for now
	scratch := h.dataset.Table(t.Name + "_" + strings.ReplaceAll(id, "-", "_"))
	if err := h.create(ctx, scratch.TableID, md); err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := scratch.Delete(stop); err != nil && !notThere(err) {
			h.runner.log.Warn("scratch table not dropped", "table", scratch.TableID, "error", err)
		}
	}()
	for i, data := range lines {
		src := bigquery.NewReaderSource(bytes.NewReader(data))
		src.SourceFormat, src.Schema = bigquery.JSON, t.Schema
		load := scratch.LoaderFrom(src)
		load.WriteDisposition = bigquery.WriteAppend
		if i == 0 {
			load.WriteDisposition = bigquery.WriteTruncate // of a run that is recorded twice
		}
		load.Labels = h.runner.labels
		job, err := load.Run(ctx)
		if err != nil {
			return classify("load the history", err)
		}
		status, err := job.Wait(ctx)
		if err == nil {
			err = status.Err()
		}
		if err != nil {
			return classify("load the history", err)
		}
	}
	q := query{purpose: purposeHistory, params: params, sql: fmt.Sprintf("MERGE %s AS t\nUSING %s AS s\n%s", h.table(t.Name), h.table(scratch.TableID), rest)}
	for try := 0; ; try++ {
		_, err := h.runner.run(ctx, q, func(row) error { return nil })
		if err == nil || try == mergeTries || !concurrent(err) {
			return err
		}
		h.runner.log.Info("another run writes the history, too", "table", t.Name, "try", try+1)
		select {
		case <-ctx.Done():
			return fmt.Errorf("write the history: %w", ctx.Err())
		case <-time.After(mergeWait<<try/2 + rand.N(mergeWait<<try)):
		}
	}
}

// concurrent reports whether a statement was refused because another one changed
// the table meanwhile: BigQuery tries a few times by itself, then it is up to the
// client. The statements here can be repeated.
func concurrent(err error) bool {
	return strings.Contains(err.Error(), "Could not serialize access to table")
}

func (h *history) create(ctx context.Context, name string, md *bigquery.TableMetadata) error {
	err := h.dataset.Table(name).Create(ctx, md)
	var api *googleapi.Error
	if errors.As(err, &api) && api.Code == http.StatusConflict {
		return nil
	}
	if err != nil {
		return classify(fmt.Sprintf("make the table %s.%s", h.dataset.DatasetID, name), err)
	}
	return nil
}
