package deploy

import (
	"context"
	"time"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/journal"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// With calls fn with a Deployer of the StreamJob that the flags name, for commands
// beside `kappa deploy` that recompute what its jobs have written. Reason is for
// the journal.
func With(ctx context.Context, a *app.App, specs *specflags.Flags, poll time.Duration, reason string, fn func(*deploy.Deployer) error) error {
	return with(ctx, a, specs, timing{poll: poll, reason: reason}, func(s *session) error { return fn(s.Deployer) })
}

// session is a Deployer and the display that its drains are shown on.
type session struct {
	*deploy.Deployer
	drains *drains
}

// with calls fn with a session of the StreamJob that the flags name.
func with(ctx context.Context, a *app.App, specs *specflags.Flags, t timing, fn func(*session) error) error {
	job, set, err := specs.StreamJob()
	if err != nil {
		return err
	}
	return open(ctx, a, job, set, t, fn)
}

// open calls fn with a session of a StreamJob, of documents that were loaded.
func open(ctx context.Context, a *app.App, job *jobspecs.StreamJob, set *jobspecs.Set, t timing, fn func(*session) error) (err error) {
	dr := &drains{log: a.Log, group: job.Metadata.Name, poll: t.poll}
	if t.limits != nil {
		if dr.timeout, dr.then, err = t.limits.Of(job.Spec.Update); err != nil {
			return err
		}
	}
	clients, err := deploy.Connect(ctx, job)
	if err != nil {
		return err
	}
	defer clients.Close()
	api := dataflowapi.New(clients.Dataflow, job.Spec.Project, job.Spec.Region)
	store := history.New(clients.BigQuery, job.Spec.Sinks.BigQuery.Dataset, job.Spec.Aggregations...)
	dr.api, dr.recorder, dr.adopted = api, store, store.OpenJob
	entries, err := journal.Open(job.JournalFolder(), clients.Storage, journal.Operator())
	if err != nil {
		return err
	}
	s := &session{drains: dr}
	s.Deployer, err = deploy.New(deploy.Config{
		Log: a.Log, Job: job, Clients: clients, Jobs: api, History: store, Drainer: s.drains, Observer: s.drains, Gate: gateOf(a.Log, job, set), Journal: entries, Poll: t.poll,
		Reason: t.reason, Version: version.Read(a.Version).Version, AcceptLoss: t.limits != nil && t.limits.AcceptLoss(), WithoutReplay: t.withoutReplay, StartTimeout: job.Spec.Update.StartTimeout.D(),
	})
	if err != nil {
		return err
	}
	return fn(s)
}
