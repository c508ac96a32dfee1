package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

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

	mu      sync.Mutex
	readers []*reader

	// Set while it runs.
	sources []*source
	sizes   sizes
	stages  *stages
	pacer   *pacer
}

// New checks cfg and compiles its spec. Errors in the spec carry exit.Usage.
func New(cfg Config) (*Bridge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	spec := &cfg.Spec.Spec
	p, err := newPlan(cfg.Spec.Metadata.Name, cfg.Version, spec)
	if err != nil {
		return nil, err
	}
	b := &Bridge{cfg: cfg, spec: spec, plan: p, stats: newStats(), health: newHealth(), pacer: newPacer(spec.Limits)}
	b.stats.budget = int64(spec.Limits.Memory)
	count := b.inFlight
	b.stats.outstanding.Store(&count)
	b.stats.ready = func() int64 {
		if len(b.health.list()) > 0 {
			return 0
		}
		return 1
	}
	return b, nil
}

// Status returns a snapshot.
func (b *Bridge) Status() Status {
	s := b.stats
	return Status{
		Records: s.records.Load(), Published: s.published.Load(), Bytes: s.publishedBytes.Load(),
		Filtered: s.filtered.Load(), DeadLettered: s.deadLettered.Load(),
		InFlight: s.inFlight(), Lag: b.totalLag(),
		Memory: s.memory(), Budget: s.budget, Problems: b.health.list(),
	}
}

// inFlight is the number of records that were read and are not done.
func (b *Bridge) inFlight() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, r := range b.readers {
		n += r.ledger.outstanding()
	}
	return int64(n)
}

// totalLag is -1 until the lag of every source is known.
func (b *Bridge) totalLag() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var total int64
	for _, r := range b.readers {
		lag := r.lag.Load()
		if lag < 0 {
			return -1
		}
		total += lag
	}
	if len(b.readers) == 0 {
		return -1
	}
	return total
}

// Run runs the bridge until ctx is done and what is in flight has been
// acknowledged, or limits.drain is over; then it leaves the groups. It returns
// nil if nothing was left undone. listening is called with the address of
// /metrics, /livez and /readyz.
func (b *Bridge) Run(ctx context.Context, listening func(addr string)) error {
	return b.serve(ctx, listening, b.stream)
}

// serve runs f between the checks at the start and the end of the server.
func (b *Bridge) serve(ctx context.Context, listening func(addr string), f func(context.Context) error) (err error) {
	b.health.problem("start", "starting")
	srv, err := listen(ctx, b.spec.Listen, b.stats, b.health)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.close()) }()
	if listening != nil {
		listening(srv.addr())
	}
	defer func() {
		for _, s := range b.sources {
			s.close()
		}
	}()
	for _, name := range b.spec.SourceNames() {
		var s *source
		if s, err = b.openSource(ctx, name); err != nil {
			break
		}
		b.sources = append(b.sources, s)
	}
	if err == nil {
		err = b.openStages(ctx)
	}
	if b.stages != nil {
		defer b.stages.close()
	}
	if ctx.Err() != nil {
		return nil // asked to stop before there was anything to do
	}
	if err != nil {
		return err
	}
	return f(ctx)
}

// stream reads as a member of the consumer groups.
func (b *Bridge) stream(ctx context.Context) error {
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	hard, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	for _, s := range b.sources {
		b.health.problem(groupPart(s), "joining consumer group "+s.spec.Group)
	}
	b.health.solved("start")
	for _, s := range b.sources {
		r := &reader{Bridge: b, source: s, hard: hard, fail: end, opened: make(chan struct{}), parts: make(map[partitionID]*partition)}
		if err := r.open(); err != nil {
			return err
		}
		defer r.close()
		b.addReader(r)
	}
	b.cfg.Log.Info("bridge runs", "name", b.cfg.Spec.Metadata.Name, "sources", b.spec.SourceNames(),
		"instance_id", b.cfg.InstanceID, "topics", len(b.plan.topics), "memory", b.spec.Limits.Memory.String())

	b.stages.start(hard)
	var polls, loops sync.WaitGroup
	for _, r := range b.readers {
		polls.Go(func() { r.poll(running) }) // until asked to stop, or a failure
		loops.Go(func() { r.commitLoop(hard) })
		loops.Go(func() { r.lagLoop(hard) })
		loops.Go(func() { r.gapLoop(hard) })
		loops.Go(func() { r.orphanLoop(running) })
	}
	polls.Wait()
	b.stages.endInput()

	left := b.drain(hard)
	for _, r := range b.readers {
		if err := r.commit(); err != nil {
			b.cfg.Log.Warn("the last commit failed; what it held is published again at the next start", "source", r.name, "error", err)
		}
	}
	abort()
	b.stages.wait()
	loops.Wait()
	for _, r := range b.readers {
		r.leave()
	}
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

func (b *Bridge) addReader(r *reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readers = append(b.readers, r)
}

// drain waits for what is outstanding and returns how much of it is left.
func (b *Bridge) drain(ctx context.Context) int64 {
	for _, r := range b.readers {
		r.mu.Lock()
		r.stopping = true
		r.mu.Unlock()
	}
	b.stages.publisher.setFlush(true)
	await(ctx, b.spec.Limits.Drain.D(), func() bool { return b.inFlight() == 0 })
	return b.inFlight()
}

// await waits until done, or for at most d.
func await(ctx context.Context, d time.Duration, done func() bool) {
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

// leave closes the client and leaves the group, so that others get the
// partitions at once. The client would do that too, but not a static member's,
// and it would wait for a rebalance under way, which others may hold up.
func (r *reader) leave() {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = r.source.spec.Group
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, _ = r.client.GroupMetadata()
	r.close()
	if member.MemberID == "" || r.fenced.Load() {
		return
	}
	req.MemberID = member.MemberID // of old brokers
	if r.cfg.InstanceID != "" {
		member.InstanceID = &r.cfg.InstanceID
	}
	req.Members = append(req.Members, member)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := req.RequestWith(ctx, r.source.client); err != nil {
		r.cfg.Log.Debug("leave the group", "error", err)
	}
}

// close closes the client.
func (r *reader) close() {
	r.end()
	r.client.CloseAllowingRebalance()
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
