package drain

import (
	"math"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
	"pgregory.net/rapid"
)

// measured is a metric; context are keys and values.
func measured(name string, value float64, context ...string) *pb.MetricUpdate {
	n := &pb.MetricStructuredName{Origin: "dataflow/v1b3", Name: name, Context: map[string]string{}}
	for i := 0; i+1 < len(context); i += 2 {
		n.Context[context[i]] = context[i+1]
	}
	return &pb.MetricUpdate{Name: n, Scalar: structpb.NewNumberValue(value)}
}

func ptr(n int64) *int64 { return &n }

func TestBacklogs(t *testing.T) {
	for _, c := range []struct {
		name    string
		metrics []*pb.MetricUpdate
		want    map[string]Backlog
	}{
		{"none", []*pb.MetricUpdate{measured("F39-windmill-data-watermark", 1)}, map[string]Backlog{}},
		{"the stage in the name", []*pb.MetricUpdate{measured("F39-backlog-bytes", 300), measured("F39-backlog_elements", 3)},
			map[string]Backlog{"F39": {Bytes: ptr(300), Elements: ptr(3)}}},
		{"the stage in the context", []*pb.MetricUpdate{measured("backlog_bytes", 300, "stage", "F39"), measured("windmill-backlog-bytes", 7, "execution_step", "F40")},
			map[string]Backlog{"F39": {Bytes: ptr(300)}, "F40": {Bytes: ptr(7)}}},
		{"a step", []*pb.MetricUpdate{measured("backlog_elements", 3, "step", "Read flights-1", "namespace", "source")},
			map[string]Backlog{"Read flights-1": {Elements: ptr(3)}}},
		{"no place", []*pb.MetricUpdate{measured("backlog_elements", 3)}, map[string]Backlog{"": {Elements: ptr(3)}}},
		{"committed before tentative", []*pb.MetricUpdate{
			measured("F39-backlog_bytes", 1, "tentative", "true"), measured("F39-backlog_bytes", 2), measured("F39-backlog_bytes", 3, "tentative", "true"),
		}, map[string]Backlog{"F39": {Bytes: ptr(2)}}},
		{"tentative where there is no other", []*pb.MetricUpdate{measured("F39-backlog_bytes", 1, "tentative", "true")}, map[string]Backlog{"F39": {Bytes: ptr(1)}}},
		{"not known", []*pb.MetricUpdate{
			measured("F39-backlog_bytes", -1), measured("F39-backlog_elements", math.NaN()), measured("F40-backlog_bytes", math.Inf(1)),
			{Name: &pb.MetricStructuredName{Name: "F41-backlog_bytes"}},
		}, map[string]Backlog{}},
		{"a split", []*pb.MetricUpdate{measured("backlog_bytes_7", 1)}, map[string]Backlog{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, backlogs(c.metrics)); diff != "" {
				t.Errorf("backlogs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJoinBacklogs(t *testing.T) {
	description := &pb.PipelineDescription{ExecutionPipelineStage: []*pb.ExecutionStageSummary{{
		Name: "F40", ComponentTransform: []*pb.ExecutionStageSummary_ComponentTransform{{UserName: "Read flights-2/Read", Name: "s2", OriginalTransform: "Read flights-2"}},
	}}}
	metrics := []*pb.MetricUpdate{
		measured("F39-backlog_bytes", 10), measured("backlog_elements", 20, "step", "s2"), measured("backlog_elements", 99),
	}
	two := []Source{{Stage: "F39"}, {Stage: "F40"}, {}}
	joinBacklogs(two, description, metrics)
	if diff := cmp.Diff([]Backlog{{Bytes: ptr(10)}, {Elements: ptr(20)}, {}}, []Backlog{two[0].Backlog, two[1].Backlog, two[2].Backlog}); diff != "" {
		t.Errorf("several sources (-want +got):\n%s", diff)
	}
	one := []Source{{}}
	joinBacklogs(one, description, metrics)
	if diff := cmp.Diff(Backlog{Elements: ptr(99)}, one[0].Backlog); diff != "" {
		t.Errorf("one source (-want +got):\n%s", diff)
	}
}

func TestBacklogString(t *testing.T) {
	for want, b := range map[string]Backlog{
		"unknown": {}, "3 elements": {Elements: ptr(3)}, "300 bytes": {Bytes: ptr(300)}, "3 elements, 300 bytes": {Bytes: ptr(300), Elements: ptr(3)},
	} {
		if b.String() != want || b.Known() != (want != "unknown") {
			t.Errorf("got %q, want %q", b, want)
		}
	}
}

func TestShrinking(t *testing.T) {
	var s shrinking
	for i, c := range []struct {
		at   time.Duration
		size Backlog
		want time.Duration
	}{
		{0, Backlog{Elements: ptr(1000)}, 0},
		{10 * time.Second, Backlog{}, 0},                                                // not known: left out
		{10 * time.Second, Backlog{Elements: ptr(900)}, 90 * time.Second},               // 10 a second
		{20 * time.Second, Backlog{Elements: ptr(1000)}, 0},                             // it does not shrink
		{30 * time.Second, Backlog{Elements: ptr(0)}, 0},                                // gone
		{10 * time.Minute, Backlog{Elements: ptr(100)}, 0},                              // grown again
		{10*time.Minute + 10*time.Second, Backlog{Elements: ptr(50)}, 10 * time.Second}, // old samples are forgotten
	} {
		s.add(monday.Add(c.at), c.size)
		if got := s.eta(); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("sample %d: %v, want %v", i, got, c.want)
		}
	}
}

// A backlog that shrinks evenly is gone when the estimate says.
func TestShrinkingIsRight(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		perSecond := rapid.Int64Range(1, 1e6).Draw(rt, "per second")
		left := rapid.Int64Range(2, 1e5).Draw(rt, "seconds left")
		n := rapid.Int64Range(2, 400).Draw(rt, "samples")
		var s shrinking
		for i := range n {
			s.add(monday.Add(time.Duration(i)*time.Second), Backlog{Bytes: ptr(perSecond * (left + n - 1 - i))})
		}
		if got, want := s.eta().Seconds(), float64(left); math.Abs(got-want) > 1e-6*want {
			rt.Fatalf("eta %vs, want %vs", got, want)
		}
		if len(s.samples) > rateSamples {
			rt.Fatalf("%d samples kept", len(s.samples))
		}
	})
}
