package dataflow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	dataflowapi "cloud.google.com/go/dataflow/apiv1beta3"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

func TestLaunchRefusals(t *testing.T) {
	h := start(t, dataflowtest.Config{Objects: map[string]string{
		"templates/other.json":  `{"image": "example.invalid/beam/wordcount:1"}`,
		"templates/broken.json": `{"image": `,
		"templates/empty.json":  `{}`,
		"templates/plain.json":  `{"image": "kappa-pipeline@sha256:0123"}`,
	}})
	h.launch("taken")
	template := func(path string) func(*pb.LaunchFlexTemplateRequest) {
		return func(r *pb.LaunchFlexTemplateRequest) {
			r.LaunchParameter.Template = &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: path}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*pb.LaunchFlexTemplateRequest)
		code   codes.Code
		text   string
	}{
		{"as it is", func(*pb.LaunchFlexTemplateRequest) {}, codes.OK, ""},
		{"template without parameters", template("gs://templates/plain.json"), codes.OK, ""},
		{"name in another region", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.JobName, r.Location = "taken", "europe-west1" }, codes.OK, ""},
		{"inline template", func(r *pb.LaunchFlexTemplateRequest) {
			r.LaunchParameter.Template = &pb.LaunchFlexTemplateParameter_ContainerSpec{ContainerSpec: &pb.ContainerSpec{Image: "x/kappa-pipeline"}}
		}, codes.OK, ""},
		{"name taken", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.JobName = "taken" }, codes.AlreadyExists, "already an active job named taken"},
		{"no region", func(r *pb.LaunchFlexTemplateRequest) { r.Location = "" }, codes.InvalidArgument, "location"},
		{"no project", func(r *pb.LaunchFlexTemplateRequest) { r.ProjectId = "" }, codes.InvalidArgument, "project"},
		{"no parameter", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter = nil }, codes.InvalidArgument, "launch parameter"},
		{"bad name", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.JobName = "Flights_0" }, codes.InvalidArgument, "[a-z]([-a-z0-9]{0,1022}[a-z0-9])?"},
		{"missing template", template("gs://templates/none.json"), codes.NotFound, "Unable to open template file: gs://templates/none.json"},
		{"bad template path", template("/templates/none.json"), codes.InvalidArgument, "gs://BUCKET/OBJECT"},
		{"broken template", template("gs://templates/broken.json"), codes.InvalidArgument, "not a flex template"},
		{"template without an image", template("gs://templates/empty.json"), codes.InvalidArgument, "no image"},
		{"unknown image", template("gs://templates/other.json"), codes.InvalidArgument, `"example.invalid/beam/wordcount:1"`},
		{"missing parameter", func(r *pb.LaunchFlexTemplateRequest) { delete(r.LaunchParameter.Parameters, "jobspec") }, codes.InvalidArgument, "jobspec: Missing required parameter"},
		{"unknown parameter", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.Parameters["colour"] = "red" }, codes.InvalidArgument, "colour: Unrecognized parameter"},
		{"bad parameter", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.Parameters["jobspec"] = "/tmp/x" }, codes.InvalidArgument, "jobspec: Unmatched regex"},
		{"bad label", func(r *pb.LaunchFlexTemplateRequest) {
			r.LaunchParameter.Environment.AdditionalUserLabels = map[string]string{"Team": "x"}
		}, codes.InvalidArgument, `"Team"`},
		{"update of nothing", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.Update = true }, codes.NotFound, "no active job named flights-9"},
		{"mappings without an update", func(r *pb.LaunchFlexTemplateRequest) {
			r.LaunchParameter.TransformNameMappings = map[string]string{"Count": "CountPerKey"}
		}, codes.InvalidArgument, "for a launch with update"},
		{"in place, without an update", func(r *pb.LaunchFlexTemplateRequest) {
			r.LaunchParameter.Environment.AdditionalExperiments = []string{"update_strategy_in_place_update"}
		}, codes.InvalidArgument, "for a launch with update"},
		{"stop and replace", func(r *pb.LaunchFlexTemplateRequest) {
			r.LaunchParameter.Environment.AdditionalExperiments = []string{"parallel_replace_job_name=flights-0"}
		}, codes.Unimplemented, "parallel_replace_job_name"},
		{"launch options", func(r *pb.LaunchFlexTemplateRequest) { r.LaunchParameter.LaunchOptions = map[string]string{"a": "b"} }, codes.Unimplemented, "launch_options"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Validation alone says the same as a launch and starts nothing.
			req := launchRequest("flights-9")
			c.change(req)
			req.ValidateOnly = true
			resp, err := h.api.Templates.LaunchFlexTemplate(t.Context(), req)
			if status.Code(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.text)) {
				t.Errorf("got %v, want %v with %q", err, c.code, c.text)
			}
			if resp.GetJob() != nil {
				t.Errorf("validation started %v", resp.GetJob())
			}
		})
	}
	if _, err := h.api.Templates.LaunchFlexTemplate(t.Context(), launchRequest("taken")); status.Code(err) != codes.AlreadyExists {
		t.Errorf("second launch: %v", err)
	}
	if got := h.list(h.api.Jobs.AggregatedListJobs(t.Context(), &pb.ListJobsRequest{ProjectId: dataflowtest.Project})); !slices.Equal(got, []string{"taken"}) {
		t.Errorf("jobs %q", got)
	}
}

func TestUpdateRefusals(t *testing.T) {
	h := start(t, dataflowtest.Config{Behaviours: map[string]dataflowtest.Behaviour{"slow": {StartAfter: time.Hour}}})
	id := h.launch("flights-0").GetId()
	h.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
	slow := h.launch("slow").GetId()
	engine := h.launchWith("engine", &pb.FlexTemplateRuntimeEnvironment{EnableStreamingEngine: true, MaxWorkers: 2}).GetId()
	h.waitFor(engine, pb.JobState_JOB_STATE_RUNNING)
	for _, c := range []struct {
		name string
		req  *pb.UpdateJobRequest
		code codes.Code
		text string
	}{
		{"state and mask", &pb.UpdateJobRequest{JobId: id, Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_DRAINED}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"runtime_updatable_params.max_num_workers"}}}, codes.InvalidArgument, "both"},
		{"workers without Streaming Engine", resizing(id, &pb.RuntimeUpdatableParams{MaxNumWorkers: proto.Int32(3)}, "max_num_workers"), codes.InvalidArgument, "Streaming Engine"},
		{"workers before it runs", resizing(slow, &pb.RuntimeUpdatableParams{MaxNumWorkers: proto.Int32(3)}, "max_num_workers"), codes.FailedPrecondition, "only a running job"},
		{"no workers", resizing(engine, &pb.RuntimeUpdatableParams{MaxNumWorkers: proto.Int32(0)}, "max_num_workers"), codes.InvalidArgument, "from 1 to 1000"},
		{"workers that the mask names alone", resizing(engine, &pb.RuntimeUpdatableParams{MaxNumWorkers: proto.Int32(3)}, "max_num_workers", "min_num_workers"), codes.InvalidArgument, "min_num_workers must be"},
		{"no parameters", resizing(engine, nil, "min_num_workers"), codes.InvalidArgument, "min_num_workers must be"},
		{"less than least", resizing(engine, &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(3)}, "min_num_workers"), codes.InvalidArgument, "greater than the most, 2"},
		{"a hint", resizing(engine, &pb.RuntimeUpdatableParams{WorkerUtilizationHint: proto.Float64(0.5)}, "worker_utilization_hint"), codes.Unimplemented, "worker_utilization_hint"},
		{"other field", &pb.UpdateJobRequest{JobId: id, Job: &pb.Job{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"name"}}}, codes.InvalidArgument, "name"},
		{"nothing", &pb.UpdateJobRequest{JobId: id}, codes.InvalidArgument, "neither"},
		{"drain before it runs", &pb.UpdateJobRequest{JobId: slow, Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_DRAINED}}, codes.FailedPrecondition, "not yet ready"},
		{"unknown job", &pb.UpdateJobRequest{JobId: "2001-01-01", Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_DRAINED}}, codes.NotFound, "2001-01-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.req.ProjectId, c.req.Location = dataflowtest.Project, dataflowtest.Region
			_, err := h.api.Jobs.UpdateJob(t.Context(), c.req)
			if status.Code(err) != c.code || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v with %q", err, c.code, c.text)
			}
		})
	}
}

// resizing is a request that changes the workers of a job, as far as fields
// names them.
func resizing(id string, p *pb.RuntimeUpdatableParams, fields ...string) *pb.UpdateJobRequest {
	mask := &fieldmaskpb.FieldMask{}
	for _, f := range fields {
		mask.Paths = append(mask.Paths, "runtime_updatable_params."+f)
	}
	return &pb.UpdateJobRequest{ProjectId: dataflowtest.Project, Location: dataflowtest.Region, JobId: id, Job: &pb.Job{RuntimeUpdatableParams: p}, UpdateMask: mask}
}

// The bounds that a job is given while it runs are reported, each as it was
// last given; of a job that was given none, nothing is.
func TestResize(t *testing.T) {
	h := start(t, dataflowtest.Config{})
	id := h.launchWith("flights-0", &pb.FlexTemplateRuntimeEnvironment{EnableStreamingEngine: true, MaxWorkers: 2, NumWorkers: 1}).GetId()
	h.waitFor(id, pb.JobState_JOB_STATE_RUNNING)
	if j := h.get(id, pb.JobView_JOB_VIEW_ALL); j.RuntimeUpdatableParams != nil || j.GetEnvironment().GetWorkerPools()[0].GetAutoscalingSettings().GetMaxNumWorkers() != 2 {
		t.Errorf("as launched: %v, %v", j.RuntimeUpdatableParams, j.GetEnvironment())
	}
	for _, c := range []struct {
		req  *pb.UpdateJobRequest
		want *pb.RuntimeUpdatableParams
	}{
		{resizing(id, &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(2), MaxNumWorkers: proto.Int32(9)}, "max_num_workers"), &pb.RuntimeUpdatableParams{MaxNumWorkers: proto.Int32(9)}},
		{resizing(id, &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(3)}, "min_num_workers"), &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(3), MaxNumWorkers: proto.Int32(9)}},
		{resizing(id, &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(1), MaxNumWorkers: proto.Int32(1)}, "min_num_workers", "max_num_workers"), &pb.RuntimeUpdatableParams{MinNumWorkers: proto.Int32(1), MaxNumWorkers: proto.Int32(1)}},
	} {
		reply, err := h.api.Jobs.UpdateJob(t.Context(), c.req)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.get(id, pb.JobView_JOB_VIEW_ALL).RuntimeUpdatableParams; !proto.Equal(got, c.want) || reply.RuntimeUpdatableParams != nil {
			t.Errorf("%v: reported %v, want %v; the reply is %v", c.req, got, c.want, reply)
		}
	}
	if j := h.get(id, pb.JobView_JOB_VIEW_SUMMARY); j.GetCurrentState() != pb.JobState_JOB_STATE_RUNNING {
		t.Errorf("the job is %v", j.GetCurrentState())
	}
}

func TestRefusedByName(t *testing.T) {
	s := dataflowtest.Start(t, dataflowtest.Config{})
	opts := []option.ClientOption{option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	api := dataflowtest.Clients(t)
	snapshots, err := dataflowapi.NewSnapshotsV1Beta3Client(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshots.Close()
	_, err = snapshots.ListSnapshots(t.Context(), &pb.ListSnapshotsRequest{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "SnapshotsV1Beta3/ListSnapshots") {
		t.Errorf("snapshots: %v", err)
	}
	_, err = api.Jobs.CreateJob(t.Context(), &pb.CreateJobRequest{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "JobsV1Beta3/CreateJob") {
		t.Errorf("create: %v", err)
	}
}
