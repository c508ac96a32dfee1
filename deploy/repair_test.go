package deploy_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// wrong is the repair of flights-0@1, whose rows lie in two windows, and whose
// events in three.
var wrong = deploy.Repair{Void: []tables.Writer{{Job: "flights-0", Generation: 1}}, Archive: archive}

var (
	wrongFrom = time.Date(2001, 1, 8, 4, 0, 0, 0, time.UTC)
	wrongTo   = time.Date(2001, 1, 8, 7, 0, 0, 0, time.UTC)
)

type anyRow map[string]bigquery.Value

func (r anyRow) Save() (map[string]bigquery.Value, string, error) { return r, "", nil }

// startWrong starts a sandbox in which flights-0@1 ran wrong code, and was replaced.
func startWrong(t *testing.T) *fixture {
	f := startFill(t, batch(10*time.Millisecond, 0))
	f.workers(1)
	f.apply()
	f.job.Spec.Horizon++ // any change
	f.apply()
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Fatalf("history (-want +got):\n%s", diff)
	}
	put := func(table string, rows ...anyRow) {
		t.Helper()
		for _, r := range rows {
			r["job"], r["write_time"] = "flights-0", time.Now()
		}
		if err := f.clients.BigQuery.Dataset(f.job.Spec.Sinks.BigQuery.Dataset).Table(table).Inserter().Put(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	pane := func(generation, h, pane int) anyRow {
		return anyRow{"generation": generation, "pane": pane, "origin": "ATL", "flights": 1, "timing": "on_time", "window_start": time.Date(2001, 1, 8, h, 0, 0, 0, time.UTC)}
	}
	put("stream_flights", pane(1, 5, 0), pane(1, 5, 1), pane(1, 6, 0), pane(2, 9, 0))
	event := func(generation, h, m int) anyRow {
		at := time.Date(2001, 1, 8, h, m, 0, 0, time.UTC)
		return anyRow{"generation": generation, "event_id": "e", "message_id": "m", "event_time": at, "source_time": at, "publish_time": at, "position": "p"}
	}
	// The event of 04:30 left no row: what wrong code leaves out is wrong as well.
	put("raw_flights", event(1, 4, 30), event(1, 5, 0), event(1, 6, 59), event(2, 9, 0))
	dataflowtest.SetWorker(t, map[string]dataflowtest.Behaviour{"flights-repair": batch(10*time.Millisecond, 0)})
	return f
}

func (f *fixture) repairer(o deploy.Observer, change ...func(*deploy.Config)) *deploy.Deployer {
	f.Helper()
	cfg := f.config()
	cfg.Observer, cfg.Reason = o, "delays in seconds"
	for _, fn := range change {
		fn(&cfg)
	}
	d, err := deploy.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	return d
}

func (f *fixture) repair(d *deploy.Deployer, r deploy.Repair, progress func(deploy.Event)) (*deploy.RepairResult, error) {
	f.Helper()
	p, err := d.PlanRepair(f.Context(), r)
	if err != nil {
		return nil, err
	}
	return d.Repair(f.Context(), r, p, progress)
}

func TestRepair(t *testing.T) {
	f := startWrong(t)
	d := f.repairer(at(wrongFrom))
	p, err := d.PlanRepair(t.Context(), wrong)
	if err != nil {
		t.Fatal(err)
	}
	until := wrongTo.Add(f.job.Spec.Horizon.D())
	if len(p.Writers) != 1 || !p.Writers[0].Voids || p.Writers[0].State != "drained" || !p.From.Equal(wrongFrom) || !p.To.Equal(wrongTo) ||
		p.Repaired != "" || p.UnsettledUntil == nil || !p.UnsettledUntil.Equal(until) || !p.Pending() {
		t.Errorf("plan %+v", p)
	}
	if by := p.Writers[0].Deployed; by == nil || by.By != "tester" || by.Command != journal.CommandApply {
		t.Errorf("deployed by %+v", by)
	}
	want := []deploy.TouchedRows{
		{Table: "stream_flights", Rows: 3, Windows: 2, From: wrongFrom.Add(time.Hour), To: wrongTo},
		{Table: "raw_flights", Rows: 3, From: wrongFrom.Add(30 * time.Minute), To: wrongTo.Add(-time.Minute + time.Microsecond)},
	}
	if diff := cmp.Diff(want, p.Writers[0].Tables); diff != "" {
		t.Errorf("touched (-want +got):\n%s", diff)
	}

	// The stream still takes events of the windows: void, and no more.
	_, err = d.Repair(t.Context(), wrong, p, nil)
	var unsettled *deploy.UnsettledError
	if exit.Of(err) != exit.Environment || !errors.As(err, &unsettled) || !unsettled.Until.Equal(until) ||
		!strings.Contains(err.Error(), "what flights-0@1 had counted in the windows from 2001-01-08T04:00:00Z to 2001-01-08T07:00:00Z is missing") {
		t.Errorf("too early: %v", err)
	}
	var e *exit.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "run the same command again at about 20") || !strings.Contains(e.Hint, "--wait") {
		t.Errorf("hint %+v", e)
	}
	if diff := cmp.Diff([]string{"flights-0@1 void", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}

	// Later it goes on where it was.
	d = f.repairer(at(until))
	var steps []string
	res, err := f.repair(d, wrong, func(e deploy.Event) { steps = append(steps, string(e.Step)) })
	if err != nil {
		t.Fatal(err)
	}
	if res.Repaired != "flights-repair@1" || res.Backfill == nil || !res.Backfill.WindowFrom.Equal(wrongFrom) || !res.Backfill.WindowTo.Equal(wrongTo) ||
		slices.Contains(steps, "voiding") {
		t.Errorf("result %+v, steps %v", res, steps)
	}
	complete := []string{"flights-0@1 void", "flights-0@2 open", "flights-repair@1 drained"}
	if diff := cmp.Diff(complete, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	// Once more there is nothing to do.
	p, err = d.PlanRepair(t.Context(), wrong)
	if err != nil || p.Pending() || p.Repaired != "flights-repair@1" {
		t.Errorf("plan %+v, %v", p, err)
	}
	if res, err := f.repair(d, wrong, nil); err != nil || res.Backfill != nil || res.Repaired != "flights-repair@1" {
		t.Errorf("again: %+v, %v", res, err)
	}
	if diff := cmp.Diff(complete, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	// On record are who, why, and what.
	records, err := f.journal.Deployments(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, r := range records {
		commands = append(commands, r.Begin().Command+" "+r.Outcome())
		if b := r.Begin(); b.Command == journal.CommandRepair && (b.Reason != "delays in seconds" || !strings.Contains(string(b.Plan), `"job":"flights-0"`)) {
			t.Errorf("begun %+v", b)
		}
	}
	if diff := cmp.Diff([]string{"backfill done", "repair done", "apply done", "apply done"}, commands); diff != "" {
		t.Errorf("deployments (-want +got):\n%s", diff)
	}
}

func TestRepairRefused(t *testing.T) {
	f := startWrong(t)
	d := f.repairer(at(wrongTo.AddDate(1, 0, 0)))
	of := func(job string, generation int64, archive string) deploy.Repair {
		return deploy.Repair{Void: []tables.Writer{{Job: job, Generation: generation}}, Archive: archive}
	}
	for _, c := range []struct {
		name string
		r    deploy.Repair
		code exit.Code
		want string
	}{
		{"it runs", of("flights-0", 2, archive), exit.Environment, "flights-0@2 still runs"},
		{"unknown", of("flights-0", 3, archive), exit.Usage, "no generation flights-0@3"},
		{"no archive", of("flights-0", 1, ""), exit.Usage, "reads one of"},
		{"an empty archive", of("flights-0", 1, "gs://"+dataflowtest.FlightsStaging+"/none/*.avro"), exit.Environment, "names no file"},
	} {
		if _, err := f.repair(d, c.r, nil); exit.Of(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	// What was looked at is what is done (D1).
	p, err := d.PlanRepair(t.Context(), wrong)
	if err != nil {
		t.Fatal(err)
	}
	later := p.To.Add(time.Hour)
	p.To = &later
	if _, err := d.Repair(t.Context(), wrong, p, nil); exit.Of(err) != exit.Pending || !strings.Contains(err.Error(), "stale") {
		t.Errorf("a stale plan: %v", err)
	}
	if diff := cmp.Diff([]string{"flights-0@1 drained", "flights-0@2 open"}, f.summary()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// A generation that has read and written nothing is void, and that is all.
func TestRepairOfNothing(t *testing.T) {
	f := startWrong(t)
	f.job.Spec.Horizon++
	f.workers(1)
	f.apply() // flights-0@2 is drained now
	d := f.repairer(f.past())
	none := deploy.Repair{Void: []tables.Writer{{Job: "flights-0", Generation: 1}, {Job: "flights-0", Generation: 2}}, Archive: archive}
	p, err := d.PlanRepair(t.Context(), none)
	if err != nil || len(p.Writers) != 2 || !p.To.Equal(wrongFrom.Add(6*time.Hour)) {
		t.Fatalf("both: %+v, %v", p, err)
	}
	if _, err := f.store.Append(t.Context(), tables.Generation{Job: "flights-9", Generation: 1, Kind: tables.WriterStream, State: tables.StateDrained, Group: "flights"}); err != nil {
		t.Fatal(err)
	}
	none.Void = []tables.Writer{{Job: "flights-9", Generation: 1}}
	res, err := f.repair(d, none, nil)
	if err != nil || res.From != nil || res.Backfill != nil {
		t.Errorf("%+v, %v", res, err)
	}
	if !slices.Contains(f.summary(), "flights-9@1 void") {
		t.Errorf("history %v", f.summary())
	}
}

// With leave to wait it waits for the watermarks, says how long that takes, and
// keeps nobody from deploying.
func TestRepairWaits(t *testing.T) {
	f := startWrong(t)
	until := wrongTo.Add(f.job.Spec.Horizon.D())
	o := &moving{at: at(until.Add(-2 * time.Hour))}
	waits := wrong
	waits.Wait = true
	seen := 0
	var texts []string
	res, err := f.repair(f.repairer(o), waits, func(e deploy.Event) {
		if e.Step != deploy.Waiting {
			return
		}
		seen++
		texts = append(texts, e.Text)
		if _, held, err := f.journal.Holder(t.Context()); err != nil || held {
			t.Errorf("the lease is held while it waits: %v", err)
		}
		o.at = at(time.Time(o.at).Add(time.Hour))
	})
	if err != nil || res.Repaired != "flights-repair@1" || seen != 2 {
		t.Errorf("%+v, waited %d times, %v", res, seen, err)
	}
	for _, text := range texts {
		if !strings.Contains(text, "to reach 2001-01-12T07:00:00") || !strings.Contains(text, "which takes until about 20") {
			t.Errorf("text %q", text)
		}
	}
	// Who leaves finds it void, and goes on.
	f = startWrong(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := f.repairer(at(wrongFrom))
	p, err := d.PlanRepair(t.Context(), waits)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Repair(ctx, waits, p, func(e deploy.Event) {
		if e.Step == deploy.Waiting {
			cancel()
		}
	})
	if exit.Of(err) != exit.Interrupted || !strings.Contains(err.Error(), "stopped waiting") {
		t.Errorf("stopped: %v", err)
	}
	if res, err := f.repair(f.repairer(at(until)), waits, nil); err != nil || res.Repaired != "flights-repair@1" {
		t.Errorf("resumed: %+v, %v", res, err)
	}
}

// invariant D2: a repair that is killed before any of its steps is finished by the
// same command, with one backfill.
func TestRepairResumed(t *testing.T) {
	until := at(wrongTo.AddDate(1, 0, 0))
	for n := 1; ; n++ {
		f := startWrong(t)
		k := &kill{at: n}
		_, err := f.repair(f.repairer(until, func(cfg *deploy.Config) { *cfg = withObserver(k.config(f), until) }), wrong, nil)
		if err == nil {
			if n < 6 {
				t.Errorf("only %d operations", n-1)
			}
			return
		}
		if !strings.Contains(err.Error(), errKilled.Error()) {
			t.Fatalf("killed at %d: %v", n, err)
		}
		f.jobs.launch = nil
		if _, err := f.repair(f.repairer(until), wrong, nil); err != nil {
			t.Fatalf("killed at %d: resumed: %v", n, err)
		}
		if diff := cmp.Diff([]string{"flights-0@1 void", "flights-0@2 open", "flights-repair@1 drained"}, f.summary()); diff != "" {
			t.Errorf("killed at %d: history (-want +got):\n%s", n, diff)
		}
		jobs, err := f.jobs.Named(t.Context(), "flights-repair")
		if err != nil || len(jobs) != 1 {
			t.Errorf("killed at %d: %d jobs, %v", n, len(jobs), err)
		}
	}
}
