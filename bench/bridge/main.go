// Command bridge is the benchmark of `kappa bridge`: a Kafka feeds it, a
// counting Pub/Sub server takes what it publishes, each in a process of its
// own, beside two programs in the same run that only fetch and only publish. It
// prints a table and writes out/bench/bridge.json. `make bench-bridge` runs it.
//
// The Kafka is kfake, answering fetches of a topic without end by repeating a
// record batch (bench/internal/vlog). Every id that arrives is checked: after
// each run of the bridge, everything up to the committed offsets has arrived,
// once, and nothing else.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/bridge:", err)
		os.Exit(1)
	}
}

type options struct {
	quick, full      bool
	only             string
	kappa            string
	out              string
	rounds           int
	rate             int
	window           time.Duration
	noRaw            bool
	broker           string
	memory, profiles string
	outage           time.Duration
	partitions       int
	delay            time.Duration
}

func run(ctx context.Context) (err error) {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "one short round of a few cases: for CI")
	flag.BoolVar(&o.full, "full", false, "all cases, and an outage of ten minutes")
	flag.StringVar(&o.only, "case", "", "`name` of the only case to run: passthrough-1k-none, json-100-lz4, …, latency, memory, catchup")
	flag.StringVar(&o.kappa, "bridge", "", "`path` of the kappa to measure (default: built from this module)")
	flag.StringVar(&o.out, "out", "out/bench/bridge.json", "`file` for the results")
	flag.IntVar(&o.rounds, "rounds", 0, "`number` of rounds, instead of the scale's")
	flag.IntVar(&o.rate, "rate", 0, "`records` per second for the latency (default: half of the highest rate of this run)")
	flag.DurationVar(&o.window, "window", 0, "`time` of a measurement, instead of the scale's")
	flag.DurationVar(&o.outage, "outage", 0, "`time` of the outage of the memory case, instead of the scale's")
	flag.StringVar(&o.broker, "broker", "kfake", "kfake, or kafka: a real Apache Kafka, which needs java and mvn")
	flag.BoolVar(&o.noRaw, "no-raw", false, "leave out fetch-only and publish-only")
	flag.StringVar(&o.profiles, "profiles", "", "`folder` for CPU profiles of the measured windows: of fetch-only, publish-only, and of a bridge that serves /debug/pprof/")
	flag.StringVar(&o.memory, "memory", "256MiB", "the bridge's limits.memory")
	flag.IntVar(&o.partitions, "partitions", 16, "`number` of partitions, but for the memory case")
	flag.DurationVar(&o.delay, "delay", 20*time.Millisecond, "`time` before the server answers")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	}

	dir, err := os.MkdirTemp("", "bench-bridge-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{
		bin: dir, work: dir, bridge: o.kappa, partitions: o.partitions, memory: o.memory, delay: o.delay, profiles: o.profiles,
		say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	name := "default"
	switch {
	case o.quick:
		name = "quick"
	case o.full:
		name = "full"
	}
	if b.scale, err = pick(name, &o); err != nil {
		return err
	}
	packages := []string{"bench/feed", "bench/pubsubcount", "bench/rawfetch", "bench/rawpublish", "bench/produce"}
	if o.kappa == "" {
		packages = append(packages, "cmd/kappa")
		b.bridge = filepath.Join(dir, "kappa")
	}
	b.say("building …")
	if err := build(ctx, dir, packages...); err != nil {
		return err
	}
	about := "kfake, repeating"
	switch o.broker {
	case "kfake":
	case "kafka":
		b.say("starting Apache Kafka …")
		if b.kafka, err = apacheKafka(ctx); err != nil {
			return err
		}
		defer b.kafka.Close()
		about = fmt.Sprintf("Apache Kafka, %d brokers", b.kafka.Size())
	default:
		return fmt.Errorf("-broker %s: it is kfake or kafka", o.broker)
	}
	r := &result{Version: 1, Started: time.Now().UTC(), Scale: name, Broker: about, Machine: thisMachine(),
		Partitions: o.partitions, Memory: o.memory, ServerDelay: o.delay.Seconds() * 1e3}
	failed := b.all(ctx, r, &o)
	if failed != nil {
		r.Failed = failed.Error() // what was measured before is still worth having
	}
	r.Seconds = time.Since(r.Started).Seconds()
	r.judge()
	return errors.Join(failed, write(o.out, r), r.print(os.Stdout))
}

// pick is the scale of a name, as the options change it.
func pick(name string, o *options) (scale, error) {
	s := scales()[name]
	if o.rounds > 0 {
		s.rounds = o.rounds
	}
	if o.window > 0 {
		s.window = o.window
	}
	if o.outage > 0 {
		s.outage = o.outage
	}
	switch o.only {
	case "":
		return s, nil
	case "latency":
		s.outage, s.catchup = 0, 0
		s.groups = []group{{1000, "none", []string{passthrough}}}
		return s, nil
	case "memory":
		s.groups, s.latency, s.catchup = nil, 0, 0
		return s, nil
	case "catchup":
		s.groups, s.latency, s.outage = nil, 0, 0
		return s, nil
	}
	return s.only(o.only)
}

// all runs everything that the scale asks for.
func (b *bench) all(ctx context.Context, r *result, o *options) error {
	highest := 0.0
	for _, g := range b.groups {
		got, err := b.group(ctx, g, !o.noRaw)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name(), err)
		}
		r.Groups = append(r.Groups, got)
		if g.size == 1000 && g.compression == "none" {
			highest = got.Cases[0].Rate.Max
		}
	}
	if b.latency > 0 {
		rate := o.rate
		if rate == 0 {
			rate = int(highest / 2)
		}
		b.say("latency at %d records/s …", rate)
		var err error
		if r.Latency, err = b.measureLatency(ctx, rate); err != nil {
			return fmt.Errorf("latency: %w", err)
		}
	}
	if b.outage > 0 {
		b.say("memory, with an outage of %s …", b.outage)
		var err error
		if r.Outage, err = b.measureMemory(ctx); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	if b.catchup > 0 {
		b.say("catch-up …")
		var err error
		if r.Catchup, err = b.measureCatchup(ctx, b.catchup); err != nil {
			return fmt.Errorf("catch-up: %w", err)
		}
	}
	return ctx.Err()
}

// group runs the cases of a group and the raw programs, interleaved.
func (b *bench) group(ctx context.Context, g group, raw bool) (groupResult, error) {
	out := groupResult{RecordBytes: g.size, Compression: g.compression}
	feeds := make(map[string]*broker)
	for _, t := range g.transforms {
		f := format(t)
		if feeds[f] != nil {
			continue
		}
		k, err := b.open(ctx, records{partitions: b.partitions, size: g.size, format: f, compression: g.compression})
		if err != nil {
			return out, err
		}
		defer k.close()
		feeds[f] = k
	}
	first := feeds[format(g.transforms[0])]
	out.BatchBytes = first.feed.BatchBytes
	var fetches, publishes []sample
	runs := make(map[string][]bridgeSample)
	for round := range b.rounds {
		b.say("%s, round %d of %d …", g.name(), round+1, b.rounds)
		if raw {
			f, err := b.fetch(ctx, first)
			if err != nil {
				return out, err
			}
			p, err := b.publish(ctx, g.size)
			if err != nil {
				return out, err
			}
			fetches, publishes = append(fetches, f), append(publishes, p)
		}
		for _, t := range g.transforms {
			m, err := b.measure(ctx, feeds[format(t)], t, g.size)
			if err != nil {
				return out, fmt.Errorf("%s: %w", t, err)
			}
			runs[t] = append(runs[t], m)
		}
	}
	out.Fetch, out.Publish = rawOf(fetches), rawOf(publishes)
	for _, t := range g.transforms {
		out.Cases = append(out.Cases, caseOf(g, t, runs[t]))
	}
	out.compare()
	return out, nil
}

func write(file string, r *result) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
