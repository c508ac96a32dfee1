package compare

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// fired is when the schedules of tests run; their range are the hours 0 to 8.
var fired = hours(8).Add(17 * time.Minute)

func scheduledOf(t testing.TB, spec *jobspecs.Comparison) scheduled {
	t.Helper()
	q, err := newQueries(&spec.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return scheduled{q: q, name: spec.Metadata.Name, hash: "hash"}
}

// rowsOf runs the control tables' part of a schedule, and returns a table of it.
func rowsOf(t interface {
	Helper()
	Fatal(...any)
}, s scheduled, table string) [][]bigquery.Value {
	t.Helper()
	bq := client.Query(with(s.control()) + "SELECT * FROM " + table)
	bq.Parameters = []bigquery.QueryParameter{{Name: "run_time", Value: fired}}
	it, err := bq.Read(ctxBackground)
	if err != nil {
		t.Fatal(err, bq.Q)
	}
	var out [][]bigquery.Value
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if err == iterator.Done {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
}

// spansOf are the spans f to t of a control table, sorted and merged.
func spansOf(rows [][]bigquery.Value, columns int) []Range {
	var out []Range
	for _, r := range rows {
		out = append(out, Range{r[columns].(time.Time).UTC(), r[columns+1].(time.Time).UTC()})
	}
	return union(out)
}

// The standings of a schedule are those of tables.Standings, whatever the writers
// are: the rule exists twice, and this holds both to be one. The settled windows
// likewise: those of decideScope.
func TestScheduledRulesAreThoseOfARun(t *testing.T) {
	w := newWorld(t)
	w.rows = map[string][]record{}
	w.spec.Spec.Range.Last = jobspecs.Duration(8 * time.Hour)
	w.create()
	ds := client.Dataset(w.spec.Spec.Dataset)
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{tables.Generations, tables.Watermarks, tables.BatchLoads} {
			if err := ds.Table(table).Delete(ctxBackground); err != nil {
				rt.Fatal(err)
			}
		}
		for _, table := range []tables.Table{tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable()} {
			if err := ds.Table(table.Name).Create(ctxBackground, table.Metadata()); err != nil {
				rt.Fatal(err)
			}
		}
		put := func(table string, rows []record) {
			if len(rows) > 0 {
				if err := ds.Table(table).Inserter().Put(ctxBackground, rows); err != nil {
					rt.Fatal(err)
				}
			}
		}
		spec := *w.spec
		spec.Spec.Stream.SettleAfter = jobspecs.Duration(rapid.SampledFrom([]time.Duration{0, 30 * time.Minute, 2 * time.Hour}).Draw(rt, "after"))
		spec.Spec.Batch.Cutoff = 0
		spec.Spec.Alignment.Offset = jobspecs.Duration(rapid.SampledFrom([]time.Duration{0, 0, 20 * time.Minute}).Draw(rt, "offset"))
		spec.Spec.Stream.Job = rapid.SampledFrom([]string{"flights", "flights", "flights", "flights_shadow_a"}).Draw(rt, "job")
		if rapid.IntRange(0, 4).Draw(rt, "shadowed") == 0 {
			spec.Spec.Batch.Shadow = "flights_shadow_a"
		}
		gens := drawGenerations(rt)
		put(tables.Generations, gens)
		put(tables.Watermarks, drawWatermarks(rt))
		put(tables.BatchLoads, drawLoads(rt))

		q, err := newQueries(&spec.Spec)
		if err != nil {
			rt.Fatal(err)
		}
		s := scheduled{q: q}
		c, err := (&runner{client: client, log: slog.New(slog.DiscardHandler)}).readControl(ctxBackground, q.controlQueries())
		if err != nil {
			rt.Fatal(err)
		}

		got := map[string][]Range{}
		for _, r := range rowsOf(rt, s, "kappa_rows") {
			name := r[0].(string)
			got[name] = append(got[name], Range{r[1].(time.Time), r[2].(time.Time)})
		}
		standings := tables.Standings(c.generations)
		begin := q.windowing.floor(fired)
		for at := begin.Add(-8 * time.Hour); at.Before(begin); at = at.Add(15 * time.Minute) {
			for _, st := range standings {
				name := st.Writer().String()
				times := 0
				for _, r := range got[name] {
					if !at.Before(r.From) && at.Before(r.To) {
						times++
					}
				}
				if want := map[bool]int{true: 1, false: 0}[st.CountsAt(at)]; times != want {
					rt.Fatalf("%s at %s: counts %d times, want %d\n%v", name, stamp(at), times, want, got)
				}
			}
		}
		want := settledOf(spec.Spec, c, Range{begin.Add(-8 * time.Hour), begin})
		if have := spansOf(rowsOf(rt, s, "kappa_spans"), 0); !slices.Equal(have, want) {
			rt.Fatalf("settled %v, want %v", have, want)
		}
	})
}

// settledOf is what a run finds to be settled.
func settledOf(spec jobspecs.ComparisonSpec, c control, r Range) []Range {
	doc := &jobspecs.Comparison{Spec: spec}
	q, err := newQueries(&doc.Spec)
	if err != nil {
		panic(err)
	}
	p := &prepared{cfg: Config{Spec: doc, Range: r, Now: func() time.Time { return fired }}, queries: q, result: &Result{}}
	if err := p.scope(c); err != nil {
		panic(err)
	}
	return union(p.result.Scope.Settled)
}

func drawGenerations(rt *rapid.T) []record {
	var out []record
	for i := range rapid.IntRange(0, 6).Draw(rt, "generations") {
		label := func(s string) string { return fmt.Sprintf("%s%d", s, i) }
		kind := rapid.SampledFrom([]string{"stream", "stream", "backfill", "backfill", "later"}).Draw(rt, label("kind"))
		r := record{
			"job":        rapid.SampledFrom([]string{"flights-0", "flights-1", "flights-fill", "other-0"}).Draw(rt, label("job")),
			"generation": rapid.IntRange(1, 2).Draw(rt, label("generation")), "kind": kind, "seq": i + 1,
			"job_group":   rapid.SampledFrom([]string{"flights", "flights", "fares", "flights_shadow_a"}).Draw(rt, label("group")),
			"state":       rapid.SampledFrom([]string{"open", "drained", "drained", "drained", "cancelled", "void", "paused"}).Draw(rt, label("state")),
			"recorded_at": hours(float64(rapid.IntRange(90, 93).Draw(rt, label("at")))),
		}
		if rapid.IntRange(0, 3).Draw(rt, label("supersedes")) == 0 {
			r["supersedes"] = rapid.SampledFrom([]string{"flights-0@1", "flights-1@1", "flights-fill@1"}).Draw(rt, label("superseded"))
		}
		if kind == "backfill" && rapid.IntRange(0, 5).Draw(rt, label("span")) > 0 {
			from := rapid.IntRange(-2, 9).Draw(rt, label("from"))
			r["window_from"], r["window_to"] = hours(float64(from)), hours(float64(from+rapid.IntRange(0, 5).Draw(rt, label("long"))))
		}
		out = append(out, r)
	}
	return out
}

func drawWatermarks(rt *rapid.T) []record {
	var out []record
	for i := range rapid.IntRange(0, 5).Draw(rt, "watermarks") {
		label := func(s string) string { return fmt.Sprintf("%s%d", s, i) }
		r := record{
			"job":         rapid.SampledFrom([]string{"flights-0", "flights-1", "flights-fill"}).Draw(rt, label("marked")),
			"generation":  rapid.IntRange(1, 2).Draw(rt, label("markedGeneration")),
			"job_group":   rapid.SampledFrom([]string{"flights", "flights", "flights", "fares"}).Draw(rt, label("markedGroup")),
			"at_maximum":  rapid.Bool().Draw(rt, label("maximum")),
			"observed_at": hours(90).Add(time.Duration(i) * time.Second),
		}
		if rapid.IntRange(0, 4).Draw(rt, label("known")) > 0 {
			r["watermark"] = hours(0.25 * float64(rapid.IntRange(-4, 44).Draw(rt, label("watermark"))))
		}
		out = append(out, r)
	}
	return out
}

func drawLoads(rt *rapid.T) []record {
	var out []record
	for i := range rapid.IntRange(0, 5).Draw(rt, "loads") {
		label := func(s string) string { return fmt.Sprintf("%s%d", s, i) }
		from := 0.25 * float64(rapid.IntRange(-8, 36).Draw(rt, label("loadFrom")))
		out = append(out, record{"load": "l", "target": rapid.SampledFrom([]string{"batch_flights", "batch_flights", "batch_flights", "other"}).Draw(rt, label("target")),
			"range_start": hours(from), "range_end": hours(from + 0.25*float64(rapid.IntRange(1, 30).Draw(rt, label("loaded")))),
			"row_count": 1, "source": "s", "job_id": fmt.Sprint(i), "loaded_at": hours(95)})
	}
	return out
}
