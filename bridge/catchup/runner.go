package catchup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
)

// RunConfig is what reading a plan needs.
type RunConfig struct {
	Bridge   bridge.Config     // its CommitEvery is how often positions are committed
	Parallel int               // splits that are read at a time
	Listen   func(addr string) // called with the address of /metrics, /livez and /readyz; may be nil

	LookEvery    time.Duration // how often the inflow is measured
	RefreshEvery time.Duration // how often all positions are committed again, so that none expires
}

// DefaultRunConfig returns a RunConfig with everything that has a default.
func DefaultRunConfig() RunConfig {
	return RunConfig{Bridge: bridge.DefaultConfig(), Parallel: 1, LookEvery: 10 * time.Second, RefreshEvery: time.Hour}
}

// Validate reports what is missing or contradicts itself.
func (c *RunConfig) Validate() error {
	switch {
	case c.Parallel < 1:
		return exit.Usagef("--parallel %d: at least 1 is needed", c.Parallel)
	case c.LookEvery <= 0, c.RefreshEvery <= 0:
		return errors.New("catchup: a duration of RunConfig is not positive")
	}
	return c.Bridge.Validate()
}

// Runner reads the splits of a plan; it runs once.
type Runner struct {
	c       *Catchup
	plan    *Plan
	cfg     RunConfig
	bridge  *bridge.Bridge
	log     *slog.Logger
	options map[string][]kgo.Opt
	decode  kgo.Decompressor
	// patience is how long a broker may give nothing of a range before the end of
	// the log is looked up.
	patience time.Duration
	hard     context.Context // done when what is in flight is given up

	mu      sync.Mutex
	active  map[*Range]*bridge.Stretch // read, or read and not committed to the end yet
	stopped []error                    // ranges that cannot be read to their end
	speed   speed
	inflow  *Inflow
}

// NewRunner returns a Runner of a plan that was saved or loaded.
func (c *Catchup) NewRunner(p *Plan, cfg RunConfig) (*Runner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := Refuse(&cfg.Bridge.Spec.Spec); err != nil {
		return nil, err
	}
	b, err := bridge.New(cfg.Bridge)
	if err != nil {
		return nil, err
	}
	return &Runner{
		c: c, plan: p, cfg: cfg, bridge: b, log: cfg.Bridge.Log, options: make(map[string][]kgo.Opt),
		decode: kgo.DefaultDecompressor(), patience: 10 * time.Second, active: make(map[*Range]*bridge.Stretch),
	}, nil
}

// Run reads all splits, several at a time, until all of them are done or ctx is
// done; then it waits, up to limits.drain, for what is in flight, and commits.
// It returns nil if the range was read completely. An error that carries
// exit.Interrupted says that it was told to stop; one that carries
// exit.Environment, that some of the range is gone (rule B3).
func (r *Runner) Run(ctx context.Context) error {
	for _, s := range r.c.cfg.Sources {
		opts, err := kafka.Options(ctx, s.Spec.KafkaCluster)
		if err != nil {
			return err
		}
		r.options[s.Name] = opts
	}
	return r.bridge.Feed(ctx, r.cfg.Listen, r.read)
}

func (r *Runner) read(ctx context.Context, f *bridge.Feed) error {
	hard, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	r.hard = hard
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(r.cfg.Bridge.Spec.Spec.Limits.Drain.D(), abort)
	})
	defer stop()
	r.log.Info("catch-up runs", "plan", r.plan.ID, "splits", len(r.plan.Splits), "parallel", r.cfg.Parallel, "bytes_left", r.plan.Left())

	splits := make(chan *Split)
	var readers, loops sync.WaitGroup
	for range min(r.cfg.Parallel, len(r.plan.Splits)) {
		readers.Go(func() {
			for s := range splits {
				r.split(ctx, f, s)
			}
		})
	}
	loops.Go(func() { r.commitLoop(hard) })
	loops.Go(func() { r.lookLoop(hard) })
	for _, i := range spread(len(r.plan.Splits), r.cfg.Parallel) {
		if s := &r.plan.Splits[i]; !s.Done() {
			select {
			case splits <- s:
				continue
			case <-ctx.Done():
			}
			break
		}
	}
	close(splits)
	readers.Wait()
	left := f.Settle(hard)
	abort()
	loops.Wait()
	if err := r.commit(); err != nil {
		return fmt.Errorf("the last commit failed; what it held is published again, with the same ids, by the next run: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.stopped) > 0:
		return exit.With(exit.Environment, errors.Join(r.stopped...)).
			WithHint("everything else that was planned up to there is read and kept; accept the gap and run kappa bridge catchup again, or drop the plan with --discard")
	case left > 0:
		return exit.With(exit.Interrupted, fmt.Errorf("stopped with %d records not acknowledged within %s; the next run publishes them again", left, r.cfg.Bridge.Spec.Spec.Limits.Drain)).
			WithHint("run the same command again to go on")
	case !r.plan.Done():
		return exit.With(exit.Interrupted, fmt.Errorf("stopped with %d of %d bytes left to read", r.plan.Left(), r.plan.Bytes)).
			WithHint("run the same command again to go on")
	}
	return nil
}

// spread is an order of n splits in which those that are read at the same time
// are far from each other: neighbours mostly lie in one partition, whose leader
// is one broker.
func spread(n, parallel int) []int {
	stride := max((n+parallel-1)/max(parallel, 1), 1)
	var order []int
	for first := range stride {
		for i := first; i < n; i += stride {
			order = append(order, i)
		}
	}
	return order
}

// commitLoop commits what is done, until ctx is done.
func (r *Runner) commitLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Bridge.CommitEvery)
	defer tick.Stop()
	refreshed := time.Now()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := r.commit()
		if err == nil && time.Since(refreshed) >= r.cfg.RefreshEvery {
			if err = r.refresh(ctx); err == nil {
				refreshed = time.Now()
			}
		}
		switch {
		case err != nil && !failing:
			failing = true
			r.log.Warn("positions cannot be committed; retrying", "error", err)
		case err == nil && failing:
			failing = false
			r.log.Info("positions are committed again")
		}
		r.mu.Lock()
		r.speed.add(time.Now(), r.done())
		r.mu.Unlock()
	}
}

// commit commits how far the ranges that are being read are done, each to the
// group of its split.
func (r *Runner) commit() error {
	type due struct {
		of  *Range
		now Range
	}
	type key struct {
		split  int
		source string
	}
	moved := make(map[key][]due)
	r.mu.Lock()
	for i := range r.plan.Splits {
		for j := range r.plan.Splits[i].Ranges {
			one := &r.plan.Splits[i].Ranges[j]
			s := r.active[one]
			if s == nil {
				continue
			}
			now := *one
			if now.Next = s.Done(); now.Next > one.Next {
				to := key{i, one.Source}
				moved[to] = append(moved[to], due{one, now})
			}
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var failed []error
	for to, ranges := range moved {
		var all []*Range
		for i := range ranges {
			all = append(all, &ranges[i].now)
		}
		if err := r.c.clusters[to.source].commit(ctx, r.plan, to.split, all); err != nil {
			failed = append(failed, err)
			continue
		}
		r.mu.Lock()
		for _, d := range ranges {
			d.of.Next = d.now.Next
			s := r.active[d.of]
			s.Committed(d.now.Next)
			if d.of.Next == d.of.To {
				s.Close()
				delete(r.active, d.of)
			}
		}
		r.mu.Unlock()
	}
	return errors.Join(failed...)
}

// refresh commits all positions again as they are: brokers let offsets of a
// group without members expire.
func (r *Runner) refresh(ctx context.Context) error {
	r.mu.Lock()
	p := *r.plan
	p.Splits = slices.Clone(p.Splits)
	for i := range p.Splits {
		p.Splits[i].Ranges = slices.Clone(p.Splits[i].Ranges)
	}
	r.mu.Unlock()
	return r.c.write(ctx, &p)
}

// lookLoop measures the inflow.
func (r *Runner) lookLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.LookEvery)
	defer tick.Stop()
	var first *ends
	for {
		if now, err := r.c.look(ctx); err == nil { // else it keeps what it was
			if first == nil {
				first = &now
			} else if in, err := inflow(*first, now, r.plan.density(now)); err == nil {
				first = &now
				r.mu.Lock()
				r.inflow = &in
				r.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// done is how many bytes of the plan are done. r.mu is held.
func (r *Runner) done() int64 {
	left := 0.0
	for one := range r.plan.ranges {
		now := *one
		if s := r.active[one]; s != nil {
			now.Next = min(max(now.Next, s.Done()), now.To)
		}
		left += now.left()
	}
	return r.plan.Bytes - int64(left)
}

// Progress is a snapshot of a run.
type Progress struct {
	Splits     int
	SplitsDone int
	Bytes      int64 // of the plan
	Done       int64 // of them
	Forecast   Forecast
	Bridge     bridge.Status
}

// Progress returns a snapshot.
func (r *Runner) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Splits: len(r.plan.Splits), Bytes: r.plan.Bytes, Done: r.done(), Bridge: r.bridge.Status()}
	for i := range r.plan.Splits {
		if r.plan.Splits[i].Done() {
			p.SplitsDone++
		}
	}
	p.Forecast = NewForecast(r.plan, r.speed.rate(), r.inflow)
	return p
}

// speed is a rate over the last looks.
type speed struct {
	looks []look
}

type look struct {
	at   time.Time
	done int64
}

// speedWindow is what a rate is measured over: long enough that bursts of
// acknowledgements even out.
const speedWindow = 20 * time.Second

func (s *speed) add(at time.Time, done int64) {
	s.looks = append(s.looks, look{at, done})
	for len(s.looks) > 2 && at.Sub(s.looks[1].at) >= speedWindow {
		s.looks = s.looks[1:]
	}
}

// rate is in bytes per second, 0 if it is not known yet.
func (s *speed) rate() float64 {
	if len(s.looks) < 2 {
		return 0
	}
	a, b := s.looks[0], s.looks[len(s.looks)-1]
	if seconds := b.at.Sub(a.at).Seconds(); seconds > 0 {
		return max(0, float64(b.done-a.done)/seconds)
	}
	return 0
}

// stop notes that a range cannot be read to its end (invariant B3).
func (r *Runner) stop(one *Range, s *bridge.Stretch, what string) {
	command := fmt.Sprintf("kappa bridge accept -f SPEC --source %s --partition %s/%d --by NAME --reason TEXT", one.Source, one.Topic, one.Partition)
	text := fmt.Sprintf("%s/%d is stopped: %s; to accept this: %s", one.Topic, one.Partition, what, command)
	s.Stop(text)
	r.log.Error("a range is stopped", "source", one.Source, "topic", one.Topic, "partition", one.Partition, "gone", what, "mend", command)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = append(r.stopped, fmt.Errorf("%s: %s", one.Source, text))
}

// clients are the connections of one split: of its own, so that no split waits
// for another's fetches.
type clients struct {
	options map[string][]kgo.Opt
	open    map[string]*kgo.Client
}

func (c *clients) of(source string) (*kgo.Client, error) {
	if one := c.open[source]; one != nil {
		return one, nil
	}
	one, err := kgo.NewClient(append(slices.Clone(c.options[source]), kgo.ClientID("kappa-catchup"))...)
	if err != nil {
		return nil, exit.Usagef("set up the Kafka client of source %s: %w", source, err)
	}
	c.open[source] = one
	return one, nil
}

func (c *clients) close() {
	for one := range maps.Values(c.open) {
		one.Close()
	}
}
