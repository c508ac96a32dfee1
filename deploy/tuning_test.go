package deploy

import (
	"reflect"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestEnvironment(t *testing.T) {
	all := jobspecs.Tuning{
		Workers: 3, MinWorkers: 2, MaxWorkers: 9, Autoscaling: "throughput", MachineType: "n2-standard-4", DiskGB: 50, StreamingEngine: true,
		ServiceOptions: []string{"enable_prime", "x=1"}, Network: "net", Subnetwork: "regions/us-central1/subnetworks/s", PublicIPs: false,
		ServiceAccount: "workers@p.iam.gserviceaccount.com", KMSKey: "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k",
	}
	for i := range reflect.TypeOf(all).NumField() {
		f := reflect.TypeOf(all).Field(i)
		if f.Name != "PublicIPs" && reflect.ValueOf(all).Field(i).IsZero() {
			t.Errorf("the test has no value for %s", f.Name)
		}
	}
	want := func(change func(*pb.FlexTemplateRuntimeEnvironment)) *pb.FlexTemplateRuntimeEnvironment {
		env := &pb.FlexTemplateRuntimeEnvironment{
			NumWorkers: 3, MaxWorkers: 9, AutoscalingAlgorithm: pb.AutoscalingAlgorithm_AUTOSCALING_ALGORITHM_BASIC, MachineType: "n2-standard-4", DiskSizeGb: 50,
			EnableStreamingEngine: true, AdditionalExperiments: []string{"enable_prime", "x=1", "min_num_workers=2"}, Network: "net",
			Subnetwork: "regions/us-central1/subnetworks/s", IpConfiguration: pb.WorkerIPAddressConfiguration_WORKER_IP_PRIVATE,
			ServiceAccountEmail: "workers@p.iam.gserviceaccount.com", KmsKeyName: "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k",
			AdditionalUserLabels: map[string]string{"team": "flights"},
		}
		if change != nil {
			change(env)
		}
		return env
	}
	for _, c := range []struct {
		name   string
		change func(*jobspecs.Tuning)
		kind   string
		want   *pb.FlexTemplateRuntimeEnvironment
	}{
		{"all of it", func(*jobspecs.Tuning) {}, tables.WriterStream, want(nil)},
		{"a backfill", func(*jobspecs.Tuning) {}, tables.WriterBackfill, want(func(e *pb.FlexTemplateRuntimeEnvironment) {
			e.EnableStreamingEngine, e.AdditionalExperiments = false, []string{"enable_prime", "x=1"}
		})},
		{"no Streaming Engine", func(t *jobspecs.Tuning) { t.StreamingEngine, t.MinWorkers = false, 0 }, tables.WriterStream, want(func(e *pb.FlexTemplateRuntimeEnvironment) {
			e.EnableStreamingEngine, e.AdditionalExperiments = false, []string{"enable_prime", "x=1"}
		})},
		{"no autoscaling", func(t *jobspecs.Tuning) { t.Autoscaling, t.MinWorkers, t.MaxWorkers = "none", 0, 3 }, tables.WriterStream, want(func(e *pb.FlexTemplateRuntimeEnvironment) {
			e.AutoscalingAlgorithm, e.MaxWorkers = pb.AutoscalingAlgorithm_AUTOSCALING_ALGORITHM_NONE, 3
			e.AdditionalExperiments = []string{"enable_prime", "x=1"}
		})},
		{"public addresses", func(t *jobspecs.Tuning) { t.PublicIPs = true }, tables.WriterStream, want(func(e *pb.FlexTemplateRuntimeEnvironment) {
			e.IpConfiguration = pb.WorkerIPAddressConfiguration_WORKER_IP_PUBLIC
		})},
		{"a subnetwork of another project", func(t *jobspecs.Tuning) { t.Subnetwork = "projects/host/regions/us-central1/subnetworks/s" }, tables.WriterStream, want(func(e *pb.FlexTemplateRuntimeEnvironment) {
			e.Subnetwork = "https://www.googleapis.com/compute/v1/projects/host/regions/us-central1/subnetworks/s"
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			tuning := all
			c.change(&tuning)
			if diff := cmp.Diff(c.want, environment(tuning, c.kind, map[string]string{"team": "flights"}), protocmp.Transform()); diff != "" {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
		})
	}
	// A launch must not write into the spec.
	if got := all.ServiceOptions[:cap(all.ServiceOptions)]; len(got) != 2 {
		t.Errorf("service options of the spec became %q", got)
	}
}
