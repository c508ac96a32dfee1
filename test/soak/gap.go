package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stopped is how a bridge says in /readyz that a partition is stopped.
var stopped = regexp.MustCompile(`(?m)([-._A-Za-z0-9]+)/(\d+) is stopped: offsets (\d+) to (\d+) \((\d+)\)`)

// missed is a range of offsets [from, to) that a bridge reported as gone.
type missed struct{ from, to int64 }

// stops reads which partitions a bridge reports as stopped.
func stops(page []byte) (map[tp]missed, error) {
	found := make(map[tp]missed)
	for _, m := range stopped.FindAllSubmatch(page, -1) {
		var n [4]int64
		for i := range n {
			var err error
			if n[i], err = strconv.ParseInt(string(m[i+2]), 10, 64); err != nil {
				return nil, fmt.Errorf("%s: %w", m[0], err)
			}
		}
		if n[2]-n[1]+1 != n[3] {
			return nil, fmt.Errorf("%s: the count is not that of the offsets", m[0])
		}
		found[tp{string(m[1]), int32(n[0])}] = missed{n[1], n[2] + 1}
	}
	return found, nil
}

// gap truncates partitions in front of the bridge of the cut group, and sees
// that it stops exactly those, says what is gone, reads the others on, and goes
// on when the gap is accepted (invariant B3).
func (r *run) gap(ctx context.Context, e event, dice *rand.Rand) error {
	var chosen []tp
	for i := range cutTopics[topicCut] {
		if e.Kind == evExpire || i == e.Slot%cutTopics[topicCut] || dice.IntN(3) == 0 {
			chosen = append(chosen, tp{topicCut, int32(i)})
		}
	}
	if e.Kind == evCutLive {
		chosen = chosen[:1] // it has to be far behind there
	}
	before, err := r.truncate(ctx, e, chosen)
	if err != nil {
		return err
	}
	starts, err := r.admin.starts(ctx, cutTopics)
	if err != nil {
		return err
	}
	switch e.Kind {
	case evCutLive:
		r.backend.spare(0)
	default:
		if err := r.cut.start(nil); err != nil {
			return err
		}
	}
	found, ok := r.awaitStops(ctx, before, starts)
	if !ok {
		return nil
	}
	if dice.IntN(2) == 0 { // it must not have forgotten after a kill
		if err := r.kill(ctx, r.cut, 0); err != nil {
			return err
		}
		if found, ok = r.awaitStops(ctx, before, starts); !ok {
			return nil
		}
	}
	for p, m := range found {
		switch {
		case m.to != starts[p]:
			r.gapFault("%s: offsets up to %d are gone, it reported up to %d", p, starts[p]-1, m.to-1)
		case m.from < before[p], e.Kind != evCutLive && m.from > before[p]:
			r.gapFault("%s: offsets from %d on are gone, it reported from %d on", p, before[p], m.from)
		}
		n := r.oracle.gone(p, m.from, m.to)
		r.mu.Lock()
		r.gaps = append(r.gaps, gapReport{Partition: p.String(), How: e.Kind, From: m.from, To: m.to, Records: n})
		r.mu.Unlock()
	}
	if err := r.othersGoOn(ctx, found); err != nil {
		return err
	}
	r.accept(ctx, found)
	if !r.reach(ctx, func(ctx context.Context) bool {
		p := r.cut.now()
		if p == nil {
			return false
		}
		_, page, err := p.get(ctx, "/readyz")
		left, serr := stops(page)
		return err == nil && serr == nil && len(left) == 0 && len(page) > 0
	}) {
		r.gapFault("the bridge does not go on although the gap was accepted")
	}
	return nil
}

// truncate takes records away in front of the bridge, and returns what it had
// committed by then.
func (r *run) truncate(ctx context.Context, e event, chosen []tp) (before map[tp]int64, err error) {
	live := e.Kind == evCutLive
	if live {
		if p := r.cut.now(); p != nil {
			r.backend.spare(p.endpoint.member)
		}
		// More than the byte budget holds, so that the rest stays in Kafka.
		size := r.producer.recordBytes()
		if err := r.producer.burst(ctx, chosen[0], int(memoryCut*2/size)); err != nil {
			return nil, err
		}
		wait(ctx, 2*time.Second)
	} else if err := r.end(ctx, r.cut); err != nil {
		return nil, err
	}
	if !live {
		for _, p := range chosen {
			if err := r.producer.burst(ctx, p, 300); err != nil {
				return nil, err
			}
		}
	}
	if before, err = r.admin.committed(ctx, groupCut, cutTopics); err != nil {
		return nil, err
	}
	if e.Kind == evExpire {
		r.producer.gate.Lock() // or it would never be over
		defer r.producer.gate.Unlock()
		err := r.admin.configure(ctx, topicCut, retention, "1")
		if err == nil {
			err = r.cluster.expire(ctx, topicCut)
		}
		if err == nil {
			err = r.admin.configure(ctx, topicCut, retention, "")
		}
		if err == nil {
			err = r.startsRest(ctx)
		}
		return before, err
	}
	ends, err := r.admin.ends(ctx, cutTopics)
	if err != nil {
		return nil, err
	}
	offsets := make(kadm.Offsets)
	for _, p := range chosen {
		offsets.Add(kadm.Offset{Topic: p.topic, Partition: p.partition, At: ends[p] - 50})
	}
	return before, again(ctx, "delete records", func(ctx context.Context) error {
		resp, err := r.admin.DeleteRecords(ctx, offsets)
		if err == nil {
			err = resp.Error()
		}
		return err
	})
}

// startsRest waits until no log of the cut topic is being truncated any more.
func (r *run) startsRest(ctx context.Context) error {
	last, err := r.admin.starts(ctx, cutTopics)
	for err == nil {
		wait(ctx, time.Second)
		now, nerr := r.admin.starts(ctx, cutTopics)
		if nerr == nil && maps.Equal(last, now) {
			return nil
		}
		last, err = now, nerr
	}
	return err
}

// end kills the bridge of a slot and leaves it down.
func (r *run) end(ctx context.Context, s *slot) error {
	p := s.take()
	if p == nil {
		return nil
	}
	p.Kill()
	p.endpoint.close()
	committed, err := r.admin.committed(ctx, s.group, cutTopics)
	if err == nil {
		r.oracle.killed(p.endpoint.member, committed)
	}
	return err
}

// awaitStops waits until every partition that was truncated in front of the
// bridge is reported as stopped, and no other.
func (r *run) awaitStops(ctx context.Context, before, starts map[tp]int64) (found map[tp]missed, ok bool) {
	var problem string
	ok = r.reach(ctx, func(ctx context.Context) bool {
		p := r.cut.now()
		if p == nil {
			problem = "no bridge runs"
			return false
		}
		code, page, err := p.get(ctx, "/readyz")
		if err != nil {
			problem = err.Error()
			return false
		}
		if found, err = stops(page); err != nil {
			problem = err.Error()
			return false
		}
		committed, err := r.admin.committed(ctx, groupCut, cutTopics)
		if err != nil {
			problem = err.Error()
			return false
		}
		for p, start := range starts {
			if _, reported := found[p]; start > before[p] && !reported && committed[p] < start {
				problem = fmt.Sprintf("%s is truncated to %d, committed is %d, and /readyz says nothing of it: %s", p, start, committed[p], page)
				return false
			}
		}
		if _, page, err = p.get(ctx, "/metrics"); err != nil {
			problem = err.Error()
			return false
		}
		if n, _ := metric(page, "kappa_bridge_stopped_partitions"); int(n) != len(found) || len(found) > 0 && code != http.StatusServiceUnavailable {
			problem = fmt.Sprintf("%d partitions are stopped, the metric says %v, /readyz answers %d", len(found), n, code)
			return false
		}
		return true
	})
	if !ok {
		r.gapFault("a truncation was not reported: %s", problem)
		return nil, false
	}
	for p, m := range found {
		if starts[p] <= before[p] {
			r.gapFault("%s is stopped (%d to %d) and was not truncated", p, m.from, m.to)
		}
	}
	return found, true
}

// othersGoOn sees that partitions that are not stopped are read to their ends.
func (r *run) othersGoOn(ctx context.Context, found map[tp]missed) error {
	ends, err := r.admin.ends(ctx, cutTopics)
	if err != nil {
		return err
	}
	var behind tp
	if !r.reach(ctx, func(ctx context.Context) bool {
		committed, err := r.admin.committed(ctx, groupCut, cutTopics)
		if err != nil {
			return false
		}
		for p, end := range ends {
			_, isStopped := found[p]
			if isStopped && committed[p] > found[p].from {
				r.gapFault("%s was committed to %d, beyond the gap at %d that nobody had accepted", p, committed[p], found[p].from)
			}
			if !isStopped && committed[p] < end {
				behind = p
				return false
			}
		}
		return true
	}) {
		r.gapFault("%s is not read on while others are stopped", behind)
	}
	return nil
}

// reach polls until done, for as long as patience and the longest outage last.
func (r *run) reach(ctx context.Context, done func(ctx context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for ctx.Err() == nil {
		if done(ctx) {
			return true
		}
		wait(ctx, 100*time.Millisecond)
	}
	return false
}

func (r *run) gapFault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault(&r.extra.Gaps, format, args...)
}

// readOffsets reads which offsets a partition has for a reader of committed
// transactions, up to, without, end.
func readOffsets(ctx context.Context, addrs []string, p tp, end int64) (map[int64]bool, error) {
	found := make(map[int64]bool)
	if end == 0 {
		return found, nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ClientID("soak-reader"), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // the last may be one
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.topic: {p.partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for last := int64(-1); last < end-1; {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read %s to %d: %w", p, end, ctx.Err())
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				found[rec.Offset] = true
			}
			last = max(last, rec.Offset)
		})
	}
	return found, nil
}
