package compare

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// partition is a part of the range, compared by one query (invariant C1).
type partition struct {
	settled  []Range
	counting rowsThatCount
	query    query
	key      string // of its checkpoint; "" without
	found    *part
	resumed  bool // found by a run that was stopped
}

// divide makes the partitions.
func (p *prepared) divide() error {
	spec := p.queries.spec
	for _, spans := range partitions(p.result.Scope.Settled, p.queries.windowing, spec.Range.Partition.D()) {
		counting := countingRows(p.standings, wholeRange(spans))
		if err := counting.check(); err != nil {
			return err
		}
		p.parts = append(p.parts, partition{settled: spans, counting: counting, query: p.queries.reconcileQuery(spans, counting)})
	}
	p.result.Partitions = len(p.parts)
	return nil
}

// estimate finds out, before anything is read, what the queries will read, and
// refuses those that are over the cap. Of partitions that are done already nothing
// will be read.
func (p *prepared) estimate(ctx context.Context) error {
	if err := p.resume(); err != nil {
		return err
	}
	cost, n := &p.result.Cost, int64(len(p.parts))
	for i := range p.parts {
		part := &p.parts[i]
		if part.resumed {
			continue
		}
		p.cfg.Progress(Progress{Phase: "estimate", Message: "dry run", Unit: "partitions", Done: int64(i), Total: severalOf(n)})
		estimated, accuracy, err := p.runner.estimate(ctx, part.query)
		if err != nil {
			return err
		}
		if err := p.queries.checkEstimate(estimated); err != nil {
			return err
		}
		cost.Estimated += estimated
		cost.Accuracy = accuracy
	}
	message := bytesText(cost.Estimated) + " to read"
	if n > 1 {
		message = fmt.Sprintf("%s to read in %d partitions, %d of them done before", bytesText(cost.Estimated), n, p.result.Resumed)
	}
	p.cfg.Progress(Progress{Phase: "estimate", Message: message, Unit: "partitions", Done: n, Total: severalOf(n), Ended: true})
	return nil
}

// severalOf is the total of a progress over partitions: unknown for one, which has
// no parts to count.
func severalOf(n int64) int64 {
	if n > 1 {
		return n
	}
	return 0
}

// resume takes what a run that was stopped has found. A range of one partition has
// nothing to resume.
func (p *prepared) resume() (err error) {
	if len(p.parts) < 2 || p.cfg.StateDir == "" {
		return nil
	}
	if p.saved, err = openCheckpoints(p.cfg.StateDir, p.result.Comparison, p.cfg.Now, p.cfg.Log); err != nil {
		return err
	}
	written := p.queries.written()
	for i := range p.parts {
		part := &p.parts[i]
		within := wholeRange(part.settled)
		loads := slices.DeleteFunc(slices.Clone(p.loads), func(l tables.BatchLoad) bool {
			return !l.RangeStart.Before(within.To) || !l.RangeEnd.After(within.From)
		})
		if part.key, err = checkpointKey(p.result.Comparison, p.result.SpecHash, part.query, p.standings, loads, written); err != nil {
			return err
		}
		if p.cfg.Fresh {
			continue
		}
		if part.found = p.saved.load(part.key); part.found != nil {
			part.resumed = true
			p.result.Resumed++
		}
	}
	return nil
}

// written is when the tables were last written of which neither loads nor writers
// say that a part of them is complete. Any write may have changed that part.
func (q queries) written() []time.Time {
	var at []time.Time
	for _, s := range []side{q.batch, q.stream} {
		if !s.writers && (s.role == roleStream || !q.readsLoads()) {
			at = append(at, s.changed)
		}
	}
	return at
}

// reconcile compares partition by partition, each by one query, then looks for
// causes. Differing keys beyond those that a run keeps are not looked at.
func (p *prepared) reconcile(ctx context.Context) (*part, error) {
	n, kept := int64(len(p.parts)), 0
	found := make([]*part, 0, n)
	for i := range p.parts {
		part := &p.parts[i]
		if !part.resumed {
			if err := p.read(ctx, i, maxDifferingKeys-kept); err != nil {
				return nil, err
			}
			if err := p.saved.save(part.key, part.found); err != nil {
				return nil, err
			}
		}
		kept += len(part.found.differences)
		found = append(found, part.found)
	}
	if n > 1 {
		p.cfg.Progress(Progress{Phase: "reconcile", Message: "all partitions compared", Unit: "partitions", Done: n, Total: n})
	}
	return mergeParts(found), nil
}

// read compares a partition.
func (p *prepared) read(ctx context.Context, i, room int) error {
	part, n := &p.parts[i], int64(len(p.parts))
	step := Progress{Phase: "reconcile", Message: "reading both sides", Unit: "partitions", Done: int64(i), Total: severalOf(n)}
	if n > 1 {
		r := wholeRange(part.settled)
		step.Message = fmt.Sprintf("reading %s to %s", date(r.From), date(r.To))
	}
	p.cfg.Progress(step)
	got, err := p.runner.reconcile(ctx, p.queries, part.query)
	if err != nil {
		return err
	}
	got.settled = part.settled
	got.differences = got.differences[:min(len(got.differences), max(0, room))]
	err = p.runner.explain(ctx, p.queries, p.standings, got, func(done, total int64) {
		if n > 1 {
			causes := step
			causes.Message = fmt.Sprintf("looking for causes, %s of %s", count(done), countOf(total, "key"))
			p.cfg.Progress(causes)
			return
		}
		p.cfg.Progress(Progress{Phase: "evidence", Message: "looking for causes", Unit: "keys", Done: done, Total: total})
	})
	if err != nil {
		return err
	}
	p.queries.mask(got)
	part.found = got
	return nil
}
