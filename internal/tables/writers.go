package tables

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is the part of the reader's rule that is about writers, without
// I/O: serve and compare read rows of aggregates through it (invariant P2).

// Writer names a writer: a job and one of its generations.
type Writer struct {
	Job        string
	Generation int64
}

// String is the writer as JOB@GENERATION.
func (w Writer) String() string { return fmt.Sprintf("%s@%d", w.Job, w.Generation) }

// ParseWriter reads JOB@GENERATION.
func ParseWriter(s string) (Writer, error) {
	job, number, ok := strings.Cut(s, "@")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || job == "" || err != nil || n < 1 {
		return Writer{}, fmt.Errorf("writer %q is not JOB@GENERATION", s)
	}
	return Writer{job, n}, nil
}

// Writer names the writer that the row is about.
func (g Generation) Writer() Writer { return Writer{g.Job, g.Generation} }

// Span is windows by their start: From inclusive, To exclusive.
type Span struct {
	From time.Time
	To   time.Time
}

// Contains reports whether a window that starts at t is in the span.
func (s Span) Contains(t time.Time) bool { return !t.Before(s.From) && t.Before(s.To) }

// Standing says which rows of a writer count.
type Standing struct {
	Generation        // the writer's newest row
	Counts     bool   // some of its rows do
	Reason     string // why none does
	Within     *Span  // if not nil only windows in it count: a backfill has its own
	Except     []Replaced
}

// Replaced is windows in which a backfill has taken a writer's place.
type Replaced struct {
	Span
	By Writer
}

// CountsAt reports whether the writer's rows of the window that starts at t count.
func (s Standing) CountsAt(t time.Time) bool {
	if !s.Counts || s.Within != nil && !s.Within.Contains(t) {
		return false
	}
	return !slices.ContainsFunc(s.Except, func(r Replaced) bool { return r.Contains(t) })
}

// Standings says of every writer which of its rows count, from the newest row
// of each, ordered by job and generation. What is not known to count does not:
//
//   - a stream counts while it is open and once it has drained; cancelled, void
//     and states of a later version do not (rule P5: what a dead job had not
//     acknowledged is read again by the next generation);
//   - a backfill counts once it is complete (drained), in its own span of
//     windows alone, and there in the place of all other writers of its group,
//     those that begin later included; where two overlap, the one that was
//     completed last. It replaces, it never adds;
//   - a writer that a counting one supersedes as a whole does not count.
func Standings(newest []Generation) []Standing {
	out := make([]Standing, len(newest))
	var backfills []Standing
	superseded := map[string]Writer{}
	for i, g := range newest {
		s := Standing{Generation: g}
		switch {
		case g.State == StateVoid:
			s.Reason = "void"
		case g.State == StateCancelled:
			s.Reason = "cancelled without a drain"
		case g.State != StateOpen && g.State != StateDrained:
			s.Reason = fmt.Sprintf("state %q is not known to this version", g.State)
		case g.Kind != WriterStream && g.Kind != WriterBackfill:
			s.Reason = fmt.Sprintf("kind %q is not known to this version", g.Kind)
		case g.Kind == WriterBackfill && g.State == StateOpen:
			s.Reason = "backfill not yet complete"
		case g.Kind == WriterBackfill && !(g.WindowFrom.Valid && g.WindowTo.Valid):
			s.Reason = "backfill without a span of windows"
		default:
			s.Counts = true
			if g.Supersedes.Valid {
				superseded[g.Supersedes.StringVal] = g.Writer()
			}
			if g.Kind == WriterBackfill {
				s.Within = &Span{g.WindowFrom.Timestamp, g.WindowTo.Timestamp}
			}
		}
		out[i] = s
	}
	for i := range out {
		s := &out[i]
		if by, ok := superseded[s.Writer().String()]; ok && s.Counts {
			s.Counts, s.Within, s.Reason = false, nil, "superseded by "+by.String()
		}
		if s.Within != nil {
			backfills = append(backfills, *s)
		}
	}
	for i := range out {
		s := &out[i]
		if !s.Counts {
			continue
		}
		for _, b := range backfills {
			if b.Group == s.Group && b.Writer() != s.Writer() && (s.Within == nil || b.completedAfter(*s)) {
				s.Except = append(s.Except, Replaced{*b.Within, b.Writer()})
			}
		}
	}
	slices.SortFunc(out, func(a, b Standing) int {
		return cmp.Or(strings.Compare(a.Job, b.Job), cmp.Compare(a.Generation.Generation, b.Generation.Generation))
	})
	return out
}

// completedAfter orders complete backfills.
func (s Standing) completedAfter(o Standing) bool {
	return cmp.Or(s.RecordedAt.Compare(o.RecordedAt), strings.Compare(s.Job, o.Job), cmp.Compare(s.Generation.Generation, o.Generation.Generation)) > 0
}
