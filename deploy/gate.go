package deploy

import (
	"context"
	"errors"
	"fmt"
)

// What a comparison says.
const (
	VerdictGo     = "GO"
	VerdictHold   = "HOLD"
	VerdictNoData = "NO DATA" // nothing to judge: never a pass
)

// Verdict is what a comparison says.
type Verdict struct {
	Verdict string // GO, HOLD or NO DATA
	Rule    string // that decided, with its figures
}

func (v Verdict) String() string {
	if v.Rule == "" {
		return v.Verdict
	}
	return v.Verdict + ": " + v.Rule
}

// Gate asks a comparison; internal/cli/deploy makes one of package compare. It
// changes nothing, and must be safe for concurrent use.
type Gate interface {
	// Check compares, and says what the gate of a Comparison says. An error
	// means that there is no verdict.
	Check(ctx context.Context, comparison string) (Verdict, error)
}

// checkGate checks that there is somebody to ask for the comparison of the spec: it
// would never say GO.
func (d *Deployer) checkGate(f *findings) {
	if name := d.cfg.Job.Spec.Update.Rollout.Conditions.Comparison; name != "" && d.cfg.Gate == nil {
		f.error("Comparison "+name, "is not loaded, and has to say GO before the rollout goes on (spec.update.rollout.conditions.comparison)",
			"name its file with -f, too")
	}
}

// watchable fails if there is nobody to ask for the watermarks of jobs, and the
// conditions of the spec are about them.
func (d *Deployer) watchable() error {
	r := d.cfg.Job.Spec.Update.Rollout
	if d.cfg.Observer == nil && (conditionsOf(r).watermarks() || r.Canary > 0) {
		return errors.New("deploy: the conditions of the rollout need an observer")
	}
	return nil
}

// check asks the comparison. That it cannot be asked is no verdict either: it is
// asked again.
func (t *take) check(ctx context.Context, comparison string) (Verdict, error) {
	v, err := t.cfg.Gate.Check(ctx, comparison)
	if err != nil && ctx.Err() == nil {
		t.cfg.Log.Warn("cannot compare", "comparison", comparison, "error", err)
		return Verdict{Verdict: VerdictNoData, Rule: "it could not be run: " + err.Error()}, nil
	}
	if err != nil {
		return v, fmt.Errorf("comparison %s: %w", comparison, err)
	}
	return v, nil
}
