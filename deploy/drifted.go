package deploy

import (
	"context"

	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// recentDeployments is among how many of the newest deployments the last one
// that got through is looked for.
const recentDeployments = 100

// drifted gathers what the jobs were deployed with, and says what is otherwise.
// A journal that cannot be read is told, and no reason not to plan.
func (d *Deployer) drifted(ctx context.Context, s *seen, unread func(error)) ([]Drift, error) {
	was := deployed{
		with:       map[string]*jobspecs.StreamJob{d.hash: d.cfg.Job},
		deployment: launchLabel,
	}
	records, err := d.cfg.Journal.Ends(ctx, recentDeployments)
	if err != nil {
		unread(err)
	}
	if r, ok := lastDone(records); ok {
		if hash := r.Begin().Spec; hash == d.hash {
			was.last = d.cfg.Job
		} else {
			l, err := d.launchedOnce(ctx, hash, s.specs)
			if err != nil {
				return nil, err
			}
			was.last = l.job
		}
	}
	for hash, l := range s.specs {
		was.with[hash] = l.job
	}
	return drift(d.cfg.Job.Metadata.Name, s.jobs, s.active, was), nil
}

// brings reports whether a deployment was to bring all jobs to its spec.
func brings(r journal.Record) bool {
	c := r.Begin().Command
	return c == journal.CommandApply || c == journal.CommandRollback
}

// lastDone is the newest deployment, of records that are newest first, that has
// brought all jobs to its spec.
func lastDone(records []journal.Record) (journal.Record, bool) {
	for _, r := range records {
		if brings(r) && r.Outcome() == journal.OutcomeDone {
			return r, true
		}
	}
	return journal.Record{}, false
}
