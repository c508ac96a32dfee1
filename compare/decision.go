package compare

import (
	"context"
	"fmt"
	"io"
	"strings"
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
	Newest     *time.Time `json:"newest"`   // when the newest run that it rests on began; null: not known
	Baseline   *Baseline  `json:"baseline"` // null: none
}

// Sources of decisions.
const (
	SourceHistory = "history"
	SourceResult  = "result"
)

// DecideByResult judges a run by the gate that it had.
func DecideByResult(r *Result) *Decision {
	d := &Decision{Version: ResultVersion, Comparison: r.Comparison, SpecHash: r.SpecHash, Source: SourceResult, Gate: r.Gate, Verdict: decide(r),
		Days: orEmpty(newestDays(r.Days, r.Gate.Days)), Newest: &r.Started, Baseline: r.Baseline}
	return d
}

// DecideByHistory judges what runs of the spec have recorded. It reads the history
// alone.
func DecideByHistory(ctx context.Context, cfg Config) (*Decision, error) {
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
	h, err := openHistory(run, q)
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
	return decideByPast(r, p)
}

// decideByPast is DecideByHistory without I/O.
func decideByPast(r *Result, p past) (*Decision, error) {
	d := &Decision{Version: ResultVersion, Comparison: r.Comparison, SpecHash: r.SpecHash, Source: SourceHistory, Gate: r.Gate, Days: []Day{}}
	seen := func(row tables.CompareRun) {
		if at := row.StartedAt.Timestamp.UTC(); row.StartedAt.Valid && (d.Newest == nil || at.After(*d.Newest)) {
			d.Newest = &at
		}
	}
	if r.Gate.Days > 0 {
		var all []Day
		for _, row := range p.days {
			day, err := historyDay(row)
			if err != nil {
				return nil, fmt.Errorf("read the history: %w", err)
			}
			all = append(all, day)
			seen(row)
		}
		all = mergeDays(nil, all, time.Unix(1<<40, 0))
		markDays(r.Gate, all)
		d.Days, d.Verdict = orEmpty(newestDays(all, r.Gate.Days)), decideDays(r.Gate, all, Day{})
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
		seen(row)
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

// WriteText writes the decision for people.
func (d *Decision) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s: %s\n", d.Verdict.Verdict, plain(d.Comparison), plain(d.Verdict.Rule))
	if d.Newest != nil {
		fmt.Fprintf(&b, "by the %s; its newest run began at %s\n", d.Source, stamp(*d.Newest))
	}
	for _, day := range d.Days {
		mark := "ok"
		if !day.OK {
			mark = "no  " + plain(day.Why)
		}
		fmt.Fprintf(&b, "  %s  %s, %s unexplained  %s\n", date(day.Start), countOf(day.Counts.Total, "key"), count(day.Unexplained), mark)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
