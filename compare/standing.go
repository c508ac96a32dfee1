package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file turns the standings of the writers (tables.Standings, rule P2) into
// what a result says of them and into the predicate by which the queries leave
// out the rows that do not count. It does no I/O.

// writersOf says of every writer what a result says.
func writersOf(standings []tables.Standing) []Writer {
	out := make([]Writer, len(standings))
	for i, s := range standings {
		w := Writer{Job: s.Job, Generation: s.Generation.Generation, Kind: s.Kind, State: s.State, Counts: s.Counts, Reason: s.Reason}
		if s.Within != nil {
			w.Within = &Range{s.Within.From.UTC(), s.Within.To.UTC()}
		}
		for _, e := range s.Except {
			w.Except = append(w.Except, ReplacedRange{Range{e.From.UTC(), e.To.UTC()}, e.By.String()})
		}
		out[i] = w
	}
	return out
}

// writerSet is writers whose rows count in the same windows.
type writerSet struct {
	writers []string // JOB@GENERATION
	spans   []Range  // of windows by their start, sorted and disjoint
}

// rowsThatCount says which rows of the stream side count in a range of windows.
// The first set is that of the writers which count in all of it; it may be empty.
type rowsThatCount []writerSet

// countingRows sorts the writers into sets. Spans end with the range, so that
// a query names none that it has no use for.
func countingRows(standings []tables.Standing, within Range) rowsThatCount {
	sets := rowsThatCount{{writers: []string{}}} // not nil: an empty array is a value, NULL would make every comparison NULL
	for _, s := range standings {
		if !s.Counts {
			continue
		}
		spans := []Range{within}
		if s.Within != nil {
			spans = clip([]Range{{s.Within.From.UTC(), s.Within.To.UTC()}}, within)
		}
		var replaced []Range
		for _, e := range s.Except {
			replaced = append(replaced, Range{e.From.UTC(), e.To.UTC()})
		}
		spans = subtract(spans, union(replaced))
		name := s.Writer().String()
		same := func(set writerSet) bool { return slices.Equal(set.spans, spans) }
		switch i := slices.IndexFunc(sets[1:], same); {
		case len(spans) == 1 && spans[0] == within:
			sets[0].writers = append(sets[0].writers, name)
		case len(spans) == 0:
		case i >= 0:
			sets[i+1].writers = append(sets[i+1].writers, name)
		default:
			sets = append(sets, writerSet{[]string{name}, spans})
		}
	}
	return sets
}

// union merges ranges that overlap or touch; the result is sorted.
func union(ranges []Range) []Range {
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b Range) int { return a.From.Compare(b.From) })
	var out []Range
	for _, r := range ranges {
		if n := len(out); n > 0 && !r.From.After(out[n-1].To) {
			if r.To.After(out[n-1].To) {
				out[n-1].To = r.To
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// check refuses more spans than a query can name.
func (r rowsThatCount) check() error {
	n := 0
	for _, set := range r {
		n += len(set.spans)
	}
	if n > maxSpans {
		return exit.Usagef("backfills divide the compared windows into %d spans that different writers count in, one run takes %d", n, maxSpans).
			WithHint("compare a smaller range with --from and --to")
	}
	return nil
}

// writerExpression is a writer as JOB@GENERATION.
const writerExpression = "CONCAT(job, '@', CAST(generation AS STRING))"

// predicate is true of a row that counts (invariant P2): writer and window are
// expressions of its writer and of the start of its window. Without sets what is
// read are rows that count alone (schedule_sql.go).
func (r rowsThatCount) predicate(writer, window string) string {
	if len(r) == 0 {
		return "TRUE"
	}
	alternatives := []string{writer + " IN UNNEST(@writers)"}
	for i, set := range r {
		if i == 0 {
			continue
		}
		spans := make([]string, len(set.spans))
		for n := range set.spans {
			spans[n] = fmt.Sprintf("%s >= @writers%d_from%d AND %s < @writers%d_to%d", window, i, n, window, i, n)
		}
		alternatives = append(alternatives, fmt.Sprintf("%s IN UNNEST(@writers%d) AND (%s)", writer, i, strings.Join(spans, " OR ")))
	}
	return strings.Join(alternatives, " OR ")
}

// params are the parameters of the predicate.
func (r rowsThatCount) params() []bigquery.QueryParameter {
	if len(r) == 0 {
		return nil
	}
	params := []bigquery.QueryParameter{{Name: "writers", Value: r[0].writers}}
	for i, set := range r {
		if i == 0 {
			continue
		}
		params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("writers%d", i), Value: set.writers})
		for n, s := range set.spans {
			params = append(params, bigquery.QueryParameter{Name: fmt.Sprintf("writers%d_from%d", i, n), Value: s.From},
				bigquery.QueryParameter{Name: fmt.Sprintf("writers%d_to%d", i, n), Value: s.To})
		}
	}
	return params
}

// anywhere are the writers of which some rows count.
func anywhere(standings []tables.Standing) []string {
	names := []string{} // not nil, as above
	for _, s := range standings {
		if s.Counts {
			names = append(names, s.Writer().String())
		}
	}
	return names
}

// wholeRange is the span from the first to the last settled window.
func wholeRange(settled []Range) Range {
	if len(settled) == 0 {
		return Range{time.Time{}, time.Time{}}
	}
	return Range{settled[0].From, settled[len(settled)-1].To}
}
