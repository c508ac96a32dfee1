package drain

import (
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
)

const subs = "projects/kappa-demo/subscriptions/"

// readOf is a read transform; shown is what its display data names.
func readOf(id, name, shown string) *pb.TransformSummary {
	t := &pb.TransformSummary{Kind: pb.KindType_READ_KIND, Id: id, Name: name}
	if shown != "" {
		t.DisplayData = []*pb.DisplayData{{Key: "subscription", Value: &pb.DisplayData_StrValue{StrValue: shown}}}
	}
	return t
}

func stage(name string, originals ...string) *pb.ExecutionStageSummary {
	s := &pb.ExecutionStageSummary{Name: name}
	for _, o := range originals {
		s.ComponentTransform = append(s.ComponentTransform, &pb.ExecutionStageSummary_ComponentTransform{UserName: o + "/Inner", OriginalTransform: o})
	}
	return s
}

func jobWith(details []*pb.PubSubIODetails, reads []*pb.TransformSummary, stages ...*pb.ExecutionStageSummary) *pb.Job {
	return &pb.Job{
		Id: "id-1", Name: "flights-0", CurrentState: pb.JobState_JOB_STATE_RUNNING,
		Labels:              map[string]string{"kappa-generation": "3"},
		JobMetadata:         &pb.JobMetadata{PubsubDetails: details},
		PipelineDescription: &pb.PipelineDescription{OriginalPipelineTransform: reads, ExecutionPipelineStage: stages},
	}
}

func sub(name string) *pb.PubSubIODetails { return &pb.PubSubIODetails{Subscription: subs + name} }

func TestReading(t *testing.T) {
	at := float64(monday.UnixMicro())
	two := []*pb.PubSubIODetails{sub("flights-10"), sub("flights-1")}
	for _, c := range []struct {
		name     string
		job      *pb.Job
		metrics  []*pb.MetricUpdate
		want     map[string]Watermark // by source
		least    Watermark
		pipeline Watermark
	}{
		{
			name: "joined by display data, whatever the names and the order",
			job: jobWith(two, []*pb.TransformSummary{readOf("s1", "Read A", subs+"flights-1"), readOf("s2", "Read B", subs+"flights-10")},
				stage("F10", "Read A"), stage("F20", "Read B", "Format"), stage("F30", "Group")),
			metrics: []*pb.MetricUpdate{
				metric(service, "F10-windmill-data-watermark", at), metric(service, "F20-windmill-data-watermark", -2),
				metric(service, "F30-windmill-data-watermark", at-1e6),
			},
			want:  map[string]Watermark{"flights-1": At(monday), "flights-10": Maximum()},
			least: At(monday), pipeline: At(monday.Add(-time.Second)),
		},
		{
			name: "joined by whole names, original transform by id",
			job: jobWith(two, []*pb.TransformSummary{readOf("s1", "Read flights-10/PubsubIO", ""), readOf("s2", "Read flights-1/PubsubIO", "")},
				stage("F10", "s1"), stage("F20", "s2")),
			metrics: []*pb.MetricUpdate{metric(service, "F10-windmill-data-watermark", at), metric(service, "F20-windmill-data-watermark", -2)},
			want:    map[string]Watermark{"flights-10": At(monday), "flights-1": Maximum()},
			least:   At(monday), pipeline: At(monday),
		},
		{
			name:    "the last of each belong together",
			job:     jobWith(two, []*pb.TransformSummary{readOf("s1", "X", subs+"flights-1"), readOf("s2", "Y", "")}, stage("F10", "X"), stage("F20", "Y")),
			metrics: []*pb.MetricUpdate{metric(service, "F10-windmill-data-watermark", -2), metric(service, "F20-windmill-data-watermark", at)},
			want:    map[string]Watermark{"flights-1": Maximum(), "flights-10": At(monday)},
			least:   At(monday), pipeline: At(monday),
		},
		{
			name:    "two that cannot be told apart are not guessed at",
			job:     jobWith(two, []*pb.TransformSummary{readOf("s1", "X", ""), readOf("s2", "Y", "")}, stage("F10", "X"), stage("F20", "Y")),
			metrics: []*pb.MetricUpdate{metric(service, "F10-windmill-data-watermark", -2), metric(service, "F20-windmill-data-watermark", -2)},
			want:    map[string]Watermark{"flights-1": {}, "flights-10": {}},
			least:   Watermark{}, pipeline: Maximum(),
		},
		{
			name:    "one source and no description: the only watermark is its own",
			job:     &pb.Job{JobMetadata: &pb.JobMetadata{PubsubDetails: []*pb.PubSubIODetails{sub("flights-1")}}},
			metrics: []*pb.MetricUpdate{metric(service, "windmill-data-watermark", at)},
			want:    map[string]Watermark{"flights-1": At(monday)},
			least:   At(monday), pipeline: At(monday),
		},
		{
			name:  "no metrics at all",
			job:   jobWith([]*pb.PubSubIODetails{sub("flights-1")}, []*pb.TransformSummary{readOf("s1", "X", "")}, stage("F10", "X")),
			want:  map[string]Watermark{"flights-1": {}},
			least: Watermark{}, pipeline: Watermark{},
		},
		{
			name: "a topic is a source too",
			job: jobWith([]*pb.PubSubIODetails{{Topic: "projects/p/topics/clicks"}},
				[]*pb.TransformSummary{readOf("s1", "X", "projects/p/topics/clicks")}, stage("F10", "X")),
			metrics: []*pb.MetricUpdate{metric(service, "F10-windmill-data-watermark", at), metric(service, "F11-windmill-data-watermark", -1)},
			want:    map[string]Watermark{"clicks": At(monday)},
			least:   At(monday), pipeline: Watermark{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReading(c.job, c.metrics, monday)
			got := map[string]Watermark{}
			for _, s := range r.Sources {
				got[s.Name()] = s.Watermark
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
			if !r.Watermark().Equal(c.least) {
				t.Errorf("least of the sources %v, want %v", r.Watermark(), c.least)
			}
			if !r.Pipeline.Equal(c.pipeline) {
				t.Errorf("least of the stages %v, want %v", r.Pipeline, c.pipeline)
			}
		})
	}
}

func TestReadingOfJob(t *testing.T) {
	r := newReading(jobWith(nil, nil), []*pb.MetricUpdate{
		metric("user", "messages_read", 11, "namespace", "kappa", "tentative", "true"),
		metric("user", "messages_read", 10, "namespace", "kappa"),
		metric("user", "messages_held", 3, "step", "Read flights-0"),
		metric(service, "ElementCount", 4),
	}, monday)
	want := Reading{Job: "flights-0", ID: "id-1", Generation: 3, State: "RUNNING", At: monday, Counters: map[string]int64{"messages_read": 10}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}
