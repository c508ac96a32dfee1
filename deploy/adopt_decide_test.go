package deploy

import (
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func TestDecideAdoption(t *testing.T) {
	const sub = "projects/p/subscriptions/s-"
	job := func() *pb.Job {
		return &pb.Job{
			Id: "id-1", Name: "by-hand", ProjectId: "p", CurrentState: running, Type: pb.JobType_JOB_TYPE_STREAMING,
			JobMetadata: &pb.JobMetadata{PubsubDetails: []*pb.PubSubIODetails{{Subscription: sub + "0"}}},
		}
	}
	options := func(j *pb.Job, fields map[string]any) {
		s, err := structpb.NewStruct(fields)
		if err != nil {
			t.Fatal(err)
		}
		j.Environment = &pb.Environment{SdkPipelineOptions: s}
	}
	row := func(generation int64, state, id string) *tables.Generation {
		return &tables.Generation{Job: "g-0", Generation: generation, State: state, DataflowJobID: bigquery.NullString{StringVal: id, Valid: id != ""}}
	}
	says := func(job, generation any) map[string]any {
		return map[string]any{"options": map[string]any{"job": job, "generation": generation}}
	}
	for _, c := range []struct {
		name       string
		change     func(*adopting)
		generation int64
		kind       Kind
		unknown    int
		wrong      []string
	}{
		{"the first", func(a *adopting) { options(a.live, says("g-0", "1")) }, 1, Adopt, 1, nil},
		{"a later one", func(a *adopting) { options(a.live, says("g-0", "7")) }, 7, Adopt, 1, nil},
		{"a number", func(a *adopting) { options(a.live, says("g-0", 7.0)) }, 7, Adopt, 1, nil},
		{"display data", func(a *adopting) {
			options(a.live, map[string]any{"display_data": []any{map[string]any{"key": "job", "value": "g-0"}, map[string]any{"key": "generation", "value": 3.0}}})
		}, 3, Adopt, 1, nil},
		{"nothing is shown", func(*adopting) {}, 1, Adopt, 2, nil},
		{"after one that drained", func(a *adopting) { a.latest = row(4, tables.StateDrained, "id-0") }, 5, Adopt, 2, nil},
		{"of another pipeline", func(a *adopting) { a.writes = false; options(a.live, says("x", "y")) }, 1, Adopt, 1, nil},
		{"by its label", func(a *adopting) {
			a.live.Labels = map[string]string{"kappa-group": "g", "kappa-generation": "6"}
			options(a.live, says("g-0", "6"))
		}, 6, Adopt, 1, nil},
		{"what it reads is not shown", func(a *adopting) { a.live.JobMetadata = nil; options(a.live, says("g-0", "1")) }, 1, Adopt, 2, nil},
		{"it reads more of the group's", func(a *adopting) {
			a.live.JobMetadata.PubsubDetails = append(a.live.JobMetadata.PubsubDetails, &pb.PubSubIODetails{Subscription: sub + "1"})
		}, 1, Adopt, 2, nil},
		{"adopted before", func(a *adopting) { a.latest = row(4, tables.StateOpen, "id-1"); a.running = a.live }, 4, Keep, 0, nil},
		{"drains", func(a *adopting) { a.live.CurrentState = draining }, 1, Adopt, 2, []string{"it is DRAINING"}},
		{"a batch", func(a *adopting) { a.live.Type = pb.JobType_JOB_TYPE_BATCH }, 1, Adopt, 2, []string{"it is a batch job"}},
		{"another runs", func(a *adopting) { a.running = &pb.Job{Id: "id-2"} }, 1, Adopt, 2, []string{"a job named g-0 runs already, id-2"}},
		{"another group's", func(a *adopting) { a.live.Labels = map[string]string{"kappa-group": "h"} }, 1, Adopt, 2, []string{"it was launched for h"}},
		{"foreign subscriptions", func(a *adopting) { a.live.JobMetadata.PubsubDetails[0].Subscription = sub + "9" }, 1, Adopt, 2,
			[]string{"it reads projects/p/subscriptions/s-9", "it does not read s-0"}},
		{"another writer", func(a *adopting) { options(a.live, says("g-1", "1")) }, 1, Adopt, 1, []string{"it writes as g-1"}},
		{"a generation that was", func(a *adopting) {
			a.latest = row(4, tables.StateVoid, "id-0")
			options(a.live, says("g-0", "4"))
		}, 5, Adopt, 1, []string{"it writes as generation 4, which the history has already"}},
		{"no generation", func(a *adopting) { options(a.live, says("g-0", "x")) }, 1, Adopt, 1, []string{`it writes as generation "x"`}},
		{"two generations", func(a *adopting) {
			a.live.Labels = map[string]string{"kappa-group": "g", "kappa-generation": "2"}
			options(a.live, says("g-0", "3"))
		}, 2, Adopt, 1, []string{"it writes as generation 3 and is labelled as 2"}},
		{"one is open", func(a *adopting) { a.latest = row(4, tables.StateOpen, "id-0") }, 5, Adopt, 2, []string{"the history has generation 4 of g-0 as open as id-0"}},
		{"one is on record and was not launched", func(a *adopting) { a.latest = row(4, tables.StateOpen, "") }, 5, Adopt, 2, []string{"the history has generation 4 of g-0 as open:"}},
	} {
		a := adopting{group: "g", job: "g-0", reads: []string{sub + "0"}, owners: owners{sub + "0": "g-0", sub + "1": "g-1"}, writes: true, live: job()}
		c.change(&a)
		got, wrong := decideAdoption(a)
		if got.Generation != c.generation || got.Kind != c.kind || len(got.Unknown) != c.unknown || got.DataflowID != "id-1" || got.Name != "by-hand" {
			t.Errorf("%s: %+v", c.name, got)
		}
		if !slices.EqualFunc(wrong, c.wrong, strings.HasPrefix) {
			t.Errorf("%s (-want +got):\n%s", c.name, cmp.Diff(c.wrong, wrong))
		}
	}
}
