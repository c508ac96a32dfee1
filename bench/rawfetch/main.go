// Command rawfetch reads a Kafka topic with franz-go and does nothing with it:
// what a record costs at least to read. It prints one line of JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/bench/internal/profile"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/internal/child"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rawfetch:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	brokers := flag.String("brokers", "", "`addresses`, separated by commas")
	topic := flag.String("topic", "bench", "`name` of the topic")
	warm := flag.Duration("warm", 500*time.Millisecond, "`time` before the measurement")
	window := flag.Duration("window", 2*time.Second, "`time` of the measurement, if the topic does not end before")
	end := flag.Int64("end", 0, "`records` to stop at; 0: none")
	partitionBytes := flag.Int("partition-bytes", 8<<20, "`bytes` of one partition in a fetch")
	fetchBytes := flag.Int("fetch-bytes", 16<<20, "`bytes` of a fetch")
	fetches := flag.Int("fetches", 2, "concurrent `fetches`")
	latency := flag.Bool("latency", false, "measure the time from a record's timestamp to when it was read")
	cpuProfile := flag.String("cpuprofile", "", "`file` for a CPU profile")
	flag.Parse()
	stop, err := profile.Start(*cpuProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	ctx := child.WithParent(context.Background())
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*brokers, ",")...),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxPartitionBytes(int32(*partitionBytes)),
		kgo.FetchMaxBytes(int32(*fetchBytes)),
		kgo.MaxConcurrentFetches(*fetches),
		kgo.FetchMaxWait(500*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	var records, bytes atomic.Int64
	var latencies count.Latencies
	ctx, done := context.WithCancel(ctx)
	defer done()
	measured := make(chan report.Raw, 1)
	started := make(chan struct{})
	go func() {
		<-started
		proc.Wait(ctx, *warm)
		r0, b0, t0 := records.Load(), bytes.Load(), time.Now()
		c0, _ := proc.Own()
		latencies.Reset()
		proc.Wait(ctx, *window)
		c1, peak := proc.Own()
		measured <- report.Raw{
			Records: records.Load() - r0, Bytes: bytes.Load() - b0, Seconds: time.Since(t0).Seconds(),
			CPUSeconds: (c1 - c0).Seconds(), PeakRSS: peak, Latency: latencies.Percentiles(),
		}
		done()
	}()
	for first := true; ctx.Err() == nil; {
		fetches := client.PollFetches(ctx)
		for _, fe := range fetches.Errors() {
			if !errors.Is(fe.Err, context.Canceled) {
				return fmt.Errorf("read %s/%d: %w", fe.Topic, fe.Partition, fe.Err)
			}
		}
		var n, size int64
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			n++
			size += int64(len(r.Value))
			if *latency {
				latencies.Add(now.Sub(r.Timestamp), 1)
			}
		})
		if n > 0 && first {
			first = false
			close(started)
		}
		bytes.Add(size)
		if total := records.Add(n); *end > 0 && total >= *end {
			done()
		}
	}
	select {
	case r := <-measured:
		return report.Print(r)
	case <-time.After(time.Second):
		return errors.New("nothing was read")
	}
}
