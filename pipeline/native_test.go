package pipeline

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// The topology for Dataflow can be built, and reads each subscription by the
// runner's own transform, with attributes and the record's time. (That is all
// of it that can be shown without Dataflow.)
func TestNativeTopology(t *testing.T) {
	s := spec(t, nil)
	plan, err := NewPlan(s, "flights-0", 1)
	if err == nil {
		err = plan.Streams(s, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, root := beam.NewPipelineWithRoot()
	Build(root, plan)
	edges, _, err := p.Build()
	if err != nil {
		t.Fatal(err)
	}
	model, err := graphx.Marshal(edges, &graphx.Options{Environment: &pipepb.Environment{}})
	if err != nil {
		t.Fatal(err)
	}
	var subscriptions []string
	for _, tr := range model.GetComponents().GetTransforms() {
		if tr.GetSpec().GetUrn() != pubsubReadURN {
			continue
		}
		var read pipepb.PubSubReadPayload
		if err := proto.Unmarshal(tr.GetSpec().GetPayload(), &read); err != nil {
			t.Fatal(err)
		}
		subscriptions = append(subscriptions, read.GetSubscription())
		if !read.GetWithAttributes() || read.GetTimestampAttribute() != envelope.AttrSourceTime || read.GetIdAttribute() != "" {
			t.Errorf("read %v", &read)
		}
	}
	slices.Sort(subscriptions)
	if diff := cmp.Diff(plan.Subscriptions, subscriptions); diff != "" {
		t.Errorf("subscriptions (-want +got)\n%s", diff)
	}
	if plan.Shards != dataflowShards {
		t.Errorf("%d shards", plan.Shards)
	}
}

// What the runner has read is unwrapped, with the record's time, less the
// delay, for a watermark, and handed on a bundle at a time.
func TestNativeMessages(t *testing.T) {
	plan := &Plan{Run: t.Name(), Delay: time.Second}
	defer install(plan, &runtime{log: slog.New(slog.DiscardHandler)})()
	f := &nativeFn{Plan: plan}
	if err := f.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []*Messages
	emit := func(_ beam.EventTime, m *Messages) { got = append(got, m) }
	f.StartBundle(t.Context(), emit)
	at := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	for i, attrs := range []map[string]string{
		{envelope.AttrID: "a", envelope.AttrEventTime: envelope.FormatTime(at), envelope.AttrSourceTime: envelope.FormatTime(at.Add(time.Minute)), envelope.AttrPosition: "c/t/0/1"},
		nil,
	} {
		data, err := proto.Marshal(&pubsubpb.PubsubMessage{Data: []byte{byte(i)}, MessageId: "m", PublishTime: timestamppb.New(at.Add(time.Hour)), Attributes: attrs})
		if err == nil {
			err = f.ProcessElement(context.Background(), data, emit)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 0 {
		t.Error("messages are handed on one by one")
	}
	f.FinishBundle(t.Context(), emit)
	want := []*Messages{{List: []*Message{
		{ID: "m", Data: []byte{0}, EventID: "a", Position: "c/t/0/1", Time: at.UnixMicro(), Source: at.Add(time.Minute).UnixMicro(), Publish: at.Add(time.Hour).UnixMicro(), Watermark: at.Add(59 * time.Second).UnixMicro()},
		{ID: "m", Data: []byte{1}, Time: unknownTime, Source: unknownTime, Publish: at.Add(time.Hour).UnixMicro(), Watermark: unknownTime},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got[0].least() != at.UnixMicro() {
		t.Errorf("the batch stands at %d", got[0].least())
	}
	// The coders, which fused stages do not use, lose nothing.
	b, err := encodeMessages(got[0])
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeMessages(b)
	if diff := cmp.Diff(got[0], back); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	events := &Events{List: []*Event{{ID: "e", Values: []Value{{Valid: true, Int: 5}, {}, {Valid: true, Str: "s"}}}}}
	if b, err = encodeEvents(events); err != nil {
		t.Fatal(err)
	}
	backEvents, err := decodeEvents(b)
	if diff := cmp.Diff(events, backEvents); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}
