package bridge

import (
	"context"
	"runtime"
	"sync"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// stages are what comes after reading: workers, lanes and senders, and the
// budget that bounds them. Whoever reads hands them units.
type stages struct {
	publisher *publisher
	budget    *budget
	inputs    []chan unit // one, or, to keep order, one for each worker
	workers   sync.WaitGroup
	senders   sync.WaitGroup
	plan      *plan
	closers   []func()
}

// openStages makes the stages, sized by the budget, and checks what they
// publish to.
func (b *Bridge) openStages(ctx context.Context) error {
	limits := b.spec.Limits
	brokers := 0
	for _, s := range b.sources {
		brokers = max(brokers, s.brokers)
	}
	workers := runtime.GOMAXPROCS(0)
	b.sizes = divide(limits, max(len(b.sources), 1), brokers, workers, b.plan)
	s := &stages{plan: b.plan}
	b.stages = s
	p := &publisher{
		plan:    b.plan,
		backoff: b.cfg.Backoff,
		ordered: b.plan.buckets > 0,
		slots:   make(chan struct{}, b.sizes.slots),
		stats:   b.stats, health: b.health, log: b.cfg.Log,
	}
	s.publisher, s.budget = p, newBudget(b.sizes.limit, p.wake)
	p.budget = s.budget
	p.segments = newSegments(b.sizes.segment, s.budget, b.sizes.spare)
	if err := b.openDestination(ctx, s); err != nil {
		return err
	}
	lane := func(topic string) *lane {
		return newLane(topic, limits.Linger.D(), int(limits.BatchBytes), limits.BatchRecords, &s.budget.pressure)
	}
	for _, topic := range b.plan.topics {
		for range max(b.plan.buckets, 1) {
			p.lanes = append(p.lanes, lane(b.destinationName(topic)))
		}
	}
	p.dead = lane(b.graveName())
	inputs := 1
	if p.ordered {
		inputs = workers
	}
	for range inputs {
		s.inputs = append(s.inputs, make(chan unit, workers))
	}
	held := func() int64 {
		used, _ := s.budget.used()
		used += int64(len(p.slots)) * b.sizes.sending
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, r := range b.readers {
			used += r.buffered()
		}
		return used
	}
	b.stats.held.Store(&held)
	return nil
}

// start starts the workers and senders; ctx is done when the bridge gives up
// what is outstanding.
func (s *stages) start(ctx context.Context) {
	s.publisher.start(ctx, &s.senders)
	for i := range runtime.GOMAXPROCS(0) {
		s.workers.Go(func() { newWorker(s.plan, s.publisher).run(ctx, s.inputs[i%len(s.inputs)]) })
	}
}

// take hands over a unit; false when ctx is done. With ordering all units of a
// partition go to one worker.
func (s *stages) take(ctx context.Context, u unit) bool {
	in := s.inputs[0]
	if len(s.inputs) > 1 {
		in = s.inputs[(u.partition.origin.hash+uint64(u.partition.origin.partition))%uint64(len(s.inputs))]
	}
	select {
	case in <- u:
		return true
	case <-ctx.Done():
		return false
	}
}

// endInput says that no unit comes any more.
func (s *stages) endInput() {
	for _, in := range s.inputs {
		close(in)
	}
}

// wait waits for the workers and senders, whose context is done.
func (s *stages) wait() {
	s.workers.Wait()
	s.senders.Wait()
}

func (s *stages) close() {
	for _, f := range s.closers {
		f()
	}
}

// destinationName is the full name of a topic of the destination.
func (b *Bridge) destinationName(topic string) string {
	if b.spec.Destination.Kind == jobspecs.DestinationKafka {
		return topic
	}
	return topicName(b.spec.Project, topic)
}

// graveName names where dead letters go.
func (b *Bridge) graveName() string {
	d := &b.spec.DeadLetter
	switch {
	case d.Topic != "":
		return topicName(b.spec.Project, d.Topic)
	case d.Kafka.Topic != "":
		return d.Kafka.Topic
	default:
		return d.File
	}
}
