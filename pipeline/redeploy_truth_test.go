package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file is what must be true in the end, and what readers see.

// check compares the sinks with the truth.
func (w *world) check() error {
	var wrong []string
	wrong = append(wrong, w.store.wrong...)
	want := w.truth(&wrong)
	rows, cells := w.counted(&wrong)
	if diff := cmp.Diff(want, rows); diff != "" {
		wrong = append(wrong, "BigQuery (-truth +read)\n"+diff+w.explain(want, rows))
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		wrong = append(wrong, "Bigtable (-truth +read)\n"+diff)
	}
	w.checkDeliveries(&wrong)
	w.checkLate(&wrong)
	w.checkBooks(&wrong)
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	return nil
}

// replacedBy is the backfill that has replaced an event's window; of two the
// later one.
func (w *world) replacedBy(at time.Time) *archive {
	for _, a := range slices.Backward(w.archives) {
		if a.span.Contains(at.Truncate(time.Hour)) {
			return &a
		}
	}
	return nil
}

// truth is what the aggregates must come to: each event once, if any delivery
// of it to a writer that counts was in time; in a backfill's windows, if it was
// in the archive.
func (w *world) truth(wrong *[]string) totals {
	counts := map[tables.Writer]bool{}
	for _, s := range w.log().Standings() {
		counts[s.Writer()] = s.Counts && s.Kind == tables.WriterStream
	}
	deliveries := map[string][]delivery{} // by message
	for d := range w.seen.read {
		if counts[d.writer] {
			deliveries[d.message] = append(deliveries[d.message], d)
		}
	}
	inTime := map[int]bool{}
	var counted []flight
	writers := map[int]map[tables.Writer]bool{}
	for i, m := range w.messages {
		if writers[m.f.id] == nil {
			writers[m.f.id] = map[tables.Writer]bool{}
		}
		by := w.replacedBy(m.f.scheduled)
		if by != nil && i < by.upTo {
			inTime[m.f.id] = true
		}
		for _, d := range deliveries[m.id] {
			late := w.seen.late[d]
			if late > 0 {
				w.count("too late")
			}
			if late == w.seen.read[d] {
				continue
			}
			writers[m.f.id][d.writer] = true
			switch {
			case by == nil:
				inTime[m.f.id] = true
			case i >= by.upTo:
				*wrong = append(*wrong, fmt.Sprintf("event %d was published after the archive of %s was written; %s read it and did not put it into the late table", m.f.id, by.writer, d.writer))
			}
		}
	}
	for _, f := range w.flights {
		if inTime[f.id] {
			counted = append(counted, f)
		}
		if len(writers[f.id]) > 1 {
			w.count("duplicate across generations")
		}
	}
	return truth(counted)
}

// counted reads both sinks by the reader's rules of package tables.
func (w *world) counted(wrong *[]string) (rows, cells totals) {
	standings := map[tables.Writer]tables.Standing{}
	for _, s := range w.log().Standings() {
		standings[s.Writer()] = s
	}
	counts := func(writer tables.Writer, window time.Time) bool {
		s, listed := standings[writer]
		return listed && s.CountsAt(window)
	}
	a := w.spec().Spec.Aggregations[0]
	w.store.mu.Lock()
	defer w.store.mu.Unlock()

	merged := map[string][]partial{}
	panes := map[string]map[string]bigquery.Value{}
	cut := map[string]map[tables.Writer]bool{}
	for _, row := range w.store.rows[a.Table] {
		window, err := time.Parse(time.RFC3339Nano, strings.Replace(row["window_start"].(string), " ", "T", 1))
		if err != nil {
			*wrong = append(*wrong, fmt.Sprintf("row %v: %v", row, err))
			continue
		}
		writer := tables.Writer{Job: row["job"].(string), Generation: row["generation"].(int64)}
		if !counts(writer, window) {
			continue
		}
		k := key(a, row)
		if cut[k] == nil {
			cut[k] = map[tables.Writer]bool{}
		}
		cut[k][writer] = true
		id := fmt.Sprintf("%s %s %v", k, writer, row["pane"])
		if first, again := panes[id]; again {
			for _, m := range a.Measures {
				if first[m.Name] != row[m.Name] {
					*wrong = append(*wrong, fmt.Sprintf("pane %s was written with %s %v and %v", id, m.Name, first[m.Name], row[m.Name]))
				}
			}
			continue
		}
		panes[id] = row
		if row["timing"] == "late" {
			w.count("late")
		}
		for _, m := range a.Measures {
			addTo(merged, a, k, m.Name, row[m.Name].(int64))
		}
	}
	for _, writers := range cut {
		if len(writers) > 1 {
			w.count("window cut and continued")
		}
	}
	rows = text(merged)

	merged = map[string][]partial{}
	for id, value := range w.store.cells {
		parts := strings.Split(id, " ")
		_, dims, window, err := tables.ParseRowKey(parts[0])
		cell, err2 := tables.ParseQualifier(parts[1])
		v, err3 := tables.DecodeValue(value)
		if err != nil || err2 != nil || err3 != nil {
			*wrong = append(*wrong, fmt.Sprintf("cell %s: %v %v %v", id, err, err2, err3))
			continue
		}
		if counts(tables.Writer{Job: cell.Job, Generation: cell.Generation}, window) {
			addTo(merged, a, *dims[0]+" "+formatMicros(window.UnixMicro()), cell.Measure, v)
		}
	}
	return rows, text(merged)
}

// add adds to a sum or count.
func addTo(merged map[string][]partial, a jobspecs.Aggregation, key, measure string, v int64) {
	if merged[key] == nil {
		merged[key] = make([]partial, len(a.Measures))
	}
	for i, m := range a.Measures {
		if m.Name == measure {
			merged[key][i] = partial{true, merged[key][i].value + v}
		}
	}
}

// checkDeliveries: every message is in the raw table, by a writer that counts.
func (w *world) checkDeliveries(wrong *[]string) {
	read := map[string]bool{}
	for _, s := range w.log().Standings() {
		if s.Counts && s.Kind == tables.WriterStream {
			for m := range w.read[s.Writer()] {
				read[m] = true
			}
		}
	}
	for _, m := range w.messages {
		if !read[m.id] {
			*wrong = append(*wrong, fmt.Sprintf("message %s (event %d) is in no raw row that counts", m.id, m.f.id))
		}
	}
}

// checkLate: what is in the late table is behind a watermark that its writer
// can have had, or in windows that were replaced before it began.
func (w *world) checkLate(wrong *[]string) {
	plans := map[tables.Writer]*generation{}
	for _, g := range w.all {
		plans[g.writer] = g
	}
	messages := map[string]published{}
	for _, m := range w.messages {
		messages[m.id] = m
	}
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, row := range w.store.rows[lateTable] {
		g, m := plans[tables.Writer{Job: row["job"].(string), Generation: row["generation"].(int64)}], messages[row["message_id"].(string)]
		mark := parseTime(strings.Replace(row["watermark"].(string), " ", "T", 1))
		least := m.f.scheduled.Add(g.plan.Horizon).UnixMicro()
		if mark <= least {
			*wrong = append(*wrong, fmt.Sprintf("event %d is in the late table of %s, but within the horizon of watermark %v", m.f.id, g.writer, row["watermark"]))
		}
		greatest := int64(0)
		for id := range g.transport.everHeld() {
			if o := messages[id]; o.topic == m.topic {
				greatest = max(greatest, o.f.arrival.UnixMicro())
			}
		}
		if mark > greatest && !g.plan.replaced(&Event{Time: m.f.scheduled.UnixMicro()}) {
			*wrong = append(*wrong, fmt.Sprintf("event %d is in the late table of %s, with watermark %v, but no record after %s was read", m.f.id, g.writer, row["watermark"], time.UnixMicro(greatest).UTC()))
		}
	}
}

// checkBooks: of what a drained job has read, each event was counted, a
// duplicate, or late.
func (w *world) checkBooks(wrong *[]string) {
	a := w.spec().Spec.Aggregations[0]
	counted := map[tables.Writer]int64{}
	once := map[string]bool{}
	w.store.mu.Lock()
	for i, row := range w.store.rows[a.Table] {
		if id := w.store.memory.ids[a.Table][i]; !once[id] {
			once[id] = true
			counted[tables.Writer{Job: row["job"].(string), Generation: row["generation"].(int64)}] += row["flights"].(int64)
		}
	}
	w.store.mu.Unlock()
	for _, g := range w.all {
		if !g.saidDrained.Load() {
			continue
		}
		c := *g.counters.Load()
		read := 0
		for d, n := range w.seen.read {
			if d.writer == g.writer {
				read += n
			}
		}
		if got := counted[g.writer] + c["duplicates_dropped"] + c["late_dropped"]; got != int64(read) {
			*wrong = append(*wrong, fmt.Sprintf("%s has read %d events, counted %d, and dropped %d duplicates and %d late ones", g.writer, read, counted[g.writer], c["duplicates_dropped"], c["late_dropped"]))
		}
	}
}

// explain lists the events of the keys that differ, and who read them.
func (w *world) explain(want, got totals) string {
	var b strings.Builder
	for _, m := range w.messages {
		k := m.f.origin + " " + formatMicros(m.f.scheduled.Truncate(time.Hour).UnixMicro())
		if want[k] == got[k] {
			continue
		}
		fmt.Fprintf(&b, "%s: event %d at %s, message %s:", k, m.f.id, m.f.scheduled.Format("02T15:04"), m.id)
		for d, n := range w.seen.read {
			if d.message == m.id {
				fmt.Fprintf(&b, " read %d times by %s (%s), %d times too late;", n, d.writer, w.state(d.writer), w.seen.late[d])
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
