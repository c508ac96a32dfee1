package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// writePlan writes a plan file for whoever runs this, and nobody else to read: as a
// whole or not at all.
func writePlan(d *deploy.Deployer, p *deploy.Plan, name string) error {
	f, err := d.File(p, journal.Operator(), time.Now())
	if err != nil {
		return err
	}
	data, err := f.Encode()
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // with mode 0600
	if err != nil {
		return exit.Environmentf("write plan: %w", err)
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return exit.Environmentf("write plan: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// maxPlanBytes is far more than a plan has.
const maxPlanBytes = 64 << 20

// applyFile applies a plan file. Specs may be given beside it, if they say the same:
// the Comparison that the conditions name is not in the file.
func applyFile(ctx context.Context, a *app.App, specs *specflags.Flags, t timing, name string, yes bool) error {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return exit.Environmentf("plan file %s does not exist", name).WithHint("make one with `kappa deploy plan --out %s`", name)
	case err != nil:
		return exit.Environmentf("read plan: %w", err)
	case info.Size() > maxPlanBytes:
		return exit.Usagef("plan file %s: is not one: it has %d bytes", name, info.Size())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return exit.Environmentf("read plan: %w", err)
	}
	file, job, err := deploy.DecodePlan(name, data, version.Read(a.Version).Version)
	if err != nil {
		return err
	}
	set := &jobspecs.Set{}
	if len(specs.Files) > 0 {
		var given *jobspecs.StreamJob
		if given, set, err = specs.StreamJob(); err != nil {
			return err
		}
		same, err := file.SameSpec(given)
		if err != nil {
			return err
		}
		if !same {
			return exit.Usagef("plan file %s was made of another spec than the one that -f names", name).WithHint("leave one of the two out")
		}
	} else if len(specs.Sets) > 0 || specs.Env != "" || specs.Name != "" {
		return exit.Usagef("--set, --env and --name say how specs are loaded, and plan file %s has its own", name).WithHint("leave them out")
	}
	if c := job.Spec.Update.Rollout.Conditions.Comparison; c != "" && gateOf(a.Log, job, set) == nil {
		return exit.Usagef("the conditions of the rollout name the Comparison %s, which is not in the plan file", c).WithHint("name the specs with -f as well")
	}
	return open(ctx, a, job, set, t, func(s *session) error {
		fmt.Fprintf(a.Err, "Plan of %s by %s.\n", file.At.Format(time.RFC3339), file.By)
		return applyPlan(ctx, a, s, file.Plan, yes, "Apply?", func(res *deploy.Result) error { return printResult(a, res) })
	})
}
