package history_test

import (
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestWindowsCut(t *testing.T) {
	client := open(t)
	ctx := t.Context()
	event := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "carrier", Type: "STRING"}}}
	measures := []jobspecs.Measure{{Name: "flights", Type: "count"}}
	hourly := jobspecs.Aggregation{Name: "hourly", Dimensions: []string{"origin"}, Window: jobspecs.Duration(time.Hour), Measures: measures, Table: "hourly"}
	daily := jobspecs.Aggregation{Name: "daily", Dimensions: []string{"origin", "carrier"}, Window: jobspecs.Duration(24 * time.Hour), Measures: measures, Table: "daily"}
	missing := jobspecs.Aggregation{Name: "missing", Dimensions: []string{"origin"}, Window: jobspecs.Duration(time.Hour), Measures: measures, Table: "missing"}
	rolled := hourly
	rolled.Name, rolled.Table, rolled.Rollups = "rolled", "rolled", [][]string{{}}
	for _, a := range []jobspecs.Aggregation{hourly, daily, rolled} {
		table := tables.Aggregate(a, event)
		if err := client.Dataset(dataset).Table(table.Name).Create(ctx, table.Metadata()); err != nil {
			t.Fatal(err)
		}
	}
	midnight := time.Date(2001, 1, 14, 0, 0, 0, 0, time.UTC)
	last := midnight.Add(10*time.Hour + 30*time.Minute)
	insert := func(table string, rows ...map[string]bigquery.Value) {
		t.Helper()
		var savers []bigquery.ValueSaver
		for _, r := range rows {
			for k, v := range map[string]bigquery.Value{"flights": 1, "timing": "on_time", "write_time": last, "job": "flights-0"} {
				if _, ok := r[k]; !ok {
					r[k] = v
				}
			}
			savers = append(savers, rowSaver(r))
		}
		if err := client.Dataset(dataset).Table(table).Inserter().Put(ctx, savers); err != nil {
			t.Fatal(err)
		}
	}
	type row = map[string]bigquery.Value
	insert("hourly",
		row{"origin": "JFK", "window_start": midnight.Add(9 * time.Hour), "generation": 1, "pane": 0},                          // ended before
		row{"origin": "JFK", "window_start": last.Add(-time.Hour), "generation": 1, "pane": 0},                                 // ends with the watermark
		row{"origin": "JFK", "window_start": midnight.Add(10 * time.Hour), "generation": 1, "pane": 0},                         // cut
		row{"origin": "JFK", "window_start": midnight.Add(10 * time.Hour), "generation": 1, "pane": 1},                         // the same
		row{"origin": nil, "window_start": midnight.Add(10 * time.Hour), "generation": 1, "pane": 0},                           // cut
		row{"origin": "JFK", "window_start": midnight.Add(11 * time.Hour), "generation": 1, "pane": 0},                         // cut
		row{"origin": "LAX", "window_start": midnight.Add(11 * time.Hour), "generation": 2, "pane": 0},                         // of another generation
		row{"origin": "LAX", "window_start": midnight.Add(11 * time.Hour), "generation": 1, "pane": 0, "job": "flights-other"}, // of another job
	)
	insert("daily",
		row{"origin": "JFK", "carrier": "AA", "window_start": midnight, "generation": 1, "pane": 0},
		row{"origin": "JFK", "carrier": "UA", "window_start": midnight, "generation": 1, "pane": 0},
		row{"origin": "JFK", "carrier": "UA", "window_start": midnight.AddDate(0, 0, -1), "generation": 1, "pane": 0}, // ended before
	)
	insert("rolled", // NULL is a key of the full set, and no key in the total
		row{"rollup": "origin", "origin": nil, "window_start": midnight.Add(10 * time.Hour), "generation": 1, "pane": 0},
		row{"rollup": "", "origin": nil, "window_start": midnight.Add(10 * time.Hour), "generation": 1, "pane": 0},
		row{"rollup": "", "origin": nil, "window_start": midnight.Add(10 * time.Hour), "generation": 1, "pane": 1},
	)
	for i, c := range []struct {
		name         string
		aggregations []jobspecs.Aggregation
		last         time.Time
		want         bigquery.NullInt64
	}{
		{"all tables", []jobspecs.Aggregation{hourly, daily}, last, bigquery.NullInt64{Int64: 5, Valid: true}},
		{"one table", []jobspecs.Aggregation{daily}, last, bigquery.NullInt64{Int64: 2, Valid: true}},
		{"sets of dimensions", []jobspecs.Aggregation{rolled}, last, bigquery.NullInt64{Int64: 2, Valid: true}},
		{"nothing cut", []jobspecs.Aggregation{hourly, daily}, last.AddDate(1, 0, 0), bigquery.NullInt64{Valid: true}},
		{"unknown watermark", []jobspecs.Aggregation{hourly, daily}, time.Time{}, bigquery.NullInt64{}},
		{"missing table", []jobspecs.Aggregation{hourly, missing}, last, bigquery.NullInt64{}},
		{"no aggregations", nil, last, bigquery.NullInt64{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// A history of its own, beside the same aggregates.
			generations := client.Dataset(dataset).Table(tables.Generations)
			if i > 0 {
				if err := generations.Delete(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s := history.New(client, dataset, c.aggregations...)
			if err := s.Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			appendRow(t, s, generation(1, tables.StateOpen, "id-1"))
			if err := s.RecordDrained(t.Context(), "flights", "flights-0", "id-1", 1, c.last); err != nil {
				t.Fatal(err)
			}
			g, _, err := s.Latest(t.Context(), "flights-0")
			if err != nil || g.State != tables.StateDrained || g.WindowsCut != c.want {
				t.Errorf("%+v, %v, want %v windows cut", g, err, c.want)
			}
			if g.Watermark.Valid == c.last.IsZero() || g.Watermark.Valid && !g.Watermark.Timestamp.Equal(c.last) {
				t.Errorf("watermark %v, want %v", g.Watermark, c.last)
			}
		})
	}
}

// rowSaver saves a row as it is.
type rowSaver map[string]bigquery.Value

func (r rowSaver) Save() (map[string]bigquery.Value, string, error) { return r, "", nil }
