package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestHistory(t *testing.T) {
	f := start(t, true, nil)
	f.workers(3)
	d := f.deployer()
	if list, err := d.Deployments(t.Context(), 0, ""); err != nil || list == nil || len(list) != 0 {
		t.Errorf("before anything: %#v, %v", list, err)
	}
	f.applyFor("the first")
	f.request(f.status().Jobs[1].DataflowID, pb.JobState_JOB_STATE_CANCELLED)
	f.waitFor(f.status().Jobs[1].DataflowID, pb.JobState_JOB_STATE_CANCELLED)
	f.applyFor("the second")
	list, err := d.Deployments(t.Context(), 0, "")
	if err != nil || len(list) != 2 {
		t.Fatalf("history: %+v, %v", list, err)
	}
	second := list[0]
	if second.Reason != "the second" || !slices.Equal(second.Jobs, []string{"flights-1"}) || second.Outcome != "done" || second.Ended == nil || *second.Seconds <= 0 || second.Spec == "" || second.Template == "" {
		t.Errorf("the second: %+v", second)
	}
	for job, want := range map[string]int{"flights-0": 1, "flights-1": 2, "flights-9": 0} {
		if list, err := d.Deployments(t.Context(), 0, job); err != nil || len(list) != want {
			t.Errorf("%s: %+v, %v", job, list, err)
		}
	}
	if list, err := d.Deployments(t.Context(), 1, "flights-0"); err != nil || len(list) != 1 || list[0].Reason != "the first" {
		t.Errorf("limited: %+v, %v", list, err)
	}
	tl, err := d.Timeline(t.Context(), second.ID)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, e := range tl.Entries {
		if e.Seq != i+1 || e.Seconds < 0 {
			t.Errorf("entry %d: %+v", i, e)
		}
		line, _, _ := strings.Cut(e.Line, " (")
		lines = append(lines, e.Kind+" "+line)
	}
	for _, want := range []string{"begin apply begins", "step ending flights-1, generation 1", "step launching flights-1, generation 2: from " + f.job.Spec.Template, "end ends: done"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	_, err = d.Timeline(t.Context(), second.ID[:len(second.ID)-1])
	var e *exit.Error
	if !errors.As(err, &e) || e.Code != exit.Usage || e.Hint != "did you mean "+second.ID+"?" {
		t.Errorf("an id that there is none of: %v", err)
	}
}
