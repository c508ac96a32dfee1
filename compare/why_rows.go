package compare

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// readSides reads the stored rows, and what they make.
func (y *whyRun) readSides(ctx context.Context, out *Why) error {
	y.cfg.Progress(Progress{Phase: "rows", Message: "reading the key's rows"})
	type id struct {
		g      int64
		writer string
		pane   int64
	}
	for n, s := range []side{y.queries.batch, y.queries.stream} {
		to := []*WhySide{&out.Batch, &out.Stream}[n]
		to.Rows = []WhyRow{}
		has := &y.sides[n]
		has.values = make([]*big.Rat, len(y.rules))
		once := map[id]bool{}
		_, err := y.runner.run(ctx, y.queries.storedQuery(s, y.forms, y.window), func(row row) error {
			r := WhyRow{Counts: true}
			var k id
			var err error
			if k.g, err = get[int64](row, "g"); err != nil {
				return err
			}
			if s.writers {
				if r.Writer, err = get[string](row, "job"); err != nil {
					return err
				}
				generation, err := get[int64](row, "generation")
				if err != nil {
					return err
				}
				if r.Pane, err = get[int64](row, "pane"); err != nil {
					return err
				}
				r.Writer = writerName(r.Writer, generation)
				k.writer, k.pane = r.Writer, r.Pane
				r.Counts, r.Reason = y.standing(r.Writer, y.window.From)
				if r.Counts && once[k] {
					r.Counts, r.Reason = false, "a copy of the row before"
				}
				once[k] = true
			}
			for i := range y.rules {
				v, _, err := finiteNumber(row, fmt.Sprintf("m%d", i))
				if err != nil {
					return err
				}
				r.Values = append(r.Values, decimalPointer(v))
				if r.Counts {
					has.values[i] = y.rules[i].join(has.values[i], v)
				}
			}
			has.present = has.present || r.Counts
			if len(to.Rows) < y.limit {
				to.Rows = append(to.Rows, r)
			} else {
				to.More++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// standing says whether rows of a writer count in a window, and why not.
func (y *whyRun) standing(writer string, window time.Time) (bool, string) {
	for _, s := range y.standings {
		if s.Writer().String() != writer {
			continue
		}
		switch {
		case s.CountsAt(window):
			return true, ""
		case !s.Counts:
			return false, s.Reason
		}
		for _, e := range s.Except {
			if e.Contains(window) {
				return false, "replaced by " + e.By.String()
			}
		}
		return false, "not in its span of windows"
	}
	return false, "not in the generations table"
}

// batchWindow is the window whose events the batch side has.
func (y *whyRun) batchWindow() Range {
	if y.open == nil || len(y.open.sets) == 0 || y.open.sets[0]&shiftedBatch == 0 || y.open.shift == nil {
		return y.window
	}
	for o, by := range shiftOffsets {
		if y.open.shift.offsets.has(o) {
			return Range{y.window.From.Add(by), y.window.To.Add(by)}
		}
	}
	return y.window
}

func (y *whyRun) readEvents(ctx context.Context, out *Why) ([]whyDelivery, error) {
	y.cfg.Progress(Progress{Phase: "events", Message: "reading the key's raw events"})
	within := y.window
	if b := y.batchWindow(); b != y.window {
		if b.From.Before(within.From) {
			within.From = b.From
		}
		if b.To.After(within.To) {
			within.To = b.To
		}
	}
	var rows []seenDelivery
	_, err := y.runner.run(ctx, y.queries.deliveriesQuery(y.forms, within), func(row row) error {
		d, err := y.queries.readDelivered(row, within.From)
		rows = append(rows, d)
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Cut = len(rows) == maxWhyRows
	late, ended, known := anywhere(y.standings), withoutSuccessor(y.standings, y.queries.spec.Stream.Job), listed(y.standings)
	all := collapse(rows, witness{
		plain:  !y.queries.hasWriters(),
		counts: func(writer string, at time.Time) bool { ok, _ := y.standing(writer, at); return ok },
		late:   func(writer string) bool { return slices.Contains(late, writer) },
		lost:   func(writer string) bool { return slices.Contains(ended, writer) || !slices.Contains(known, writer) },
	})
	if b := y.batchWindow(); b != y.window { // what lies between belongs to neither side
		all = slices.DeleteFunc(all, func(d whyDelivery) bool {
			in := func(r Range) bool { return !d.at.Before(r.From) && d.at.Before(r.To) }
			return !in(b) && !in(y.window)
		})
	}
	return all, nil
}
