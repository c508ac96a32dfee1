package compare

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const purposeEvidence = "evidence"

// explain attributes a cause to every difference of a part (rule C5), reading raw
// events for those keys alone, window by window, in bounded batches. Once the byte
// cap is reached the rest stays unexplained: unexamined says how many those are.
func (r *runner) explain(ctx context.Context, q queries, standings []tables.Standing, p *part, progress func(done, total int64)) error {
	_, err := r.examineAll(ctx, q, standings, p, progress)
	return err
}

func (r *runner) examineAll(ctx context.Context, q queries, standings []tables.Standing, p *part, progress func(done, total int64)) (*examination, error) {
	x := newExamination(q, standings, p)
	for i := range p.differences {
		d := &p.differences[i]
		d.cause, d.status = Unexplained, Unexplained
		if d.class == ClassNonunique {
			d.evidence = "the key has several values on one side: there is none to be reproduced"
		}
	}
	total := int64(len(x.open))
	if total == 0 || q.spec.Evidence.Raw == "" {
		p.unexamined = total
		return x, nil
	}
	if err := r.examine(ctx, x, p, progress); err != nil {
		return nil, err
	}
	x.conclude()
	for _, o := range x.open {
		if !o.examined {
			p.unexamined++
			o.d.evidence = "the raw events were not read: it would pass the byte cap"
		}
	}
	progress(total, total)
	return x, nil
}

// examine runs the evidence queries, until the byte cap is reached.
func (r *runner) examine(ctx context.Context, x *examination, p *part, progress func(done, total int64)) error {
	limit := int64(x.q.spec.Evidence.MaxBytesBilled)
	// within says whether a query may run, and gives it what is left of the cap.
	within := func(qry *query) (bool, error) {
		if limit <= 0 {
			return true, nil
		}
		estimated, _, err := r.estimate(ctx, *qry)
		qry.maxBytes = limit - p.evidence
		return err == nil && qry.maxBytes > 0 && estimated <= qry.maxBytes, err
	}
	run := func(qry query, each func(row) error) (bool, error) {
		if ok, err := within(&qry); err != nil || !ok {
			return false, err
		}
		job, err := r.run(ctx, qry, each)
		if overBudget(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		p.evidence += max(job.Processed, job.Billed)
		p.jobs = append(p.jobs, job)
		return true, nil
	}
	if x.q.spec.Batch.Settled() == jobspecs.SettledByLoads && x.q.spec.Batch.Shadow == "" {
		progress(0, int64(len(x.open)))
		ok, err := run(x.q.loadHistory(x.span()), func(row row) error {
			l, err := readLoadTimes(row)
			x.loads = append(x.loads, l)
			return err
		})
		if err != nil || !ok {
			return err
		}
	}
	done := 0
	for _, batch := range x.batches() {
		progress(int64(done), int64(len(x.open)))
		reader := x.reader(batch)
		ok, err := run(x.q.evidenceQuery(batch), reader.read)
		if err != nil || !ok {
			return err
		}
		reader.finish()
		done += len(batch.keys)
	}
	return nil
}

// overBudget reports whether a query was refused for its byte cap: minimums
// per table can bring it over what its estimate said.
func overBudget(err error) bool {
	var e *exit.Error
	return errors.As(err, &e) && e.Code == exit.Usage
}

// openKey is a difference whose cause is looked for.
type openKey struct {
	d        *difference
	end      time.Time // of its window
	fold     string
	suspect  bool // a shift is looked for
	examined bool
	finding  finding
	forms    *finding // of all forms of the key that differ, taken for one
	sets     []flaw   // that hold
	shift    *shiftFound
}

// examination is the search for the causes of a part's differences.
type examination struct {
	q         queries
	standings []tables.Standing
	rules     []metricRule
	windows   map[time.Time]Counts
	loads     []tables.BatchLoad // every load of the range, oldest first
	open      []*openKey         // by window, then by what forms have in common
}

func newExamination(q queries, standings []tables.Standing, p *part) *examination {
	x := &examination{q: q, standings: standings, windows: map[time.Time]Counts{}}
	for _, w := range p.windows {
		x.windows[w.Start] = w.Counts
	}
	for i := range p.differences {
		if d := &p.differences[i]; d.class != ClassNonunique {
			x.open = append(x.open, &openKey{d: d, end: q.windowing.next(d.window), fold: keyFold(d.keys)})
		}
	}
	slices.SortStableFunc(x.open, func(a, b *openKey) int {
		if c := a.d.window.Compare(b.d.window); c != 0 {
			return c
		}
		return strings.Compare(a.fold, b.fold)
	})
	x.rules = q.metricRules(p, x.open)
	x.markSuspects()
	return x
}

// markSuspects marks the keys among which a shift is looked for: those of windows, or
// days, in which most keys differ.
func (x *examination) markSuspects() {
	days := map[time.Time]Counts{}
	for w, c := range x.windows {
		d := days[x.day(w)]
		d.Total += c.Total
		d.Mismatch += c.Differing()
		days[x.day(w)] = d
	}
	for _, o := range x.open {
		w, d := x.windows[o.d.window], days[x.day(o.d.window)]
		o.suspect = w.Differing()*2 > w.Total || d.Differing()*2 > d.Total
	}
}

// day is the span of windows that a shift must hold for: a day, or of windows of a day
// and longer all.
func (x *examination) day(window time.Time) time.Time {
	if x.q.windowing.size >= day {
		return time.Time{}
	}
	return floor(window, day)
}

// span is the time of all windows whose causes are looked for.
func (x *examination) span() Range {
	r := Range{x.open[0].d.window, x.open[0].end}
	for _, o := range x.open {
		if o.end.After(r.To) {
			r.To = o.end
		}
	}
	return r
}

// unloaded reports whether the batch side has nothing of a window that a load claims:
// a load without rows, or no row of several keys.
func (x *examination) unloaded(o *openKey) bool {
	c := x.windows[o.d.window]
	if c.Total == 0 || c.Extra != c.Total {
		return false
	}
	of := x.loadsOf(o)
	return len(of) > 0 && (of[len(of)-1].RowCount == 0 || c.Total > 1)
}

// loadsOf are the loads that hold the window, oldest first.
func (x *examination) loadsOf(o *openKey) []tables.BatchLoad {
	var out []tables.BatchLoad
	for _, l := range x.loads {
		if !l.RangeStart.After(o.d.window) && !l.RangeEnd.Before(o.end) {
			out = append(out, l)
		}
	}
	return out
}

// restated are the times of the loads that the batch side may be of, though its state
// since is another one: of a window that was loaded several times, or before its
// cut-off was over.
func (x *examination) restated(o *openKey) []time.Time {
	of := x.loadsOf(o)
	complete := o.end.Add(x.q.spec.Batch.Cutoff.D())
	var out []time.Time
	for _, l := range of {
		if len(of) > 1 || l.LoadedAt.Before(complete) {
			out = append(out, l.LoadedAt)
		}
	}
	return out
}

// conclude gives every examined key its cause.
func (x *examination) conclude() {
	votes := map[time.Time][]offsetSet{}
	for _, o := range x.open {
		if !o.suspect || !o.examined || !o.d.batch.present {
			continue
		}
		var fits offsetSet
		if len(o.finding.sets) == 0 { // what else explains a key speaks for no shift
			for _, h := range o.finding.shifts {
				fits |= h.offsets
			}
		}
		votes[x.day(o.d.window)] = append(votes[x.day(o.d.window)], fits)
	}
	days := map[time.Time]*shiftFound{}
	for d, v := range votes {
		found := electShift(v)
		days[d] = &found
	}
	unverified := slices.ContainsFunc(x.rules, func(m metricRule) bool { return m.merge == mergeUnknown }) ||
		!slices.ContainsFunc(x.rules, func(m metricRule) bool { return m.tolerance == nil })
	for _, o := range x.open {
		if !o.examined {
			continue
		}
		shift := days[x.day(o.d.window)]
		o.shift = shift
		o.sets, o.d.cause, o.d.status = o.finding.conclude(o.forms, shift, unverified)
		o.d.evidence = x.sentence(o, o.sets, shift, unverified)
	}
}

// metricRules are how metrics are made from events and compared; p is nil in a plan.
func (q queries) metricRules(p *part, open []*openKey) []metricRule {
	rules := make([]metricRule, len(q.spec.Metrics))
	for i, m := range q.spec.Metrics {
		rule := metricRule{name: m.Name, nullsZero: m.Nulls == "zero", places: [2]int{-1, -1}}
		switch {
		case m.Type == "count":
			rule.merge = mergeCount
		case m.Field == "":
			rule.merge = mergeUnknown
		case m.Type == "min":
			rule.merge = mergeMin
		case m.Type == "max":
			rule.merge = mergeMax
		default:
			rule.merge = mergeSum
		}
		switch m.Value {
		case "FLOAT64":
			rule.tolerance = newTolerated(m.Tolerance)
		case "NUMERIC", "BIGNUMERIC":
			if rule.merge == mergeCount || rule.merge == mergeUnknown {
				break
			}
			// A total with more decimals says that the side has values with more.
			var totals [2]int
			if p != nil {
				totals = [2]int{decimals(p.metrics[i].batch), decimals(p.metrics[i].stream)}
			}
			for s := range rule.places {
				most := totals[s]
				for _, o := range open {
					most = max(most, decimals([2]sideValue{o.d.batch, o.d.stream}[s].values[i]))
				}
				if most < maxPlaces {
					rule.places[s] = most
				}
			}
		}
		rules[i] = rule
	}
	return rules
}

// maxPlaces is how many decimals a NUMERIC has: such values are not rounded.
const maxPlaces = 9
