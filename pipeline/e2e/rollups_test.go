package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/pipeline"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
	"github.com/kappa-migrate/kappa/serve"
)

// The example of rollups goes into BigQuery and Bigtable, into the tables that a
// deploy makes, and each set of dimensions is read back by itself.
func TestRollupsIntoSandbox(t *testing.T) {
	sandboxtest.Start(t)
	set, err := jobspecs.Load([]string{"../../jobspecs/examples/rollups"}, jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	job := set.StreamJobs[0]
	job.Spec.Jobs, job.Spec.Sources.SubscriptionPrefix, job.Spec.Sources.Count = 1, "flights-", 2
	job.Spec.Sinks.Bigtable.Instance = "kappa-serving"
	agg := job.Spec.Aggregations[0]
	platform, err := gcp.Open(job.Spec.Platform)
	if err != nil {
		t.Fatal(err)
	}
	bq, bt := create(t, platform, job)
	send := publisher(t, platform)
	plan, err := pipeline.NewPlan(job, "routes-0", 1)
	if err == nil {
		err = plan.Streams(job, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	drain, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- pipeline.Run(context.Background(), pipeline.Config{Plan: plan, Runner: pipeline.Prism, Log: slog.New(slog.DiscardHandler), Drain: drain})
	}()
	at := time.Date(2001, 1, 8, 0, 5, 0, 0, time.UTC)
	events := []string{
		`{"origin":"ATL","destination":"JFK","delay":20,"distance":760}`,
		`{"origin":"ATL","destination":"JFK","delay":-5,"distance":760}`,
		`{"origin":"ATL","destination":"LAX","delay":0,"distance":1947}`,
		`{"origin":null,"destination":"LAX","delay":7,"distance":300}`,
		`{"origin":"ATL","destination":"ATL","delay":7,"distance":300}`, // filtered out
		`{"origin":"ATL","destination":"LAX","delay":7,"distance":30}`,  // likewise
		`{"origin":"JFK","destination":"LAX","distance":2475}`,
	}
	for i, data := range events {
		send(i%2, i, at, at, data)
	}
	for deadline := time.Now().Add(60 * time.Second); query(t, bq, "SELECT CAST(COUNT(*) AS STRING) FROM kappa.raw_routes")[0] != fmt.Sprint(len(events)); {
		select {
		case err := <-done:
			t.Fatalf("the job has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the events are not read")
		}
	}
	close(drain)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	want := map[string][]string{ // key: flights, delayed, delay_sum, worst, longest_on_time
		"origin,destination": {"<nil> LAX: 1 0 7 7 <nil>", "ATL JFK: 2 1 20 20 760", "ATL LAX: 1 0 0 0 1947", "JFK LAX: 1 0 <nil> <nil> <nil>"},
		"origin":             {"<nil>: 1 0 7 7 <nil>", "ATL: 3 1 20 20 1947", "JFK: 1 0 <nil> <nil> <nil>"},
		"destination":        {"JFK: 2 1 20 20 760", "LAX: 3 0 7 7 1947"},
		"":                   {": 5 1 27 20 1947"},
	}
	for _, dims := range agg.Sets() {
		name := jobspecs.Rollup(dims)
		var key []string
		for _, d := range dims {
			key = append(key, fmt.Sprintf("IFNULL(%s, '<nil>')", d))
		}
		if key == nil {
			key = []string{"''"}
		}
		var values []string
		for _, m := range agg.Measures {
			how := map[string]string{jobspecs.MergeAdd: "SUM", jobspecs.MergeGreatest: "MAX"}[m.Merge()]
			values = append(values, fmt.Sprintf("IFNULL(CAST(%s(%s) AS STRING), '<nil>')", how, m.Name))
		}
		keys := strings.Join(key, ", ' ', ")
		got := query(t, bq, fmt.Sprintf("SELECT CONCAT(%s, ': ', %s) AS line FROM kappa.stream_routes WHERE `rollup` = '%s' GROUP BY %s ORDER BY line",
			keys, strings.Join(values, ", ' ', "), name, strings.Join(append(dims, "window_start"), ", ")))
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("BigQuery, (%s) (-want +got)\n%s", name, diff)
		}
		r, err := serve.New(bt.Open("aggregates"), tables.Standings([]tables.Generation{{Job: "routes-0", Generation: 1, Kind: tables.WriterStream, State: tables.StateOpen, Group: "routes"}}), agg, dims)
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		err = r.Scan(t.Context(), time.Time{}, time.Time{}, func(w serve.Window) bool {
			got = append(got, line(w))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[name], got); diff != "" {
			t.Errorf("Bigtable, (%s) (-want +got)\n%s", name, diff)
		}
	}
}

func line(w serve.Window) string {
	var key, values []string
	for _, k := range w.Key {
		if k == nil {
			key = append(key, "<nil>")
		} else {
			key = append(key, *k)
		}
	}
	for _, v := range w.Values {
		if v == nil {
			values = append(values, "<nil>")
		} else {
			values = append(values, fmt.Sprint(*v))
		}
	}
	return strings.Join(key, " ") + ": " + strings.Join(values, " ")
}
