package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// carry carries an event out; it returns when it is over. skipped says that its
// bridge was in the hands of another event.
func (r *run) carry(ctx context.Context, e event) (skipped bool, err error) {
	dice := rand.New(rand.NewPCG(e.Seed, 2))
	switch e.Kind {
	case evKill:
		if s := r.cut; e.Slot%len(r.slots) == 0 && s.busy.TryLock() {
			defer s.busy.Unlock()
			return false, r.kill(ctx, s, e.Rest)
		}
		return r.withSlot(e, func(s *slot) error { return r.kill(ctx, s, e.Rest) })
	case evKillAll:
		return r.killAll(ctx, e)
	case evStorm:
		return false, r.storm(ctx, e, dice)
	case evRoll:
		return r.withSlot(e, func(s *slot) error {
			defer r.rebalances()()
			s.stop()
			wait(ctx, e.Rest)
			return s.start(nil)
		})
	case evPause:
		return r.withSlot(e, func(s *slot) error {
			p := s.now()
			if p == nil || p.pause() != nil {
				return nil // it has just ended
			}
			wait(ctx, e.For)
			_ = p.resume()
			return nil
		})
	case evLongPause:
		return r.withSlot(e, func(s *slot) error { return r.longPause(ctx, s, e.For) })
	case evBroker:
		r.kafka.Lock() // one at a time: a cluster does not survive all being away
		defer r.kafka.Unlock()
		defer r.rebalances()()
		return false, r.cluster.restart(ctx, e.Slot%r.cluster.brokers(), e.For)
	case evLeaders:
		r.kafka.Lock()
		defer r.kafka.Unlock()
		topics := []string{topicIn, topicKeyed, topicTx, topicCut}
		topic := topics[e.Slot%len(topics)]
		return false, r.cluster.moveLeaders(ctx, topic, mainTopics[topic]+cutTopics[topic], dice)
	case evConfuse:
		r.kafka.Lock()
		defer r.kafka.Unlock()
		defer r.rebalances()()
		return false, r.cluster.confuse(ctx, e.For)
	case evCompact:
		return false, r.compact(ctx)
	case evDisconnect:
		return r.withSlot(e, func(s *slot) error {
			if p := s.now(); p != nil {
				return p.endpoint.disconnect(ctx, e.For)
			}
			return nil
		})
	case evCutDown, evCutLive, evExpire:
		r.cut.busy.Lock() // kills of it wait, or are skipped
		defer r.cut.busy.Unlock()
		return false, r.gap(ctx, e, dice)
	default:
		return false, r.weather(ctx, e)
	}
}

// weather changes how Pub/Sub behaves, for a while.
func (r *run) weather(ctx context.Context, e event) error {
	topic := fmt.Sprint(topicPrefix, e.Slot%splits)
	if e.Slot%(splits+1) == splits {
		topic = deadTopic
	}
	var on, off func(w *weather)
	switch e.Kind {
	case evOutage, evLongOutage:
		on, off = func(w *weather) { w.away++ }, func(w *weather) { w.away-- }
	case evTopic:
		on, off = func(w *weather) { w.topics[topic]++ }, func(w *weather) { w.topics[topic]-- }
	case evDeny:
		on, off = func(w *weather) { w.denied++ }, func(w *weather) { w.denied-- }
	case evThrottle:
		on, off = func(w *weather) { w.throttle += e.P }, func(w *weather) { w.throttle -= e.P }
	case evHide:
		on, off = func(w *weather) { w.hide += e.P }, func(w *weather) { w.hide -= e.P }
	case evSlow:
		d := time.Duration(e.P * float64(2*time.Second))
		on, off = func(w *weather) { w.slow += d }, func(w *weather) { w.slow -= d }
	default:
		return fmt.Errorf("nothing carries out %s", e.Kind)
	}
	began := time.Now()
	r.backend.change(on)
	wait(ctx, e.For)
	r.backend.change(off)
	if e.Kind == evOutage || e.Kind == evLongOutage {
		r.mu.Lock()
		r.longest = max(r.longest, time.Since(began))
		r.mu.Unlock()
	}
	return nil
}

// withSlot hands the slot of a main bridge to f: one that no other event has.
func (r *run) withSlot(e event, f func(s *slot) error) (skipped bool, err error) {
	for i := range r.slots {
		if s := r.slots[(e.Slot+i)%len(r.slots)]; s != r.cut && s.busy.TryLock() {
			defer s.busy.Unlock()
			return false, f(s)
		}
	}
	return true, nil
}

// kill kills the bridge in a slot, tells the oracle what that exposes, and
// starts it again after a rest.
func (r *run) kill(ctx context.Context, s *slot, rest time.Duration) error {
	p := s.take()
	if p == nil {
		return s.start(nil)
	}
	p.Kill()
	died := time.Now()
	p.endpoint.close()
	topics := mainTopics
	if s.group == groupCut {
		topics = cutTopics
	}
	committed, err := r.admin.committed(ctx, s.group, topics)
	if err != nil {
		return err
	}
	exposed := r.oracle.killed(p.endpoint.member, committed)
	// Commits come every second; give them two more, and all the time in which
	// Kafka, or a rebalance, may have kept them from being made.
	since := r.quietSince(died).Add(-3 * time.Second)
	limit := bound(memory, r.producer.recordBytes(), p.endpoint.publishedSince(since))
	r.exposes(p, exposed, limit)
	wait(ctx, rest)
	return s.start(nil)
}

func (r *run) killAll(ctx context.Context, e event) (skipped bool, err error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, s := range r.slots {
		if !s.busy.TryLock() {
			continue
		}
		all.Go(func() {
			defer s.busy.Unlock()
			if kerr := r.kill(ctx, s, e.Rest); kerr != nil {
				mu.Lock()
				defer mu.Unlock()
				err = kerr
			}
		})
	}
	all.Wait()
	return false, err
}

// storm lets members join and leave.
func (r *run) storm(ctx context.Context, e event, dice *rand.Rand) error {
	defer r.rebalances()()
	var all sync.WaitGroup
	errs := make([]error, 2+dice.IntN(2))
	for i := range errs {
		delay, stay := time.Duration(dice.Int64N(int64(time.Second))), e.For+time.Duration(dice.Int64N(int64(3*time.Second)))
		all.Go(func() {
			wait(ctx, delay)
			s := r.fleet.slot(groupMain, "")
			if errs[i] = s.start(nil); errs[i] != nil {
				return
			}
			wait(ctx, stay)
			s.stop()
			r.fleet.forget(s)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// longPause stops a bridge's time until the group has given its partitions to
// others.
func (r *run) longPause(ctx context.Context, s *slot, d time.Duration) error {
	p := s.now()
	if p == nil {
		return nil
	}
	defer r.rebalances()()
	committed, err := r.admin.committed(ctx, groupMain, mainTopics)
	if err != nil || p.pause() != nil {
		return err
	}
	wait(ctx, d)
	// What it had read when it was paused it may publish after it wakes.
	ends, err := r.admin.ends(context.WithoutCancel(ctx), mainTopics)
	if err == nil {
		r.oracle.paused(committed, ends)
	}
	_ = p.resume()
	return err
}

// compact compacts the keyed topic while nothing is produced, and tells the
// oracle what is gone.
func (r *run) compact(ctx context.Context) error {
	r.producer.gate.Lock()
	defer r.producer.gate.Unlock()
	topics := map[string]int{topicKeyed: mainTopics[topicKeyed]}
	committed, err := r.admin.committed(ctx, groupMain, topics)
	if err != nil {
		return err
	}
	for p, offset := range committed {
		r.oracle.compacts(p, offset)
	}
	if err := r.cluster.compact(ctx); err != nil {
		return err
	}
	ends, err := r.admin.ends(ctx, topics)
	if err != nil {
		return err
	}
	for p, end := range ends {
		offsets, err := readOffsets(ctx, r.cluster.addrs(), p, end)
		if err != nil {
			return err
		}
		r.oracle.compactedAway(p, offsets)
	}
	return nil
}

// trouble is a time in which commits may fail.
type trouble struct{ from, to time.Time }

// rebalances notes that commits may fail from now until the returned function
// is called, and shortly after.
func (r *run) rebalances() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &trouble{from: time.Now()}
	r.troubles = append(r.troubles, t)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		t.to = time.Now().Add(8 * time.Second)
	}
}

// quietSince is the latest time before at, or at itself, that was not in a
// trouble that lasts until at.
func (r *run) quietSince(at time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	for moved := true; moved; {
		moved = false
		for _, t := range r.troubles {
			if t.from.Before(at) && (t.to.IsZero() || t.to.After(at)) {
				at, moved = t.from, true
			}
		}
	}
	return at
}

// exposes notes what a kill exposed.
func (r *run) exposes(p *process, exposed, limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &r.exposure
	if x.Kills++; x.Kills == 1 || limit < x.Tightest {
		x.Tightest = limit
	}
	x.Exposed += exposed
	if exposed >= x.Largest {
		x.Largest, x.Bound = exposed, limit
	}
	if exposed > limit {
		r.fault(&r.extra.OverBound, "the kill of bridge %d exposed %d records to being published twice, the bound is %d", p.endpoint.member, exposed, limit)
	}
}
