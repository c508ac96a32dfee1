package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// maxResultBytes bounds what ReadJSON takes into memory. Results hold bounded
// lists, but for windows: those of ten years of minutes fit.
const maxResultBytes = 1 << 30

// ReadJSON reads a result that WriteJSON has written. It refuses other versions
// and whatever a run cannot have written, cut off or edited: a damaged file must
// never pass a gate. Fields that it does not know are left alone, because later
// programs add some without a new version.
func ReadJSON(r io.Reader) (*compare.Result, error) {
	res, err := readJSON(r)
	if err != nil {
		return nil, exit.Usagef("read result: %w", err).
			WithHint("give a compare.json that kappa compare run --out, or --output json, has written as a whole")
	}
	return res, nil
}

// ReadBaseline reads the compare.json of an earlier run, to judge regressions by.
func ReadBaseline(path string) (*compare.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, exit.Environmentf("read the baseline: %w", err)
	}
	defer f.Close()
	base, err := ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("baseline %s: %w", path, err)
	}
	return base, nil
}

func readJSON(r io.Reader) (*compare.Result, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxResultBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxResultBytes {
		return nil, fmt.Errorf("it is larger than %s", term.Bytes(maxResultBytes))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("it is empty")
	}
	// The version first: the fields of another version may have other types.
	var head struct {
		Version *int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("it is not the JSON of a result: %w", err)
	}
	switch {
	case head.Version == nil:
		return nil, errors.New("it is not the JSON of a result: it has no version")
	case *head.Version != compare.ResultVersion:
		return nil, fmt.Errorf("it has version %d, and this kappa reads version %d", *head.Version, compare.ResultVersion)
	}
	var res compare.Result
	if err := json.Unmarshal(data, &res); err != nil {
		return nil, fmt.Errorf("it is not the JSON of a result: %w", err)
	}
	if err := check(&res); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	return &res, nil
}

// check refuses what contradicts itself.
func check(r *compare.Result) error {
	c := r.Counts
	switch {
	case r.Comparison == "":
		return errors.New("it names no comparison")
	case r.SpecHash == "":
		return errors.New("it has no spec_hash")
	case r.Started.IsZero():
		return errors.New("it does not say when it was started")
	case !slices.Contains([]string{compare.Go, compare.Hold, compare.NoData}, r.Verdict.Verdict):
		return fmt.Errorf("verdict %q is none of %s, %s, %s", r.Verdict.Verdict, compare.Go, compare.Hold, compare.NoData)
	case r.Verdict.Verdict == compare.Go && c.Total == 0:
		return fmt.Errorf("the verdict is %s without a key", compare.Go) // invariant C3
	case r.Verdict.Verdict == compare.Go && slices.ContainsFunc(r.Verdict.Checks, func(c compare.Check) bool { return !c.OK }):
		return fmt.Errorf("the verdict is %s, but a rule is not met", compare.Go)
	case r.Verdict.Verdict == compare.Go && len(r.Verdict.Checks) == 0:
		return fmt.Errorf("the verdict is %s without a rule", compare.Go)
	}
	if err := checkCounts(c); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if !isRatio(r.Exact, c.Exact, c.Total) || !isRatio(r.Agree, c.Exact+c.Tolerated, c.Total) {
		return errors.New("exact and agree are not the shares of the keys")
	}
	var explained, causes int64
	for _, e := range r.Causes.Entries {
		if e.Keys < 0 || e.Keys > c.Total {
			return fmt.Errorf("cause %q has %d keys", e.Cause, e.Keys)
		}
		causes += e.Keys
		if e.Status != compare.Unexplained {
			explained += e.Keys
		}
	}
	if r.Causes.Differing != c.Differing() || causes != c.Differing() || c.Differing()-explained != r.Causes.Unexplained {
		return errors.New("the causes do not add up to the keys that differ")
	}
	return checkParts(r)
}

// checkParts is check of what a result is made of.
func checkParts(r *compare.Result) error {
	for _, w := range r.Windows {
		if err := checkCounts(w.Counts); err != nil {
			return fmt.Errorf("window %s: %w", stamp(w.Start), err)
		}
		if len(w.Metrics) > len(r.Metrics) {
			return fmt.Errorf("window %s: it has more metrics than the result", stamp(w.Start))
		}
	}
	for _, d := range r.Days {
		if err := checkCounts(d.Counts); err != nil {
			return fmt.Errorf("day %s: %w", stamp(d.Start), err)
		}
	}
	h := r.Heat
	for _, grid := range [][][]int64{h.Differing, h.Unexplained} {
		if len(grid) != len(h.Values) {
			return errors.New("heat: rows and values differ in number")
		}
		for _, row := range grid {
			if len(row) != len(h.Starts) {
				return errors.New("heat: columns and starts differ in number")
			}
		}
	}
	return nil
}

// check refuses counts that are negative or that do not add up.
func checkCounts(c compare.Counts) error {
	left := c.Total
	for _, class := range compare.Classes {
		n := c.Of(class)
		if n < 0 || n > left {
			return fmt.Errorf("%d of %d keys are %s, which does not add up", n, c.Total, class)
		}
		left -= n
	}
	if left != 0 {
		return fmt.Errorf("the classes add up to %d of %d keys", c.Total-left, c.Total)
	}
	return nil
}

// is reports whether a ratio is num ÷ den.
func isRatio(r compare.Ratio, num, den int64) bool {
	n, ok1 := new(big.Int).SetString(r.Num, 10)
	d, ok2 := new(big.Int).SetString(r.Den, 10)
	return ok1 && ok2 && n.IsInt64() && d.IsInt64() && n.Int64() == num && d.Int64() == den
}
