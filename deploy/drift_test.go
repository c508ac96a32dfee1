package deploy

import (
	"testing"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// deployedJob is flights-1 as it was deployed: generation 2, with spec "aa".
func deployedJob(t *testing.T) (observed, deployed) {
	t.Helper()
	job := flights(t)
	job.Metadata.Labels = map[string]string{"team": "air"}
	job.Spec.Tuning.MachineType, job.Spec.Tuning.Subnetwork = "n2-standard-4", "regions/r/subnetworks/s"
	job.Spec.Tuning.ServiceAccount, job.Spec.Tuning.KMSKey, job.Spec.Tuning.Network = "a@p", "projects/k", "net"
	job.Spec.Tuning.MaxWorkers = 4
	live := &pb.Job{
		Id: "id-1", Name: "flights-1", CurrentState: running, ProjectId: job.Spec.Project,
		Labels: map[string]string{
			"team": "air", "kappa-group": "flights", "kappa-generation": "2", "kappa-spec": "aa", "kappa-deployment": launchLabel("flights-1", 2, "aa"),
		},
		Environment: &pb.Environment{
			ServiceAccountEmail: "a@p", ServiceKmsKeyName: "projects/k",
			WorkerPools: []*pb.WorkerPool{{MachineType: "n2-standard-4", Network: "net", Subnetwork: "https://x/regions/r/subnetworks/s"}},
		},
		RuntimeUpdatableParams: &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(1), MaxNumWorkers: proto.Int32(4)},
		JobMetadata:            &pb.JobMetadata{},
	}
	for _, s := range job.JobSubscriptions(1) {
		live.JobMetadata.PubsubDetails = append(live.JobMetadata.PubsubDetails, &pb.PubSubIODetails{Subscription: subscription(job.Spec.Project, s)})
	}
	o := observed{
		group: "flights", job: "flights-1", spec: "aa", live: live, active: asKnown(live),
		latest: &tables.Generation{
			Job: "flights-1", Generation: 2, Kind: tables.WriterStream, State: tables.StateOpen, DataflowJobID: bigquery.NullString{StringVal: "id-1", Valid: true},
		},
	}
	return o, deployed{with: map[string]*jobspecs.StreamJob{"aa": job}, last: job, deployment: launchLabel}
}

func TestDriftOf(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *observed, was *deployed)
		want   []string
	}{
		{"nothing", func(*observed, *deployed) {}, nil},
		{"another id", func(o *observed, _ *deployed) { o.latest.DataflowJobID.StringVal = "id-0" }, []string{"Dataflow id: id-0, id-1"}},
		{"an id that was never recorded", func(o *observed, _ *deployed) { o.latest.DataflowJobID = bigquery.NullString{} }, nil},
		{"labels are gone", func(o *observed, _ *deployed) {
			delete(o.live.Labels, "team")
			delete(o.live.Labels, "kappa-spec")
		}, []string{"label kappa-spec: the hash of a spec, nothing", "label team: air, nothing"}},
		{"labels were changed", func(o *observed, _ *deployed) {
			o.live.Labels["team"], o.live.Labels["kappa-generation"], o.live.Labels["kappa-group"] = "sea", "7", "ships"
		}, []string{"label kappa-generation: 2, 7", "label kappa-group: flights, ships", "label team: air, sea"}},
		{"another spec than was launched", func(o *observed, was *deployed) {
			o.live.Labels["kappa-spec"] = "bb"
		}, []string{"label kappa-deployment: " + launchLabel("flights-1", 2, "bb") + ", " + launchLabel("flights-1", 2, "aa")}},
		{"another label is nobody's business", func(o *observed, _ *deployed) { o.live.Labels["cost"] = "7" }, nil},
		{"workers", func(o *observed, _ *deployed) { o.active.bounds = Bounds{Min: 1, Max: 9} }, []string{"workers: 1 to 4 workers, 1 to 9 workers"}},
		{"least workers alone", func(o *observed, _ *deployed) { o.active.bounds = Bounds{Min: 2} }, []string{"workers: 1 to 4 workers, 2 to 4 workers"}},
		{"workers that were deployed later", func(o *observed, was *deployed) {
			later := *was.last
			later.Spec.Tuning.MaxWorkers = 9
			was.last, o.active.bounds = &later, Bounds{Min: 1, Max: 9}
		}, nil},
		{"workers, and the last deployment is not known", func(o *observed, was *deployed) {
			was.last, o.active.bounds = nil, Bounds{Min: 1, Max: 9}
		}, []string{"workers: 1 to 4 workers, 1 to 9 workers"}},
		{"workers that the service does not show", func(o *observed, _ *deployed) { o.active.bounds = Bounds{} }, nil},
		{"subscriptions", func(o *observed, _ *deployed) {
			o.active.reads = []string{"projects/p/subscriptions/x", "projects/p/subscriptions/y"}
		},
			[]string{"subscriptions: flights-1, flights-4, x, y"}},
		{"subscriptions that the service does not show", func(o *observed, _ *deployed) { o.active.reads = nil }, nil},
		{"how it runs", func(o *observed, _ *deployed) {
			e := o.live.Environment
			e.ServiceAccountEmail, e.ServiceKmsKeyName = "b@p", "projects/l"
			e.WorkerPools[0].MachineType, e.WorkerPools[0].Network, e.WorkerPools[0].Subnetwork = "n2-standard-8", "other", "https://x/subnetworks/u"
		}, []string{
			"machine type: n2-standard-4, n2-standard-8", "network: net, other", "subnetwork: s, u", "service account: a@p, b@p", "KMS key: projects/k, projects/l",
		}},
		{"how it runs is not shown", func(o *observed, _ *deployed) { o.live.Environment = nil }, nil},
		{"how it runs was left to the service", func(_ *observed, was *deployed) { was.with["aa"].Spec.Tuning = jobspecs.Tuning{MaxWorkers: 4} }, nil},
		{"its spec cannot be read", func(o *observed, was *deployed) { was.with = nil; o.active.bounds = Bounds{Min: 1, Max: 9} }, nil},
		{"ended by itself", func(o *observed, _ *deployed) {
			o.last, o.active, o.live = &known{id: "id-1", state: failed}, nil, nil
		}, []string{"state: generation 2 open, id-1, FAILED"}},
		{"vanished", func(o *observed, _ *deployed) { o.active, o.live = nil, nil },
			[]string{"state: generation 2 open as id-1, a job that the service does not know any more"}},
		{"not launched yet", func(o *observed, _ *deployed) {
			o.active, o.live, o.latest.DataflowJobID = nil, nil, bigquery.NullString{}
		}, nil},
		{"has ended, on record", func(o *observed, _ *deployed) { o.active, o.live, o.latest.State = nil, nil, tables.StateDrained }, nil},
		{"never launched", func(o *observed, _ *deployed) { o.active, o.live, o.latest = nil, nil, nil }, nil},
		{"runs, and nobody has deployed it", func(o *observed, _ *deployed) { o.latest = nil }, []string{"job: nothing, id-1, RUNNING"}},
		{"runs though it has drained", func(o *observed, _ *deployed) { o.latest.State = tables.StateDrained }, []string{"state: generation 2 drained, id-1, RUNNING"}},
		{"somebody else's runs", func(o *observed, _ *deployed) { o.latest.State, o.active.group = tables.StateDrained, "" }, []string{"job: nothing, id-1, RUNNING"}},
		{"adopted", func(o *observed, _ *deployed) { o.adopted, o.live.Labels = true, nil }, nil},
	} {
		o, was := deployedJob(t)
		c.change(&o, &was)
		var got []string
		for _, d := range driftOf(o, was) {
			if d.Job != "flights-1" {
				t.Errorf("%s: of %s", c.name, d.Job)
			}
			got = append(got, d.What+": "+d.Recorded+", "+d.Live)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// A job under a name of the group that nobody has deployed is found, and those
// that are known are not.
func TestDriftOfTheGroup(t *testing.T) {
	o, was := deployedJob(t)
	jobs := []*pb.Job{
		{Id: "id-1", Name: "flights-1"}, {Id: "id-7", Name: "flights-7", CurrentState: running}, {Id: "id-8", Name: "flights-fill"},
		{Id: "id-9", Name: "my-flights-9"}, {Id: "id-a", Name: "flights-10x"},
	}
	want := []Drift{{"flights-7", "job", "nothing", "id-7, RUNNING"}}
	if diff := cmp.Diff(want, drift("flights", []observed{o}, jobs, was)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := want[0].String(); got != "flights-7: job is id-7, RUNNING instead of nothing" {
		t.Error(got)
	}
	if got := drift("flights", nil, nil, was); got == nil || len(got) != 0 {
		t.Errorf("no drift is %#v", got)
	}
}
