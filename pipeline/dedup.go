package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/timers"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func init() {
	beam.RegisterDoFn(&dedupFn{})
	register.Emitter1[[]byte]()
}

// dedupFn drops the events of packs whose ids were seen before. The ids of a
// subscription, shard and slice of event time are one bag, each entry holding
// the ids that one pack added, 16 bytes each; the first one holds what earlier
// generations have left as well.
//
// An id always has the same event time, hence the same key. The timer fires
// when the watermark has passed the end of the slice by as long as ids are
// remembered. An event that is deduplicated was read when its source's
// watermark was at most its own time plus that, and holds the watermark there
// until it has been through here, so no id is forgotten too early. Where ids are
// remembered for less than the horizon, an event that was read later than that
// comes in a pack of its own (unremembered), which is handed on as it is and
// counted: whether it came before is not known.
//
// What is forgotten is left for the next generation: a drain fires all timers,
// and the state dies with the job. That it is left as well where a slice ends
// in the middle of a generation costs a write per bag, and lets a generation
// that has only begun, and knows no watermark yet, recognise those ids too.
// invariant P3
type dedupFn struct {
	Plan   *Plan
	Seen   state.Bag[[]byte]
	Expiry timers.EventTime

	rt *runtime
}

func newDedupFn(p *Plan) *dedupFn {
	return &dedupFn{Plan: p, Seen: state.MakeBagState[[]byte]("seen"), Expiry: timers.InEventTime("expiry")}
}

// mostEntries is the length of a bag from which it is rewritten as one entry.
const mostEntries = 64

// Setup finds the run.
func (f *dedupFn) Setup(ctx context.Context) (err error) {
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// ProcessElement hands on what is new in a pack.
func (f *dedupFn) ProcessElement(ctx context.Context, sp state.Provider, tp timers.Provider, key string, data []byte, emit func([]byte)) error {
	k, err := readPackKey(key)
	if err != nil {
		return err
	}
	if k.slice == unremembered {
		return f.pass(ctx, key, data, emit)
	}
	entries, _, err := f.Seen.Read(sp)
	if err != nil {
		return fmt.Errorf("read the ids of %s: %w", key, err)
	}
	var added []byte
	if len(entries) == 0 {
		if added, err = f.first(ctx, tp, k); err != nil {
			return err
		}
		entries = append(entries, added)
	}
	size := 0
	for _, e := range entries {
		size += len(e) / 16
	}
	seen := make(map[[16]byte]struct{}, size+len(data)/24)
	for _, e := range entries {
		for ; len(e) >= 16; e = e[16:] {
			seen[[16]byte(e)] = struct{}{}
		}
	}

	var event packed
	var fresh []byte
	events, duplicates := int64(0), int64(0)
	for rest := data; len(rest) > 0; {
		start := rest
		if rest, err = f.Plan.readPacked(rest, &event); err != nil {
			return fmt.Errorf("deduplicate %s: %w", key, err)
		}
		events++
		if _, dup := seen[event.id]; dup {
			duplicates++
			continue
		}
		seen[event.id] = struct{}{}
		added = append(added, event.id[:]...)
		fresh = append(fresh, start[:len(start)-len(rest)]...)
	}
	f.rt.add(ctx, counterDuplicates, duplicates)
	if len(added) == 0 {
		return nil
	}
	if len(entries) >= mostEntries {
		added = added[:0]
		for id := range seen {
			added = append(added, id[:]...)
		}
		if err := f.Seen.Clear(sp); err != nil {
			return fmt.Errorf("compact the ids of %s: %w", key, err)
		}
	}
	if err := f.Seen.Add(sp, added); err != nil {
		return fmt.Errorf("keep the ids of %s: %w", key, err)
	}
	if len(fresh) > 0 {
		emit(fresh)
	}
	return nil
}

// pass hands on a pack of events that are too late to be deduplicated.
func (f *dedupFn) pass(ctx context.Context, key string, data []byte, emit func([]byte)) error {
	var event packed
	var err error
	events := int64(0)
	for rest := data; len(rest) > 0; events++ {
		if rest, err = f.Plan.readPacked(rest, &event); err != nil {
			return fmt.Errorf("deduplicate %s: %w", key, err)
		}
	}
	f.rt.add(ctx, counterUndeduplicated, events) // invariant P3: the leak is counted
	emit(data)
	return nil
}

// first begins a bag: it sets the timer, and returns the ids that were left
// for it. An archive's messages do not say where they were read, and the
// windows of a backfill are its own alone: it follows nobody.
func (f *dedupFn) first(ctx context.Context, tp timers.Provider, k packKey) ([]byte, error) {
	f.Expiry.Set(tp, time.UnixMicro(k.slice).Add(f.Plan.Slice+f.Plan.Remember))
	if k.subscription == noSubscription {
		return nil, nil
	}
	return f.rt.inherit(ctx, f.Plan, f.Plan.idSlice(k))
}

func (p *Plan) idSlice(k packKey) tables.IDSlice {
	return tables.IDSlice{Subscription: p.subscription(k.subscription), Shard: k.shard, Shards: p.Shards, Start: time.UnixMicro(k.slice).UTC(), Size: p.Slice}
}

// OnTimer leaves the ids of a slice to the next generation and forgets them.
func (f *dedupFn) OnTimer(ctx context.Context, sp state.Provider, _ timers.Provider, key string, _ timers.Context, _ func([]byte)) error {
	k, err := readPackKey(key)
	if err != nil {
		return err
	}
	if k.subscription != noSubscription {
		entries, _, err := f.Seen.Read(sp)
		if err != nil {
			return fmt.Errorf("read the ids of %s: %w", key, err)
		}
		if err := f.rt.leave(ctx, f.Plan, f.Plan.idSlice(k), bytes.Join(entries, nil)); err != nil {
			return err
		}
	}
	return f.Seen.Clear(sp)
}
