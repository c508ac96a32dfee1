package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"cloud.google.com/go/bigtable"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// Ways to recognise an event that was counted before a drain, against the same
// events: 100,000 ids in packs of 16, two subscriptions, eight shards and
// seventeen slices, which is a horizon of four days. What is measured is what a
// way adds to deduplication in state: CPU time of client and emulator together,
// calls, bytes kept for each id (key, qualifier, timestamp, value), and the
// time that it adds to a drain with all these ids alive.
//
// See docs/adr/0008 for the figures and what was decided by them.
func BenchmarkIDsAcrossGenerations(b *testing.B) {
	const events, perPack = 100_000, 16
	way := func(name string, fn func(b *testing.B, packs []idPack, c *idCosts)) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				packs := randomPacks(events, perPack)
				c := &idCosts{table: openTable(b, tables.IDFamily)}
				b.StartTimer()
				cpu := cpuTime()
				fn(b, packs, c)
				b.ReportMetric(float64(cpuTime()-cpu)/events, "cpu-ns/event")
				b.ReportMetric(float64(c.calls)/events, "calls/event")
				b.ReportMetric(float64(c.bytes)/events, "bytes/id")
				b.ReportMetric(c.drain.Seconds()*1e3, "drain-ms")
			}
		})
	}
	// What the pipeline does: a read when a bag begins, a write when it ends.
	way("hand-over", func(b *testing.B, packs []idPack, c *idCosts) {
		store := bigtableIDs{table: c.table}
		bags := map[tables.IDSlice][]byte{}
		for _, p := range packs {
			if _, ok := bags[p.slice]; !ok {
				must(b, store.Read(b.Context(), p.slice, func(tables.Writer, []byte) {}))
				c.calls++
			}
			bags[p.slice] = append(bags[p.slice], p.ids...)
		}
		start := time.Now()
		for s, ids := range bags {
			must(b, store.Write(b.Context(), s, tables.Writer{Job: "flights-0", Generation: 1}, ids))
			c.calls++
			c.add(s.RowKey(), tables.IDQualifier(tables.Writer{Job: "flights-0", Generation: 1}, 0), len(ids))
		}
		c.drain = time.Since(start)
	})
	// A ledger beside the state: a read when a bag begins, a write for each pack.
	way("ledger, a cell a pack", func(b *testing.B, packs []idPack, c *idCosts) {
		store := bigtableIDs{table: c.table}
		begun := map[tables.IDSlice]bool{}
		for i, p := range packs {
			if !begun[p.slice] {
				begun[p.slice] = true
				must(b, store.Read(b.Context(), p.slice, func(tables.Writer, []byte) {}))
				c.calls++
			}
			m := bigtable.NewMutation()
			q := fmt.Sprintf("flights-0/1/%d", i)
			m.Set(tables.IDFamily, q, bigtable.Now(), p.ids)
			must(b, c.table.Apply(b.Context(), p.slice.RowKey(), m))
			c.calls++
			c.add(p.slice.RowKey(), q, len(p.ids))
		}
	})
	// A ledger instead of state: a row for each id, taken by whoever comes
	// first. The message that took it has to be kept, or the retry of a bundle
	// would take its own events for duplicates.
	way("ledger, a row an id", func(b *testing.B, packs []idPack, c *idCosts) {
		for _, p := range packs {
			for id := p.ids; len(id) > 0; id = id[16:] {
				m := bigtable.NewMutation()
				m.Set(tables.IDFamily, "flights-0/1", bigtable.Now(), []byte("12345678901234567"))
				key := fmt.Sprintf("%x", id[:16])
				var taken bool
				must(b, c.table.Apply(b.Context(), key, bigtable.NewCondMutation(bigtable.FamilyFilter(tables.IDFamily), nil, m), bigtable.GetCondMutationResult(&taken)))
				c.calls++
				c.add(key, "flights-0/1", 17)
			}
		}
	})
}

type idPack struct {
	slice tables.IDSlice
	ids   []byte
}

// idCosts is what a way has cost so far.
type idCosts struct {
	table *bigtable.Table
	calls int
	bytes int
	drain time.Duration
}

func (c *idCosts) add(key, qualifier string, value int) {
	c.bytes += len(key) + len(tables.IDFamily) + len(qualifier) + 8 + value
}

func randomPacks(events, perPack int) []idPack {
	r := rand.New(rand.NewPCG(1, 2))
	var packs []idPack
	for n := 0; n < events; n += perPack {
		p := idPack{slice: tables.IDSlice{Subscription: fmt.Sprintf("flights-%d", r.IntN(2)), Shard: r.Uint32N(localShards), Shards: localShards,
			Start: time.Unix(int64(r.IntN(17))*6*3600, 0).UTC(), Size: 6 * time.Hour}}
		for range min(perPack, events-n) {
			p.ids = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(p.ids, r.Uint64()), r.Uint64())
		}
		packs = append(packs, p)
	}
	return packs
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkDrainWithIDs drains a job that holds many ids: all of them are left
// for the next generation.
func BenchmarkDrainWithIDs(b *testing.B) {
	for _, events := range []int{1_000, 50_000} {
		for _, kept := range []string{"left", "dropped"} {
			b.Run(fmt.Sprintf("%d/%s", events, kept), func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					p := newPlatform(b, 2)
					m := newMemory()
					store := IDStore(bigtableIDs{table: openTable(b, tables.IDFamily)})
					if kept == "dropped" {
						store = noIDs{}
					}
					p.ids = store
					r := p.start(spec(b, nil), "flights-0", 1, m)
					p.publishFlights(2, flights(1, events, 90*time.Hour, 8))
					r.until("everything is read", func() bool { return m.count("raw_flights") == events })
					b.StartTimer()
					r.drained()
				}
			})
		}
	}
}

// noIDs keeps nothing.
type noIDs struct{}

func (noIDs) Read(context.Context, tables.IDSlice, func(tables.Writer, []byte)) error { return nil }
func (noIDs) Write(context.Context, tables.IDSlice, tables.Writer, []byte) error      { return nil }
