package bridge

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Bridge is one bridge; it runs once.
type Bridge struct {
	cfg    Config
	spec   *jobspecs.BridgeSpec
	plan   *plan
	stats  *stats
	health *health
	ledger *ledger
	lag    atomic.Int64

	// Set while it runs.
	admin     *kadm.Client
	source    *cluster
	sizes     sizes
	budget    *budget
	publisher *publisher
}

// New checks cfg and compiles its spec. Errors in the spec carry exit.Usage.
func New(cfg Config) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	spec := &cfg.Spec.Spec
	longest := max(len(topicName(spec.Project, spec.Split.Topic(spec.Split.Count-1))), len(topicName(spec.Project, spec.DeadLetter.Topic)))
	p, err := newPlan(cfg.Spec.Metadata.Name, cfg.Version, spec, longest)
	if err != nil {
		return nil, err
	}
	b := &Bridge{cfg: cfg, spec: spec, plan: p, stats: newStats(), health: newHealth(), ledger: newLedger()}
	b.lag.Store(-1)
	b.stats.budget = int64(spec.Limits.Memory)
	b.stats.inFlight = func() int64 { return int64(b.ledger.outstanding()) }
	return b, nil
}

// Status returns a snapshot.
func (b *Bridge) Status() Status {
	s := b.stats
	return Status{
		Records: s.records.Load(), Published: s.published.Load(), Bytes: s.publishedBytes.Load(),
		Filtered: s.filtered.Load(), DeadLettered: s.deadLettered.Load(),
		InFlight: s.inFlight(), Lag: b.lag.Load(),
		Memory: s.memory(), Budget: s.budget, Problems: b.health.list(),
	}
}

// Run runs the bridge until ctx is done and what is in flight has been
// acknowledged, or limits.drain is over; then it leaves the group. It returns
// nil if nothing was left undone. listening is called with the address of
// /metrics, /livez and /readyz.
func (b *Bridge) Run(ctx context.Context, listening func(addr string)) (err error) {
	b.health.problem("start", "starting")
	srv, err := listen(ctx, b.spec.Listen, b.stats, b.health)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.close()) }()
	if listening != nil {
		listening(srv.addr())
	}
	adminClient, err := kgo.NewClient(kgo.SeedBrokers(b.spec.Source.Brokers...), kgo.ClientID("kappa-bridge-admin"))
	if err != nil {
		return exit.Usagef("set up the Kafka client: %w", err)
	}
	defer adminClient.Close()
	b.admin = kadm.NewClient(adminClient)
	if b.source, err = b.checkKafka(ctx); err == nil {
		err = b.checkPubSub(ctx)
	}
	if ctx.Err() != nil {
		return nil // asked to stop before there was anything to do
	}
	if err != nil {
		return err
	}
	b.prepare()
	b.health.problem(groupPart, "joining consumer group "+b.spec.Source.Group)
	b.health.solved("start")
	return b.stream(ctx)
}

// prepare makes the stages, sized by the budget.
func (b *Bridge) prepare() {
	limits := b.spec.Limits
	b.sizes = divide(limits, b.source.brokers, b.plan)
	p := &publisher{
		transport: rpcTransport{b.cfg.PubSub.TopicAdminClient},
		backoff:   b.cfg.Backoff,
		slots:     make(chan struct{}, b.sizes.slots),
		stats:     b.stats, health: b.health, log: b.cfg.Log,
		bridge:  b.plan.bridge,
		maxPart: b.plan.maxMessage - maxAttributes*(maxAttributeName+maxAttributeValue+16),
	}
	b.budget = newBudget(b.sizes.limit, p.wake)
	p.budget = b.budget
	newLane := func(topic string) *lane {
		return newLane(topicName(b.spec.Project, topic), limits.Linger.D(), int(limits.BatchBytes), limits.BatchRecords, &b.budget.pressure)
	}
	for i := range b.spec.Split.Count {
		p.lanes = append(p.lanes, newLane(b.spec.Split.Topic(i)))
	}
	p.dead = newLane(b.spec.DeadLetter.Topic)
	b.publisher = p
}

// stream runs the stages and stops them in order.
func (b *Bridge) stream(ctx context.Context) error {
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	hard, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	r := &reader{
		Bridge: b, hard: hard, fail: end,
		opened: make(chan struct{}),
		units:  make(chan unit, runtime.GOMAXPROCS(0)),
		parts:  make(map[partitionID]*partition),
	}
	if err := r.open(); err != nil {
		return err
	}
	defer r.client.CloseAllowingRebalance()
	held := func() int64 {
		used, _ := b.budget.used()
		return used + r.buffered() + int64(len(b.publisher.slots))*b.sizes.encoded
	}
	b.stats.held.Store(&held)
	b.cfg.Log.Info("bridge runs", "name", b.cfg.Spec.Metadata.Name, "cluster", b.source.id, "group", b.spec.Source.Group,
		"instance_id", b.cfg.InstanceID, "topics", b.spec.Split.Count, "memory", b.spec.Limits.Memory.String())

	var stages, workers sync.WaitGroup
	b.publisher.start(hard, &stages)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() { newWorker(b.plan, b.publisher).run(hard, r.units) })
	}
	stages.Go(func() { r.commitLoop(hard) })
	stages.Go(func() { r.lagLoop(hard) })

	r.poll(running) // until asked to stop, or a failure
	close(r.units)

	left := r.drain()
	if err := r.commit(); err != nil {
		b.cfg.Log.Warn("the last commit failed; what it held is published again at the next start", "error", err)
	}
	abort()
	workers.Wait()
	stages.Wait()
	r.leave()
	s := b.Status()
	b.cfg.Log.Info("bridge stopped", "records", s.Records, "published", s.Published, "filtered", s.Filtered, "dead_lettered", s.DeadLettered, "undone", left)
	if cause := context.Cause(running); cause != nil && ctx.Err() == nil {
		return cause
	}
	if left > 0 {
		return exit.With(exit.Interrupted, fmt.Errorf("stopped with %d records not acknowledged within %s; they are not committed and are published again at the next start", left, b.spec.Limits.Drain))
	}
	return nil
}

// drain waits for what is outstanding and returns how much of it is left.
func (r *reader) drain() int {
	r.mu.Lock()
	r.stopping = true
	r.mu.Unlock()
	r.publisher.setFlush(true)
	r.await(r.hard, r.spec.Limits.Drain.D(), func() bool { return r.ledger.outstanding() == 0 })
	return r.ledger.outstanding()
}

// await waits until done, or for at most d.
func (r *reader) await(ctx context.Context, d time.Duration, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// leave leaves the group, so that others get the partitions at once. A static
// member has to be removed by its id: its client never leaves.
func (r *reader) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.client.LeaveGroupContext(ctx); err != nil {
		r.cfg.Log.Debug("leave the group", "error", err)
	}
	if r.cfg.InstanceID == "" || r.fenced.Load() {
		return
	}
	if _, err := r.admin.LeaveGroup(ctx, kadm.LeaveGroup(r.spec.Source.Group).InstanceIDs(r.cfg.InstanceID)); err != nil {
		r.cfg.Log.Debug("leave the group", "error", err)
	}
}

func (r *reader) commitLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.CommitEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := r.commit(); {
		case err != nil && !failing:
			failing = true
			r.cfg.Log.Warn("offsets cannot be committed; retrying", "error", err)
		case err == nil && failing:
			failing = false
			r.cfg.Log.Info("offsets are committed again")
		}
	}
}

// lagLoop measures how far the committed offsets are behind what can be read.
func (r *reader) lagLoop(ctx context.Context) {
	tick := time.NewTicker(r.cfg.LagEvery)
	defer tick.Stop()
	for {
		r.measureLag(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *reader) measureLag(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ends, err := r.admin.ListCommittedOffsets(ctx, r.spec.Source.Topics...)
	if err != nil {
		return // the metric keeps its last value
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var total int64
	for id, p := range r.parts {
		end, ok := ends.Lookup(id.topic, id.partition)
		if !ok || end.Err != nil {
			continue
		}
		_, committed := p.position()
		lag := max(0, end.Offset-committed)
		r.stats.lag.WithLabelValues(id.topic, strconv.Itoa(int(id.partition))).Set(float64(lag))
		total += lag
	}
	if len(r.parts) > 0 {
		r.lag.Store(total)
	}
}
