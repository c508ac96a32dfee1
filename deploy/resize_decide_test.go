package deploy

import (
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// What becomes of a job that runs, by what it was launched with and by what the
// service says of its workers. Wanted is spec aa with 2 to 5 workers.
func TestDecideResize(t *testing.T) {
	changed := func(paths ...string) []Change {
		var out []Change
		for _, p := range paths {
			out = append(out, Change{Path: p, From: "1", To: "2"})
		}
		return out
	}
	resize := func(c ...Change) Action {
		return Action{Kind: Resize, Generation: 2, DataflowID: "id-1", Resize: &Bounds{2, 5}, Changes: c}
	}
	replace := func(c ...Change) Action {
		return Action{Kind: Replace, Generation: 3, Drains: &Drains{Generation: 2, DataflowID: "id-1", State: "RUNNING"}, Changes: c}
	}
	keep := Action{Kind: Keep, Generation: 2, DataflowID: "id-1"}
	least, most := Change{pathMinWorkers, "1", "2"}, Change{pathMaxWorkers, "3", "5"}
	for _, c := range []struct {
		name     string
		spec     string // label
		reported Bounds
		launched *launched
		fixed    bool // the workers cannot be changed
		lost     bool // the answer of the launch
		want     Action
		reason   string
	}{
		{name: "as launched", spec: "aa", want: keep, reason: "is RUNNING"},
		{name: "as changed", spec: "aa", reported: Bounds{2, 5}, want: keep, reason: "is RUNNING"},
		{name: "changed by somebody else", spec: "aa", reported: Bounds{1, 3}, want: resize(most, least), reason: "with 1 to 3 workers instead of 2 to 5 workers"},
		{name: "changed in part by somebody else", spec: "aa", reported: Bounds{Max: 3}, want: resize(most), reason: "with 2 to 3 workers"},
		{name: "changed by somebody else, but cannot be changed", spec: "aa", reported: Bounds{1, 3}, fixed: true, want: keep},

		{name: "another least and most", spec: "bb", launched: &launched{changes: changed(pathMinWorkers, pathMaxWorkers), bounds: Bounds{1, 3}}, want: resize(most, least), reason: "with 1 to 3 workers"},
		{name: "another most", spec: "bb", launched: &launched{changes: changed(pathMaxWorkers), bounds: Bounds{2, 3}}, want: resize(most)},
		{name: "another most, which it has by now", spec: "bb", reported: Bounds{2, 5}, launched: &launched{changes: changed(pathMaxWorkers), bounds: Bounds{2, 3}},
			want: keep, reason: "launched with spec bb, which asks for nothing else"},
		{name: "another most, and it has a third", spec: "bb", reported: Bounds{2, 3}, launched: &launched{changes: changed(pathMaxWorkers), bounds: Bounds{2, 9}}, want: resize(most)},
		{name: "other workers at the start", spec: "bb", launched: &launched{changes: changed(pathWorkers), bounds: Bounds{2, 5}}, want: keep, reason: "asks for nothing else"},
		{name: "an older version wrote the same", spec: "bb", launched: &launched{bounds: Bounds{2, 5}}, want: keep, reason: "asks for nothing else"},
		{name: "an older version wrote the same, and its answer was lost", spec: "bb", lost: true, launched: &launched{bounds: Bounds{2, 5}},
			want: Action{Kind: Adopt, Generation: 2, DataflowID: "id-1"}, reason: "answer was lost"},
		{name: "another most, and its answer was lost", spec: "bb", lost: true, launched: &launched{changes: changed(pathMaxWorkers), bounds: Bounds{2, 3}}, want: resize(most)},

		{name: "another most, but it cannot be changed", spec: "bb", fixed: true, launched: &launched{changes: changed(pathMaxWorkers), bounds: Bounds{2, 3}}, want: replace(changed(pathMaxWorkers)...)},
		{name: "another most and more", spec: "bb", launched: &launched{changes: changed(pathMaxWorkers, "spec.horizon"), bounds: Bounds{2, 3}}, want: replace(changed(pathMaxWorkers, "spec.horizon")...), reason: "with spec bb instead of aa"},
		{name: "Streaming Engine", spec: "bb", launched: &launched{changes: changed("spec.tuning.streamingEngine"), bounds: Bounds{2, 5}}, want: replace(changed("spec.tuning.streamingEngine")...)},
		{name: "not known (D3)", spec: "bb", launched: &launched{unread: "gs://b/bb.yaml cannot be read: gone"}, want: replace(), reason: "what differs is not known: gs://b/bb.yaml cannot be read: gone"},
		{name: "no spec on its label (D3)", want: replace(), reason: "instead of aa"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := bigquery.NullString{StringVal: "id-1", Valid: !c.lost}
			got, ok := decide(observed{
				group: "flights", job: "flights-0", spec: "aa", bounds: Bounds{2, 5}, resizable: !c.fixed, launched: c.launched,
				latest: &tables.Generation{Job: "flights-0", Generation: 2, Kind: tables.WriterStream, State: tables.StateOpen, DataflowJobID: id},
				active: &known{id: "id-1", state: running, generation: 2, group: "flights", spec: c.spec, bounds: c.reported},
			})
			if !ok || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("decided %v, reason %q, want one with %q", ok, got.Reason, c.reason)
			}
			got.Job, got.Reason = "", ""
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("action (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBoundsOf(t *testing.T) {
	job := flights(t)
	job.Spec.Tuning.MinWorkers, job.Spec.Tuning.MaxWorkers = 0, 7
	if got := boundsOf(job); got != (Bounds{1, 7}) {
		t.Errorf("bounds %v", got)
	}
	if !resizable(job) {
		t.Error("not resizable")
	}
	job.Spec.Tuning.StreamingEngine = false
	if resizable(job) {
		t.Error("resizable without Streaming Engine")
	}
	job.Spec.Tuning.StreamingEngine, job.Spec.Tuning.Autoscaling = true, "none"
	if resizable(job) {
		t.Error("resizable without autoscaling")
	}
}
