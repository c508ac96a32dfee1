package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file says, without I/O, what of the jobs is otherwise than they were
// deployed: somebody has changed them by hand, or they have ended by themselves.
// What the service does not show is no drift.

// Drift is something of a job that is otherwise than it was deployed.
type Drift struct {
	Job      string `json:"job"`
	What     string `json:"what"`     // dataflow id, state, label kappa-spec, workers, subscriptions, machine type, …
	Recorded string `json:"recorded"` // as deployed
	Live     string `json:"live"`     // as the service says
}

func (d Drift) String() string {
	return fmt.Sprintf("%s: %s is %s instead of %s", d.Job, d.What, d.Live, d.Recorded)
}

// What drifts.
const (
	driftID            = "Dataflow id"
	driftState         = "state"
	driftJob           = "job"
	driftWorkers       = "workers"
	driftSubscriptions = "subscriptions"
	driftMachineType   = "machine type"
	driftAccount       = "service account"
	driftKey           = "KMS key"
	driftNetwork       = "network"
	driftSubnetwork    = "subnetwork"
)

// nothing stands for a value that is not there.
const nothing = "nothing"

// deployed is what the specs say that the jobs run with.
type deployed struct {
	// with is the spec that a job was launched with, by its hash; none: it cannot
	// be read.
	with map[string]*jobspecs.StreamJob
	// last is the spec of the last deployment that got through; nil: not known.
	last *jobspecs.StreamJob
	// deployment is the label of a launch.
	deployment func(job string, generation int64, spec string) string
}

// drift is what has drifted of the jobs of a group, and the jobs that run, as the
// service lists them, under a name of the group though nobody has deployed them.
func drift(group string, jobs []observed, active []*pb.Job, was deployed) []Drift {
	out := []Drift{}
	for _, o := range jobs {
		out = append(out, driftOf(o, was)...)
	}
	numbered := regexp.MustCompile("^" + regexp.QuoteMeta(group) + "-[0-9]+$")
	for _, j := range active {
		known := slices.ContainsFunc(jobs, func(o observed) bool {
			return o.job == j.GetName() || o.active != nil && o.active.id == j.GetId()
		})
		if !known && numbered.MatchString(j.GetName()) {
			out = append(out, Drift{j.GetName(), driftJob, nothing, stateOf(j.GetId(), j.GetCurrentState())})
		}
	}
	return out
}

func stateOf(id string, s pb.JobState) string { return id + ", " + dataflowapi.StateName(s) }

// driftOf is what has drifted of one job.
func driftOf(o observed, was deployed) []Drift {
	var out []Drift
	add := func(what, recorded, live string) {
		out = append(out, Drift{o.job, what, cmp.Or(recorded, nothing), cmp.Or(live, nothing)})
	}
	g := o.latest
	open := g != nil && g.State == tables.StateOpen
	switch {
	case o.active == nil && !open:
		return nil
	case o.active == nil && o.last != nil:
		add(driftState, fmt.Sprintf("generation %d open", g.Generation), stateOf(o.last.id, o.last.state))
		return out
	case o.active == nil && g.DataflowJobID.Valid:
		add(driftState, fmt.Sprintf("generation %d open as %s", g.Generation, g.DataflowJobID.StringVal), "a job that the service does not know any more")
		return out
	case o.active == nil:
		return nil // it was not launched yet
	case g == nil || !open && o.active.group != o.group:
		add(driftJob, nothing, stateOf(o.active.id, o.active.state))
		return out
	case !open:
		add(driftState, fmt.Sprintf("generation %d %s", g.Generation, g.State), stateOf(o.active.id, o.active.state))
		return out
	}
	if id := g.DataflowJobID; id.Valid && id.StringVal != o.active.id {
		add(driftID, id.StringVal, o.active.id)
	}
	if o.adopted {
		return out // it has neither labels nor a spec to hold it against
	}
	spec := was.with[o.active.spec]
	out = append(out, driftLabels(o, spec, was.deployment)...)
	if spec == nil {
		return out
	}
	if i := slices.Index(spec.JobNames(), o.job); i >= 0 && len(o.active.reads) > 0 {
		var want []string
		for _, s := range spec.JobSubscriptions(i) {
			want = append(want, subscription(spec.Spec.Project, s))
		}
		slices.Sort(want)
		if !slices.Equal(want, o.active.reads) {
			add(driftSubscriptions, shorts(want), shorts(o.active.reads))
		}
	}
	// Who changes the bounds of a job that runs leaves its label as it was.
	bounds := boundsOf(spec)
	if was.last != nil && resizable(was.last) && slices.Contains(was.last.JobNames(), o.job) {
		bounds = boundsOf(was.last)
	}
	if live := o.active.bounds; live.Min > 0 && live.Min != bounds.Min || live.Max > 0 && live.Max != bounds.Max {
		add(driftWorkers, bounds.String(), Bounds{Min: cmp.Or(live.Min, bounds.Min), Max: cmp.Or(live.Max, bounds.Max)}.String())
	}
	t, env := spec.Spec.Tuning, o.live.GetEnvironment()
	pool := &pb.WorkerPool{}
	if pools := env.GetWorkerPools(); len(pools) > 0 {
		pool = pools[0]
	}
	for _, v := range []struct{ what, recorded, live string }{
		{driftMachineType, t.MachineType, pool.GetMachineType()},
		{driftNetwork, short(t.Network), short(pool.GetNetwork())},
		{driftSubnetwork, short(t.Subnetwork), short(pool.GetSubnetwork())},
		{driftAccount, t.ServiceAccount, env.GetServiceAccountEmail()},
		{driftKey, t.KMSKey, env.GetServiceKmsKeyName()},
	} {
		// What the spec leaves to the service, and what that does not show, fits.
		if v.recorded != "" && v.live != "" && v.recorded != v.live {
			add(v.what, v.recorded, v.live)
		}
	}
	return out
}

// driftLabels is what has drifted of the labels: those that name the generation,
// and those that the spec gives.
func driftLabels(o observed, spec *jobspecs.StreamJob, deployment func(string, int64, string) string) []Drift {
	want := map[string]string{}
	if spec != nil {
		maps.Copy(want, spec.Metadata.Labels)
	}
	g, live := o.latest, o.live.GetLabels()
	want[dataflowapi.LabelGroup] = o.group
	want[dataflowapi.LabelGeneration] = strconv.FormatInt(g.Generation, 10)
	if s := live[dataflowapi.LabelSpec]; s != "" {
		want[dataflowapi.LabelDeployment] = deployment(o.job, g.Generation, s)
	} else {
		want[dataflowapi.LabelSpec] = "the hash of a spec"
	}
	var out []Drift
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if live[k] != want[k] {
			out = append(out, Drift{o.job, "label " + k, cmp.Or(want[k], nothing), cmp.Or(live[k], nothing)})
		}
	}
	return out
}

// shorts are the last parts of full names.
func shorts(full []string) string {
	var out []string
	for _, s := range full {
		out = append(out, short(s))
	}
	return strings.Join(out, ", ")
}
