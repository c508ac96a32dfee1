package compare

import (
	"fmt"
	"math/big"
	"os"
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// ReadBaseline reads the compare.json of an earlier run. It refuses a file from
// which regressions cannot be told: a damaged one, or one that does not list all of
// its differing keys.
func ReadBaseline(path string) (*Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, exit.Environmentf("read the baseline: %w", err)
	}
	defer f.Close()
	base, err := ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("baseline %s: %w", path, err)
	}
	if listed, differing := int64(len(base.DifferingKeys)), base.Counts.Differing(); listed != differing {
		return nil, exit.Usagef("baseline %s: it lists %s of %s that differ, so a new one cannot be told from an old one", path, count(listed), countOf(differing, "key")).
			WithHint("take a baseline of a smaller range")
	}
	return base, nil
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
// as well; keys that are not listed are all taken for regressions.
func (r *Result) against(base *Result, file string, diffs []difference) *Baseline {
	b := &Baseline{File: file, Started: base.Started, SpecHash: base.SpecHash, Exact: base.Exact, NewUnexplainedValue: map[string]Ratio{}}
	then := map[keyID]string{} // status
	for _, k := range base.DifferingKeys {
		then[keyID{k.Window.UTC(), k.Key}] = k.Status
	}
	beyond := r.Counts.Differing() - int64(len(r.DifferingKeys))
	b.New, b.NewUnexplained = beyond, beyond
	old := zeros(len(r.Metrics)) // weight of what is unexplained now as then
	seen := map[keyID]bool{}
	for i := range diffs {
		d := &diffs[i]
		if d.class == ClassTolerated {
			continue
		}
		id := keyID{d.window, keyJSON(d.texts())}
		seen[id] = true
		status, was := then[id]
		if was {
			b.Same++
		} else {
			b.New++
		}
		switch {
		case d.status != Unexplained:
		case status == Unexplained:
			for m := range old {
				old[m].Add(old[m], d.weightOf(m))
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
		n := new(big.Rat).Sub(number(of.Unexplained.Num), old[m])
		if n.Sign() < 0 {
			n.SetInt64(0)
		}
		b.NewUnexplainedValue[of.Name] = Ratio{decimalText(n), of.Unexplained.Den}
	}
	return b
}
