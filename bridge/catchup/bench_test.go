package catchup

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkCatchup reads a topic of 8 partitions, with as many bytes in each,
// and with 80 % of the bytes in one: the rates should be the same.
func BenchmarkCatchup(b *testing.B) {
	const records, size = 160_000, 1000
	for _, c := range []struct {
		name   string
		shares [8]int // in percent
	}{
		{"even", [8]int{12, 12, 13, 13, 12, 12, 13, 13}},
		{"skewed", [8]int{3, 3, 3, 80, 3, 3, 3, 2}},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			k, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.ClusterID("test-cluster"), kfake.SeedTopics(8, "in"))
			if err != nil {
				b.Fatal(err)
			}
			defer k.Close()
			p, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			value := make([]byte, size)
			for i, share := range c.shares {
				for range records * share / 100 {
					p.Produce(ctx, &kgo.Record{Topic: "in", Partition: int32(i), Value: value}, nil)
				}
			}
			if err := p.Flush(ctx); err != nil {
				b.Fatal(err)
			}
			src := source("main", k, "in")
			b.SetBytes(records * size)
			for b.Loop() {
				b.StopTimer()
				f := newFakePubSub(b)
				f.discard = true
				cfg := DefaultConfig()
				cfg.Sources = []Source{src}
				catchup, err := New(ctx, cfg)
				if err != nil {
					b.Fatal(err)
				}
				plan, err := catchup.Make(ctx, Request{Splits: 16})
				if err != nil {
					b.Fatal(err)
				}
				if plan.Even() > 0.001 {
					b.Fatalf("splits are off by %f", plan.Even())
				}
				if err := catchup.Save(ctx, plan); err != nil {
					b.Fatal(err)
				}
				run := testRun(b, testSpec(src), f)
				run.Bridge.Spec.Spec.Limits.Memory, run.Bridge.Spec.Spec.Limits.BatchBytes, run.Bridge.Spec.Spec.Limits.BatchRecords = 256<<20, 1<<20, 1000
				r, err := catchup.NewRunner(plan, run)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := r.Run(ctx); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if n, _ := f.count(); n != records {
					b.Fatalf("%d messages of %d", n, records)
				}
				if _, err := catchup.Discard(ctx); err != nil {
					b.Fatal(err)
				}
				catchup.Close()
				b.StartTimer()
			}
		})
	}
}
