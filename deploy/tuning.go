package deploy

import (
	"slices"
	"strconv"
	"strings"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// optionMinWorkers is the service option with the least number of workers: a
// launch has no field for it, and RuntimeUpdatableParams have no effect there.
const optionMinWorkers = "min_num_workers="

// computeAPI begins the full URL of a resource of Compute Engine.
const computeAPI = "https://www.googleapis.com/compute/v1/"

// environment is how a job runs, as a launch takes it. The fields are those
// that the comments of FlexTemplateRuntimeEnvironment describe. Two are not
// obvious:
//
//   - Service options have no field of their own: the reference of Dataflow's
//     service options says to put them into additionalExperiments of a flex
//     template's environment, which reaches a pipeline of any SDK, while
//     additionalPipelineOptions would need the name that the template's SDK has
//     for the option.
//   - AUTOSCALING_ALGORITHM_BASIC is what the SDKs call THROUGHPUT_BASED (Beam's
//     dataflowlib/job.go maps one to the other).
//
// A backfill is a batch job: it has neither Streaming Engine nor, what only
// that has, a least number of workers.
func environment(t jobspecs.Tuning, kind string, labels map[string]string) *pb.FlexTemplateRuntimeEnvironment {
	streams := kind == tables.WriterStream
	env := &pb.FlexTemplateRuntimeEnvironment{
		NumWorkers:            int32(t.Workers),
		MaxWorkers:            int32(t.MaxWorkers),
		AutoscalingAlgorithm:  pb.AutoscalingAlgorithm_AUTOSCALING_ALGORITHM_BASIC,
		MachineType:           t.MachineType,
		DiskSizeGb:            int32(t.DiskGB),
		EnableStreamingEngine: t.StreamingEngine && streams,
		AdditionalExperiments: slices.Clone(t.ServiceOptions),
		Network:               t.Network,
		Subnetwork:            t.Subnetwork,
		IpConfiguration:       pb.WorkerIPAddressConfiguration_WORKER_IP_PUBLIC,
		ServiceAccountEmail:   t.ServiceAccount,
		KmsKeyName:            t.KMSKey,
		AdditionalUserLabels:  labels,
	}
	if t.Autoscaling == jobspecs.AutoscalingNone {
		env.AutoscalingAlgorithm = pb.AutoscalingAlgorithm_AUTOSCALING_ALGORITHM_NONE
	}
	if !t.PublicIPs {
		env.IpConfiguration = pb.WorkerIPAddressConfiguration_WORKER_IP_PRIVATE
	}
	if strings.HasPrefix(t.Subnetwork, "projects/") {
		// The API takes a complete URL or regions/…, and for a subnetwork of
		// another project only the URL.
		env.Subnetwork = computeAPI + t.Subnetwork
	}
	if env.EnableStreamingEngine && t.MinWorkers > 0 {
		env.AdditionalExperiments = append(env.AdditionalExperiments, optionMinWorkers+strconv.Itoa(t.MinWorkers))
	}
	return env
}
