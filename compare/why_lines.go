package compare

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// This file rebuilds both numbers of a key from its deliveries, one by one, without
// I/O. It shares no arithmetic with the attribution of causes, so that where both meet
// they confirm each other.

// seenDelivery is a row of the raw events, the late table or the dead letters.
type seenDelivery struct {
	event, message, position, writer string
	reason                           string // of a dead letter
	at, arrived                      time.Time
	table                            int
	values                           []*big.Rat // per metric
}

// witness says what counts of what writers have read.
type witness struct {
	plain  bool // rows say nothing of writers: all count
	counts func(writer string, at time.Time) bool
	late   func(writer string) bool // what it took for late was lost
	lost   func(writer string) bool // it ended without a successor
}

// ignored is the fate of a delivery that is no evidence: only writers that do not
// count have read it.
const ignored = fates

// whyDelivery is a delivery with all writers that read it.
type whyDelivery struct {
	seenDelivery
	writers []string
	fate    fate
	order   int
}

// collapse takes the rows of each delivery together, in the order of the rows.
func collapse(rows []seenDelivery, w witness) []whyDelivery {
	type id struct{ event, message, position string }
	type byWriter struct{ late, dead bool }
	at := map[id]int{}
	seen := map[id]map[string]byWriter{}
	var out []whyDelivery
	for _, r := range rows {
		k := id{r.event, r.message, r.position}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k], seen[k] = i, map[string]byWriter{}
			out = append(out, whyDelivery{seenDelivery: r, fate: ignored, order: i})
		}
		if !slices.Contains(out[i].writers, r.writer) && r.writer != "" {
			out[i].writers = append(out[i].writers, r.writer)
		}
		if r.reason != "" {
			out[i].reason = r.reason
		}
		b := seen[k][r.writer]
		b.late, b.dead = b.late || r.table == tableLate, b.dead || r.table == tableDead
		seen[k][r.writer] = b
	}
	for k, i := range at {
		for writer, b := range seen[k] {
			out[i].fate = min(out[i].fate, w.fate(writer, out[i].at, b.late, b.dead))
		}
	}
	return out
}

// fate is what became of a delivery with one of the writers that read it.
func (w witness) fate(writer string, at time.Time, late, dead bool) fate {
	switch {
	case dead:
		return undelivered
	case late && (w.plain || w.late(writer)):
		return tooLate
	case late:
		return ignored
	case w.plain || w.counts(writer, at):
		return counted
	case w.lost(writer):
		return lost
	}
	return ignored
}

// rebuildRule is how a side is made from deliveries.
type rebuildRule struct {
	fates    fateSet
	within   Range
	until    time.Time // later arrivals are not in it; zero: no matter when
	counting counting
}

// whyCount says of one delivery whether a side counts it, and why not.
type whyCount struct {
	counted bool
	why     string
	totals  []*big.Rat // after it
}

// rebuild counts the deliveries one by one.
func (r rebuildRule) rebuild(rules []metricRule, all []whyDelivery) []whyCount {
	delivered := map[string]bool{} // records that the stream side has read
	for _, d := range all {
		if d.fate <= tooLate {
			delivered[d.event+"\x00"+d.position] = true
		}
	}
	seen := map[string]bool{}
	totals := make([]*big.Rat, len(rules))
	out := make([]whyCount, len(all))
	for i, d := range all {
		c := &out[i]
		if c.why = r.refuses(d, delivered); c.why == "" {
			id := d.event
			switch {
			case r.counting == countIDs:
			case r.counting == countRecords || d.fate > tooLate:
				id += "\x00" + d.position
			default:
				id += "\x00" + fmt.Sprint(d.order)
			}
			if seen[id] {
				c.why = "a copy of an event that is counted already"
			} else {
				seen[id], c.counted = true, true
				totals = slices.Clone(totals)
				for m, rule := range rules {
					totals[m] = rule.step(totals[m], d.values[m])
				}
			}
		}
		c.totals = totals
	}
	return out
}

// refuses says why a side does not count a delivery, but for copies.
func (r rebuildRule) refuses(d whyDelivery, delivered map[string]bool) string {
	switch {
	case d.fate == ignored:
		return "read only by " + strings.Join(d.writers, ", ") + ", which does not count in this window"
	case d.at.Before(r.within.From) || !d.at.Before(r.within.To):
		return "not in the window that this side has"
	case d.fate > tooLate && delivered[d.event+"\x00"+d.position]:
		return "delivered in another way"
	case r.fates&(1<<d.fate) == 0:
		return map[fate]string{tooLate: "in the late table", undelivered: "in the dead letters, never delivered", lost: "read only by a generation that ended without a successor"}[d.fate]
	case !r.until.IsZero() && d.arrived.After(r.until):
		return "arrived after " + stamp(r.until)
	}
	return ""
}

// step adds an event to a metric.
func (m metricRule) step(total, v *big.Rat) *big.Rat {
	if m.merge == mergeCount {
		v = whole(1)
	}
	if m.merge == mergeUnknown {
		return nil
	}
	return m.join(total, v)
}

// meets reports whether a rebuilt side has what is stored.
func meets(rules []metricRule, lines []whyCount, has sideValue) bool {
	n := 0
	totals := make([]*big.Rat, len(rules))
	for _, l := range lines {
		if totals = l.totals; l.counted {
			n++
		}
	}
	if n == 0 || !has.present {
		return n == 0 && !has.present
	}
	for i, m := range rules {
		if m.merge != mergeUnknown && !m.same(totals[i], has.values[i]) {
			return false
		}
	}
	return true
}
