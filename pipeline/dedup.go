package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/timers"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(&dedupFn{})
	register.Emitter1[[]byte]()
}

// dedupFn drops the events of packs whose ids were seen before. The ids of a
// shard and slice of event time are one bag, each entry holding the ids that
// one pack added, 16 bytes each.
//
// An id always has the same event time, hence the same key. The timer fires
// when the watermark has passed the end of the slice by the horizon; an event
// that may still be counted was read when its source's watermark was at most
// its own time plus the horizon, and holds the watermark there until it has
// been through here, so no id is forgotten too early (P3 within a generation).
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
	entries, _, err := f.Seen.Read(sp)
	if err != nil {
		return fmt.Errorf("read the ids of %s: %w", key, err)
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
	var added, fresh []byte
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
	if len(entries) == 0 {
		slice, err := sliceOf(key)
		if err != nil {
			return err
		}
		f.Expiry.Set(tp, time.UnixMicro(slice).Add(f.Plan.Slice+f.Plan.Horizon))
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
	emit(fresh)
	return nil
}

// OnTimer forgets a slice.
func (f *dedupFn) OnTimer(_ context.Context, sp state.Provider, _ timers.Provider, key string, _ timers.Context, _ func([]byte)) error {
	return f.Seen.Clear(sp)
}
