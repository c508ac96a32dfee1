package main

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// settle lets the bridges finish in fair weather and stops them.
func (r *run) settle(ctx context.Context) {
	r.say("fair weather: waiting for the bridges to finish")
	if err := r.settleTransactions(ctx); err != nil {
		r.mu.Lock()
		r.fault(&r.extra.Soak, "%v", err)
		r.mu.Unlock()
	}
	r.backend.change(func(w *weather) {
		if w.away != 0 || w.denied != 0 {
			r.say("the weather is not fair: %+v", *w)
		}
	})
	for _, s := range r.slots {
		if err := s.start(nil); err != nil {
			r.say("%v", err)
		}
	}
	if left := r.finish(ctx); len(left) > 0 && ctx.Err() == nil {
		r.stalled(ctx, left)
	}
	r.fleet.done.Store(true)
	var all sync.WaitGroup
	for _, s := range r.slots {
		all.Go(func() {
			if code, stopped := s.stop(); stopped && code != 0 {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.fault(&r.extra.Processes, "bridge %s had nothing left to do and ended with %d", s.name(), code)
			}
		})
	}
	all.Wait()
	r.fleet.watching.Wait()
	if _, err := r.commits(ctx); err != nil { // the last ones are judged too
		r.say("%v", err)
	}
}

// finish waits until everything has arrived and is committed, for as long as
// there is progress, and returns what is left.
func (r *run) finish(ctx context.Context) (left []string) {
	var before int64
	for reached := true; reached; {
		var now int64
		reached = r.reach(ctx, func(ctx context.Context) bool {
			committed, err := r.commits(ctx)
			if err != nil {
				left = []string{err.Error()}
				return false
			}
			now = 0
			for _, offset := range committed {
				now += offset
			}
			left = r.oracle.unfinished(committed)
			return len(left) == 0 || now > before
		})
		if len(left) == 0 {
			break
		}
		before = now
		wait(ctx, 100*time.Millisecond)
	}
	return left
}

// stalled tells what there is to tell of bridges that do not finish.
func (r *run) stalled(ctx context.Context, left []string) {
	r.mu.Lock()
	for _, l := range left {
		r.fault(&r.extra.Stalled, "not finished in fair weather: %s", l)
	}
	r.mu.Unlock()
	for group := range groups {
		found, err := r.admin.DescribeGroups(ctx, group)
		r.say("group %s: %s %v", group, found[group].State, err)
		for _, m := range found[group].Members {
			c, _ := m.Assigned.AsConsumer()
			r.say("  %s: %v", m.MemberID, c)
		}
	}
	for _, s := range r.slots {
		p := s.now()
		if p == nil {
			continue
		}
		_, page, err := p.get(ctx, "/readyz")
		r.say("bridge %d (%s): %s %v", p.endpoint.member, s.name(), page, err)
		if r.logs != "" {
			p.tellStacks()
		}
	}
}

// settleTransactions looks up how transactions ended.
func (r *run) settleTransactions(ctx context.Context) error {
	topics := map[string]int{topicTx: mainTopics[topicTx]}
	var ends map[tp]int64
	// An end that was acknowledged is not in the log yet; one that nobody gave is
	// given by the coordinator when the transaction is over its time.
	if !r.reach(ctx, func(ctx context.Context) bool {
		stable, err := r.admin.ends(ctx, topics)
		written, werr := r.admin.bounds(ctx, topics, r.admin.ListEndOffsets)
		ends = stable
		return err == nil && werr == nil && maps.Equal(stable, written)
	}) {
		return errors.New("a transaction does not end")
	}
	for p, end := range ends {
		visible, err := readOffsets(ctx, r.cluster.addrs(), p, end)
		if err != nil {
			return err
		}
		if n := r.oracle.transactions(p, visible); n > 0 {
			r.say("%s: %d records were of transactions that ended otherwise than their producer knew", p, n)
		}
	}
	return nil
}

// commits reads what both groups have committed, and tells the oracle.
func (r *run) commits(ctx context.Context) (map[tp]int64, error) {
	all := make(map[tp]int64)
	for group, topics := range groups {
		committed, err := r.admin.committed(ctx, group, topics)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		for p, offset := range committed {
			r.oracle.commits(p, offset, now)
			all[p] = offset
		}
	}
	return all, nil
}

func (r *run) followCommits(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := r.commits(ctx); err != nil && ctx.Err() == nil {
			r.say("%v", err)
		}
		wait(ctx, 200*time.Millisecond)
	}
}

// followOwners tells the oracle when partitions move.
func (r *run) followOwners(ctx context.Context) {
	last := make(map[tp]string)
	for ctx.Err() == nil {
		for group, topics := range groups {
			owners, ok := r.admin.owners(ctx, group, topics)
			if !ok {
				continue
			}
			for p, owner := range owners {
				if last[p] != owner {
					r.oracle.moved(p)
					if last[p] != "" {
						r.mu.Lock()
						r.moves++
						r.mu.Unlock()
					}
					last[p] = owner
				}
			}
		}
		wait(ctx, 100*time.Millisecond)
	}
}
