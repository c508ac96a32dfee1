package deploy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// A shadow writes tables of its own, waits for nobody, and takes the place of
// nothing; run again, of itself.
func TestShadow(t *testing.T) {
	f := startFill(t, batch(10*time.Millisecond, 0))
	f.workers(1)
	f.apply()
	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"flights-shadow-v2": batch(10*time.Millisecond, 0)})
	shadow := fill
	shadow.Shadow = "v2"
	for generation := int64(1); generation <= 2; generation++ {
		res, err := f.repairer(at(fill.From)).Backfill(t.Context(), shadow, nil) // the stream is in the middle of the windows
		if err != nil {
			t.Fatal(err)
		}
		want := &deploy.Shadow{Suffix: "v2", Tables: []string{"kappa.stream_flights_v2", "kappa.raw_flights_v2", "kappa.late_flights_v2"}}
		if diff := cmp.Diff(want, res.Shadow); diff != "" || res.Group != "flights_shadow_v2" || res.Job != "flights-shadow-v2" || res.Generation != generation {
			t.Errorf("result %+v (-want +got):\n%s", res, diff)
		}
		job, err := f.jobs.Get(t.Context(), res.DataflowID)
		if err != nil {
			t.Fatal(err)
		}
		options := job.GetEnvironment().GetSdkPipelineOptions().GetFields()["options"].GetStructValue().GetFields()
		if options["shadow"].GetStringValue() != "true" || job.GetLabels()["kappa-group"] != "flights_shadow_v2" {
			t.Errorf("labels %v, parameters %v", job.GetLabels(), options)
		}
		// The job reads a spec of its own, with the shadow's tables.
		bucket, object, _ := strings.Cut(strings.TrimPrefix(options["jobspec"].GetStringValue(), "gs://"), "/")
		doc := string(dataflowtest.Read(t, f.clients.Storage, bucket, object))
		for _, table := range []string{"stream_flights_v2", "raw_flights_v2", "late_flights_v2"} {
			if !strings.Contains(doc, ": "+table) {
				t.Errorf("no table %s in\n%s", table, doc)
			}
			if _, err := f.clients.BigQuery.Dataset("kappa").Table(table).Metadata(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	log, err := f.store.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if replaced := log.Replaced("flights"); len(replaced) != 0 {
		t.Errorf("windows of the StreamJob were replaced: %v", replaced)
	}
	counts := map[string]bool{}
	for _, s := range log.Standings() {
		counts[s.Writer().String()] = s.CountsAt(fill.From)
	}
	if diff := cmp.Diff(map[string]bool{"flights-0@1": true, "flights-shadow-v2@1": false, "flights-shadow-v2@2": true}, counts); diff != "" {
		t.Errorf("who counts (-want +got):\n%s", diff)
	}
	if !tables.IsShadow("flights_shadow_v2") || tables.IsShadow("flights-shadow-v2") {
		t.Error("a StreamJob's name is taken for a shadow's, or the other way round")
	}
	// Neither is the StreamJob's plan changed by it.
	if p := f.plan(); p.Pending() {
		t.Errorf("plan %+v", p)
	}
}

// A shadow's tables must be nobody else's.
func TestShadowRefused(t *testing.T) {
	f := startFill(t, batch(10*time.Millisecond, 0))
	shadow := fill
	shadow.Shadow = "v2"
	f.job.Spec.Sinks.BigQuery.Late = "raw_flights_v2"
	if _, err := f.repairer(f.past()).Backfill(t.Context(), shadow, nil); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "has a table raw_flights_v2 already") {
		t.Errorf("got %v", err)
	}
}
