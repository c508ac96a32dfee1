package compare

import (
	"context"
	"fmt"
	"time"
)

// Plan is what a run would do, without reading either side.
type Plan struct {
	Version    int         `json:"version"`
	Comparison string      `json:"comparison"`
	SpecHash   string      `json:"spec_hash"`
	Scope      Scope       `json:"scope"`
	Queries    []PlanQuery `json:"queries"`
	Partitions int         `json:"partitions"`      // queries by which the range would be compared; the first of them is shown
	Bytes      int64       `json:"bytes_estimated"` // of all of them, by dry run; 0 if nothing is settled
	Accuracy   string      `json:"estimate_accuracy,omitempty"`
	LowerBound int64       `json:"bytes_lower_bound"` // of the needed columns of each side in the range, at least the billing minimum for each query, by dry runs of each side alone
	Ratio      Ratio       `json:"billed_to_lower_bound"`
	Limit      int64       `json:"bytes_limit"`
	Stream     []JobState  `json:"jobs"`
	Writers    []Writer    `json:"generations"`
}

// PlanQuery is one query with its parameters.
type PlanQuery struct {
	Purpose    string      `json:"purpose"`
	SQL        string      `json:"sql"`
	Parameters []Parameter `json:"parameters"`
	Bytes      *int64      `json:"bytes_estimated"` // by dry run; null where the parameters are not known yet
	DryRun     bool        `json:"dry_run_alone"`   // it is never run: types and bounds are learnt from its dry run
}

// Parameter is a query parameter; Value is empty where it is only known while
// the run goes on.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// PlanRun says what Run would do: what is settled, the SQL, and the bytes by
// dry run. It reads the control tables alone.
func PlanRun(ctx context.Context, cfg Config) (*Plan, error) {
	p, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := p.estimate(ctx); err != nil {
		return nil, err
	}
	q, res := p.queries, p.result
	plan := &Plan{Version: ResultVersion, Comparison: res.Comparison, SpecHash: res.SpecHash, Scope: res.Scope, Partitions: res.Partitions,
		Bytes: res.Cost.Estimated, Accuracy: res.Cost.Accuracy, Ratio: NewRatio(0, 0), Limit: int64(q.spec.Limits.MaxBytesBilled),
		Stream: res.Stream.Jobs, Writers: res.Stream.Generations}
	for _, s := range []side{q.batch, q.stream} {
		if s.kind == SideQuery {
			if err := p.plan(ctx, plan, q.schemaQuery(s), true); err != nil {
				return nil, err
			}
		}
		if !s.plain() {
			if err := p.plan(ctx, plan, q.typesQuery(s), true); err != nil {
				return nil, err
			}
		}
	}
	for _, query := range q.controlQueries() {
		if err := p.plan(ctx, plan, query, false); err != nil {
			return nil, err
		}
	}
	if len(p.parts) > 0 { // the first of them; the others differ in their bounds and writers alone
		if err := p.plan(ctx, plan, p.parts[0].query, false); err != nil {
			return nil, err
		}
	} else {
		plan.Queries = append(plan.Queries, PlanQuery{Purpose: purposeReconcile, SQL: q.reconcile(1, p.counting), Parameters: []Parameter{}})
	}
	if q.spec.Evidence.Raw != "" {
		evidence := planned(q.plannedEvidence(res.Scope.Settled, p.standings))
		for i := range evidence.Parameters {
			evidence.Parameters[i].Value = ""
		}
		plan.Queries = append(plan.Queries, evidence)
	}
	return plan, p.bound(ctx, plan)
}

// plan adds a query and what its dry run says.
func (p *prepared) plan(ctx context.Context, plan *Plan, q query, dryRun bool) error {
	bytes, _, err := p.runner.estimate(ctx, q)
	if err != nil {
		return err
	}
	add := planned(q)
	add.Bytes, add.DryRun = &bytes, dryRun
	plan.Queries = append(plan.Queries, add)
	return nil
}

func planned(q query) PlanQuery {
	out := PlanQuery{Purpose: q.purpose, SQL: q.sql, Parameters: []Parameter{}}
	for _, v := range q.params {
		text := fmt.Sprint(v.Value)
		if t, ok := v.Value.(time.Time); ok {
			text = stamp(t)
		}
		out.Parameters = append(out.Parameters, Parameter{v.Name, text})
	}
	return out
}

// bound finds the lower bound of the partitions that are still to be compared, and
// what they will be billed for each of its bytes: what is read beyond it is a
// column that is not needed, or one that is read twice (rule C1).
func (p *prepared) bound(ctx context.Context, plan *Plan) error {
	var alone int64
	for _, part := range p.parts {
		if part.resumed {
			continue
		}
		bytes, billed, err := p.runner.leastBytes(ctx, p.queries, part.settled)
		if err != nil {
			return err
		}
		alone, plan.LowerBound = alone+bytes, plan.LowerBound+billed
	}
	if plan.LowerBound > 0 {
		plan.Ratio = NewRatio(plan.LowerBound+max(plan.Bytes-alone, 0), plan.LowerBound)
	}
	return nil
}
