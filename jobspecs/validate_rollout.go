package jobspecs

import "strconv"

// Paths of a rollout.
const (
	pathRollout    = "spec.update.rollout"
	pathConditions = pathRollout + ".conditions"
)

// rollout checks how a change goes through the jobs of a group.
func (k *checker) rollout(s *StreamJobSpec) {
	r := s.Update.Rollout
	for i, n := range r.Order {
		if path := at(pathRollout+".order", i); n >= s.Jobs && k.ok(path, "spec.jobs") {
			k.fail(CodeBadValue, path, "jobs are numbered from 0 to "+strconv.Itoa(s.Jobs-1), "there is no job %d: spec.jobs is %d", n, s.Jobs)
		}
	}
	k.unique("job", len(r.Order), func(i int) (string, string) { return strconv.Itoa(r.Order[i]), at(pathRollout+".order", i) })
	for _, f := range []struct {
		name string
		n    int
	}{{"canary", r.Canary}, {"parallel", r.Parallel}} {
		if path := pathRollout + "." + f.name; f.n > s.Jobs && k.ok(path, "spec.jobs") {
			k.fail(CodeConflict, path, "", "%s is %d, but spec.jobs is %d", path, f.n, s.Jobs)
		}
	}
	if r.Canary > 0 {
		k.positive(pathRollout+".canaryFor", r.CanaryFor)
	}
	c := r.Conditions
	within := pathConditions + ".within"
	k.positive(within, c.Within)
	if c.HealthyFor >= c.Within && c.Within > 0 && k.ok(within, pathConditions+".healthyFor") {
		k.fail(CodeConflict, within, "make it longer than healthyFor: a job is not healthy from the first moment on",
			"%s is %s, but a job has to be healthy for %s", within, c.Within, c.HealthyFor)
	}
}

// rolloutGate: the Comparison that a rollout asks is loaded, and is about this job. Where
// no Comparison is loaded none is missed: apply misses it.
func (k *checker) rolloutGate(job *StreamJob, docs []*document) {
	path := pathConditions + ".comparison"
	name := job.Spec.Update.Rollout.Conditions.Comparison
	if name == "" || !k.ok(path) {
		return
	}
	var names []string
	for _, doc := range docs {
		c, ok := doc.value.(*Comparison)
		if !ok {
			continue
		}
		names = append(names, c.Metadata.Name)
		if c.Metadata.Name != name {
			continue
		}
		if of := c.Spec.Stream.Job; of != job.Metadata.Name && (&checker{c: k.c, d: doc.d}).ok("spec.stream.job") {
			k.fail(CodeConflict, path, "name one whose spec.stream.job is "+job.Metadata.Name, "Comparison %s is about StreamJob %s", name, of)
		}
		return
	}
	if len(names) > 0 {
		k.fail(CodeDanglingReference, path, meant(name, "the loaded ones are", names), "no Comparison is named %q", name)
	}
}
