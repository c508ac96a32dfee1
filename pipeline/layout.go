package pipeline

import (
	"fmt"
	"strings"
)

// Layouts of state. An update in place hands the state of a step to the step of
// the same name, and what is in flight with it. Ours is bytes to the runner, so
// that it cannot see whether the new code would read them for something else.
// So a step's name holds a digest of what its bytes mean: with another meaning
// the old step has no successor, and the service refuses the update. invariant P2

// dedupLayout is that of packs and of bags of ids.
func (p *Plan) dedupLayout() string {
	parts := []string{fmt.Sprint(p.Shards, p.Slice, p.Remember), strings.Join(p.Subscriptions, " ")}
	for _, i := range p.Used {
		parts = append(parts, p.Fields[i].Name, p.Fields[i].Kind.String())
	}
	return layout(parts)
}

// aggregateLayout is that of an aggregation's keys, partial values and panes.
func (p *Plan) aggregateLayout(a *Aggregation) string {
	parts := []string{fmt.Sprint(a.Window, p.Horizon)}
	for _, d := range a.Dims {
		parts = append(parts, p.Fields[p.Used[d]].Name, p.usedKind(d).String())
	}
	for _, s := range a.Sets {
		parts = append(parts, "by "+s.Rollup)
	}
	for _, m := range a.Measures {
		parts = append(parts, m.Name, m.Op.String())
	}
	return layout(parts)
}

func layout(parts []string) string { return digest(parts...)[:8] }
