package deploy

import (
	"context"
	"log/slog"
	"slices"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// gate hands package compare to deploy: it is a deploy.Gate. It reads only.
type gate struct {
	log         *slog.Logger
	comparisons []*jobspecs.Comparison
}

// gateOf is the gate that the conditions of a StreamJob name, among the documents
// that were loaded with it; nil: it is not there, or none is named.
func gateOf(log *slog.Logger, job *jobspecs.StreamJob, set *jobspecs.Set) deploy.Gate {
	g := &gate{log: log, comparisons: set.Comparisons}
	if g.find(job.Spec.Update.Rollout.Conditions.Comparison) == nil {
		return nil
	}
	return g
}

func (g *gate) find(name string) *jobspecs.Comparison {
	i := slices.IndexFunc(g.comparisons, func(c *jobspecs.Comparison) bool { return c.Metadata.Name == name })
	if i < 0 {
		return nil
	}
	return g.comparisons[i]
}

// Check runs a comparison and returns its verdict. What earlier runs have recorded
// counts; this one is not recorded, for a rollout asks until it likes the answer.
func (g *gate) Check(ctx context.Context, comparison string) (deploy.Verdict, error) {
	spec := g.find(comparison)
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return deploy.Verdict{}, err
	}
	client, err := platform.BigQuery(ctx)
	if err != nil {
		return deploy.Verdict{}, err
	}
	defer client.Close()
	res, err := compare.Run(ctx, compare.Config{Spec: spec, Client: client, Log: g.log, ReadOnly: true})
	if err != nil {
		return deploy.Verdict{}, err
	}
	return deploy.Verdict{Verdict: res.Verdict.Verdict, Rule: res.Verdict.Rule}, nil
}
