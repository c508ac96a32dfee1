package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// WhyVersion is the version of the JSON form of Why.
const WhyVersion = 1

// Why is how both numbers of one key come about: the raw events, one by one, what
// either side made of each, and where the rebuilt numbers and the stored ones meet.
type Why struct {
	Version    int        `json:"version"`
	Comparison string     `json:"comparison"`
	SpecHash   string     `json:"spec_hash"`
	Key        []KeyValue `json:"key"`
	Window     Range      `json:"window"`

	Class    string      `json:"class"` // exact also for keys within their tolerance
	Cause    string      `json:"cause"` // "" for a key that does not differ
	Status   string      `json:"status"`
	Evidence string      `json:"evidence"`
	Metrics  []WhyMetric `json:"metrics"`
	Batch    WhySide     `json:"batch"`
	Stream   WhySide     `json:"stream"`

	Events  []WhyEvent `json:"events"`   // deliveries, by event time
	LeftOut int        `json:"left_out"` // further deliveries, which the numbers contain
	Cut     bool       `json:"cut"`      // there are more than are ever read: nothing is rebuilt
	SQL     string     `json:"sql"`
}

// WhyMetric is a metric as it is stored and as it is rebuilt; nil is NULL or absent.
type WhyMetric struct {
	Name          string  `json:"name"`
	Batch         *string `json:"batch"`
	BatchRebuilt  *string `json:"batch_rebuilt"`
	Stream        *string `json:"stream"`
	StreamRebuilt *string `json:"stream_rebuilt"`
}

// WhySide is what a side has stored, and how it was rebuilt.
type WhySide struct {
	How   string   `json:"how"`   // "": it was not, for the spec names no raw events
	Meets bool     `json:"meets"` // rebuilt and stored are the same
	Rows  []WhyRow `json:"rows"`
	More  int      `json:"more"` // rows left out
}

// WhyRow is a stored row.
type WhyRow struct {
	Writer string    `json:"writer,omitempty"`
	Pane   int64     `json:"pane"`
	Counts bool      `json:"counts"`
	Reason string    `json:"reason,omitempty"` // why not
	Values []*string `json:"values"`
}

// WhyEvent is a delivery of an event.
type WhyEvent struct {
	Time     time.Time  `json:"event_time"`
	ID       string     `json:"event_id"`
	Message  string     `json:"message_id"`
	Position string     `json:"position"`
	Arrived  *time.Time `json:"arrived"`
	Writers  []string   `json:"writers"`
	Reason   string     `json:"reason,omitempty"` // of a dead letter
	Values   []*string  `json:"values"`           // per metric; null for a count
	Batch    WhyCount   `json:"batch"`
	Stream   WhyCount   `json:"stream"`
}

// WhyCount is what a side made of a delivery.
type WhyCount struct {
	Counted bool      `json:"counted"`
	Why     string    `json:"why,omitempty"` // why not
	Totals  []*string `json:"totals"`        // after it
}

// Explain rebuilds both numbers of the key, written as parseKey reads it, in the
// window that starts at window. At most limit deliveries and rows of a side are listed.
func Explain(ctx context.Context, cfg Config, key string, window time.Time, limit int) (*Why, error) {
	why, err := explain(ctx, cfg, key, window, limit)
	return why, withoutValues(cfg.sensitive(), err)
}

func explain(ctx context.Context, cfg Config, key string, window time.Time, limit int) (*Why, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	q, err := newQueries(&cfg.Spec.Spec)
	if err != nil {
		return nil, err
	}
	keys, err := q.parseKey(key)
	if err != nil {
		return nil, err
	}
	if start := q.windowing.floor(window); !start.Equal(window) {
		return nil, exit.Usagef("no window starts at %s", stamp(window)).WithHint("the one that holds this time starts at %s", stamp(start))
	}
	span := Range{window.UTC(), q.windowing.next(window)}
	// The cause is looked for in the whole day: some causes show in the keys around.
	from := q.windowing.day(span.From)
	cfg.Range, cfg.Last = Range{from, q.windowing.nextDay(from)}, 0
	p, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(p.result.Scope.Settled, func(r Range) bool { return !span.From.Before(r.From) && span.From.Before(r.To) }) {
		return nil, notSettled(p.result.Scope.LeftOut, span)
	}
	y := &whyRun{prepared: p, keys: keys, window: span, limit: limit}
	return y.explain(ctx)
}

func notSettled(left []LeftOut, window Range) error {
	reason := "it is not in the settled range"
	for _, l := range left {
		for _, r := range l.Ranges {
			if !window.From.Before(r.From) && window.From.Before(r.To) {
				reason = l.Message
			}
		}
	}
	return exit.With(exit.NoData, fmt.Errorf("the window %s is not settled: %s", stamp(window.From), reason)).
		WithHint("ask again once both sides are complete; kappa compare plan lists what is settled")
}

// whyRun is one Explain.
type whyRun struct {
	*prepared
	keys   []bigquery.Value
	window Range
	limit  int

	open  *openKey // nil: the key does not differ
	class string
	rules []metricRule
	forms [][]bigquery.Value // the key, and its forms if the cause is that they are one
	sides [2]sideValue
}

func (y *whyRun) explain(ctx context.Context) (*Why, error) {
	q, res := y.queries, y.result
	out := &Why{Version: WhyVersion, Comparison: res.Comparison, SpecHash: res.SpecHash, Window: y.window, Events: []WhyEvent{}}
	for i, k := range q.spec.Keys {
		value := keyText(y.keys[i])
		if value != nil {
			shown := q.masked(k.Name, *value)
			value = &shown
		}
		out.Key = append(out.Key, KeyValue{k.Name, value})
	}
	if err := y.findCause(ctx); err != nil {
		return nil, err
	}
	if err := y.readSides(ctx, out); err != nil {
		return nil, err
	}
	var all []whyDelivery
	if q.spec.Evidence.Raw != "" {
		var err error
		if all, err = y.readEvents(ctx, out); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 && len(out.Batch.Rows)+len(out.Stream.Rows) == 0 {
		return nil, exit.Usagef("no such key: neither side and no raw event has it in the window %s", stamp(y.window.From)).
			WithHint("look at case and spaces; NULL is written NULL, and the text NULL in double quotes")
	}
	d := &difference{keys: slices.Clone(y.keys), window: y.window.From}
	if y.open != nil {
		d = y.open.d
		out.Cause, out.Status, out.Evidence = d.cause, d.status, d.evidence
	}
	out.Class = y.class
	out.SQL = q.sampleSQL(d)
	y.fill(out, all)
	return out, nil
}

// findCause reconciles the day and looks for the causes of its differences.
func (y *whyRun) findCause(ctx context.Context) error {
	q := y.queries
	y.class, y.forms = ClassExact, [][]bigquery.Value{y.keys}
	y.rules = q.metricRules(nil, nil)
	for _, of := range y.parts {
		if !slices.ContainsFunc(of.settled, func(r Range) bool { return !y.window.From.Before(r.From) && y.window.From.Before(r.To) }) {
			continue
		}
		y.cfg.Progress(Progress{Phase: "reconcile", Message: "reading both sides of the day"})
		got, err := y.runner.reconcile(ctx, q, of.query)
		if err != nil {
			return err
		}
		x, err := y.runner.examineAll(ctx, q, y.standings, got, func(done, total int64) {
			y.cfg.Progress(Progress{Phase: "evidence", Message: "looking for causes", Unit: "keys", Done: done, Total: total})
		})
		if err != nil {
			return err
		}
		y.rules = x.rules
		for i := range got.differences {
			if d := &got.differences[i]; d.window.Equal(y.window.From) && exactText(d.keys) == exactText(y.keys) {
				y.class, y.open = d.class, &openKey{d: d}
			}
		}
		for _, o := range x.open {
			if y.open != nil && o.d == y.open.d {
				y.open = o
			}
		}
		if y.open != nil && len(y.open.sets) > 0 && y.open.sets[0]&keyForm != 0 {
			y.forms = nil
			for _, o := range x.open {
				if o.fold == y.open.fold && o.d.window.Equal(y.window.From) {
					y.forms = append(y.forms, o.d.keys)
				}
			}
		}
	}
	return nil
}

// fill writes the deliveries, what is rebuilt from them, and where it meets what is
// stored.
func (y *whyRun) fill(out *Why, all []whyDelivery) {
	var lines [2][]whyCount
	for side, to := range []*WhySide{&out.Batch, &out.Stream} {
		rule, how := y.ruleOf(side)
		lines[side] = rule.rebuild(y.rules, all)
		if side == batchSide && y.open == nil && !meets(y.rules, lines[side], y.sides[side]) {
			rule.until = y.cutoff() // what both sides dropped makes no difference
			if other := rule.rebuild(y.rules, all); meets(y.rules, other, y.sides[side]) {
				lines[side], how = other, how+", that arrived by the cut-off at "+stamp(rule.until)
			}
		}
		if rule.counting == countRecords && !meets(y.rules, lines[side], y.sides[side]) {
			rule.counting = countDeliveries // copies are of two kinds
			if other := rule.rebuild(y.rules, all); meets(y.rules, other, y.sides[side]) {
				lines[side] = other
			}
		}
		if to.How = how; y.queries.spec.Evidence.Raw == "" {
			to.How = ""
		}
		to.Meets = !out.Cut && y.queries.spec.Evidence.Raw != "" && (meets(y.rules, lines[side], y.sides[side]) || y.transformed(side))
	}
	for i, m := range y.rules {
		w := WhyMetric{Name: m.name, Batch: decimalPointer(y.sides[batchSide].values[i]), Stream: decimalPointer(y.sides[streamSide].values[i])}
		if n := len(all); n > 0 && !out.Cut {
			w.BatchRebuilt, w.StreamRebuilt = decimalPointer(lines[batchSide][n-1].totals[i]), decimalPointer(lines[streamSide][n-1].totals[i])
		}
		out.Metrics = append(out.Metrics, w)
	}
	for i, d := range all {
		if i == y.limit {
			out.LeftOut = len(all) - i
			break
		}
		e := WhyEvent{Time: d.at, ID: d.event, Message: d.message, Position: d.position, Writers: d.writers, Reason: d.reason,
			Batch: whyCountOf(lines[batchSide][i]), Stream: whyCountOf(lines[streamSide][i])}
		if e.Writers == nil {
			e.Writers = []string{}
		}
		if !d.arrived.IsZero() {
			at := d.arrived.UTC()
			e.Arrived = &at
		}
		for _, v := range d.values {
			e.Values = append(e.Values, decimalPointer(v))
		}
		out.Events = append(out.Events, e)
	}
}

func whyCountOf(c whyCount) WhyCount {
	out := WhyCount{Counted: c.counted, Why: c.why, Totals: []*string{}}
	for _, v := range c.totals {
		out.Totals = append(out.Totals, decimalPointer(v))
	}
	return out
}

// cutoff is when the batch side took its last events.
func (y *whyRun) cutoff() time.Time { return y.batchWindow().To.Add(y.queries.spec.Batch.Cutoff.D()) }

// transformed reports whether a side's type has changed the values that the events
// give, as its cause says.
func (y *whyRun) transformed(side int) bool {
	changed := [2]flaw{roundedBatch | overflowBatch, roundedStream | overflowStream}[side]
	return y.open != nil && len(y.open.sets) > 0 && y.open.sets[0]&changed != 0
}

// ruleOf is how a side is rebuilt: by its cause, or, where none is found, as both sides
// should have been made, but for what the declared rules drop.
func (y *whyRun) ruleOf(side int) (rule rebuildRule, how string) {
	set := flaw(0)
	differs := y.open != nil
	found := differs && len(y.open.sets) > 0
	if found {
		set = y.open.sets[0]
	}
	var parts []string
	if side == streamSide {
		rule = rebuildRule{fates: onStream, within: y.window}
		parts = append(parts, "every event that a counting writer has read")
		if set&lateStream != 0 || !found {
			rule.fates = aggregated
			parts = append(parts, "not those in the late table")
		}
		if set&duplicatesStream != 0 {
			rule.counting = countRecords
			parts = append(parts, "copies too")
		}
		if y.transformed(side) {
			parts = append(parts, "then changed by its type")
		}
		return rule, strings.Join(parts, ", ")
	}
	rule = rebuildRule{fates: onStream, within: y.batchWindow()}
	parts = append(parts, "every event that a counting writer has read")
	if set&droppedByBridge != 0 {
		rule.fates |= 1 << undelivered
		parts = append(parts, "and those in the dead letters")
	}
	if set&cutByDrain != 0 {
		rule.fates |= 1 << lost
		parts = append(parts, "and those of generations without a successor")
	}
	switch cutoff := y.cutoff(); {
	case set&restatedBatch != 0:
		f := y.open.finding
		if set&keyForm != 0 {
			f = *y.open.forms
		}
		rule.until = f.facts.loadedAt
		parts = append(parts, "that arrived by the load at "+stamp(rule.until))
	case set&lateBatch != 0 || !found && differs:
		rule.until = cutoff
		parts = append(parts, "that arrived by the cut-off at "+stamp(cutoff))
	}
	if set&unloadedBatch != 0 {
		rule.fates = 0
		parts = []string{"none: the load has no row"}
	}
	if rule.within != y.window {
		parts = append(parts, "in the window from "+stamp(rule.within.From))
	}
	if set&duplicatesBatch != 0 {
		rule.counting = countRecords
		parts = append(parts, "copies too")
	}
	if y.transformed(side) {
		parts = append(parts, "then changed by its type")
	}
	return rule, strings.Join(parts, ", ")
}
