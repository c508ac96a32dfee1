package jobspecs

import "github.com/kappa-migrate/kappa/internal/expression"

// aggregationRules are about what a StreamJob computes.
func aggregationRules() []Rule {
	return []Rule{{
		Name: "non-mergeable-measure", Kinds: []string{KindStreamJob},
		Finds: "a measure that is made from a ratio of two values of the event",
		Why:   "What events have in a window is put together from several panes, jobs and generations. A ratio does not come out of that: the sum of ratios is neither the ratio of the sums nor an average, each is cut to a whole number before it is added, and an event whose divisor is zero makes the job fail.",
		Mend:  "measure both values, each by a measure of its own, and divide where they are read",
		check: on(func(l *linter, j *StreamJob) {
			for i, a := range j.Spec.Aggregations {
				for n, m := range a.Measures {
					if m.Type == "count" || m.Expression == "" {
						continue
					}
					p, err := expression.Compile(m.Expression, j.Spec.Event.ExpressionFields(), m.Gives())
					if err == nil && p.IsRatio() {
						l.warn(at(at("spec.aggregations", i)+".measures", n)+".expression", "the %s of a ratio does not merge to the ratio of a window", m.Type)
					}
				}
			}
		}),
	}}
}
