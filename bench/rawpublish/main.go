// Command rawpublish publishes messages from memory by the cheapest way there
// is: a request encoded by hand into a pooled buffer and passed to gRPC as
// bytes. It prints one line of JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/kappa-migrate/kappa/bench/internal/codec"
	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/bench/internal/profile"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/bench/internal/wire"
	"github.com/kappa-migrate/kappa/internal/child"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rawpublish:", err)
		os.Exit(1)
	}
}

type options struct {
	addr        string
	topic       string
	hash        uint64
	partitions  int
	size        int
	maxBytes    int
	maxMessages int
	conns       int
	inFlight    int
	warm        time.Duration
	window      time.Duration
	writeBuffer int
	cpuProfile  string
}

func run() (err error) {
	var o options
	flag.StringVar(&o.addr, "addr", "", "`host:port` of the server")
	flag.StringVar(&o.topic, "topic", "projects/kappa-bench/topics/raw-0", "`name` of the topic")
	hash := flag.String("hash", "0", "40 bits in `hex`, for the ids")
	flag.IntVar(&o.partitions, "partitions", 16, "`number` of partitions that the ids name")
	flag.IntVar(&o.size, "size", 1000, "`bytes` of a message's data")
	flag.IntVar(&o.maxBytes, "max-bytes", 1<<20, "`bytes` of a request")
	flag.IntVar(&o.maxMessages, "max-messages", 1000, "`messages` of a request")
	flag.IntVar(&o.conns, "conns", 2, "`connections`")
	flag.IntVar(&o.inFlight, "in-flight", 32, "`requests` at once")
	flag.DurationVar(&o.warm, "warm", 500*time.Millisecond, "`time` before the measurement")
	flag.DurationVar(&o.window, "window", 2*time.Second, "`time` of the measurement")
	flag.IntVar(&o.writeBuffer, "write-buffer", 32<<10, "`bytes` of a connection's write buffer")
	flag.StringVar(&o.cpuProfile, "cpuprofile", "", "`file` for a CPU profile")
	flag.Parse()
	if o.hash, err = strconv.ParseUint(*hash, 16, 40); err != nil {
		return fmt.Errorf("-hash: %w", err)
	}
	stop, err := profile.Start(o.cpuProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return publish(child.WithParent(context.Background()), &o)
}

func publish(ctx context.Context, o *options) error {
	events, err := event.Make(event.JSON, max(o.size, 80), 256)
	if err != nil {
		return err
	}
	for i := range events {
		events[i].Value = events[i].Value[:o.size]
	}
	var conns []*grpc.ClientConn
	for range o.conns {
		conn, err := grpc.NewClient("passthrough:///"+o.addr,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.Codec{})),
			grpc.WithWriteBufferSize(o.writeBuffer))
		if err != nil {
			return err
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var acked atomic.Int64
	offsets := make([]atomic.Int64, o.partitions)
	for i := range o.inFlight {
		wg.Go(func() {
			s := sender{o: o, conn: conns[i%len(conns)], events: events, partition: i % o.partitions}
			s.offset = &offsets[s.partition]
			for ctx.Err() == nil {
				n, err := s.send(ctx)
				if err != nil && ctx.Err() == nil {
					cancel(err)
				}
				acked.Add(int64(n))
			}
		})
	}
	proc.Wait(ctx, o.warm)
	n0, t0 := acked.Load(), time.Now()
	c0, _ := proc.Own()
	proc.Wait(ctx, o.window)
	c1, peak := proc.Own()
	n := acked.Load() - n0
	seconds := time.Since(t0).Seconds()
	cancel(nil)
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return report.Print(report.Raw{Records: n, Bytes: n * int64(o.size), Seconds: seconds, CPUSeconds: (c1 - c0).Seconds(), PeakRSS: peak})
}

// sender publishes requests of one partition, one after the other.
type sender struct {
	o         *options
	conn      *grpc.ClientConn
	events    []event.Event
	partition int
	offset    *atomic.Int64
}

// around is more than what a message takes beside its data.
const around = 320

func (s *sender) send(ctx context.Context) (int, error) {
	n := min(s.o.maxMessages, max(s.o.maxBytes/(s.o.size+around), 1))
	buf := codec.Pool.Get(n * (s.o.size + around))
	r := wire.Begin(*buf, s.o.topic)
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	at := wire.Position{Hash: s.o.hash, Partition: s.partition, Prefix: "kfake-cluster/bench/" + strconv.Itoa(s.partition) + "/", Time: now, Bridge: "bench/v0.0.0"}
	first := s.offset.Add(int64(n)) - int64(n)
	for i := range n {
		r.Add(&at, first+int64(i), s.events[i%len(s.events)].Value)
	}
	*buf = r.Bytes
	b := codec.Bytes{Out: mem.BufferSlice{mem.NewBuffer(buf, &codec.Pool)}}
	if err := s.conn.Invoke(ctx, "/google.pubsub.v1.Publisher/Publish", &b, &b); err != nil {
		return 0, err
	}
	got := b.In.Len()
	b.In.Free()
	if got != wire.ResponseSize(n) {
		return 0, fmt.Errorf("%d messages were sent, the answer has %d bytes", n, got)
	}
	return n, nil
}
