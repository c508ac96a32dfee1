package compare

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Worlds drawn at random, in which every key has come about in some way,
// flawed or not, or has been tampered with: what SQL finds must be what the
// definitions, computed here event by event, say.
func TestRandomWorlds(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t)
			want := outcome{Causes: map[string]int64{}, Windows: 8}
			batchRows, streamRows := 0, 0
			for h := range 8 {
				for _, origin := range []any{"ATL", "DEN", "ORD", "", nil, "Ünï'code\\"} {
					if rng.IntN(4) == 0 {
						continue
					}
					class, cause, b, s := randomKey(w, rng, origin, h)
					batchRows, streamRows = batchRows+b, streamRows+s
					if class == "" {
						continue
					}
					want.Counts.Total++
					switch class {
					case ClassExact:
						want.Counts.Exact++
					case ClassMismatch:
						want.Counts.Mismatch++
					case ClassMissing:
						want.Counts.Missing++
					case ClassExtra:
						want.Counts.Extra++
					}
					if class != ClassExact {
						want.Causes[cause]++
					}
				}
			}
			r := w.run()
			want.Verdict = r.Verdict.Verdict // has tests of its own
			if diff := cmp.Diff(want, outcomeOf(r)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if r.Batch.Rows != int64(batchRows) || r.Stream.Rows != int64(streamRows) {
				t.Errorf("rows %d and %d, want %d and %d", r.Batch.Rows, r.Stream.Rows, batchRows, streamRows)
			}
		})
	}
}

// randomKey draws a key, writes its rows, and returns its class, "" if it is
// on neither side, and its cause.
func randomKey(w *world, rng *rand.Rand, origin any, hour int) (class, cause string, batchRows, streamRows int) {
	var delays, distances []delivery
	for range 1 + rng.IntN(4) {
		id := fmt.Sprintf("e%d", w.events)
		f := flight{origin: origin, hour: hour, delay: int64(rng.IntN(9) - 4), distance: int64(rng.IntN(9))}
		for range 1 + rng.IntN(5)/4 {
			f.arrives = 2*time.Hour + time.Duration(rng.IntN(3)-1)*time.Millisecond
			if f.late = rng.IntN(5) == 0; rng.IntN(2) == 0 {
				f.arrives = -time.Minute
			}
			messages := 1 + rng.IntN(5)/4
			w.deliver(id, f, messages)
			for range messages {
				d := delivered(id, fmt.Sprint(w.events), f.arrives <= 2*time.Hour, f.late, f.delay)
				delays = append(delays, d)
				d.value = f.distance
				distances = append(distances, d)
			}
		}
	}
	side := func(way way) sideValue {
		n, delay, _ := seenThrough(delays, keeps[way.set], way.counting)
		_, distance, _ := seenThrough(distances, keeps[way.set], way.counting)
		if n == 0 {
			return sideValue{values: []*big.Rat{nil, nil, nil}}
		}
		s := sideValue{true, []*big.Rat{whole(n), delay, distance}}
		if rng.IntN(12) == 0 { // tampered with
			s.values[1].Add(s.values[1], whole(1))
		}
		return s
	}
	draw := func(ways []way) sideValue {
		if rng.IntN(2) == 0 {
			return side(ways[0])
		}
		return side(ways[rng.IntN(len(ways))])
	}
	batch, stream := draw(batchWays), draw(streamWays)
	if batch.present {
		w.batch(origin, hour, batch.values[0].Num().Int64(), batch.values[1].Num().Int64(), batch.values[2].Num().Int64())
		batchRows++
	}
	if stream.present {
		// In several panes, the first of them written twice.
		n, delay, distance := stream.values[0].Num().Int64(), stream.values[1].Num().Int64(), stream.values[2].Num().Int64()
		for pane := range rng.Int64N(3) {
			w.pane("flights-0@1", pane, origin, hour, 1, pane, -pane)
			n, delay, distance = n-1, delay-pane, distance+pane
			streamRows++
		}
		last := w.pane("flights-0@1", 9, origin, hour, n, delay, distance)
		w.add("stream_flights", last)
		streamRows++
	}
	switch {
	case !batch.present && !stream.present:
		return "", "", batchRows, streamRows
	case !batch.present:
		class = ClassExtra
	case !stream.present:
		class = ClassMissing
	case sameSide(batch, stream):
		class = ClassExact
	default:
		class = ClassMismatch
	}
	distance := map[string]int64{}
	for _, d := range distances {
		distance[d.event] = d.value
	}
	groups := groupsOf(delays, func(d delivery) []*big.Rat { return []*big.Rat{whole(d.value), whole(distance[d.event])} })
	rules := slices.Clone(testRules)
	rules[2].merge = mergeSum
	cause, _ = causeFor(subject{rules: rules, sides: [2]sideValue{batch, stream}, groups: groups, window: slots{0, 1}})
	return class, cause, batchRows, streamRows
}
