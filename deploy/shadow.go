package deploy

import (
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Shadow is where a backfill writes that replaces nothing: tables with the columns
// of the StreamJob's own, named with a suffix.
type Shadow struct {
	Suffix string   `json:"suffix"`
	Tables []string `json:"tables"` // DATASET.TABLE: the aggregations', then those of raw and late events
}

// shadow is a Deployer of the same job with the tables of a shadow. Bigtable is
// left as it is: a shadow writes none of it.
func (d *Deployer) shadow(suffix string) (*Deployer, *Shadow, error) {
	cfg := d.cfg
	cfg.Job = shadowed(d.cfg.Job, suffix)
	s := &Shadow{Suffix: suffix}
	sink := cfg.Job.Spec.Sinks.BigQuery
	taken := []string{d.cfg.Job.Spec.Sinks.BigQuery.Raw, d.cfg.Job.Spec.Sinks.BigQuery.Late}
	for _, a := range d.cfg.Job.Spec.Aggregations {
		taken = append(taken, a.Table)
	}
	names := []string{}
	for _, a := range cfg.Job.Spec.Aggregations {
		names = append(names, a.Table)
	}
	for _, name := range append(names, sink.Raw, sink.Late) {
		if slices.Contains(taken, name) {
			return nil, nil, exit.Usagef("shadow %q: the StreamJob has a table %s already", suffix, name).WithHint("choose another suffix")
		}
		s.Tables = append(s.Tables, sink.Dataset+"."+name)
	}
	shadow, err := New(cfg)
	return shadow, s, err
}

// shadowed is a job whose tables have a suffix.
func shadowed(job *jobspecs.StreamJob, suffix string) *jobspecs.StreamJob {
	out := *job
	sink := &out.Spec.Sinks.BigQuery
	sink.Raw, sink.Late = sink.Raw+"_"+suffix, sink.Late+"_"+suffix
	out.Spec.Aggregations = slices.Clone(job.Spec.Aggregations)
	for i := range out.Spec.Aggregations {
		out.Spec.Aggregations[i].Table += "_" + suffix
	}
	return &out
}
