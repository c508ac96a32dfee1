package pipeline

import (
	"slices"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/worker"
)

// Bundles of events, in JSON and in Avro, whose events are also sent twice, in
// bundles and alone: each event counts once in each set, and every delivery is
// in the raw table. (P2, P3)
func TestBundlesThroughThePipeline(t *testing.T) {
	for _, how := range []string{envelope.BundleJSON, envelope.BundleAvro} {
		t.Run(how, func(t *testing.T) {
			p, m := newPlatform(t, 1), newMemory()
			s := rolled(t)
			s.Spec.Sources.Count = 1
			list := sales(5, 900)
			var messages []*pubsubpb.PubsubMessage
			deliveries := 0
			for part := range slices.Chunk(list, 60) {
				sent := append(slices.Clone(part), part[:7]...) // twice within a bundle
				var entries [][]byte
				for _, e := range sent {
					pm := e.message(0)
					entry, err := envelope.AppendBundled(nil, how == envelope.BundleAvro, envelope.Bundled{
						ID: pm.Attributes[envelope.AttrID], Position: pm.Attributes[envelope.AttrPosition], Data: pm.Data,
						EventTime: e.f.scheduled.UnixMilli(), SourceTime: e.f.arrival.UnixMilli()})
					if err != nil {
						t.Fatal(err)
					}
					entries = append(entries, entry)
				}
				bundle := &pubsubpb.PubsubMessage{Data: envelope.AppendBundle(nil, how == envelope.BundleAvro, entries),
					Attributes: map[string]string{envelope.AttrBundle: how, envelope.AttrEventTime: envelope.FormatTime(part[0].f.scheduled)}}
				messages = append(messages, bundle, bundle, part[9].message(0)) // and in another one, and alone
				deliveries += 2*len(sent) + 1
			}
			r := p.start(s, "flights-0", 1, m)
			p.publish(0, messages...)
			r.until("read", func() bool { return m.count("raw_flights") == deliveries })
			r.drained()
			m.same(t, s.Spec.Aggregations[0], rollupsOf(s.Spec.Aggregations[0], list))
			c := r.last().Counters
			if c[worker.CounterBad] != 0 || c[worker.CounterEvents] != int64(deliveries) || c[worker.CounterDuplicates] != int64(deliveries-len(list)) {
				t.Errorf("counters %v, of %d deliveries", c, deliveries)
			}
		})
	}
}
