package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/internal/apachekafka"
)

const (
	kafkaBrokers = 2 // so that a client fetches from two at once
	// fillBytes is how many bytes of values a topic of Apache Kafka gets: more
	// than what a window takes, and less than the page cache holds.
	fillBytes = 1 << 30
	maxFill   = 4_000_000 // records
)

// apacheKafka starts Apache Kafka, tuned for throughput.
func apacheKafka(ctx context.Context) (*apachekafka.Cluster, error) {
	c, err := apachekafka.Start(ctx, apachekafka.Config{
		Brokers: kafkaBrokers,
		JVM:     []string{"-Xms1g", "-Xmx1g", "-XX:+UseG1GC"},
		Properties: map[string]string{
			"num.network.threads":              "3",
			"num.io.threads":                   "4",
			"socket.send.buffer.bytes":         "1048576",
			"socket.receive.buffer.bytes":      "1048576",
			"log.segment.bytes":                "268435456",
			"offsets.topic.replication.factor": "1",
		},
	})
	if err != nil {
		return nil, err
	}
	if err := coordinated(ctx, c.Addrs(apachekafka.Plaintext)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// coordinated waits until consumer groups have a coordinator: the first one of a
// new cluster waits for the topic that holds offsets, which is not measured.
func coordinated(ctx context.Context, addrs []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := kadm.NewClient(client).FetchOffsets(ctx, "bench")
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		if !proc.Wait(ctx, 100*time.Millisecond) {
			return fmt.Errorf("wait for a group coordinator: %w", err)
		}
	}
}

// open makes the topic that a group of cases reads.
func (b *bench) open(ctx context.Context, r records) (*broker, error) {
	if b.kafka == nil {
		return b.feed(ctx, r)
	}
	b.topics++
	k := &broker{topic: fmt.Sprintf("bench-%s-%d", r.format, b.topics), partitions: r.partitions}
	k.feed.Brokers = b.kafka.Addrs(apachekafka.Plaintext)
	if err := b.create(ctx, k, r); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// create creates a topic of Apache Kafka and fills it, or begins to.
func (b *bench) create(ctx context.Context, k *broker, r records) error {
	if err := k.dial(); err != nil {
		return err
	}
	created, err := k.admin.CreateTopic(ctx, int32(r.partitions), 1, nil, k.topic)
	if err = errors.Join(err, created.Err); err != nil {
		return fmt.Errorf("create topic %s: %w", k.topic, err)
	}
	k.remove = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = k.admin.DeleteTopics(ctx, k.topic)
	}
	if r.rate > 0 {
		k.program, err = b.start("produce", nil, "-brokers", strings.Join(k.feed.Brokers, ","), "-topic", k.topic,
			"-partitions", strconv.Itoa(r.partitions), "-size", strconv.Itoa(r.size), "-rate", strconv.Itoa(r.rate))
	} else {
		err = k.fill(ctx, r)
	}
	if err != nil {
		return err
	}
	return k.identify(ctx)
}

// fill produces the same records, in the same order, that the Kafka in memory
// repeats.
func (k *broker) fill(ctx context.Context, r records) error {
	events, err := r.events()
	if err != nil {
		return err
	}
	k.feed.Period = int64(len(events))
	codec, err := event.Codec(r.compression)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(k.feed.Brokers...),
		kgo.DefaultProduceTopic(k.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(event.BatchBytes),
		kgo.ProducerLinger(50*time.Millisecond),
		kgo.MaxBufferedRecords(50_000),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ends := r.ends
	if ends == nil {
		if r.fill == 0 {
			r.fill = fillBytes
		}
		each := min(r.fill/int64(r.size), maxFill) / int64(r.partitions)
		for range r.partitions {
			ends = append(ends, each)
		}
	}
	for _, end := range ends {
		k.limit += end
	}
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			cancel(fmt.Errorf("fill topic %s: %w", k.topic, err))
		}
	}
	// A batch of one partition at a time, so that batches fill.
	for offset, left := int64(0), true; left && ctx.Err() == nil; offset += k.feed.Period {
		left = false
		for p, end := range ends {
			for o := offset; o < min(offset+k.feed.Period, end); o++ {
				e := events[o%k.feed.Period]
				client.Produce(ctx, &kgo.Record{Key: e.Key, Value: e.Value, Partition: int32(p)}, done)
			}
			left = left || offset < end
		}
	}
	if err := client.Flush(ctx); err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return context.Cause(ctx)
}
