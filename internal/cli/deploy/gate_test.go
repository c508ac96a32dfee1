package deploy

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

// values are a row of a table.
type values map[string]bigquery.Value

func (v values) Save() (map[string]bigquery.Value, string, error) { return v, "", nil }

// What the rollout is told is what the comparison says: GO and HOLD by what both
// sides hold, NO DATA before anything is settled.
func TestGate(t *testing.T) {
	client, addr := bigquerytest.Start(t, "kappa-demo", "kappa")
	t.Setenv("BIGQUERY_EMULATOR_HOST", addr)
	hour := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	origin := []jobspecs.Field{{Name: "origin", Type: "STRING"}}
	put := func(table string, rows ...values) {
		t.Helper()
		if err := client.Dataset("kappa").Table(table).Inserter().Put(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []tables.Table{
		tables.Batch(jobspecs.BatchLoadSpec{Table: "batch_flights", Keys: origin, Metrics: []jobspecs.Field{{Name: "flights", Type: "INT64"}}}),
		tables.Aggregate(jobspecs.Aggregation{Dimensions: []string{"origin"}, Measures: []jobspecs.Measure{{Name: "flights", Type: "count"}}, Table: "stream_flights"},
			jobspecs.Event{Fields: origin}),
		tables.GenerationsTable(), tables.WatermarksTable(), tables.BatchLoadsTable(),
	} {
		if err := client.Dataset("kappa").Table(table.Name).Create(t.Context(), table.Metadata()); err != nil {
			t.Fatal(err)
		}
	}
	set, err := jobspecs.Load([]string{"../../../jobspecs/examples/flights/stream.yaml"}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	job := set.StreamJobs[0]
	spec := &jobspecs.Comparison{Metadata: jobspecs.Metadata{Name: "flights"}, Spec: jobspecs.ComparisonSpec{
		Platform: jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"}, Dataset: "kappa",
		Batch: jobspecs.BatchSide{Side: jobspecs.Side{Table: "batch_flights", Time: "window_start", Unique: true}, Cutoff: jobspecs.Duration(2 * time.Hour)}, Stream: jobspecs.StreamSide{Side: jobspecs.Side{Table: "stream_flights", Time: "window_start"}, Job: "flights"},
		Keys: []jobspecs.CompareKey{{Name: "origin", Type: "STRING"}}, Window: jobspecs.Duration(time.Hour), Metrics: []jobspecs.Metric{{Name: "flights", Type: "count", Value: "INT64"}},
		Gate: jobspecs.Gate{MinExactPercent: "95"},
	}}
	set.Comparisons = append(set.Comparisons, spec)
	log := slog.New(slog.DiscardHandler)

	if g := gateOf(log, job, set); g != nil {
		t.Error("a gate, and the spec names no comparison")
	}
	job.Spec.Update.Rollout.Conditions.Comparison = "fligths"
	if g := gateOf(log, job, set); g != nil {
		t.Error("a gate for a comparison that is not loaded")
	}
	job.Spec.Update.Rollout.Conditions.Comparison = "flights"
	g := gateOf(log, job, set)
	says := func(want, rule string) {
		t.Helper()
		v, err := g.Check(t.Context(), "flights")
		if err != nil || v.Verdict != want || !strings.Contains(v.Rule, rule) {
			t.Errorf("%s, %v, want %s because of %q", v, err, want, rule)
		}
	}
	says(deploy.VerdictNoData, "no window is settled")

	put(tables.Generations, values{"job_group": "flights", "job": "flights-0", "generation": 1, "kind": "stream", "state": "drained", "recorded_at": hour, "seq": 1})
	put(tables.Watermarks, values{"job_group": "flights", "job": "flights-0", "generation": 1, "at_maximum": true, "observed_at": hour})
	put(tables.BatchLoads, values{"load": "flights", "target": "batch_flights", "range_start": hour, "range_end": hour.Add(2 * time.Hour), "row_count": 1,
		"source": "gs://b/", "job_id": "j", "loaded_at": hour})
	put("batch_flights", values{"origin": "ORD", "window_start": hour, "flights": 3})
	put("stream_flights", values{"origin": "ORD", "window_start": hour, "flights": 3, "job": "flights-0", "generation": 1, "pane": 0, "timing": "on_time", "write_time": hour})
	says(deploy.VerdictGo, "100.00 %")

	put("batch_flights", values{"origin": "ATL", "window_start": hour, "flights": 7})
	says(deploy.VerdictHold, "50.00 %")

	// A platform that cannot be reached gives no verdict.
	t.Setenv("BIGQUERY_EMULATOR_HOST", "")
	if v, err := g.Check(t.Context(), "flights"); err == nil {
		t.Errorf("a verdict without a platform: %s", v)
	}
}
