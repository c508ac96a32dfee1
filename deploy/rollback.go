package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"

	"cloud.google.com/go/storage"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Back returns a Deployer of the spec that a deployment has brought, and that
// deployment: the one with an id, else the last good one. What it applies is a
// rollback: the jobs that were changed last go back first. How jobs are replaced is
// not gone back to: that is as the spec of d says.
func (d *Deployer) Back(ctx context.Context, id string) (*Deployer, *Deployment, error) {
	records, err := d.cfg.Journal.Ends(ctx, recentDeployments)
	if err != nil {
		return nil, nil, err
	}
	to, ok := back(records)
	if id != "" {
		if to, err = d.backTo(ctx, id); err != nil {
			return nil, nil, err
		}
	} else if !ok {
		return nil, nil, exit.Environmentf("there is nothing to go back to: the journal %s has no deployment of another spec that got through before", d.cfg.Journal).
			WithHint("look at what there is with `kappa deploy history`, or apply an older spec")
	}
	cfg := d.cfg
	if cfg.Job, err = d.staged(ctx, to); err != nil {
		return nil, nil, err
	}
	cfg.Job.Spec.Update = d.cfg.Job.Spec.Update
	cfg.Job.Spec.Journal = d.cfg.Job.Spec.Journal
	// What goes back was good before: it is no canary, and a comparison would look
	// at what the wrong version has written.
	cfg.Job.Spec.Update.Rollout.Canary, cfg.Job.Spec.Update.Rollout.Conditions.Comparison = 0, ""
	order, err := d.backwards(ctx, records, to)
	if err != nil {
		return nil, nil, err
	}
	// Those that the group does not have are retired, in whatever order.
	cfg.Job.Spec.Update.Rollout.Order = slices.DeleteFunc(order, func(i int) bool { return i >= cfg.Job.Spec.Jobs })
	b, err := New(cfg)
	if err != nil {
		return nil, nil, err
	}
	b.command = journal.CommandRollback
	summary := deploymentOf(to)
	return b, &summary, nil
}

// backTo is the deployment that somebody wants to go back to.
func (d *Deployer) backTo(ctx context.Context, id string) (journal.Record, error) {
	r, err := d.cfg.Journal.Read(ctx, id)
	switch {
	case errors.Is(err, journal.ErrUnknown):
		return r, d.unknownDeployment(ctx, id)
	case err != nil:
		return r, err
	case !brings(r):
		return r, exit.Usagef("deployment %s is a %s: only an apply or a rollback can be gone back to", id, r.Begin().Command)
	case r.Outcome() != journal.OutcomeDone:
		outcome := r.Outcome()
		if outcome == "" {
			outcome = "not ended"
		}
		return r, exit.Usagef("deployment %s is %s: only one that got through can be gone back to", id, outcome).
			WithHint("look for one that is done with `kappa deploy history`")
	}
	return r, nil
}

// backwards is the order in which jobs go back: by what was done since.
func (d *Deployer) backwards(ctx context.Context, records []journal.Record, to journal.Record) ([]int, error) {
	var since []journal.Record
	for _, r := range records {
		if r.ID <= to.ID { // ids begin with the time
			break
		}
		if !brings(r) {
			continue
		}
		full, err := d.cfg.Journal.Read(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		since = append(since, full)
	}
	return backwards(d.cfg.Job.Metadata.Name, since), nil
}

// gone is the error of a spec that cannot be gone back to.
func gone(r journal.Record, format string, args ...any) error {
	return exit.Environmentf("the spec of deployment %s, %s, "+format, append([]any{r.ID, r.Begin().SpecFile}, args...)...).
		WithHint("apply the spec as your version control has it")
}

// staged reads the spec that a deployment has staged.
func (d *Deployer) staged(ctx context.Context, r journal.Record) (*jobspecs.StreamJob, error) {
	file := r.Begin().SpecFile
	bucket, object, _ := strings.Cut(strings.TrimPrefix(file, "gs://"), "/")
	doc, err := d.readSpec(ctx, bucket, object)
	if errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist) {
		return nil, gone(r, "is gone")
	}
	if err != nil {
		return nil, exit.Environmentf("read the spec of deployment %s, %s: %w", r.ID, file, err)
	}
	job, err := resolved(file, doc)
	if err != nil {
		return nil, gone(r, "cannot be read by this version of kappa: %w", err)
	}
	now := d.cfg.Job
	for _, v := range []struct{ what, was, is string }{
		{"StreamJob", job.Metadata.Name, now.Metadata.Name},
		{"project", job.Spec.Project, now.Spec.Project},
		{"region", job.Spec.Region, now.Spec.Region},
		{"environment", job.Spec.Environment, now.Spec.Environment},
	} {
		if v.was != v.is {
			return nil, gone(r, "is of %s %q, and the spec that was given is of %q", v.what, v.was, v.is)
		}
	}
	return job, nil
}
