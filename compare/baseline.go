package compare

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// fitAsBaseline refuses a result from which regressions cannot be told: one that does
// not list all of its differing keys.
func (base *Result) fitAsBaseline(file string) error {
	if listed, differing := int64(len(base.DifferingKeys)), base.Counts.Differing(); listed != differing {
		return exit.Usagef("baseline %s: it lists %s of %s that differ, so a new one cannot be told from an old one", file, count(listed), countOf(differing, "key")).
			WithHint("take a baseline of a smaller range")
	}
	return nil
}

// checkBaseline refuses the result of another comparison.
func checkBaseline(base, now *Result) error {
	wrong := ""
	switch {
	case base.Comparison != now.Comparison:
		wrong = fmt.Sprintf("it is of the comparison %s, not of %s", base.Comparison, now.Comparison)
	case !slices.Equal(base.Scope.Keys, now.Scope.Keys):
		wrong = fmt.Sprintf("its keys are %v, not %v", base.Scope.Keys, now.Scope.Keys)
	case base.Scope.WindowSize != now.Scope.WindowSize || base.Scope.Offset != now.Scope.Offset || base.Scope.TimeZone != now.Scope.TimeZone:
		wrong = "its windows are others than those of the spec"
	default:
		return nil
	}
	return exit.Usagef("the baseline does not fit: %s", wrong).WithHint("take a compare.json that this comparison has written")
}

// against compares what differs now with a baseline, without I/O. A key is a
// regression if no cause explains it and the baseline did not have it unexplained
// and of the same class as well: who differed by a value and is missing now is
// worse. Keys that are not listed are all taken for regressions.
func (r *Result) against(base *Result, file string, diffs []difference) *Baseline {
	b := &Baseline{File: file, Started: base.Started, SpecHash: base.SpecHash, Exact: base.Exact, NewUnexplainedValue: map[string]Ratio{}}
	then := map[keyID]DifferingKey{}
	for _, k := range base.DifferingKeys {
		then[keyID{k.Window.UTC(), k.Key}] = k
	}
	beyond := r.Counts.Differing() - int64(len(r.DifferingKeys))
	b.New, b.NewUnexplained = beyond, beyond
	open := zeros(len(r.Metrics)) // weight of what is unexplained now as then
	seen := map[keyID]bool{}
	for i := range diffs {
		d := &diffs[i]
		if d.class == ClassTolerated {
			continue
		}
		id := keyID{d.window, keyJSON(d.texts())}
		seen[id] = true
		old, was := then[id]
		if was {
			b.Same++
		} else {
			b.New++
		}
		switch {
		case d.status != Unexplained:
		case old.Status == Unexplained && old.Class == d.class:
			for m := range open {
				open[m].Add(open[m], d.weightOf(m))
			}
		default:
			b.NewUnexplained++
		}
	}
	for id := range then {
		if !seen[id] && inSpans(r.Scope.Settled, id.window) && beyond == 0 {
			b.Gone++
		}
	}
	for m, of := range r.Metrics {
		n := new(big.Rat).Sub(number(of.Unexplained.Num), open[m])
		if n.Sign() < 0 {
			n.SetInt64(0)
		}
		b.NewUnexplainedValue[of.Name] = Ratio{decimalText(n), of.Unexplained.Den}
	}
	return b
}
