package compare

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// factsOf are the rows of the history without what only a run of the command line
// knows.
func factsOf(t testing.TB, dataset string) []tables.CompareRun {
	t.Helper()
	rows := historyOf(t, dataset)
	for i, r := range rows {
		rows[i] = tables.CompareRun{Comparison: r.Comparison, SpecHash: r.SpecHash, RangeFrom: r.RangeFrom, RangeTo: r.RangeTo, Segment: r.Segment, Windows: r.Windows,
			Keys: r.Keys, Exact: r.Exact, Tolerated: r.Tolerated, Mismatch: r.Mismatch, Missing: r.Missing, Extra: r.Extra, Nonunique: r.Nonunique,
			BatchRows: r.BatchRows, StreamRows: r.StreamRows, Metrics: r.Metrics}
	}
	return rows
}

func historyOf(t testing.TB, dataset string) []tables.CompareRun {
	t.Helper()
	rows := []tables.CompareRun{}
	_, err := testRunner().run(ctxBackground, query{purpose: "history", sql: fmt.Sprintf("SELECT * FROM %s.%s ORDER BY segment, range_from", dataset, tables.CompareRuns)}, func(row row) error {
		r, err := readRun(row)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// sameWhenScheduled holds that a scheduled query writes the rows that a run of the
// same range writes. It returns the query, and the run to repeat.
func (w *world) sameWhenScheduled() (sql string, run func()) {
	t := w.t
	t.Helper()
	spec := *w.spec
	if spec.Spec.Range.Last == 0 {
		spec.Spec.Range.Last = jobspecs.Duration(8 * time.Hour)
	}
	spec.Spec.History.Dataset = spec.Spec.Dataset
	if err := CheckSchedulable(&spec.Spec); err != nil {
		t.Fatal(err)
	}
	s, target := scheduledStatement(t, &spec)
	to := s.q.windowing.floor(fired)
	cfg := Config{Spec: &spec, Client: client, Range: Range{s.q.windowing.ceil(to.Add(-spec.Spec.Range.Last.D())), to}, Now: func() time.Time { return fired }}
	run = func() {
		t.Helper()
		if _, err := Run(ctxBackground, cfg); err != nil {
			t.Fatal(err)
		}
	}
	run()
	want := factsOf(t, spec.Spec.Dataset)
	statement(t, "TRUNCATE TABLE "+string(target))
	sql, err := s.statement(target)
	if err != nil {
		t.Fatal(err)
	}
	statement(t, sql)
	if diff := cmp.Diff(want, factsOf(t, spec.Spec.Dataset)); diff != "" {
		t.Fatalf("rows (-run +schedule):\n%s\n%s", diff, sql)
	}
	return sql, run
}

// A schedule that fires twice writes once, concludes nothing, and leaves what a run
// has concluded while its facts hold.
func TestScheduledTwice(t *testing.T) {
	w := newWorld(t)
	w.load(-40, 0)
	w.spec.Spec.Range.Last = jobspecs.Duration(40 * time.Hour)
	w.both("ORD", 1, 2)
	w.batch("LAX", 1, 1, 2, 3)
	w.create()
	sql, run := w.sameWhenScheduled()
	once := historyOf(t, w.spec.Spec.Dataset)
	if len(once) != 2 || once[0].Segment != tables.SegmentRange || once[1].Segment != tables.SegmentDay {
		t.Fatalf("wanted the range and one day: %+v", once)
	}
	for _, r := range once {
		if r.Source != tables.SourceSchedule || r.RunID.Valid || r.Verdict.Valid || r.Unexplained.Valid || r.StartedAt.Valid {
			t.Errorf("a schedule concludes nothing: %+v", r)
		}
	}
	statement(t, sql)
	if diff := cmp.Diff(once, historyOf(t, w.spec.Spec.Dataset)); diff != "" {
		t.Errorf("fired twice (-once +twice):\n%s", diff)
	}
	run()
	concluded := historyOf(t, w.spec.Spec.Dataset)
	statement(t, sql)
	if diff := cmp.Diff(concluded, historyOf(t, w.spec.Spec.Dataset)); diff != "" || !concluded[0].Verdict.Valid {
		t.Errorf("rows of a run, after a schedule with the same facts (-before +after):\n%s", diff)
	}
	if err := client.Dataset(w.spec.Spec.Dataset).Table("batch_flights").Inserter().Put(ctxBackground, aggregate("DEN", 2, 1, 1, 1)); err != nil {
		t.Fatal(err)
	}
	statement(t, sql)
	if r := historyOf(t, w.spec.Spec.Dataset)[0]; r.Source != tables.SourceSchedule || r.Verdict.Valid || r.Missing != 2 {
		t.Errorf("facts have changed, and what was concluded from them stands: %+v", r)
	}
}

func testRunner() *runner {
	return &runner{client: client, log: slog.New(slog.DiscardHandler), labels: map[string]string{}}
}

// scheduledStatement is what a scheduler makes of a spec.
func scheduledStatement(t testing.TB, spec *jobspecs.Comparison) (scheduled, table) {
	t.Helper()
	q, err := newQueries(&spec.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := testRunner().preflight(ctxBackground, &q); err != nil {
		t.Fatal(err)
	}
	hash, err := specHash(spec)
	if err != nil {
		t.Fatal(err)
	}
	return scheduled{q: q, name: spec.Metadata.Name, hash: hash}, quoteTable(spec.Spec.Project, spec.Spec.History.Dataset, tables.CompareRuns)
}

func statement(t testing.TB, sql string) {
	t.Helper()
	q := client.Query(sql)
	q.Parameters = []bigquery.QueryParameter{{Name: "run_time", Value: fired}}
	job, err := q.Run(ctxBackground)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	st, err := job.Wait(ctxBackground)
	if err == nil {
		err = st.Err()
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
}

// What the scenarios of runs do not have.
func TestScheduledRows(t *testing.T) {
	tests := map[string]func(*world){
		"nothing is settled": func(w *world) {
			w.rows[tables.BatchLoads] = nil
			w.both("ORD", 1, 2)
		},
		"settled, and empty": func(*world) {},
		"the stream is behind": func(w *world) {
			w.rows[tables.Watermarks] = nil
			w.watermark("flights-0", 1, hours(5.5), false)
			w.both("ORD", 1, 2)
			w.both("ORD", 5, 2)
		},
		"two days": func(w *world) {
			w.spec.Spec.Range.Last = jobspecs.Duration(60 * time.Hour)
			w.load(-60, 0)
			w.both("ORD", 1, 2)
			w.both("ORD", -3, 2)
			w.batch("ORD", -20, 1, 2, 3)
			w.both("LAX", -30, 4)
			w.pane("flights-0@1", 0, "LAX", -49, 9, -9, 9)
		},
		"windows of seven hours, later by one": func(w *world) {
			w.spec.Spec.Window, w.spec.Spec.Range.Last = jobspecs.Duration(7*time.Hour), jobspecs.Duration(100*time.Hour)
			w.spec.Spec.Alignment.Offset = jobspecs.Duration(time.Hour)
			w.load(-100, 0)
			for h := range 100 {
				if at := hours(float64(-h)); scheduledOf(w.t, w.spec).q.windowing.floor(at).Equal(at) {
					w.both("ORD", -h, int64(h%3+2))
				}
			}
		},
		"windows of two days": func(w *world) {
			w.spec.Spec.Window, w.spec.Spec.Range.Last = jobspecs.Duration(48*time.Hour), jobspecs.Duration(200*time.Hour)
			w.load(-200, 0)
			for h := range 200 {
				if at := hours(float64(-h)); scheduledOf(w.t, w.spec).q.windowing.floor(at).Equal(at) {
					w.both("ORD", -h, 2)
					w.batch("LAX", -h, int64(h), 1, 1)
				}
			}
		},
		"minima, maxima, tolerances and decimals": func(w *world) {
			w.spec.Spec.Metrics[1].Type = "min"
			w.spec.Spec.Metrics[2].Type = "max"
			w.spec.Spec.Metrics[2].Value = "NUMERIC"
			w.spec.Spec.Metrics[2].Tolerance.Relative = "0.5"
			w.spec.Spec.Metrics[0].Tolerance.Absolute = "1"
			w.batch("ORD", 1, 4, 7, 1000)
			w.pane("flights-0@1", 0, "ORD", 1, 3, 9, 1004)
			w.pane("flights-0@1", 1, "ORD", 1, 2, 7, 3)
			w.batch("LAX", 1, 4, -7, 1000)
			w.pane("flights-0@1", 0, "LAX", 1, 4, -7, 1006)
		},
		"conditions and expressions": func(w *world) {
			w.spec.Spec.Batch.Where = "origin != 'it\\'s @from'"
			w.spec.Spec.Stream.Where = "origin IS NOT NULL AND flights > 0"
			w.spec.Spec.Keys[0].Batch, w.spec.Spec.Keys[0].Stream = "LOWER(origin)", "lower(`origin`)"
			w.spec.Spec.Metrics[1].Batch, w.spec.Spec.Metrics[1].Stream = "delay_sum * 2", "2 * delay_sum"
			w.both("ORD", 1, 2)
			w.both("it's @from", 1, 2)
		},
		"no writers: plain sides by the clock": func(w *world) {
			w.spec.Spec.Stream.Job = ""
			w.spec.Spec.Stream.SettleAfter = jobspecs.Duration(3 * time.Hour)
			w.spec.Spec.Stream.Unique = false
			w.spec.Spec.Batch.SettledBy, w.spec.Spec.Batch.SettleAfter = jobspecs.SettledByClock, jobspecs.Duration(90*time.Minute)
			w.both("ORD", 1, 2)
			w.both("ORD", 5, 2)
			w.both("ORD", 6, 2)
		},
		"a query": func(w *world) {
			w.spec.Spec.Batch.Table = ""
			w.spec.Spec.Batch.Query = "SELECT window_start, origin, flights, delay_sum, distance_sum FROM " + w.spec.Spec.Dataset + ".batch_flights WHERE window_start >= @from AND window_start < @to AND origin != '@to'"
			w.spec.Spec.Limits.Unpruned = "allow"
			w.both("ORD", 1, 2)
			w.batch("LAX", 5, 2, 3, 4)
		},
		"of overlapping backfills the last that was completed": func(w *world) {
			w.backfill("z-first", "drained", 1, 4)
			w.backfill("a-last", "drained", 3, 6)
			for h := range 8 {
				w.batch("ORD", h, 1, 1, 1)
				for i, writer := range []string{"flights-0@1", "z-first@1", "a-last@1"} {
					w.pane(writer, 0, "ORD", h, 1, int64(i), 1)
				}
			}
		},
		"late loads, void writers and a backfill": func(w *world) {
			w.rows[tables.BatchLoads] = nil
			w.load(0, 2.5)
			w.load(2.25, 3)
			w.load(4, 8)
			twoGenerations(w)
			w.generation("flights-0", 3, "stream", "void", "")
			w.generation("flights-0", 4, "stream", "open", "flights-0@2")
			w.watermark("flights-0", 4, hours(7), false)
			w.backfill("flights-fill", "drained", 1, 5)
			for h := range 8 {
				w.both("ORD", h, 2)
				for _, writer := range []string{"flights-0@2", "flights-0@3", "flights-0@4", "flights-fill@1", "ghost@1"} {
					w.pane(writer, 5, "ORD", h, int64(h), 1, 1)
					w.pane(writer, 5, "ORD", h, int64(h), 1, 1)
				}
			}
		},
	}
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			build(w)
			w.create()
			w.sameWhenScheduled()
		})
	}
}

func TestScheduledRowsOfRandomWorlds(t *testing.T) {
	for seed := range uint64(2) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(t)
		for h := range 8 {
			for _, origin := range []any{"ATL", "ORD", "", nil, "Ünï'code\\"} {
				randomKey(w, rng, origin, h)
			}
		}
		w.backfill("flights-fill", "drained", float64(rng.IntN(4)), 4+float64(rng.IntN(4)))
		w.pane("flights-fill@1", 0, "ORD", 4, 1, 2, 3)
		w.create()
		w.sameWhenScheduled()
	}
}

func TestBind(t *testing.T) {
	literals := map[string]string{"from": "F", "to": "T"}
	for sql, want := range map[string]string{
		"a >= @from AND a < @TO":          "a >= F AND a < T",
		"'@from' \"@from\" `@from` @from": "'@from' \"@from\" `@from` F",
		`'it\'s @from' @from`:             `'it\'s @from' F`,
		"'''a ' @from''' @from":           "'''a ' @from''' F",
		`"""a "" @from""" @from`:          `"""a "" @from""" F`,
		`r'\' @from' @from`:               `r'\' @from' F`,
		"'' @from":                        "'' F",
		"'open @from":                     "'open @from",
		"(@from)+@to":                     "(F)+T",
		"f(@from,'x',@from)":              "f(F,'x',F)",
		"@from_datetime":                  "",
		"@other":                          "",
		"@":                               "",
	} {
		got, err := bind(sql, literals)
		if (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%s: %q, %v, want %q", sql, got, err, want)
		}
	}
}
