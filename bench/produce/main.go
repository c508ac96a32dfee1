// Command produce writes records to a Kafka topic at a steady rate, each with
// the time at which it was handed to the client. It ends when its stdin does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/internal/child"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "produce:", err)
		os.Exit(1)
	}
}

func run() error {
	brokers := flag.String("brokers", "", "`addresses`, separated by commas")
	topic := flag.String("topic", "bench", "`name` of the topic")
	partitions := flag.Int("partitions", 16, "`number` of partitions")
	size := flag.Int("size", 1000, "`bytes` of a record's value")
	rate := flag.Int("rate", 10_000, "`records` per second, of all partitions")
	flag.Parse()
	if *rate < 1 || *partitions < 1 {
		return errors.New("-rate and -partitions must be at least 1")
	}
	events, err := event.Make(event.JSON, *size, 256)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.DefaultProduceTopic(*topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(max(*rate, 10_000)), // a second
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(child.WithParent(context.Background()))
	defer cancel(nil)
	p := producer{rate: *rate, partitions: *partitions, events: events, send: func(r *kgo.Record) {
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("produce: %w", err))
			}
		})
	}}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); ; {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); strings.HasPrefix(err.Error(), "produce:") {
				return err
			}
			return nil
		case now := <-tick.C:
			p.until(now.Sub(begun), now)
		}
	}
}

// producer sends the records that are due, to the partitions in turn.
type producer struct {
	rate, partitions int
	events           []event.Event
	send             func(*kgo.Record)
	sent             int64
}

// until sends what is due after d.
func (p *producer) until(d time.Duration, now time.Time) {
	for due := int64(d) * int64(p.rate) / int64(time.Second); p.sent < due; p.sent++ {
		// The n-th record of a partition is event n, so that the topic repeats as
		// the others do.
		e := p.events[p.sent/int64(p.partitions)%int64(len(p.events))]
		p.send(&kgo.Record{Key: e.Key, Value: e.Value, Partition: int32(p.sent % int64(p.partitions)), Timestamp: now})
	}
}
