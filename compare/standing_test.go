package compare

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// backfillOf is a complete backfill of windows by their hours, the last exclusive.
func backfillOf(job string, from, to float64) tables.Generation {
	g := gen(job, 1, tables.WriterBackfill, tables.StateDrained, "")
	g.WindowFrom = bigquery.NullTimestamp{Timestamp: hours(from), Valid: true}
	g.WindowTo = bigquery.NullTimestamp{Timestamp: hours(to), Valid: true}
	return g
}

func TestCountingRows(t *testing.T) {
	stream := func(job string) tables.Generation { return gen(job, 1, "stream", "open", "") }
	void := gen("void", 1, "stream", "void", "")
	later := backfillOf("later", 3, 5)
	later.RecordedAt = hours(1)
	tests := []struct {
		name string
		gens []tables.Generation
		want []string // a line for each set
	}{
		{"nothing", nil, []string{" everywhere"}},
		{"streams alone", []tables.Generation{stream("b"), stream("a"), void}, []string{"a@1 b@1 everywhere"}},
		{"a backfill divides", []tables.Generation{stream("a"), stream("b"), backfillOf("fill", 2, 4)}, []string{" everywhere", "a@1 b@1 0-2 4-8", "fill@1 2-4"}},
		{"a backfill of all that is compared", []tables.Generation{stream("a"), backfillOf("fill", -1, 9)}, []string{"fill@1 everywhere"}},
		{"a backfill of other windows", []tables.Generation{stream("a"), backfillOf("fill", 8, 9), backfillOf("film", -2, 0)}, []string{"a@1 everywhere"}},
		{"spans end with the range", []tables.Generation{stream("a"), backfillOf("fill", 6, 99)}, []string{" everywhere", "a@1 0-6", "fill@1 6-8"}},
		{"overlapping backfills: their union is replaced, each counts in its own", []tables.Generation{stream("a"), backfillOf("fill", 2, 4), later},
			[]string{" everywhere", "a@1 0-2 5-8", "fill@1 2-3", "later@1 3-5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for i, set := range countingRows(tables.Standings(tt.gens), span(0, 8)) {
				line := strings.Join(set.writers, " ")
				if i == 0 {
					line += " everywhere"
				}
				for _, s := range set.spans {
					line += fmt.Sprintf(" %.0f-%.0f", s.From.Sub(epoch).Hours(), s.To.Sub(epoch).Hours())
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sets (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever the writers are, the sets say of every writer and window what its
// standing says (invariant P2).
func TestCountingRowsAreThoseOfTheStandings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var gens []tables.Generation
		for i := range rapid.IntRange(0, 6).Draw(t, "writers") {
			from := rapid.IntRange(-2, 9).Draw(t, "from")
			g := backfillOf(fmt.Sprint("w", i), float64(from), float64(from+rapid.IntRange(1, 5).Draw(t, "hours")))
			g.Kind = rapid.SampledFrom([]string{tables.WriterStream, tables.WriterBackfill}).Draw(t, "kind")
			g.State = rapid.SampledFrom([]string{tables.StateDrained, tables.StateDrained, tables.StateOpen, tables.StateVoid}).Draw(t, "state")
			g.Group = rapid.SampledFrom([]string{"flights", "fares"}).Draw(t, "group")
			g.RecordedAt = hours(float64(rapid.IntRange(0, 3).Draw(t, "recorded")))
			gens = append(gens, g)
		}
		standings := tables.Standings(gens)
		sets := countingRows(standings, span(0, 8))
		for _, s := range standings {
			for h := range 8 {
				at, name := hours(float64(h)), s.Writer().String()
				got := slices.Contains(sets[0].writers, name)
				for _, set := range sets[1:] {
					got = got || slices.Contains(set.writers, name) && slices.ContainsFunc(set.spans, func(r Range) bool { return !at.Before(r.From) && at.Before(r.To) })
				}
				if got != s.CountsAt(at) {
					t.Fatalf("%s in hour %d: the sets say %v, its standing %v", name, h, got, s.CountsAt(at))
				}
			}
		}
	})
}

func TestTooManySpansAreRefused(t *testing.T) {
	gens := []tables.Generation{gen("a", 1, "stream", "open", "")}
	for i := range maxSpans/2 + 1 {
		gens = append(gens, backfillOf(fmt.Sprint("fill", i), float64(2*i), float64(2*i+1)))
	}
	r := countingRows(tables.Standings(gens), Range{epoch, epoch.Add(10_000 * time.Hour)})
	if err := r.check(); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "202 spans") {
		t.Errorf("check: %v", err)
	}
	if err := countingRows(tables.Standings(gens), span(0, 100)).check(); err != nil {
		t.Errorf("check of a smaller range: %v", err)
	}
}
