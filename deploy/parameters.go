package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// parameters are those that a generation of a job is launched with: of kappa's
// pipeline the file that says what it does, and who it is; of another one what
// the spec says, with the job's own names in it.
func (d *Deployer) parameters(l launching) (map[string]string, error) {
	if d.cfg.Job.Spec.Pipeline == jobspecs.PipelineOther {
		return otherParameters(d.cfg.Job, l.job, l.generation)
	}
	out := map[string]string{"jobspec": l.specFile, "job": l.job, "generation": strconv.FormatInt(l.generation, 10)}
	maps.Copy(out, l.parameters)
	return out, nil
}

// otherParameters puts the names of a job's generation into the parameters of
// the spec.
func otherParameters(job *jobspecs.StreamJob, name string, generation int64) (map[string]string, error) {
	i := slices.Index(job.JobNames(), name)
	if i < 0 {
		return nil, fmt.Errorf("deploy: %s is no job of %s", name, job.Metadata.Name)
	}
	var subscriptions []string
	for _, s := range job.JobSubscriptions(i) {
		subscriptions = append(subscriptions, subscription(job.Spec.Project, s))
	}
	values := map[string]string{
		jobspecs.PlaceholderJob:           name,
		jobspecs.PlaceholderGeneration:    strconv.FormatInt(generation, 10),
		jobspecs.PlaceholderProject:       job.Spec.Project,
		jobspecs.PlaceholderRegion:        job.Spec.Region,
		jobspecs.PlaceholderSubscription:  strings.Join(subscriptions, ","), // one, or the spec is refused
		jobspecs.PlaceholderSubscriptions: strings.Join(subscriptions, ","),
	}
	out := map[string]string{}
	for _, parameter := range slices.Sorted(maps.Keys(job.Spec.Parameters)) {
		text, err := jobspecs.ExpandParameter(job.Spec.Parameters[parameter], func(p string) string { return values[p] })
		if err != nil {
			return nil, fmt.Errorf("parameter %s of %s: %w", parameter, name, err)
		}
		out[parameter] = text
	}
	return out, nil
}
