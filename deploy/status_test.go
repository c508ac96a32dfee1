package deploy

import (
	"encoding/json"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/internal/tables"
)

func TestJobStatus(t *testing.T) {
	at := time.Date(2001, 1, 8, 6, 0, 0, 0, time.UTC)
	recorded := at.Add(-time.Hour)
	row := &tables.Generation{Generation: 2, State: tables.StateOpen, RecordedAt: recorded, DataflowJobID: bigquery.NullString{StringVal: "id-1", Valid: true}}
	live := &pb.Job{Id: "id-1", CurrentState: running, CreateTime: timestamppb.New(at)}
	for _, c := range []struct {
		name string
		o    observed
		want JobStatus
	}{
		{"never launched", observed{job: "g-0"}, JobStatus{Job: "g-0"}},
		{"runs", observed{job: "g-0", spec: "aa", latest: row, live: live, active: &known{id: "id-1", state: running, generation: 2, spec: "aa"}},
			JobStatus{Job: "g-0", Generation: 2, Recorded: "open", State: "RUNNING", DataflowID: "id-1", Spec: "aa", Wanted: true, Since: &at}},
		{"runs with another", observed{job: "g-0", spec: "bb", latest: row, live: live, active: &known{id: "id-1", state: running, generation: 2, spec: "aa"}},
			JobStatus{Job: "g-0", Generation: 2, Recorded: "open", State: "RUNNING", DataflowID: "id-1", Spec: "aa", Since: &at}},
		{"is not on record", observed{job: "g-0", spec: "aa", live: live, active: &known{id: "id-1", state: running, generation: 3, spec: "aa"}},
			JobStatus{Job: "g-0", Generation: 3, State: "RUNNING", DataflowID: "id-1", Spec: "aa", Wanted: true, Since: &at}},
		{"has failed", observed{job: "g-0", spec: "aa", latest: row, last: &known{id: "id-1", state: failed, generation: 2, spec: "aa"}},
			JobStatus{Job: "g-0", Generation: 2, Recorded: "open", State: "FAILED", DataflowID: "id-1", Spec: "aa", Since: &recorded}},
		{"is forgotten", observed{job: "g-0", latest: row, retired: true}, JobStatus{Job: "g-0", Generation: 2, Recorded: "open", DataflowID: "id-1", Since: &recorded, Retired: true}},
		{"adopted", observed{job: "g-0", spec: "aa", latest: row, live: live, adopted: true, active: &known{id: "id-1", state: running, generation: 2}},
			JobStatus{Job: "g-0", Generation: 2, Recorded: "open", State: "RUNNING", DataflowID: "id-1", Adopted: true, Since: &at}},
	} {
		if diff := cmp.Diff(c.want, jobStatus(c.o)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestDeployedBy(t *testing.T) {
	record := func(id string, plan any) journal.Record {
		doc, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		return journal.Record{ID: id, Entries: []journal.Entry{{Kind: journal.KindBegin, Command: "apply", Plan: doc}}}
	}
	plan := func(kind Kind, generation int64) *Plan {
		return &Plan{Jobs: []Action{{Job: "g-0", Kind: kind, Generation: generation}, {Job: "g-1", Kind: Launch, Generation: 9}}}
	}
	records := []journal.Record{
		record("d5", plan(Replace, 3)), // has not come to it
		record("d4", plan(Keep, 2)),
		record("d3", plan(Resize, 2)),
		record("d2", plan(Launch, 2)),
		record("d1", []string{"of another version"}),
		record("d0", AdoptPlan{Jobs: []Adopted{{Job: "g-0", Kind: Adopt, Generation: 1}}}),
	}
	for generation, want := range map[int64]string{0: "", 1: "d0", 2: "d3", 3: "d5", 4: ""} {
		got := ""
		if d := deployedBy(records, "g-0", generation); d != nil {
			got = d.ID
		}
		if got != want {
			t.Errorf("generation %d: %q, want %q", generation, got, want)
		}
	}
}
