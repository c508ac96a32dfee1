package vlog

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/bench/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, cfg Config) (*Log, *kgo.Client) {
	t.Helper()
	events, err := event.Make(event.JSON, 200, 50)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Topic, cfg.Events = "in", events
	l, err := Serve(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	c, err := kgo.NewClient(kgo.SeedBrokers(l.Addrs()...), kgo.ConsumeTopics("in"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200*time.Millisecond), kgo.FetchMaxPartitionBytes(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return l, c
}

// read reads until n records of each partition are there and checks them.
func read(t *testing.T, c *kgo.Client, l *Log, n int64) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next := make([]int64, l.cfg.Partitions)
	var all []*kgo.Record
	for done := 0; done < len(next); {
		fetches := c.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			t.Fatalf("%v; so far %v", errs, next)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			want := l.cfg.Events[r.Offset%l.Period()]
			if r.Offset != next[r.Partition] || string(r.Value) != string(want.Value) || string(r.Key) != string(want.Key) || r.LeaderEpoch != l.epoch {
				t.Fatalf("%d/%d, epoch %d: expected offset %d and %s, got %s", r.Partition, r.Offset, r.LeaderEpoch, next[r.Partition], want.Value, r.Value)
			}
			next[r.Partition]++
			all = append(all, r)
			if next[r.Partition] == n {
				done++
			}
		})
	}
	return all
}

func TestEveryCompressionIsRead(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			l, c := serve(t, Config{Partitions: 3, Brokers: 2, Compression: compression})
			read(t, c, l, 5000)
		})
	}
}

func TestEnd(t *testing.T) {
	l, c := serve(t, Config{Partitions: 2, Brokers: 2, Compression: "lz4", Ends: []int64{500, 480}})
	got := read(t, c, l, 500)
	if len(got) != 1000 {
		t.Fatalf("%d records", len(got))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if more := c.PollFetches(ctx); more.NumRecords() > 0 {
		t.Errorf("%d records beyond the end", more.NumRecords())
	}
	admin := kadm.NewClient(c)
	dirs, err := admin.DescribeAllLogDirs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) { seen[p.Partition] += p.Size })
	})
	size := int64(10 * l.BatchBytes())
	if diff := cmp.Diff(map[int32]int64{0: size, 1: size}, seen); diff != "" {
		t.Errorf("sizes of the partitions: %s", diff)
	}
	for what, f := range map[string]func(context.Context, ...string) (kadm.ListedOffsets, error){"0": admin.ListStartOffsets, "500": admin.ListCommittedOffsets} {
		offsets, err := f(t.Context(), "in")
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{"0": 0, "500": 500}[what]
		offsets.Each(func(o kadm.ListedOffset) {
			if o.Err != nil || o.Offset != want {
				t.Errorf("partition %d is listed at %d (%v), want %d", o.Partition, o.Offset, o.Err, want)
			}
		})
	}
}

// TestPace: records carry the time at which they can be read, and cannot be
// read before.
func TestPace(t *testing.T) {
	begun := time.Now().UnixMilli()
	l, c := serve(t, Config{Partitions: 2, Brokers: 2, Compression: "none", Rate: 4000})
	if l.Period() != 2 || l.tick != time.Millisecond {
		t.Fatalf("batches of %d every %v", l.Period(), l.tick)
	}
	last := make([]int64, 2)
	got := read(t, c, l, 400)
	now := time.Now().UnixMilli()
	for _, r := range got {
		at := r.Timestamp.UnixMilli()
		if at < begun || at > now || at < last[r.Partition] {
			t.Fatalf("%d/%d has time %d; it is between %d and %d", r.Partition, r.Offset, at, begun, now)
		}
		last[r.Partition] = at
	}
	if d := last[0] - got[0].Timestamp.UnixMilli(); d < 199 {
		t.Errorf("400 records in %d ms", d)
	}
	offsets, err := kadm.NewClient(c).ListOffsetsAfterMilli(t.Context(), got[0].Timestamp.UnixMilli()+10, "in")
	if err != nil {
		t.Fatal(err)
	}
	if o, _ := offsets.Lookup("in", 0); o.Offset != 20 {
		t.Errorf("the first record 10 ms later is %d", o.Offset)
	}
}

func TestPaceOfRates(t *testing.T) {
	type got struct {
		Tick    time.Duration
		Records int64
	}
	for _, c := range []struct {
		rate, partitions int
		want             got
	}{
		{160_000, 16, got{time.Millisecond, 10}},
		{16_000, 16, got{time.Millisecond, 1}},
		{8_000, 16, got{2 * time.Millisecond, 1}},
		{100, 1, got{10 * time.Millisecond, 1}},
	} {
		tick, records := pace(c.rate, c.partitions)
		if diff := cmp.Diff(c.want, got{tick, records}); diff != "" {
			t.Errorf("%d over %d: %s", c.rate, c.partitions, diff)
		}
	}
}

func TestBadConfigs(t *testing.T) {
	events, err := event.Make(event.JSON, 200, 10)
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Topic: "in", Partitions: 1, Brokers: 1, Events: events, Compression: "none"}
	for name, change := range map[string]func(*Config){
		"no partitions":      func(c *Config) { c.Partitions = 0 },
		"no events":          func(c *Config) { c.Events = nil },
		"compression":        func(c *Config) { c.Compression = "rar" },
		"paced and lz4":      func(c *Config) { c.Compression, c.Rate = "lz4", 10 },
		"too many ends":      func(c *Config) { c.Ends = []int64{10, 20} },
		"too few for a tick": func(c *Config) { c.Rate = 100_000 },
	} {
		cfg := good
		change(&cfg)
		if l, err := Serve(cfg); err == nil {
			l.Close()
			t.Errorf("%s: served", name)
		}
	}
}
