package jobspecs

import (
	"regexp"
	"strings"
)

// Values of Tuning.Autoscaling.
const (
	AutoscalingThroughput = "throughput"
	AutoscalingNone       = "none"
)

const (
	// maxWorkers is the most workers of a job, as the comment of
	// FlexTemplateRuntimeEnvironment.max_workers in the Dataflow API says.
	maxWorkers = 1000
	// maxDiskGB is the size of Compute Engine's largest persistent disk.
	maxDiskGB = 64 * 1024
)

// ownOptions are service options, by the beginning of their names, that a spec
// cannot give, and why.
var ownOptions = []struct{ prefix, why, hint string }{
	{"min_num_workers", "has a field of its own", "write spec.tuning.minWorkers"},
	{"update_strategy", "is given by kappa, where the spec says so", "remove it, and write spec.update.strategy: managed"},
	{"parallel_replace_job", "has two generations of a job run at once, which both count what they read", "remove it, and say by spec.update.strategy how jobs are replaced"},
	{"create_or_update_job", "has the service replace the job, whose generations would then not be on record", "remove it; kappa looks whether a job runs, and spec.update.strategy says how it is replaced"},
}

var (
	regionOfSubnetwork = regexp.MustCompile(`(?:^|/)regions/([^/]+)/`)
	locationOfKey      = regexp.MustCompile(`/locations/([^/]+)/`)
)

// tuning checks the rules over several fields of how the jobs run.
func (k *checker) tuning(s *StreamJobSpec) {
	k.workers(s.Tuning)
	k.most("spec.tuning.diskGB", s.Tuning.DiskGB, maxDiskGB)
	k.serviceOptions(s.Tuning.ServiceOptions)
	k.sameRegion("spec.tuning.subnetwork", s.Tuning.Subnetwork, regionOfSubnetwork, s.Region,
		"workers run in the region of their job")
	k.sameRegion("spec.tuning.kmsKey", s.Tuning.KMSKey, locationOfKey, s.Region,
		"Dataflow takes a key of the region of its job, and no global or multi-region one")
}

// workers: the least, the first and the most number of workers fit together.
func (k *checker) workers(t Tuning) {
	const most, first, least = "spec.tuning.maxWorkers", "spec.tuning.workers", "spec.tuning.minWorkers"
	k.most(most, t.MaxWorkers, maxWorkers)
	fixed := t.Autoscaling == AutoscalingNone && k.ok("spec.tuning.autoscaling")
	switch {
	case !k.ok(most, first):
	case t.MaxWorkers < t.Workers:
		k.fail(CodeConflict, most, "", "spec.tuning.maxWorkers (%d) is less than spec.tuning.workers (%d)", t.MaxWorkers, t.Workers)
	case fixed && t.MaxWorkers != t.Workers:
		k.fail(CodeConflict, most, "write the same number for both, or autoscaling: throughput",
			"spec.tuning.maxWorkers (%d) is not spec.tuning.workers (%d), but with autoscaling none their number never changes", t.MaxWorkers, t.Workers)
	}
	if t.MinWorkers == 0 {
		return
	}
	switch {
	case !k.ok(least):
	case fixed:
		k.fail(CodeConflict, least, "remove it, or write autoscaling: throughput", "spec.tuning.minWorkers has no meaning with autoscaling none")
	case !t.StreamingEngine && k.ok("spec.tuning.streamingEngine"):
		k.fail(CodeConflict, least, "remove it, or write streamingEngine: true", "spec.tuning.minWorkers takes Streaming Engine")
	case t.MinWorkers > t.Workers && k.ok(first):
		k.fail(CodeConflict, least, "", "spec.tuning.minWorkers (%d) is greater than spec.tuning.workers (%d)", t.MinWorkers, t.Workers)
	}
}

// serviceOptions: each option has one value, and none is given that kappa sets
// itself or that would replace jobs behind its back.
func (k *checker) serviceOptions(options []string) {
	const path = "spec.tuning.serviceOptions"
	k.unique("service option", len(options), func(i int) (string, string) {
		name, _, _ := strings.Cut(options[i], "=")
		return name, at(path, i)
	})
	for i, o := range options {
		p := at(path, i)
		for _, own := range ownOptions {
			if name, _, _ := strings.Cut(o, "="); strings.HasPrefix(name, own.prefix) && k.ok(p) {
				k.fail(CodeConflict, p, own.hint, "the service option %s %s", name, own.why)
				break
			}
		}
	}
}

// sameRegion: a resource that names its region is in that of the job.
func (k *checker) sameRegion(path, resource string, pattern *regexp.Regexp, region, why string) {
	m := pattern.FindStringSubmatch(resource)
	if m == nil || m[1] == region || !k.ok(path, "spec.region") {
		return
	}
	k.fail(CodeConflict, path, why, "%s is in %s, and spec.region is %s", path, m[1], region)
}
