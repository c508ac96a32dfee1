package compare

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
)

// Plan is what a run would do, without reading either side.
type Plan struct {
	Version    int         `json:"version"`
	Comparison string      `json:"comparison"`
	SpecHash   string      `json:"spec_hash"`
	Scope      Scope       `json:"scope"`
	Queries    []PlanQuery `json:"queries"`
	Bytes      int64       `json:"bytes_estimated"` // of the reconciliation, by dry run; 0 if nothing is settled
	Accuracy   string      `json:"estimate_accuracy,omitempty"`
	Limit      int64       `json:"bytes_limit"`
	Stream     []JobState  `json:"jobs"`
	Writers    []Writer    `json:"generations"`
}

// PlanQuery is one query with its parameters.
type PlanQuery struct {
	Purpose    string      `json:"purpose"`
	SQL        string      `json:"sql"`
	Parameters []Parameter `json:"parameters"`
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
	q, res := p.queries, p.result
	plan := &Plan{Version: ResultVersion, Comparison: res.Comparison, SpecHash: res.SpecHash, Scope: res.Scope,
		Bytes: res.Cost.Estimated, Accuracy: res.Cost.Accuracy, Limit: int64(q.spec.Limits.MaxBytesBilled),
		Stream: res.Stream.Jobs, Writers: res.Stream.Generations}
	reconcile := PlanQuery{Purpose: "reconcile", SQL: q.reconcile(max(1, len(res.Scope.Settled)), p.counting), Parameters: []Parameter{}}
	for _, v := range p.query.params {
		text := fmt.Sprint(v.Value)
		if t, ok := v.Value.(time.Time); ok {
			text = stamp(t)
		}
		reconcile.Parameters = append(reconcile.Parameters, Parameter{v.Name, text})
	}
	plan.Queries = []PlanQuery{
		{"generations", q.generations(), []Parameter{}},
		{"watermarks", q.watermarks(), []Parameter{{"group", q.spec.Stream.Job}}},
		{"batch_loads", q.batchLoads(), []Parameter{{"target", q.spec.Batch.Table}}},
		reconcile,
	}
	if q.spec.Evidence.Raw != "" {
		query := q.evidenceQuery([]*difference{{keys: make([]bigquery.Value, len(q.spec.Keys)), window: wholeRange(res.Scope.Settled).From}}, p.standings)
		evidence := PlanQuery{Purpose: "evidence", SQL: query.sql, Parameters: []Parameter{}}
		for _, v := range query.params {
			evidence.Parameters = append(evidence.Parameters, Parameter{Name: v.Name})
		}
		plan.Queries = append(plan.Queries, evidence)
	}
	return plan, nil
}

// WriteText writes the plan for people.
func (p *Plan) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "comparison %s\n", p.Comparison)
	fmt.Fprintf(&b, "%s of %s settled\n", countOf(p.Scope.Windows, "window"), p.Scope.WindowSize)
	for _, r := range p.Scope.Settled {
		fmt.Fprintf(&b, "           %s to %s\n", stamp(r.From), stamp(r.To))
	}
	for _, l := range p.Scope.LeftOut {
		fmt.Fprintf(&b, "left out   %s: %s\n", countOf(l.Windows, "window"), l.Message)
	}
	if p.Scope.Windows > 0 {
		fmt.Fprintf(&b, "bytes      %s by dry run, %s allowed\n", bytesText(p.Bytes), bytesText(p.Limit))
	}
	for _, q := range p.Queries {
		fmt.Fprintf(&b, "\n-- %s\n", q.Purpose)
		for _, v := range q.Parameters {
			value := "set while the run goes on"
			if v.Value != "" {
				value = plain(v.Value)
			}
			fmt.Fprintf(&b, "-- @%s = %s\n", v.Name, value)
		}
		b.WriteString(strings.TrimSpace(q.SQL) + ";\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
