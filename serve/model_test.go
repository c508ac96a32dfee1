package serve_test

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// Whatever writers, generations and panes have written, in whatever order and
// however often, the windows are those that the rule says: computed here cell
// by cell, without package tables' standings (invariants P1, P2).
func TestReaderFollowsTheRule(t *testing.T) {
	table := open(t)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		agg := byOrigin
		agg.Name = fmt.Sprint("run", runs) // rows of other runs stay out
		gens := drawGenerations(rt)
		var cells []cell
		type name struct {
			key, measure, writer string
			hour                 int
			pane                 int64
		}
		holds := map[name]cell{} // the value that was written last
		for range rapid.IntRange(0, 25).Draw(rt, "cells") {
			c := cell{
				key:  []*string{rapid.SampledFrom([]*string{text("ATL"), text(""), text("A#"), nil}).Draw(rt, "key")},
				hour: rapid.IntRange(0, 4).Draw(rt, "hour"), measure: rapid.SampledFrom([]string{"flights", "delay_sum", "least", "most"}).Draw(rt, "measure"),
				writer: rapid.SampledFrom([]string{"a@1", "a@2", "b@1", "fill@1", "fill@2", "ghost@1"}).Draw(rt, "writer"), pane: rapid.Int64Range(0, 2).Draw(rt, "pane"),
				value: rapid.Int64Range(-3, 9).Draw(rt, "value"),
			}
			cells = append(cells, c)
			holds[name{tables.RowKey("", c.key, start), c.measure, c.writer, c.hour, c.pane}] = c
		}
		write(t, table, agg.Name, cells...)

		type window struct {
			key  string
			hour int
		}
		keys := map[string][]*string{}
		model := map[window]map[string][]int64{}
		for _, c := range holds {
			if !counts(gens, c.writer, c.hour) {
				continue
			}
			k := tables.RowKey("", c.key, start)
			keys[k] = c.key
			w := window{k, c.hour}
			if model[w] == nil {
				model[w] = map[string][]int64{}
			}
			model[w][c.measure] = append(model[w][c.measure], c.value)
		}
		from, to := rapid.IntRange(0, 5).Draw(rt, "from"), rapid.IntRange(0, 5).Draw(rt, "to")
		ordered := slices.SortedFunc(func(yield func(window) bool) {
			for w := range model {
				if !yield(w) {
					return
				}
			}
		}, func(a, b window) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.hour, b.hour)) })
		var want, within []string
		for _, w := range ordered {
			k := "null"
			if d := keys[w.key][0]; d != nil {
				k = fmt.Sprintf("%q", *d)
			}
			line := fmt.Sprint(k, " ", w.hour, " ", merged("count", model[w]["flights"]), " ", merged("sum", model[w]["delay_sum"]), " ", merged("min", model[w]["least"]), " ", merged("max", model[w]["most"]))
			want = append(want, line)
			if k == `"ATL"` && w.hour >= from && w.hour < to {
				within = append(within, line)
			}
		}
		r := reader(t, table, agg, gens...)
		if diff := gocmp.Diff(want, scan(t, r, time.Time{}, time.Time{})); diff != "" {
			rt.Fatalf("all keys (-want +got):\n%s", diff)
		}
		got, err := r.Query(t.Context(), []*string{text("ATL")}, at(from), at(to))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := gocmp.Diff(within, lines(got)); diff != "" {
			rt.Fatalf("one key from hour %d to %d (-want +got):\n%s", from, to, diff)
		}
	})
}

func drawGenerations(t *rapid.T) []tables.Generation {
	states := rapid.SampledFrom([]string{"open", "drained", "drained", "cancelled", "void"})
	gens := []tables.Generation{
		generation("a@1", "stream", states.Draw(t, "a@1")), generation("a@2", "stream", states.Draw(t, "a@2")), generation("b@1", "stream", states.Draw(t, "b@1")),
	}
	gens[2].Group = rapid.SampledFrom([]string{"flights", "fares"}).Draw(t, "group of b")
	for i, writer := range []string{"fill@1", "fill@2"} {
		from := rapid.IntRange(-1, 4).Draw(t, writer+" from")
		g := backfill(writer, states.Draw(t, writer), from, from+rapid.IntRange(0, 3).Draw(t, writer+" hours"))
		g.RecordedAt = at(100 + i)
		if rapid.Bool().Draw(t, "order of completion") {
			g.RecordedAt = at(100 - i)
		}
		gens = append(gens, g)
	}
	return rapid.Permutation(gens).Draw(t, "order")
}

// counts says by the words of the rule whether a writer's cells of a window count.
func counts(gens []tables.Generation, writer string, hour int) bool {
	var self *tables.Generation
	for i := range gens {
		if gens[i].Writer().String() == writer {
			self = &gens[i]
		}
	}
	if self == nil {
		return false
	}
	var holder *tables.Generation // the complete backfill that holds the window
	for i := range gens {
		g := &gens[i]
		if g.Kind != "backfill" || g.State != "drained" || g.Group != self.Group || at(hour).Before(g.WindowFrom.Timestamp) || !at(hour).Before(g.WindowTo.Timestamp) {
			continue
		}
		if holder == nil || g.RecordedAt.After(holder.RecordedAt) || g.RecordedAt.Equal(holder.RecordedAt) && g.Generation > holder.Generation {
			holder = g
		}
	}
	if holder != nil {
		return holder == self
	}
	return self.Kind == "stream" && (self.State == "open" || self.State == "drained")
}

// merged is the value of a measure over its cells.
func merged(typ string, values []int64) string {
	switch {
	case len(values) == 0:
		return "null"
	case typ == "min":
		return fmt.Sprint(slices.Min(values))
	case typ == "max":
		return fmt.Sprint(slices.Max(values))
	}
	sum := new(big.Int)
	for _, v := range values {
		sum.Add(sum, big.NewInt(v))
	}
	return sum.String()
}
