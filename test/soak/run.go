package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// config is what a run needs.
type config struct {
	kappa   string
	seed    uint64
	length  time.Duration
	broker  string // kfake or kafka
	rate    int    // records per second
	payload int    // bytes
	out     io.Writer
	verbose bool
	logs    string   // folder
	skip    []string // kinds of events
}

// schedule is the schedule without what is to be left out.
func (c *config) schedule() (events []event, left []string, err error) {
	events, left = schedule(c.seed, c.length)
	for _, kind := range c.skip {
		n := len(events)
		events = slices.DeleteFunc(events, func(e event) bool { return e.Kind == kind })
		if n == len(events) {
			return nil, nil, exit.Usagef("--skip: the schedule has no event %q", kind)
		}
		left = append(left, kind+", as --skip says")
	}
	return events, left, nil
}

// run is one run.
type run struct {
	config
	dir      string
	cluster  cluster
	admin    *admin
	oracle   *oracle
	backend  *backend
	producer *producer
	fleet    *fleet
	slots    []*slot // of the main group, and last the one of the cut group
	cut      *slot
	began    time.Time

	kafka sync.Mutex // held by the one event that Kafka suffers

	mu       sync.Mutex
	troubles []*trouble
	longest  time.Duration // outage
	moves    int           // of partitions to another member
	exposure exposure
	gaps     []gapReport
	events   map[string]int
	extra    violations // beside the oracle's
	problems []string
}

// fault notes a violation that is not the oracle's to see. r.mu is held.
func (r *run) fault(n *int64, format string, args ...any) {
	*n++
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
	r.say("VIOLATION: "+format, args...)
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%7.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// soak runs one run and reports on it. An error means that it could not be
// judged.
func soak(ctx context.Context, cfg config, events []event, left []string) (*report, error) {
	dir, err := os.MkdirTemp("", "kappa-soak-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &run{config: cfg, dir: dir, began: time.Now(), events: make(map[string]int)}
	r.say("seed %d, %s on %s, %d events", cfg.seed, cfg.length, cfg.broker, len(events))
	if err := r.setUp(ctx); err != nil {
		return nil, err
	}
	defer r.cluster.close()
	defer r.admin.Close()
	defer r.producer.client.Close()
	defer r.fleet.killAll()

	work, end := context.WithCancel(ctx)
	defer end()
	produce, enough := context.WithCancel(work)
	defer enough()
	var tasks, making sync.WaitGroup
	failures := make(chan error, 64)
	try := func(f func() error) func() {
		return func() {
			if err := f(); err != nil && work.Err() == nil {
				failures <- err
				end()
			}
		}
	}
	tasks.Go(func() { r.fleet.observe(work) })
	tasks.Go(func() { r.followCommits(work) })
	tasks.Go(func() { r.followOwners(work) })
	tasks.Go(func() { r.tell(work) })
	making.Go(try(func() error { return r.producer.run(work, produce) }))
	making.Go(try(func() error { return r.producer.transact(work, produce) }))

	// What is truncated before a bridge was there was never its to read.
	if !r.reach(work, func(ctx context.Context) bool {
		return r.admin.anchored(ctx, groupMain, mainTopics) && r.admin.anchored(ctx, groupCut, cutTopics)
	}) && work.Err() == nil {
		return nil, errors.New("the bridges do not begin to read")
	}
	r.say("the bridges read")
	r.play(work, events, try)
	enough()
	making.Wait()
	if work.Err() == nil {
		r.settle(work)
	}
	end()
	tasks.Wait()
	select {
	case err := <-failures:
		return nil, err
	default:
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r.report(left), nil
}

// setUp makes everything and starts the bridges.
func (r *run) setUp(ctx context.Context) (err error) {
	switch r.broker {
	case "kfake":
		r.cluster, err = newFake(3)
	case "kafka":
		r.cluster, err = newApache(ctx, 3)
	default:
		err = exit.Usagef("--broker: %q is neither kfake nor kafka", r.broker)
	}
	if err != nil {
		return err
	}
	if r.admin, err = newAdmin(r.cluster.addrs()); err != nil {
		return err
	}
	ids, id, err := r.createTopics(ctx)
	if err != nil {
		return err
	}
	r.oracle = newOracle(id, ids)
	if w, ok := r.cluster.(watcher); ok {
		w.watch(ids, func(group string, p tp, offset int64) {
			if group == groupMain || group == groupCut {
				r.oracle.asks(p, offset)
			}
		})
	}
	topics := []string{deadTopic}
	for i := range splits {
		topics = append(topics, fmt.Sprint(topicPrefix, i))
	}
	r.backend = newBackend(r.oracle, r.seed, topics...)
	if r.producer, err = newProducer(r.oracle, r.cluster.addrs(), r.rate, r.payload, rand.New(rand.NewPCG(r.seed, 3))); err != nil {
		return err
	}
	if err := writeSpecs(r.dir, r.cluster.addrs()); err != nil {
		return err
	}
	r.fleet = &fleet{kappa: r.kappa, dir: r.dir, backend: r.backend, log: r.say, logs: r.logs}
	for _, instance := range []string{"soak-a", "soak-b", "soak-c"} {
		r.slots = append(r.slots, r.fleet.slot(groupMain, instance))
	}
	r.cut = r.fleet.slot(groupCut, "soak-cut")
	r.slots = append(r.slots, r.cut)
	for _, s := range r.slots {
		if err := s.start(nil); err != nil {
			return err
		}
	}
	return nil
}

// createTopics creates the source topics and returns their ids and the
// cluster's.
func (r *run) createTopics(ctx context.Context) (ids map[string][16]byte, cluster string, err error) {
	compactable := map[string]*string{"cleanup.policy": kadm.StringPtr("compact"), "min.cleanable.dirty.ratio": kadm.StringPtr("0.01"), "segment.ms": kadm.StringPtr("2000"), compactionLag: kadm.StringPtr(forever)}
	ids = make(map[string][16]byte)
	for _, topics := range []map[string]int{mainTopics, cutTopics} {
		for topic, n := range topics {
			var configs map[string]*string
			if topic == topicKeyed {
				configs = compactable
			}
			if _, err := r.admin.CreateTopic(ctx, int32(n), -1, configs, topic); err != nil {
				return nil, "", fmt.Errorf("create topic %s: %w", topic, err)
			}
		}
	}
	err = again(ctx, "look up the topics", func(ctx context.Context) error {
		meta, err := r.admin.Metadata(ctx)
		if err != nil {
			return err
		}
		cluster = meta.Cluster
		for _, topics := range []map[string]int{mainTopics, cutTopics} {
			for topic, n := range topics {
				t := meta.Topics[topic]
				if t.Err != nil || len(t.Partitions) != n {
					return fmt.Errorf("topic %s is not there yet", topic)
				}
				ids[topic] = t.ID
			}
		}
		return nil
	})
	return ids, cluster, err
}

// play carries out the events at their times and waits for their ends.
func (r *run) play(ctx context.Context, events []event, try func(func() error) func()) {
	var all sync.WaitGroup
	began := time.Now()
	for _, e := range events {
		wait(ctx, time.Until(began.Add(e.At)))
		if ctx.Err() != nil {
			break
		}
		if r.verbose {
			r.say("%s", strings.TrimSpace(e.String()))
		}
		all.Go(try(func() error {
			skipped, err := r.carry(ctx, e)
			if err != nil {
				return fmt.Errorf("%s: %w", e.Kind, err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if skipped {
				r.events["skipped"]++
			} else {
				r.events[e.Kind]++
			}
			return nil
		}))
	}
	wait(ctx, time.Until(began.Add(r.length)))
	all.Wait()
}

// tell shows progress.
func (r *run) tell(ctx context.Context) {
	for {
		wait(ctx, 10*time.Second)
		if ctx.Err() != nil {
			return
		}
		produced, stored, copies := r.oracle.progress()
		r.mu.Lock()
		n := 0
		for _, k := range r.events {
			n += k
		}
		kills := r.exposure.Kills
		r.mu.Unlock()
		r.say("%d records, %d messages, %d of them again; %d events, %d kills", produced, stored, copies, n, kills)
	}
}

// leastFetches is what the budget, a very small one here, cannot bound: each of
// three brokers is asked for 64 KiB at least, and what is fetched may turn out
// to grow 32-fold, by compression and by what small records take in memory.
const leastFetches = 3 * 64 << 10 * 32

// report judges the run.
func (r *run) report(left []string) *report {
	t, words := r.oracle.finish()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	for _, e := range r.fleet.ends {
		r.fault(&r.extra.Processes, "%s", e)
	}
	if r.fleet.charged > memory*5/4+leastFetches { // it is sampled, and counts what is being fetched by estimates
		r.fault(&r.extra.Memory, "a bridge held %d bytes by its own count, the budget is %d", r.fleet.charged, memory)
	}
	x := &t.violations
	x.Soak += r.extra.Soak
	x.OverBound, x.Gaps, x.Processes, x.Stalled, x.Memory = r.extra.OverBound, r.extra.Gaps, r.extra.Processes, r.extra.Stalled, r.extra.Memory
	for _, e := range kinds {
		if r.events[e.kind] == 0 {
			left = append(left, "not one event "+e.kind)
		}
	}
	if r.moves == 0 {
		left = append(left, "no partition moved to another bridge")
	}
	r.backend.mu.Lock()
	defer r.backend.mu.Unlock()
	return &report{
		OK: !t.violated(), Seed: r.seed, Broker: r.broker, Started: r.began.UTC(), Seconds: time.Since(r.began).Seconds(),
		Exposure: r.exposure, Events: r.events, Requests: r.backend.requests, Restarts: r.fleet.restarts, Bridges: int(r.fleet.count.Load()), Moves: r.moves, Gaps: r.gaps,
		Budget: memory, Charged: r.fleet.charged, Resident: r.fleet.resident, Longest: r.longest.Seconds(),
		Left: left, Violations: append(words, r.problems...), tally: t,
	}
}

var errViolated = errors.New("the bridge broke its promises")
