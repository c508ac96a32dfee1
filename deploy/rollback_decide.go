package deploy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/journal"
)

// This file decides, without I/O, what a rollback goes back to, and in which
// order.

// back is the deployment to go back to, of records that are newest first: the
// last one that got through before the spec that the newest one has deployed, or
// was to deploy. One that a rollback has gone back behind is not gone forward to.
// A rollback that did not get through is gone on with. False: there is none.
func back(records []journal.Record) (journal.Record, bool) {
	var done []journal.Record // each of another spec than its neighbours, what was rolled back taken away
	var newest journal.Record
	for _, r := range slices.Backward(records) {
		if !brings(r) {
			continue
		}
		newest = r
		if r.Outcome() != journal.OutcomeDone {
			continue
		}
		same := func(o journal.Record) bool { return o.Begin().Spec == r.Begin().Spec }
		if i := lastIndex(done, same); i >= 0 && (i == len(done)-1 || r.Begin().Command == journal.CommandRollback) {
			done = done[:i+1]
			continue
		}
		done = append(done, r)
	}
	if len(done) == 0 {
		return journal.Record{}, false
	}
	is := newest.Begin()
	if newest.Outcome() != journal.OutcomeDone {
		i := lastIndex(done, func(o journal.Record) bool { return o.Begin().Spec == is.Spec })
		if is.Command == journal.CommandRollback && i >= 0 && newest.Abort == nil && newest.Outcome() != journal.OutcomeAborted {
			return done[i], true
		}
		if i != len(done)-1 {
			return done[len(done)-1], true
		}
	}
	if len(done) < 2 {
		return journal.Record{}, false
	}
	return done[len(done)-2], true
}

func lastIndex(records []journal.Record, ok func(journal.Record) bool) int {
	for i := range slices.Backward(records) {
		if ok(records[i]) {
			return i
		}
	}
	return -1
}

// backwards are the numbers of the jobs of a group in the order in which they go
// back: what was changed last goes first. Jobs that nothing was done about are
// left out.
func backwards(group string, records []journal.Record) []int {
	last := map[int]time.Time{}
	for _, r := range records {
		if !brings(r) {
			continue
		}
		for _, e := range r.Entries {
			number, ok := strings.CutPrefix(e.Job, group+"-")
			if !ok || e.Kind != journal.KindStep {
				continue
			}
			if i, err := strconv.Atoi(number); err == nil && !e.At.Before(last[i]) {
				last[i] = e.At
			}
		}
	}
	var order []int
	for i := range last {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(last[b].Compare(last[a]), cmp.Compare(b, a)) })
	return order
}
