package compare

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// Decision is a verdict on runs that have been made.
type Decision struct {
	Version    int        `json:"version"`
	Comparison string     `json:"comparison"`
	SpecHash   string     `json:"spec_hash"`
	Source     string     `json:"source"` // history or result
	Gate       Gate       `json:"gate"`
	Verdict    Verdict    `json:"verdict"`
	Days       []Day      `json:"days"`     // those that the gate counts
	Newest     *time.Time `json:"newest"`   // when the newest day, or run, that it rests on was compared; null: it rests on nothing
	Baseline   *Baseline  `json:"baseline"` // null: none
}

// Sources of decisions.
const (
	SourceHistory = "history"
	SourceResult  = "result"
)

// ruleAge is that of the age, by the flag that sets it.
const ruleAge = "--max-age"

// DecideByResult judges a run by the gate that it had. A run that began more than
// maxAge before now is too old for a GO; 0: none is.
func DecideByResult(r *Result, now time.Time, maxAge time.Duration) *Decision {
	d := &Decision{Version: ResultVersion, Comparison: r.Comparison, SpecHash: r.SpecHash, Source: SourceResult, Gate: r.Gate, Verdict: decide(r),
		Days: orEmpty(newestDays(r.Days, r.Gate.Days)), Newest: &r.Started, Baseline: r.Baseline}
	d.age(now, maxAge)
	return d
}

// age takes back a GO that rests on what was compared too long ago: both sides may
// have parted since, and what compares them may have stopped. A HOLD stays one.
func (d *Decision) age(now time.Time, most time.Duration) {
	if most <= 0 || d.Newest == nil {
		return
	}
	age := now.Sub(*d.Newest)
	c := Check{Rule: ruleAge, Want: "compared within " + shortDuration(most), Got: "compared at " + stamp(d.Newest.Truncate(time.Second)), OK: age <= most}
	d.Verdict.Checks = append(d.Verdict.Checks, c)
	if !c.OK && d.Verdict.Verdict == Go {
		d.Verdict.Verdict = NoData // invariant C3
		d.Verdict.Rule = fmt.Sprintf("the newest that a GO would rest on was %s, %s ago; wanted %s (%s)", c.Got, shortDuration(age.Truncate(time.Minute)), c.Want, ruleAge)
	}
}

// DecideByHistory judges what runs of the spec have recorded. It reads the history,
// and, where the batch side is loaded, what was loaded since; neither side.
// The newest day, or run, of a GO must not have been compared more than maxAge ago;
// 0: it may.
func DecideByHistory(ctx context.Context, cfg Config, maxAge time.Duration) (*Decision, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	r, err := newResult(cfg)
	if err != nil {
		return nil, err
	}
	q, err := newQueries(&cfg.Spec.Spec)
	if err != nil {
		return nil, err
	}
	run := &runner{client: cfg.Client, log: cfg.Log, labels: labels(cfg.Spec.Metadata.Name, cfg.Spec.Metadata.Labels), timeout: cfg.Spec.Spec.Limits.JobTimeout.D()}
	h, err := openHistory(run, &cfg.Spec.Spec)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, exit.Usagef("the comparison %s has no history (history.dataset), so there is nothing to decide by", r.Comparison).
			WithHint("name a dataset in the spec, or decide by a compare.json with --result")
	}
	p, err := h.read(ctx, r.Comparison, r.SpecHash)
	if err != nil {
		return nil, err
	}
	var c control
	if q.readsLoads() {
		if c, err = run.readControl(ctx, []query{q.loadsQuery()}); err != nil {
			return nil, err
		}
	}
	d, err := decideByPast(r, p, c.loads)
	if err != nil {
		return nil, err
	}
	d.age(cfg.Now(), maxAge)
	return d, nil
}

// earlierDays are the days of earlier runs. One that was loaded again since is none:
// what the run found is of numbers that are no more. restated is how many those are.
func earlierDays(p past, loads []tables.BatchLoad) (days []Day, restated int64, err error) {
	for _, row := range p.days {
		d, err := historyDay(row)
		if err != nil {
			return nil, 0, fmt.Errorf("read the history: %w", err)
		}
		if row.StartedAt.Valid && slices.ContainsFunc(loads, func(l tables.BatchLoad) bool {
			return l.LoadedAt.After(row.StartedAt.Timestamp) && l.RangeStart.Before(d.End) && l.RangeEnd.After(d.Start)
		}) {
			restated++
			continue
		}
		days = append(days, d)
	}
	return days, restated, nil
}

// decideByPast is DecideByHistory without I/O.
func decideByPast(r *Result, p past, loads []tables.BatchLoad) (*Decision, error) {
	d := &Decision{Version: ResultVersion, Comparison: r.Comparison, SpecHash: r.SpecHash, Source: SourceHistory, Gate: r.Gate, Days: []Day{}}
	if r.Gate.Days > 0 {
		all, restated, err := earlierDays(p, loads)
		if err != nil {
			return nil, err
		}
		all = mergeDays(nil, all, time.Unix(1<<40, 0))
		markDays(r.Gate, all)
		d.Days, d.Verdict = orEmpty(newestDays(all, r.Gate.Days)), decideDays(r.Gate, all, Day{})
		if restated > 0 {
			d.Verdict.Rule += fmt.Sprintf("; %s restated by a batch load since", countOf(restated, "day"))
		}
		for _, row := range p.days { // the newest day's, whatever older day was compared once more
			if n := len(d.Days); n > 0 && row.RangeFrom.Equal(d.Days[n-1].Start) {
				d.Newest = comparedAt(row)
			}
		}
		return d, nil
	}
	for _, row := range p.runs {
		if row.SpecHash != r.SpecHash {
			continue
		}
		whole, err := historyDay(row)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		d.Newest = comparedAt(row)
		r.Counts = whole.Counts
		r.Scope.Windows, r.Batch.Rows, r.Stream.Rows = row.Windows, row.BatchRows.Int64, row.StreamRows.Int64
		if d.Verdict = r.nothing(); d.Verdict.Verdict == "" {
			d.Verdict = decideRange(r.Gate, whole, fmt.Sprintf("the newest run, of %s to %s", stamp(row.RangeFrom), stamp(row.RangeTo)))
		}
		return d, nil
	}
	d.Verdict = Verdict{Verdict: NoData, Rule: "no run of this spec is recorded"} // invariant C3
	return d, nil
}

// comparedAt is when a row was compared. A schedule does not say: it was not before
// what it has compared was over.
func comparedAt(row tables.CompareRun) *time.Time {
	at := row.RangeTo.UTC()
	if row.StartedAt.Valid {
		at = row.StartedAt.Timestamp.UTC()
	}
	return &at
}
