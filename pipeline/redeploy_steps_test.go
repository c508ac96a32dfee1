package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// play runs a schedule to its end, where everything has been read and drained.
func (w *world) play(s schedule) error {
	lapseAt := 0
	for i, st := range s.Steps {
		w.tracef("%d. %s", i+1, st.Do)
		if err := w.start(); err != nil {
			return err
		}
		if err := w.step(st); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, st.Do, err)
		}
		if !st.Away {
			if err := w.start(); err != nil {
				return err
			}
		}
		switch {
		case len(w.dead) == 0:
			lapseAt = 0
		case st.Lapse == 1:
			if err := w.settle(); err != nil {
				return err
			}
		case st.Lapse == 2 && lapseAt == 0:
			lapseAt = i + 1
		}
		if i >= lapseAt {
			if err := w.lapseDead(); err != nil {
				return err
			}
		}
		if st.Land > 0 {
			w.land(st.Land, false)
		}
	}
	w.tracef("end")
	if err := w.finish(); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

// finish drains everything for good.
func (w *world) finish() error {
	for {
		if err := w.start(); err != nil {
			return err
		}
		if err := w.lapseDead(); err != nil {
			return err
		}
		w.land(1, false)
		if err := w.settle(); err != nil {
			return err
		}
		if err := w.drainThese(slices.Clone(w.live), nil, 0); err != nil {
			return err
		}
		if w.live = nil; !slices.ContainsFunc(w.down, func(job string) bool { row, _ := w.log().Latest(job); return row.State != tables.StateDrained }) {
			w.land(2, true)
			return w.lost()
		}
	}
}

// step publishes a step's events and does its deed.
func (w *world) step(s step) error {
	if s.Do == doBackfill {
		return w.backfill(s)
	}
	chosen := slices.Clone(w.live)
	if !s.All && len(chosen) > 0 {
		chosen = chosen[s.Job%len(chosen):][:1]
	}
	switch s.Do {
	case doReshard, doHorizon:
		chosen = slices.Clone(w.live)
	case doCrash, doCancel:
		for _, g := range chosen {
			g.gate.light(*s.Fuse)
		}
	}
	if err := w.publish(s); err != nil {
		return err
	}
	if s.Do == doCrash || s.Do == doCancel {
		return w.kill(s, chosen)
	}
	if s.Settle || s.Do == doPublish {
		if err := w.settle(); err != nil {
			return err
		}
	}
	// Jobs may have ended by themselves meanwhile.
	for i, g := range chosen {
		chosen[i] = nil
		for _, l := range w.live {
			if l.writer.Job == g.writer.Job {
				chosen[i] = l
			}
		}
	}
	chosen = slices.DeleteFunc(chosen, func(g *generation) bool { return g == nil })
	switch s.Do {
	case doDrain, doReshard, doHorizon:
		if err := w.drainThese(chosen, s.Fuse, s.Lapse); err != nil {
			return err
		}
	case doLapse:
		return w.lapseLive(s)
	}
	switch {
	case s.Do == doReshard && s.Jobs != w.jobs:
		w.tracef("  now %d jobs", s.Jobs)
		w.count("reshard")
		w.jobs, w.down = s.Jobs, nil
		for i := range s.Jobs {
			w.down = append(w.down, jobName(i))
		}
	case s.Do == doHorizon && s.Horizon != w.horizon:
		w.tracef("  now horizon %s", s.Horizon)
		w.count("change of the horizon")
		w.horizon = s.Horizon
	}
	return nil
}

// closing is how long after it has been read a record's watermark may take to
// close windows.
const closing = 200 * time.Millisecond

// kill waits until the fuses of jobs have burnt, or nothing will burn them any
// more, and sees to it that they are dead.
func (w *world) kill(s step, chosen []*generation) error {
	w.moved()
	unread := func() int { // by those that are still alive
		live := w.live
		defer func() { w.live = live }()
		w.live = slices.DeleteFunc(slices.Clone(live), func(g *generation) bool { return g.over() })
		return len(w.unread())
	}
	refused := func() bool { // they end by themselves
		return slices.ContainsFunc(chosen, func(g *generation) bool { return g.gate.refused() && !g.over() })
	}
	alive := func() bool { return slices.ContainsFunc(chosen, func(g *generation) bool { return !g.over() }) }
	for alive() && (unread() > 0 || refused() || s.Fuse.waits() && w.still() < closing) {
		if w.stalled() {
			return fmt.Errorf("nothing moves; unread %v", w.unread())
		}
	}
	state := tables.StateVoid
	if s.Do == doCancel {
		state = tables.StateCancelled
	}
	for _, g := range chosen {
		g.gate.cut("out of the blue")
		g.over()
		if err := w.bury(g, state, s.Lapse); err != nil {
			return err
		}
		w.count(string(s.Do))
	}
	return nil
}

// lapseLive lets some leases of jobs that run lapse.
func (w *world) lapseLive(s step) error {
	for _, g := range w.live {
		some := map[string]leased{}
		for id, l := range g.transport.leases() {
			if len(some) < 1+s.Job*3 {
				some[id] = l
			}
		}
		if err := g.transport.lapse(some); err != nil {
			return err
		}
		w.tracef("  %d leases of %s lapse", len(some), g.writer)
		if len(some) > 0 {
			w.count("lapse of a job that runs")
		}
	}
	return nil
}

// backfill replaces windows by what the archive has of them.
func (w *world) backfill(s step) error {
	if !s.Stopped {
		if err := w.leap(); err != nil {
			return err
		}
		if err := w.settle(); err != nil {
			return err
		}
	}
	if _, ok := w.span(s); s.Stopped || !ok {
		if s.Settle {
			if err := w.settle(); err != nil {
				return err
			}
		}
		if err := w.drainThese(slices.Clone(w.live), nil, s.Lapse); err != nil {
			return err
		}
	}
	span, ok := w.span(s)
	if !ok || len(w.messages) == 0 {
		w.tracef("  no windows that no job adds to any more")
		w.count("backfill refused")
		return w.publish(s)
	}
	writer := tables.Writer{Job: jobGroup + "-backfill", Generation: w.log().NextGeneration(jobGroup + "-backfill")}
	dir := filepath.Join(w.dir, writer.String())
	if err := w.archiveTo(dir); err != nil {
		return err
	}
	w.tracef("  backfill of windows from %s to %s by %s, beside %d jobs; it %s", span.From.Format("02T15"), span.To.Format("02T15"), writer, len(w.live), s.End)
	a := archive{writer: writer, span: span, upTo: len(w.messages)}
	if err := w.publish(s); err != nil {
		return err
	}
	w.record(writer, tables.WriterBackfill, tables.StateOpen, &span)
	plan, err := NewPlan(w.spec(), writer.Job, writer.Generation)
	if err == nil {
		err = plan.FindArchive(context.Background(), filepath.Join(dir, "*.avro"))
	}
	if err != nil {
		return err
	}
	ran := len(w.all)
	g, err := w.run(plan, writer)
	if err != nil {
		return err
	}
	if s.End == endDies {
		g.gate.light(*s.Fuse)
	}
	if err := w.until("the backfill ends", g.over); err != nil {
		return err
	}
	switch {
	case g.gate.wasCut() == "" && g.err != nil && !g.gate.refused() && !heldUp(g.err):
		return fmt.Errorf("the backfill failed: %w", g.err)
	case s.End == endStays: // and its rows are there
		w.count("backfill that stays open")
	case g.gate.wasCut() != "" || g.err != nil || len(w.all) > ran+1:
		// A job that was started meanwhile may have counted what is not in the
		// archive: a backfill beside which that happened must not count.
		w.record(writer, tables.WriterBackfill, tables.StateVoid, &span)
		w.count("backfill that dies")
	default:
		w.record(writer, tables.WriterBackfill, tables.StateDrained, &span)
		w.archives = append(w.archives, a)
		w.count("backfill")
		if len(w.live) > 0 {
			w.count("backfill beside jobs that run")
		}
	}
	g.gate.cut("it is over")
	return nil
}

// span is the windows of a backfill: those drawn, but none that a job which
// runs may still add to. Such a job's watermark has to be past their end by the
// horizon.
func (w *world) span(s step) (tables.Span, bool) {
	limit := w.clock.Truncate(time.Hour).Add(time.Hour)
	for _, g := range w.live {
		for _, topic := range g.topics {
			at, ok := w.watermark(g, topic)
			if !ok {
				return tables.Span{}, false
			}
			if at = at.Add(-w.horizon).Truncate(time.Hour); at.Before(limit) {
				limit = at
			}
		}
	}
	first := limit
	for _, f := range w.flights {
		if at := f.scheduled.Truncate(time.Hour); at.Before(first) {
			first = at
		}
	}
	n := int(limit.Sub(first) / time.Hour)
	if n == 0 {
		return tables.Span{}, false
	}
	from := first.Add(time.Duration(s.From%n) * time.Hour)
	to := from.Add(time.Duration(s.Windows) * time.Hour)
	if to.After(limit) {
		to = limit
	}
	return tables.Span{From: from, To: to}, true
}
