package compare

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// control is what the small control tables say.
type control struct {
	generations []tables.Generation // newest row of every writer
	watermarks  []tables.Watermark  // newest row of every job and generation of the group
	loads       []tables.BatchLoad  // newest row of every range
	reloaded    int64               // ranges that were loaded more than once
}

// readControl reads the control tables that the sides need. They are small,
// append-only logs; nothing in them can make a settled window unsettled again, so
// it does no harm that they are read before both sides. list is what to read of them.
func (r *runner) readControl(ctx context.Context, list []query) (control, error) {
	var c control
	each := map[string]func(row) error{
		"generations": func(row row) error {
			g, err := readGeneration(row)
			c.generations = append(c.generations, g)
			return err
		},
		"watermarks": func(row row) error {
			m, err := readWatermark(row)
			c.watermarks = append(c.watermarks, m)
			return err
		},
		"batch_loads": func(row row) error {
			l, loads, err := readLoad(row)
			c.loads = append(c.loads, l)
			if loads > 1 {
				c.reloaded++
			}
			return err
		},
	}
	for _, query := range list {
		if _, err := r.run(ctx, query, each[query.purpose]); err != nil {
			return c, err
		}
	}
	return c, nil
}

// controlQueries read the control tables that the sides need.
func (q queries) controlQueries() []query {
	var all []query
	if q.readsWriters() {
		all = append(all, query{purpose: "generations", sql: q.generations()})
	}
	if q.readsWatermarks() {
		all = append(all, query{purpose: "watermarks", sql: q.watermarks(), params: []bigquery.QueryParameter{{Name: "group", Value: q.spec.Stream.Job}}})
	}
	if q.readsLoads() {
		all = append(all, q.loadsQuery())
	}
	return all
}

func (q queries) loadsQuery() query {
	return query{purpose: "batch_loads", sql: q.batchLoads(), params: []bigquery.QueryParameter{{Name: "target", Value: q.batch.name.table}}}
}

func readGeneration(row row) (g tables.Generation, err error) {
	if g.Job, err = get[string](row, "job"); err != nil {
		return g, err
	}
	if g.Generation, err = get[int64](row, "generation"); err != nil {
		return g, err
	}
	if g.Kind, err = get[string](row, "kind"); err != nil {
		return g, err
	}
	if g.State, err = get[string](row, "state"); err != nil {
		return g, err
	}
	if g.Group, err = get[string](row, "job_group"); err != nil {
		return g, err
	}
	if g.RecordedAt, err = get[time.Time](row, "recorded_at"); err != nil {
		return g, err
	}
	supersedes, err := row.text("supersedes")
	if err != nil {
		return g, err
	}
	if supersedes != nil {
		g.Supersedes = bigquery.NullString{StringVal: *supersedes, Valid: true}
	}
	if g.WindowFrom, err = row.time("window_from"); err != nil {
		return g, err
	}
	g.WindowTo, err = row.time("window_to")
	return g, err
}

func readWatermark(row row) (m tables.Watermark, err error) {
	if m.Job, err = get[string](row, "job"); err != nil {
		return m, err
	}
	if m.Generation, err = get[int64](row, "generation"); err != nil {
		return m, err
	}
	if m.AtMaximum, err = get[bool](row, "at_maximum"); err != nil {
		return m, err
	}
	if m.ObservedAt, err = get[time.Time](row, "observed_at"); err != nil {
		return m, err
	}
	m.Watermark, err = row.time("watermark")
	return m, err
}

func readLoad(row row) (l tables.BatchLoad, loads int64, err error) {
	if l.RangeStart, err = get[time.Time](row, "range_start"); err != nil {
		return l, 0, err
	}
	if l.RangeEnd, err = get[time.Time](row, "range_end"); err != nil {
		return l, 0, err
	}
	if l.LoadedAt, err = get[time.Time](row, "loaded_at"); err != nil {
		return l, 0, err
	}
	if !l.RangeStart.Before(l.RangeEnd) {
		return l, 0, fmt.Errorf("a batch load has the empty range %s to %s", stamp(l.RangeStart), stamp(l.RangeEnd))
	}
	loads, err = get[int64](row, "loads")
	return l, loads, err
}

// batchFreshness says how fresh the batch side is.
func (c control) batchFreshness() BatchFreshness {
	f := BatchFreshness{Loads: int64(len(c.loads)), Reloaded: c.reloaded}
	for _, l := range c.loads {
		end, at := l.RangeEnd.UTC(), l.LoadedAt.UTC()
		if f.CoveredTo == nil || end.After(*f.CoveredTo) {
			f.CoveredTo = &end
		}
		if f.LastLoaded == nil || at.After(*f.LastLoaded) {
			f.LastLoaded = &at
		}
	}
	return f
}
