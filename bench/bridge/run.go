package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/internal/apachekafka"
)

// bench is a run of the benchmark.
type bench struct {
	scale
	bin        string // folder of the built programs
	work       string // folder for specs
	bridge     string // the kappa that is measured
	partitions int
	memory     string
	delay      time.Duration
	profiles   string               // folder for CPU profiles; empty: none
	kafka      *apachekafka.Cluster // nil: Kafka in memory
	topics     int                  // of kafka, so far
	runs       int                  // of the bridge, so far
	say        func(format string, args ...any)
}

// sample is one run of one program.
type sample struct {
	cpu     float64 // µs per record
	rate    float64 // records/s
	mb      float64 // MB/s of values read
	peakRSS int64
}

func rawSample(r report.Raw) (sample, error) {
	if r.Records == 0 || r.Seconds <= 0 {
		return sample{}, errors.New("no records in the window")
	}
	n := float64(r.Records)
	return sample{cpu: r.CPUSeconds / n * 1e6, rate: n / r.Seconds, mb: float64(r.Bytes) / r.Seconds / 1e6, peakRSS: r.PeakRSS}, nil
}

// fetch runs rawfetch.
func (b *bench) fetch(ctx context.Context, k *broker) (sample, error) {
	p, err := b.start("rawfetch", nil, "-brokers", strings.Join(k.feed.Brokers, ","), "-topic", k.topic,
		"-warm", b.warm.String(), "-window", b.window.String(), "-end", strconv.FormatInt(k.limit, 10), "-cpuprofile", b.profile("rawfetch"))
	if err != nil {
		return sample{}, err
	}
	var r report.Raw
	if err := p.result(ctx, &r, b.warm+b.window+30*time.Second); err != nil {
		return sample{}, err
	}
	return rawSample(r)
}

// publish runs rawpublish against a server of its own.
func (b *bench) publish(ctx context.Context, size int) (sample, error) {
	s, err := b.server(ctx, count.Expect{Hash: 0, Partitions: b.partitions})
	if err != nil {
		return sample{}, err
	}
	defer s.close()
	p, err := b.start("rawpublish", nil, "-addr", s.PubSub, "-size", strconv.Itoa(size), "-partitions", strconv.Itoa(b.partitions),
		"-warm", b.warm.String(), "-window", b.window.String(), "-cpuprofile", b.profile("rawpublish"))
	if err != nil {
		return sample{}, err
	}
	var r report.Raw
	if err := p.result(ctx, &r, b.warm+b.window+30*time.Second); err != nil {
		return sample{}, err
	}
	stats, err := s.stats(ctx)
	if err != nil {
		return sample{}, err
	}
	if stats.Bad > 0 {
		return sample{}, fmt.Errorf("%d messages of rawpublish have no valid id", stats.Bad)
	}
	return rawSample(r)
}

// server is a running pubsubcount.
type server struct {
	*program
	report.Server
}

func (b *bench) server(ctx context.Context, e count.Expect, args ...string) (*server, error) {
	var offsets []string
	for o := range e.Filtered {
		offsets = append(offsets, strconv.FormatInt(o, 10))
	}
	p, err := b.start("pubsubcount", nil, append([]string{
		"-hash", strconv.FormatUint(e.Hash, 16), "-partitions", strconv.Itoa(e.Partitions),
		"-period", strconv.FormatInt(e.Period, 10), "-filtered", strings.Join(offsets, ","), "-delay", b.delay.String(),
	}, args...)...)
	if err != nil {
		return nil, err
	}
	s := &server{program: p}
	if err := p.read(ctx, &s.Server, 30*time.Second); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *server) close() { _ = s.stop(5 * time.Second) }

func (s *server) stats(ctx context.Context) (r report.Stats, err error) {
	err = call(ctx, "GET", s.Control+"/stats", nil, &r)
	return r, err
}

// until polls the server's statistics until done or the deadline.
func (s *server) until(ctx context.Context, what string, within time.Duration, bridge *program, done func(report.Stats) bool) (report.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		r, err := s.stats(ctx)
		if err != nil {
			return r, err
		}
		if done(r) {
			return r, nil
		}
		select {
		case <-bridge.Done():
			return r, bridge.failed(fmt.Errorf("it ended while waiting for %s", what))
		case <-ctx.Done():
			return r, bridge.failed(fmt.Errorf("waited in vain for %s: %d messages so far, %d requests refused", what, r.Messages, r.Refused))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// running is a bridge between a broker and a server.
type running struct {
	*program
	k         *broker
	s         *server
	transform string
	group     string
	listen    string
}

// run starts a bridge with a consumer group of its own.
func (b *bench) run(ctx context.Context, k *broker, transform string, size int, serverArgs ...string) (*running, error) {
	b.runs++
	r := &running{k: k, transform: transform, group: b.consumerGroup()}
	e := count.Expect{Hash: k.hash, Partitions: k.partitions, Period: k.feed.Period, Filtered: make(map[int64]bool)}
	for _, o := range filtered(transform, k.feed.Period) {
		e.Filtered[o] = true
	}
	file, err := b.specFile(k, transform, size)
	if err != nil {
		return nil, err
	}
	if r.s, err = b.server(ctx, e, serverArgs...); err != nil {
		return nil, err
	}
	r.program, err = b.start(b.bridge, []string{"PUBSUB_EMULATOR_HOST=" + r.s.PubSub},
		"bridge", "run", "-f", file, "--instance-id", "", "--output", "json", "--exit-with-parent")
	if err != nil {
		r.s.close()
		return nil, err
	}
	var address struct {
		Listen string `json:"listen"`
	}
	if err := r.read(ctx, &address, 30*time.Second); err != nil {
		r.close()
		return nil, err
	}
	r.listen = address.Listen
	return r, nil
}

// consumerGroup is that of the current run.
func (b *bench) consumerGroup() string { return fmt.Sprintf("bench-%d", b.runs) }

// specFile writes the spec of the current run's bridge.
func (b *bench) specFile(k *broker, transform string, size int) (string, error) {
	spec := bridgeSpec{brokers: k.feed.Brokers, topic: k.topic, group: b.consumerGroup(), transform: transform, size: size, memory: b.memory}
	if format(transform) == event.Avro {
		spec.schema = filepath.Join(b.work, fmt.Sprintf("event-%d.avsc", size))
		if err := os.WriteFile(spec.schema, []byte(event.Schema(size)), 0o600); err != nil {
			return "", err
		}
	}
	file := filepath.Join(b.work, b.consumerGroup()+".yaml")
	return file, os.WriteFile(file, []byte(spec.text()), 0o600)
}

func (r *running) close() {
	_ = r.stop(30 * time.Second)
	r.s.close()
}

// finish stops the bridge and checks that every record up to the committed
// offsets arrived once, and nothing else.
func (r *running) finish(ctx context.Context) (count.Report, error) {
	var got count.Report
	if err := r.stop(60 * time.Second); err != nil {
		return got, err
	}
	ends, err := r.k.committed(ctx, r.group)
	if err != nil {
		return got, err
	}
	if err := call(ctx, "POST", r.s.Control+"/check", ends, &got); err != nil {
		return got, err
	}
	stats, err := r.s.stats(ctx)
	if err != nil {
		return got, err
	}
	if got.Missing > 0 || got.Unexpected > 0 || got.Duplicates > 0 || stats.Bad > 0 {
		return got, fmt.Errorf("ids are wrong: %d missing, %d duplicates, %d unexpected, %d without a valid id: %s",
			got.Missing, got.Duplicates, got.Unexpected, stats.Bad, strings.Join(got.Examples, "; "))
	}
	return got, nil
}

// bridgeSample is a run of the bridge.
type bridgeSample struct {
	sample
	messages   float64 // per second
	serverCPU  float64 // µs per message
	dataBytes  float64 // per message
	perRequest float64 // messages
	ackP50     float64 // ms from the poll of a request's first record to its acknowledgement
	ackP99     float64
	ids        count.Report
}

// measure runs a bridge and measures it in a window.
func (b *bench) measure(ctx context.Context, k *broker, transform string, size int) (bridgeSample, error) {
	var m bridgeSample
	r, err := b.run(ctx, k, transform, size)
	if err != nil {
		return m, err
	}
	defer r.close()
	if _, err := r.s.until(ctx, "the first messages", 60*time.Second, r.program, func(s report.Stats) bool { return s.Messages > 0 }); err != nil {
		return m, err
	}
	if err := r.pass(ctx, b.warm, k.limit/8); err != nil {
		return m, err
	}
	u0, s0, t0, err := r.observe(ctx)
	if err != nil {
		return m, err
	}
	acks, err := r.acks(ctx)
	if err != nil {
		return m, r.failed(err)
	}
	if err := b.profiled(ctx, r); err != nil {
		return m, err
	}
	u1, s1, t1, err := r.observe(ctx)
	if err != nil {
		return m, err
	}
	later, err := r.acks(ctx)
	if err != nil {
		return m, r.failed(err)
	}
	acks = later.since(acks)
	m.ackP50, m.ackP99 = acks.quantile(0.5), acks.quantile(0.99)
	messages := float64(s1.Messages - s0.Messages)
	if messages == 0 {
		return m, r.failed(errors.New("no messages in the window"))
	}
	// Records are what the bridge read; the filter drops some of them.
	records := messages
	if period := float64(k.feed.Period); period > 0 {
		records *= period / (period - float64(len(filtered(transform, k.feed.Period))))
	}
	seconds := t1.Sub(t0).Seconds()
	m.cpu = (u1.CPU - u0.CPU).Seconds() / records * 1e6
	m.rate = records / seconds
	m.mb = records * float64(size) / seconds / 1e6
	m.peakRSS = u1.PeakRSS
	m.messages = messages / seconds
	m.serverCPU = (s1.CPUSeconds - s0.CPUSeconds) / messages * 1e6
	m.dataBytes = float64(s1.DataBytes-s0.DataBytes) / messages
	m.perRequest = messages / max(1, float64(s1.Requests-s0.Requests))
	m.ids, err = r.finish(ctx)
	return m, err
}

// pass waits for d, or until the server has taken so many messages, if the topic
// has an end.
func (r *running) pass(ctx context.Context, d time.Duration, messages int64) error {
	end := time.Now().Add(d)
	for {
		left := time.Until(end)
		if r.k.limit > 0 {
			left = min(left, 20*time.Millisecond)
		}
		if left <= 0 || !proc.Wait(ctx, left) {
			return ctx.Err()
		}
		if r.k.limit == 0 {
			continue
		}
		if s, err := r.s.stats(ctx); err != nil || s.Messages >= messages {
			return err
		}
	}
}

// observe reads what the bridge has used and the server has taken.
func (r *running) observe(ctx context.Context) (proc.Usage, report.Stats, time.Time, error) {
	s, err := r.s.stats(ctx)
	if err != nil {
		return proc.Usage{}, s, time.Time{}, err
	}
	now := time.Now()
	u, err := proc.Of(r.Pid())
	if err != nil {
		err = r.failed(err)
	}
	return u, s, now, err
}

// profile is the file for a program's CPU profile, empty for none.
func (b *bench) profile(name string) string {
	if b.profiles == "" {
		return ""
	}
	return filepath.Join(b.profiles, name+".pprof")
}

// profiled waits for the window, and takes a CPU profile of the bridge in it
// if that was asked for and the bridge serves one.
func (b *bench) profiled(ctx context.Context, r *running) error {
	if b.profiles == "" {
		return r.pass(ctx, b.window, r.k.limit*7/8)
	}
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", r.listen, max(1, int(b.window.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.say("no profile of the bridge: %s answers %s", url, resp.Status)
		proc.Wait(ctx, b.window)
		return nil
	}
	f, err := os.Create(b.profile("bridge-" + r.transform))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
