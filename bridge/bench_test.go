package bridge

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkBridge is the whole bridge, from a Kafka in memory to a Pub/Sub
// server that takes everything: one operation is one record of 1 KB. Both
// servers run in this process and cost more than the bridge, so the number
// says how the bridge changes, not how fast it is.
func BenchmarkBridge(b *testing.B) {
	kafka := newKafka(b, 6, "in")
	f := newFakePubSub(b, outTopics(6)...)
	f.discard = true
	p := producer(b, kafka, kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 1000)
	batch := make([]*kgo.Record, 0, 1000)
	for i := range b.N {
		batch = append(batch, &kgo.Record{Topic: "in", Partition: int32(i % 6), Key: fmt.Append(nil, i%1000), Value: value, Timestamp: recordTime})
		if len(batch) == cap(batch) || i == b.N-1 {
			produce(b, p, batch...)
			batch = batch[:0]
		}
	}
	spec := testSpec(kafka.ListenAddrs(), 6)
	spec.Spec.Limits.Memory = 256 << 20
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	b.ResetTimer()
	r := start(b, testConfig(b, spec, f))
	for r.stats.published.Load() < int64(b.N) {
		<-time.After(time.Millisecond)
	}
	b.StopTimer()
	if err := r.halt(); err != nil {
		b.Fatal(err)
	}
}
