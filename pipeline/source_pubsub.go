package pipeline

import (
	"context"
	"fmt"
	"reflect"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/typex"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"google.golang.org/protobuf/proto"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

func init() {
	beam.RegisterDoFn(&nativeFn{})
	register.Emitter1[*Message]()
}

// pubsubReadURN is Beam's name of the read that the runner itself does. The
// transform is put together here because the SDK's pubsubio package comes with
// another version of the Pub/Sub API, and two of them cannot be linked into
// one program.
const pubsubReadURN = "beam:transform:pubsub_read:v1"

// readNative reads a subscription by the runner's own transform. The watermark
// follows the record times, as that of our own reader does, so that "late"
// means the same on every runner.
func readNative(s beam.Scope, p *Plan, subscription int) beam.PCollection {
	s = s.Scope("ReadPubSub")
	payload, err := proto.Marshal(&pipepb.PubSubReadPayload{
		Subscription:       p.Subscriptions[subscription],
		TimestampAttribute: envelope.AttrSourceTime,
		WithAttributes:     true,
	})
	if err != nil {
		panic(fmt.Sprintf("marshal a Pub/Sub read: %v", err)) // no input leads here
	}
	raw := beam.External(s, pubsubReadURN, payload, nil, []beam.FullType{typex.New(reflect.TypeFor[[]byte]())}, false)
	return beam.ParDo(s, &nativeFn{Plan: p, Subscription: subscription}, raw[0])
}

// nativeFn unwraps the messages that the runner has read, and gathers those of
// a bundle. The runner does not tell its watermark; the time of the message's
// own record, less the delay, is a bound of it, for what is unread holds it
// back.
type nativeFn struct {
	Plan         *Plan
	Subscription int

	rt    *runtime
	batch []*Message
}

// Setup finds the run.
func (f *nativeFn) Setup(ctx context.Context) (err error) {
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// StartBundle forgets what a failed bundle may have left.
func (f *nativeFn) StartBundle(context.Context, func(beam.EventTime, *Messages)) { f.batch = nil }

// ProcessElement unwraps a message.
func (f *nativeFn) ProcessElement(ctx context.Context, data []byte, emit func(beam.EventTime, *Messages)) error {
	var pm pubsubpb.PubsubMessage
	if err := proto.Unmarshal(data, &pm); err != nil {
		return fmt.Errorf("read a Pub/Sub message: %w", err)
	}
	for _, m := range newMessages(pm.GetMessageId(), pm.GetData(), pm.GetAttributes(), pm.GetPublishTime().AsTime().UnixMicro(), unknownTime) {
		if m.Source != unknownTime {
			m.Watermark = m.Source - f.Plan.Delay.Microseconds()
		}
		f.batch = append(f.batch, m)
	}
	if len(f.batch) >= pullMessages {
		f.FinishBundle(ctx, emit)
	}
	return nil
}

// FinishBundle hands the messages on.
func (f *nativeFn) FinishBundle(ctx context.Context, emit func(beam.EventTime, *Messages)) {
	if len(f.batch) == 0 {
		return
	}
	f.rt.add(ctx, counterMessages, int64(len(f.batch)))
	batch := &Messages{f.Subscription, f.batch}
	f.batch = nil
	emit(eventTime(batch.least()), batch)
}
