package deploy

import (
	"fmt"
	"slices"
	"strconv"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, whether a job that runs can go on with the
// spec that is wanted, because at most its number of workers is another one.

// Bounds are those between which the service changes the number of a job's
// workers.
type Bounds struct {
	Min int `json:"min_workers"`
	Max int `json:"max_workers"`
}

// String writes the bounds for people: 2 to 5 workers.
func (b Bounds) String() string { return fmt.Sprintf("%d to %d workers", b.Min, b.Max) }

// Fields of a spec that a job needs not be replaced for.
const (
	pathWorkers    = "spec.tuning.workers" // at the start: of no meaning for a job that runs
	pathMinWorkers = "spec.tuning.minWorkers"
	pathMaxWorkers = "spec.tuning.maxWorkers"
)

// boundsOf are the bounds that a spec asks for. A spec that names no least
// number asks for one worker: a job has no fewer, and a number cannot be taken
// back from a job that runs, only be changed.
func boundsOf(job *jobspecs.StreamJob) Bounds {
	t := job.Spec.Tuning
	return Bounds{Min: max(t.MinWorkers, 1), Max: t.MaxWorkers}
}

// resizable reports whether the bounds of a spec's jobs can be changed while
// they run.
func resizable(job *jobspecs.StreamJob) bool {
	t := job.Spec.Tuning
	return t.StreamingEngine && t.Autoscaling == jobspecs.AutoscalingThroughput
}

// reported are the bounds that the service says a job was given since its
// launch; 0: none.
func reported(j *pb.Job) Bounds {
	p := j.GetRuntimeUpdatableParams()
	return Bounds{Min: int(p.GetMinNumWorkers()), Max: int(p.GetMaxNumWorkers())}
}

// changes are the differences of bounds, as fields of the spec.
func (b Bounds) changes(to Bounds) []Change {
	var out []Change
	if b.Max != to.Max {
		out = append(out, Change{Path: pathMaxWorkers, From: strconv.Itoa(b.Max), To: strconv.Itoa(to.Max)})
	}
	if b.Min != to.Min {
		out = append(out, Change{Path: pathMinWorkers, From: strconv.Itoa(b.Min), To: strconv.Itoa(to.Min)})
	}
	return out
}

// launched is the spec that a job was launched with, as far as it is of
// interest.
type launched struct {
	changes []Change // against what is wanted
	bounds  Bounds
	job     *jobspecs.StreamJob // as it was staged
	unread  string              // why nothing is known of it; empty: the above is
}

// fits reports whether the active job can go on with what is wanted: its spec
// says the same, or differs in nothing that a job cannot be given while it
// runs. What is not known does not fit (invariant D3).
func (o observed) fits() bool {
	if o.active.spec == o.spec {
		return true
	}
	if o.launched == nil || o.launched.unread != "" {
		return false
	}
	return !slices.ContainsFunc(o.launched.changes, func(c Change) bool {
		switch c.Path {
		case pathWorkers, pathMinWorkers, pathMaxWorkers:
			return !o.resizable
		}
		return true
	})
}

// has are the bounds that the active job has: those that the service reports,
// else those that it was launched with. They are not remembered anywhere else:
// whoever has changed them, the service knows.
func (o observed) has() Bounds {
	b := o.bounds
	if o.launched != nil {
		b = o.launched.bounds
	}
	if r := o.active.bounds; r.Min > 0 {
		b.Min = r.Min
	}
	if r := o.active.bounds; r.Max > 0 {
		b.Max = r.Max
	}
	return b
}
