package compare

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestNameOf(t *testing.T) {
	spec := &jobspecs.ComparisonSpec{Platform: jobspecs.Platform{Project: "p-1"}, Dataset: "d"}
	for name, want := range map[string]tableName{"t": {"p-1", "d", "t"}, "e.t": {"p-1", "e", "t"}, "other.e.t-2": {"other", "e", "t-2"}, "example.com:proj.e.t": {"example.com:proj", "e", "t"}} {
		if got := nameOf(spec, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// tableSchema is a batch table as one finds it: other names and types, time as a
// DATETIME.
func unlike(t *testing.T) *sidesWorld {
	w := newSides(t, "NUMERIC")
	w.columns[theOld] = bigquery.Schema{field("hour", bigquery.DateTimeFieldType), field("airport", bigquery.StringFieldType), field("gate", bigquery.IntegerFieldType),
		field("minutes", bigquery.IntegerFieldType), field("kind", bigquery.StringFieldType), field("unread", bigquery.StringFieldType)}
	w.columns[theNew] = append(w.columns[theNew], field("gate", bigquery.StringFieldType))
	b := &w.spec.Spec.Batch
	b.Time, b.Where = "hour", "kind IN ('x', 'it\\'s') AND minutes IS NOT NULL"
	w.spec.Spec.Keys = []jobspecs.CompareKey{{Name: "name", Type: "STRING", Batch: "UPPER(TRIM(airport))"}, {Name: "gate", Type: "STRING"}}
	w.metric().Batch = "minutes * 60"
	for i, airport := range []string{" atl", "DEN ", "ord"} {
		w.rows[theOld] = append(w.rows[theOld], record{"hour": "2001-01-08 05:00:00", "airport": airport, "gate": i, "minutes": i + 1, "kind": "x", "unread": "far too long to be read"},
			record{"hour": "2001-01-08 05:00:00", "airport": airport, "gate": i, "minutes": 100, "kind": "y"})
	}
	for i, airport := range []string{"ATL", "DEN", "ORD"} {
		w.rows[theNew] = append(w.rows[theNew], record{"window_start": hours(5), "name": airport, "gate": fmt.Sprint(i), "n": fmt.Sprint((i + 1) * 60)})
	}
	return w
}

func TestSidesThatAreUnlike(t *testing.T) {
	const query = "SELECT hour, airport, gate, minutes, kind FROM `kappa-demo.DATASET.old` WHERE hour >= DATETIME(@from) AND hour < DATETIME(@to)"
	tests := []struct {
		name   string
		change func(w *sidesWorld)
		kind   string
	}{
		{"a table", func(*sidesWorld) {}, SideTable},
		{"a table by its full name", func(w *sidesWorld) {
			w.spec.Spec.Batch.Table = "kappa-demo." + w.spec.Spec.Dataset + ".old"
			w.spec.Spec.Stream.Table = w.spec.Spec.Dataset + ".new"
			w.spec.Spec.Dataset = "elsewhere"
		}, SideTable},
		{"a view", func(w *sidesWorld) {
			view := &bigquery.TableMetadata{ViewQuery: "SELECT * FROM `kappa-demo." + w.spec.Spec.Dataset + ".old`"}
			if err := client.Dataset(w.spec.Spec.Dataset).Table("view").Create(ctxBackground, view); err != nil {
				w.t.Fatal(err)
			}
			w.spec.Spec.Batch.Table = "view"
		}, SideView},
		{"a query", func(w *sidesWorld) {
			w.spec.Spec.Batch.Table, w.spec.Spec.Batch.Query = "", strings.ReplaceAll(query, "DATASET", w.spec.Spec.Dataset)
			w.spec.Spec.Batch.SettledBy = ""
		}, SideQuery},
		{"a table without partitions, allowed", func(w *sidesWorld) { w.spec.Spec.Limits.Unpruned = "allow" }, SideTable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := unlike(t)
			w.unpartitioned = strings.Contains(tt.name, "without")
			w.create()
			tt.change(w)
			r, err := w.compare()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Counts{Total: 3, Exact: 3}, r.Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if r.Scope.Batch.Kind != tt.kind || tt.kind != SideQuery && !strings.HasPrefix(r.Scope.Batch.Name, "kappa-demo.kappa_") {
				t.Errorf("batch %+v", r.Scope.Batch)
			}
			if got, want := r.Cost.Ratio, NewRatio(20<<20, 20<<20); got != want {
				t.Errorf("billed ÷ lower bound %v", got)
			}
		})
	}
}

// The bytes of the rows are those that the service charges: each needed column
// once, and no other.
func TestBytesAreThoseOfTheNeededColumns(t *testing.T) {
	for _, typ := range []string{"STRING", "INT64", "TIMESTAMP", "DATE", "BOOL"} {
		for _, value := range []string{"INT64", "NUMERIC", "FLOAT64"} {
			w := newSides(t, value)
			if value == "FLOAT64" {
				w.metric().Tolerance.Absolute = "1"
			}
			w.spec.Spec.Keys[0].Type = typ
			samples := map[string][]any{"STRING": {"", "Ünï", nil}, "INT64": {1, 2, nil}, "TIMESTAMP": {hours(1), hours(2), nil}, "DATE": {"2001-01-08", "2001-02-28", nil}, "BOOL": {true, false, nil}}
			for side := range w.columns {
				w.columns[side][1].Type = fieldTypes[typ]
				w.columns[side] = append(w.columns[side], field("unread", bigquery.StringFieldType))
				for i, v := range samples[typ] {
					if side == theOld || i != 1 {
						w.add(side, v, []any{1, nil, 3}[i])
						w.rows[side][len(w.rows[side])-1]["unread"] = "not needed"
					}
				}
			}
			w.create()
			spec := w.spec.Spec
			q, err := newQueries(&spec)
			if err != nil {
				t.Fatal(err)
			}
			r := &runner{client: client, log: slog.New(slog.DiscardHandler)}
			if err := r.preflight(ctxBackground, &q); err != nil {
				t.Fatal(err)
			}
			p, err := r.reconcile(ctxBackground, q, q.reconcileQuery([]Range{span(0, 24)}, nil))
			if err != nil {
				t.Fatal(err)
			}
			if p.counts.Exact+p.counts.Tolerated != 2 || p.counts.Missing != 1 {
				t.Errorf("%s, %s: %+v", typ, value, p.counts)
			}
			alone := int64(0)
			for _, s := range []side{q.batch, q.stream} {
				d, err := r.dryRun(ctxBackground, q.sideQuery(s, []Range{span(0, 24)}))
				if err != nil {
					t.Fatal(err)
				}
				alone += d.bytes
			}
			if got := p.jobs[0].Processed; got != alone || alone == 0 {
				t.Errorf("%s, %s: %d bytes, of both sides alone %d", typ, value, got, alone)
			}
		}
	}
}

func TestSidesThatAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *jobspecs.ComparisonSpec)
		want   string
		code   exit.Code
	}{
		{"no such column", func(s *jobspecs.ComparisonSpec) { s.Batch.Time = "hours" }, "has no column hours, did you mean hour?", exit.Environment},
		{"no such column in an expression", func(s *jobspecs.ComparisonSpec) { s.Metrics[0].Batch = "minuets + 1" }, "has no column minuets, did you mean minutes?", exit.Environment},
		{"a type that does not fit", func(s *jobspecs.ComparisonSpec) { s.Keys[1].Type = "INT64" }, "column gate is STRING, compared as INT64: a cast could lose something; if it does not, write CAST(gate AS INT64)", exit.Environment},
		{"an expression's type that does not fit", func(s *jobspecs.ComparisonSpec) { s.Metrics[0].Batch = "minutes / 3" }, "minutes / 3 is FLOAT64, compared as NUMERIC", exit.Usage},
		{"an expression that is none", func(s *jobspecs.ComparisonSpec) { s.Metrics[0].Batch = "minutes) FROM x --" }, "metric n, batch", exit.Usage},
		{"a condition of another type", func(s *jobspecs.ComparisonSpec) { s.Batch.Where = "minutes + 1" }, "batch side", exit.Usage},
		{"a time column that is none", func(s *jobspecs.ComparisonSpec) { s.Batch.Time = "airport" }, "column airport is STRING, the start of a window is TIMESTAMP, DATETIME or DATE", exit.Environment},
		{"a query that is none", func(s *jobspecs.ComparisonSpec) { s.Batch.Table, s.Batch.Query = "", "DROP TABLE old" }, "batch.query", exit.Usage},
		{"a query with a mistake", func(s *jobspecs.ComparisonSpec) {
			s.Batch.Table, s.Batch.Query = "", "SELECT nothing FROM `kappa-demo."+s.Dataset+".old`"
		}, "batch.query", exit.Usage},
		{"a query that reads it all", func(s *jobspecs.ComparisonSpec) {
			s.Batch.Table, s.Batch.Query = "", "SELECT hour, airport, gate, minutes, kind FROM `kappa-demo."+s.Dataset+".old` WHERE hour < '2222-01-01'"
			s.Batch.Query = "SELECT ANY_VALUE(hour) AS hour, airport, gate, SUM(minutes) AS minutes, kind FROM `kappa-demo." + s.Dataset + ".old` GROUP BY airport, gate, kind"
		}, "could not be read alone", exit.Environment},
		{"no such table", func(s *jobspecs.ComparisonSpec) { s.Batch.Table = "older" }, "look at table", exit.Environment},
		{"loads without the table of loads", func(s *jobspecs.ComparisonSpec) { s.Batch.SettledBy = "" }, "batch_loads", exit.Environment},
		{"FLOAT64 without a tolerance", func(s *jobspecs.ComparisonSpec) { s.Metrics[0].Value = "FLOAT64" }, "has no tolerance", exit.Usage},
		{"too fine a tolerance", func(s *jobspecs.ComparisonSpec) { s.Metrics[0].Tolerance.Relative = "0.12345678" }, "more than 7 decimals", exit.Usage},
		{"a segment that is there already", func(s *jobspecs.ComparisonSpec) { s.Segments = []jobspecs.Segment{{Keys: []string{"gate"}}} }, "is there already", exit.Usage},
		{"a table's name that escapes", func(s *jobspecs.ComparisonSpec) { s.Batch.Table = "old` WHERE TRUE --" }, "is not a name that can be quoted safely", exit.Usage},
	}
	w := unlike(t)
	w.create()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := *w.spec
			c.Spec.Keys = append([]jobspecs.CompareKey{}, c.Spec.Keys...)
			c.Spec.Metrics = append([]jobspecs.Metric{}, c.Spec.Metrics...)
			tt.change(&c.Spec)
			_, err := Run(ctxBackground, Config{Spec: &c, Client: client, Range: w.from, Now: func() time.Time { return hours(200) }})
			if err == nil || !strings.Contains(err.Error(), tt.want) || exit.Of(err) != tt.code {
				t.Errorf("error %v, code %d; want %q, %d", err, exit.Of(err), tt.want, tt.code)
			}
		})
	}
	t.Run("a time column too coarse", func(t *testing.T) {
		w := newSides(t, "INT64")
		w.columns[theOld][0].Type = bigquery.DateFieldType
		w.create()
		if _, err := w.compare(); err == nil || !strings.Contains(err.Error(), "is DATE, which does not tell windows of 1h apart") {
			t.Errorf("error %v", err)
		}
	})
}

// By the clock, windows count that ended long enough ago on each side; nothing
// else is looked at.
// By a collation two keys are one to GROUP BY, so that what differs would be exact.
func TestCollationsAreRefused(t *testing.T) {
	q := testQueries(t, func(*jobspecs.ComparisonSpec) {})
	e := expression{name: "origin", text: "origin", column: "origin", want: "STRING"}
	if text := e.typed(&bigquery.FieldSchema{Name: "origin", Type: bigquery.StringFieldType}); text != "" {
		t.Errorf("without a collation: %s", text)
	}
	if text := e.typed(&bigquery.FieldSchema{Name: "origin", Type: bigquery.StringFieldType, Collation: "und:ci"}); !strings.Contains(text, "has the collation und:ci") {
		t.Errorf("with a collation: %q", text)
	}
	raw := q.needs()[0]
	md := &bigquery.TableMetadata{TimePartitioning: &bigquery.TimePartitioning{Field: raw.partition}}
	for name, types := range raw.columns {
		f := &bigquery.FieldSchema{Name: name, Type: types[0]}
		if name == "origin" {
			f.Collation = "und:ci"
		}
		md.Schema = append(md.Schema, f)
	}
	if err := raw.check(md); err == nil || !strings.Contains(err.Error(), "column origin has the collation und:ci") {
		t.Errorf("raw events with a collation: %v", err)
	}
}

func TestSettledByTheClock(t *testing.T) {
	w := newSides(t, "INT64")
	for h := range 24 {
		for side := range w.rows {
			w.rows[side] = append(w.rows[side], record{"window_start": hours(float64(h)), "name": "a", "n": 1})
		}
	}
	w.create()
	s := &w.spec.Spec
	run := func(given Range) (*Result, error) {
		return Run(ctxBackground, Config{Spec: w.spec, Client: client, Range: given, Now: func() time.Time { return hours(20.5) }})
	}
	if _, err := run(Range{}); err == nil || exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "nothing says where the range begins") {
		t.Errorf("without a range: %v", err)
	}
	tests := []struct {
		name          string
		batch, stream time.Duration
		last          time.Duration
		given         Range
		settled       []Range
		left          map[string]int64
	}{
		{"all that has ended", 0, 0, 0, Range{From: hours(0)}, []Range{span(0, 20)}, map[string]int64{}},
		{"the batch side later", 3 * time.Hour, 0, 0, Range{From: hours(0)}, []Range{span(0, 17)}, map[string]int64{LeftOutBatchOpen: 3}},
		{"the stream side later still", 3 * time.Hour, 5 * time.Hour, 0, Range{From: hours(0)}, []Range{span(0, 15)}, map[string]int64{LeftOutBatchOpen: 3, LeftOutStreamOpen: 2}},
		{"beyond now", 0, 0, 0, span(18, 24), []Range{span(18, 20)}, map[string]int64{LeftOutBatchOpen: 4}},
		{"the newest four hours", 3 * time.Hour, 0, 4 * time.Hour, Range{}, []Range{span(13, 17)}, map[string]int64{LeftOutBatchOpen: 3}},
		{"the newest four hours before", 0, 0, 4 * time.Hour, Range{To: hours(9)}, []Range{span(5, 9)}, map[string]int64{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.Batch.SettleAfter, s.Stream.SettleAfter, s.Range.Last = jobspecs.Duration(tt.batch), jobspecs.Duration(tt.stream), jobspecs.Duration(tt.last)
			r, err := run(tt.given)
			if err != nil {
				t.Fatal(err)
			}
			left := map[string]int64{}
			for _, l := range r.Scope.LeftOut {
				left[l.Reason] += l.Windows
			}
			if diff := cmp.Diff(tt.settled, r.Scope.Settled) + cmp.Diff(tt.left, left); diff != "" {
				t.Errorf("scope (-want +got):\n%s", diff)
			}
			if r.Counts.Exact != r.Scope.Windows {
				t.Errorf("%d keys in %d windows", r.Counts.Exact, r.Scope.Windows)
			}
		})
	}
}

func TestSegments(t *testing.T) {
	w := newSides(t, "INT64")
	w.spec.Spec.Keys = []jobspecs.CompareKey{{Name: "name", Type: "STRING"}, {Name: "gate", Type: "INT64"}, {Name: "open", Type: "BOOL"}}
	w.spec.Spec.Segments = []jobspecs.Segment{{Keys: []string{"gate", "name"}}, {Keys: []string{"name", "gate", "open"}}}
	for side := range w.columns {
		w.columns[side] = append(w.columns[side], field("gate", bigquery.IntegerFieldType), field("open", bigquery.BooleanFieldType))
		for g := range 4 {
			r := record{"window_start": hours(0), "name": []any{"a", "b"}[g/2], "gate": g % 2, "open": g == 3, "n": 10 + g}
			if side == theNew && g != 0 {
				r["n"] = 10 + 2*g
			}
			w.rows[side] = append(w.rows[side], r)
		}
	}
	r := w.run()
	got := []string{}
	for _, s := range r.Segments {
		for _, v := range s.Worst {
			got = append(got, fmt.Sprintf("%s: %s: %d of %d, %s", strings.Join(s.Columns, "+"), segmentValues(v), v.Counts.Differing(), v.Counts.Total, v.Metrics[0].Difference))
		}
	}
	want := []string{"name: b: 2 of 2, 5", "name: a: 1 of 2, 1", "gate: 1: 2 of 2, 4", "gate: 0: 1 of 2, 2", "open: false: 2 of 3, 3", "open: true: 1 of 1, 3",
		"gate+name: 0, b: 1 of 1, 2", "gate+name: 1, a: 1 of 1, 1", "gate+name: 1, b: 1 of 1, 3",
		"name+gate+open: a, 1, false: 1 of 1, 1", "name+gate+open: b, 0, false: 1 of 1, 2", "name+gate+open: b, 1, true: 1 of 1, 3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
}

func segmentValues(v SegmentValue) string {
	values := make([]string, len(v.Values))
	for i, s := range v.Values {
		values[i] = nullText(s)
	}
	return strings.Join(values, ", ")
}
