package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/bench/internal/wire"
)

// records is what a topic holds.
type records struct {
	partitions  int
	size        int
	format      string
	compression string
	rate        int     // records per second that arrive; 0: all are there
	ends        []int64 // of the partitions; nil: no end, or as many as fit
	fill        int64   // bytes of a topic of Apache Kafka; 0: fillBytes
	vary        bool    // sizes between half of size and one and a half of it
}

// events are those that the topic repeats.
func (r records) events() ([]event.Event, error) {
	if r.vary {
		return event.Vary(r.format, r.size, event.PerBatch(r.size))
	}
	return event.Make(r.format, r.size, event.PerBatch(r.size))
}

// broker is a Kafka with the topic of a group of cases.
type broker struct {
	*program          // that feeds it; nil if none does
	remove     func() // removes the topic; nil if it goes with the program
	limit      int64  // records of the topic; 0: it has no end
	topic      string
	feed       report.Feed
	partitions int
	hash       uint64 // wire.TopicHash of the topic
	admin      *kadm.Client
}

// feed starts a Kafka in memory.
func (b *bench) feed(ctx context.Context, r records) (*broker, error) {
	k := &broker{topic: "bench-" + r.format, partitions: r.partitions}
	var ends []string
	for _, end := range r.ends {
		ends = append(ends, strconv.FormatInt(end, 10))
	}
	p, err := b.start("feed", nil, "-topic", k.topic, "-partitions", strconv.Itoa(r.partitions), "-size", strconv.Itoa(r.size),
		"-format", r.format, "-compression", r.compression, "-rate", strconv.Itoa(r.rate), "-ends", strings.Join(ends, ","), fmt.Sprintf("-vary=%t", r.vary))
	if err != nil {
		return nil, err
	}
	k.program = p
	if err := p.read(ctx, &k.feed, 30*time.Second); err != nil {
		k.close()
		return nil, err
	}
	if err := k.dial(); err != nil {
		k.close()
		return nil, err
	}
	if err := k.identify(ctx); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

func (k *broker) dial() error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.feed.Brokers...))
	if err != nil {
		return err
	}
	k.admin = kadm.NewClient(client)
	return nil
}

// identify finds out what the ids of the topic's records begin with.
func (k *broker) identify(ctx context.Context) error {
	meta, err := k.admin.Metadata(ctx, k.topic)
	if err == nil {
		err = meta.Topics.Error()
	}
	if err != nil {
		return fmt.Errorf("read the metadata of the topic: %w", err)
	}
	k.hash = wire.TopicHash(meta.Cluster, meta.Topics[k.topic].ID)
	return nil
}

func (k *broker) close() {
	if k.program != nil {
		_ = k.stop(5 * time.Second)
	}
	if k.remove != nil {
		k.remove()
	}
	if k.admin != nil {
		k.admin.Close()
	}
}

// committed returns the committed offset of every partition of the topic, 0
// where there is none.
func (k *broker) committed(ctx context.Context, group string) ([]int64, error) {
	offsets, err := k.admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("read the committed offsets: %w", err)
	}
	ends := make([]int64, k.partitions)
	for p := range ends {
		if o, ok := offsets.Lookup(k.topic, int32(p)); ok && o.Err == nil {
			ends[p] = o.At
		}
	}
	if slices.Max(ends) == 0 {
		return nil, fmt.Errorf("group %s has committed nothing", group)
	}
	return ends, nil
}
