package jobspecs

import (
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/expression"
)

// RollupColumn is the column of an aggregate table that says by which
// dimensions a row is grouped; only tables of aggregations with rollups have it.
const RollupColumn = "rollup"

// Rollup names a set of dimensions, given in the order of the aggregation's.
func Rollup(set []string) string { return strings.Join(set, ",") }

// Sets are the sets of dimensions that an aggregation groups by: all of them,
// and then its rollups, each in the order of the dimensions.
func (a Aggregation) Sets() [][]string {
	sets := [][]string{a.Dimensions}
	for _, r := range a.Rollups {
		sets = append(sets, a.ordered(r))
	}
	return sets
}

// ordered brings names of dimensions into the order of the aggregation's; what
// is none of them is left out.
func (a Aggregation) ordered(names []string) []string {
	set := []string{}
	for _, d := range a.Dimensions {
		if slices.Contains(names, d) {
			set = append(set, d)
		}
	}
	return set
}

// Set returns the set that has these dimensions, in whatever order, and no
// others; false if the aggregation does not group by it.
func (a Aggregation) Set(names []string) ([]string, bool) {
	set := a.ordered(names)
	if len(set) != len(names) {
		return nil, false
	}
	found := slices.ContainsFunc(a.Sets(), func(s []string) bool { return slices.Equal(s, set) })
	return set, found
}

// Ways in which partial values of a measure merge, over panes, generations and
// jobs.
const (
	MergeAdd      = "add"      // count, sum
	MergeLeast    = "least"    // min
	MergeGreatest = "greatest" // max
)

// Merge is how partial values of the measure merge.
func (m Measure) Merge() string { return mergeOf(m.Type) }

// Merge is how the metric's panes merge.
func (m Metric) Merge() string { return mergeOf(m.Type) }

func mergeOf(typ string) string {
	switch typ {
	case "min":
		return MergeLeast
	case "max":
		return MergeGreatest
	}
	return MergeAdd
}

// Gives is the type that the measure's expression must have.
func (m Measure) Gives() expression.Kind {
	if m.Type == "count" {
		return expression.Bool
	}
	return expression.Int
}

// ExpressionFields are the fields of an event as expressions have them.
func (e Event) ExpressionFields() []expression.Field {
	fields := make([]expression.Field, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = expression.Field{Name: f.Name, Type: f.Type}
	}
	return fields
}
