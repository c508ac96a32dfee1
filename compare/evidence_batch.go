package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/internal/tables"
)

const (
	// maxEvidenceKeys is the most keys of one evidence query: some 1 MB of
	// parameters, where a request may have 10.
	maxEvidenceKeys = 10_000
	// maxLoads is the most times of loads that one evidence query can name.
	maxLoads = 200
)

// evidenceBatch is the keys of one evidence query.
type evidenceBatch struct {
	keys     []*openKey
	distinct [][]bigquery.Value // key values, those with the same fold beside each other
	folds    []string           // of each
	groups   []int64            // with cells: which slots of time are read of each key
	cells    []int64
	within   Range
	slot     time.Duration // events within it are taken together
	cell     time.Duration // slots are found by it
	most     int64         // slots of a window, and one more
	shift    bool          // shifts are looked for
	loads    []time.Time   // at which the batch side may have been made
	rules    []metricRule
	counting rowsThatCount
	late     []string // writers whose late rows are evidence
	lost     []string // writers that ended without a successor
	listed   []string // all writers of the generations table
}

// batches divides the open keys, so that forms of a key stay together and those among
// which a shift is looked for, which read more, are by themselves.
func (x *examination) batches() []evidenceBatch {
	var out []evidenceBatch
	for _, suspect := range []bool{false, true} {
		var keys []*openKey
		flush := func() {
			if len(keys) > 0 {
				out = append(out, x.batch(keys, suspect))
			}
			keys = nil
		}
		for _, o := range x.open {
			if o.suspect != suspect {
				continue
			}
			if n := len(keys); n >= maxEvidenceKeys && (keys[n-1].fold != o.fold || !keys[n-1].d.window.Equal(o.d.window)) {
				flush()
			}
			keys = append(keys, o)
		}
		flush()
	}
	return out
}

func (x *examination) batch(keys []*openKey, shift bool) evidenceBatch {
	e := evidenceBatch{keys: keys, rules: x.rules, within: Range{keys[0].d.window, keys[0].end}}
	for _, o := range keys {
		if o.end.After(e.within.To) {
			e.within.To = o.end
		}
	}
	for _, o := range keys {
		e.slot = divisor(divisor(e.slot, o.d.window.Sub(e.within.From)), o.end.Sub(e.within.From))
	}
	if e.cell = e.slot; x.q.windowing.zone != nil {
		e.cell = day
	}
	if step := divisor(e.slot, shiftStep); shift && step >= time.Minute {
		e.shift, e.slot, e.cell = true, step, day
		e.within = Range{e.within.From.Add(-maxOffset), e.within.To.Add(maxOffset)}
	}
	for _, o := range keys {
		e.most = max(e.most, int64(o.end.Sub(o.d.window)/e.slot)+1)
		for _, t := range x.restated(o) {
			if !slices.ContainsFunc(e.loads, t.Equal) {
				e.loads = append(e.loads, t)
			}
		}
	}
	slices.SortFunc(e.loads, time.Time.Compare)
	e.loads = e.loads[:min(len(e.loads), maxLoads)]
	x.findCells(&e)
	e.counting = countingRows(x.standings, e.within)
	e.late, e.lost, e.listed = anywhere(x.standings), withoutSuccessor(x.standings, x.q.spec.Stream.Job), listed(x.standings)
	return e
}

// findCells lists the distinct keys, and the cells of time that are read of each.
func (x *examination) findCells(e *evidenceBatch) {
	type of struct {
		values []bigquery.Value
		fold   string
		text   string
		cells  map[int64]bool
	}
	byText := map[string]*of{}
	var all []*of
	for _, o := range e.keys {
		text := exactText(o.d.keys)
		k := byText[text]
		if k == nil {
			k = &of{o.d.keys, o.fold, text, map[int64]bool{}}
			byText[text], all = k, append(all, k)
		}
		from, to := o.d.window, o.end
		if e.shift {
			from, to = from.Add(-maxOffset), to.Add(maxOffset)
		}
		for c := int64(from.Sub(e.within.From) / e.cell); e.within.From.Add(time.Duration(c) * e.cell).Before(to); c++ {
			k.cells[c] = true
		}
	}
	slices.SortFunc(all, func(a, b *of) int {
		if c := strings.Compare(a.fold, b.fold); c != 0 {
			return c
		}
		return strings.Compare(a.text, b.text)
	})
	for g, k := range all {
		e.distinct, e.folds = append(e.distinct, k.values), append(e.folds, k.fold)
		cells := make([]int64, 0, len(k.cells))
		for c := range k.cells {
			cells = append(cells, c)
		}
		slices.Sort(cells)
		for _, c := range cells {
			e.groups, e.cells = append(e.groups, int64(g)), append(e.cells, c)
		}
	}
}

// exactText tells keys apart, NULL and the empty text too.
func exactText(keys []bigquery.Value) string {
	var b strings.Builder
	for _, k := range keys {
		if k == nil {
			b.WriteString("-")
			continue
		}
		text := *keyText(k)
		fmt.Fprintf(&b, "%d:%s", len(text), text)
	}
	return b.String()
}

// divisor is the greatest length of which both are multiples; of 0 and d it is d.
func divisor(a, b time.Duration) time.Duration {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// withoutSuccessor are the writers of a group that ended in a way in which their
// aggregates do not count, and whose place nobody has taken: neither a later generation
// of the job, which reads again what they read, nor a writer that supersedes them.
func withoutSuccessor(standings []tables.Standing, group string) []string {
	names := []string{} // not nil: an empty array is a value, NULL would make every comparison NULL
	for _, s := range standings {
		ended := s.State == tables.StateVoid || s.State == tables.StateCancelled
		followed := slices.ContainsFunc(standings, func(o tables.Standing) bool {
			later := o.Job == s.Job && o.Kind == tables.WriterStream && o.Generation.Generation > s.Generation.Generation
			return o.Counts && (later || o.Supersedes.Valid && o.Supersedes.StringVal == s.Writer().String())
		})
		if s.Kind == tables.WriterStream && s.Group == group && ended && !followed {
			names = append(names, s.Writer().String())
		}
	}
	return names
}

func listed(standings []tables.Standing) []string {
	names := []string{} // not nil, as above
	for _, s := range standings {
		names = append(names, s.Writer().String())
	}
	return names
}

// evidenceQuery is the one query of a batch.
func (q queries) evidenceQuery(e evidenceBatch) query {
	params := []bigquery.QueryParameter{
		{Name: "from", Value: e.within.From},
		{Name: "to", Value: e.within.To},
		{Name: "origin", Value: e.within.From.UnixMicro()},
		{Name: "slot", Value: e.slot.Microseconds()},
		{Name: "cell", Value: e.cell.Microseconds()},
		{Name: "most", Value: e.most},
		{Name: "cutoff", Value: q.spec.Batch.Cutoff.D().Microseconds()},
		{Name: "groups", Value: e.groups},
		{Name: "cells", Value: e.cells},
	}
	for k, f := range q.spec.Keys {
		keys, nulls := keyArrays(f.Type, e.distinct, k)
		params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("key%d", k), Value: keys},
			bigquery.QueryParameter{Name: fmt.Sprintf("null%d", k), Value: nulls})
	}
	for i, t := range e.loads {
		params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("load%d", i+1), Value: t.Sub(e.within.From).Microseconds()})
	}
	if q.hasWriters() {
		params = append(params, e.counting.params()...)
		params = append(params, bigquery.QueryParameter{Name: "late_writers", Value: e.late},
			bigquery.QueryParameter{Name: "lost_writers", Value: e.lost}, bigquery.QueryParameter{Name: "listed_writers", Value: e.listed})
	}
	return query{purpose: purposeEvidence, sql: q.evidenceSQL(e), params: params}
}

// keyArrays returns a key column of all keys as a typed array, and which of
// them are NULL.
func keyArrays(typ string, distinct [][]bigquery.Value, k int) (keys any, nulls []bool) {
	nulls = make([]bool, len(distinct))
	switch typ {
	case "INT64":
		keys = columnOf[int64](distinct, k, nulls)
	case "TIMESTAMP":
		keys = columnOf[time.Time](distinct, k, nulls)
	case "DATE":
		keys = columnOf[civil.Date](distinct, k, nulls)
		for i, null := range nulls {
			if null { // the zero date is none
				keys.([]civil.Date)[i] = civil.Date{Year: 1970, Month: time.January, Day: 1}
			}
		}
	case "BOOL":
		keys = columnOf[bool](distinct, k, nulls)
	default:
		keys = columnOf[string](distinct, k, nulls)
	}
	return keys, nulls
}

func columnOf[T any](distinct [][]bigquery.Value, k int, nulls []bool) []T {
	out := make([]T, len(distinct))
	for i, values := range distinct {
		v, ok := values[k].(T)
		out[i], nulls[i] = v, !ok
	}
	return out
}

// loadHistory are all loads of the batch side's table in a range, oldest first.
func (q queries) loadHistory(within Range) query {
	sql := fmt.Sprintf("SELECT range_start, range_end, row_count, loaded_at\nFROM %s\nWHERE target = @target AND range_start < @to AND range_end > @from\nORDER BY loaded_at, range_start, range_end", q.table(tables.BatchLoads))
	return query{purpose: purposeEvidence, sql: sql, params: []bigquery.QueryParameter{
		{Name: "target", Value: q.spec.Batch.Table}, {Name: "from", Value: within.From}, {Name: "to", Value: within.To}}}
}

func readLoadTimes(row row) (l tables.BatchLoad, err error) {
	if l.RangeStart, err = get[time.Time](row, "range_start"); err != nil {
		return l, err
	}
	if l.RangeEnd, err = get[time.Time](row, "range_end"); err != nil {
		return l, err
	}
	if l.RowCount, err = get[int64](row, "row_count"); err != nil {
		return l, err
	}
	l.LoadedAt, err = get[time.Time](row, "loaded_at")
	return l, err
}

// plannedEvidence is the evidence query as a run would send it for keys of the first
// settled window.
func (q queries) plannedEvidence(settled []Range, standings []tables.Standing) query {
	x := &examination{q: q, standings: standings, rules: q.metricRules(nil, nil)}
	start := wholeRange(settled).From
	o := &openKey{d: &difference{keys: make([]bigquery.Value, len(q.spec.Keys)), window: start}, end: q.windowing.next(start)}
	return q.evidenceQuery(x.batch([]*openKey{o}, false))
}
