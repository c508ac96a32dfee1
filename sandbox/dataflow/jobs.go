package dataflow

import (
	"context"
	"maps"
	"slices"
	"strconv"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	jobsPage    = 100
	maxJobsPage = 1000
)

type jobsService struct {
	pb.UnimplementedJobsV1Beta3Server
	*Server
}

// GetJob returns a job.
func (s jobsService) GetJob(_ context.Context, req *pb.GetJobRequest) (*pb.Job, error) {
	j, err := s.find(req.GetProjectId(), req.GetLocation(), req.GetJobId())
	if err != nil {
		return nil, err
	}
	return j.view(req.GetView()), nil
}

// ListJobs lists the jobs of a region, newest first.
func (s jobsService) ListJobs(_ context.Context, req *pb.ListJobsRequest) (*pb.ListJobsResponse, error) {
	if err := requireLocation(req.GetProjectId(), req.GetLocation()); err != nil {
		return nil, err
	}
	return s.list(req, req.GetLocation())
}

// AggregatedListJobs lists the jobs of all regions, newest first.
func (s jobsService) AggregatedListJobs(_ context.Context, req *pb.ListJobsRequest) (*pb.ListJobsResponse, error) {
	if req.GetProjectId() == "" {
		return nil, status.Error(codes.InvalidArgument, "The request has no project id.")
	}
	return s.list(req, "")
}

func (s *Server) list(req *pb.ListJobsRequest, location string) (*pb.ListJobsResponse, error) {
	size := int(req.GetPageSize())
	if size < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "The page size %d is invalid.", size)
	}
	if size == 0 {
		size = jobsPage
	}
	size = min(size, maxJobsPage)
	s.mu.Lock()
	jobs := slices.Clone(s.jobs)
	s.mu.Unlock()
	last := len(jobs) - 1
	if t := req.GetPageToken(); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 0 || n >= len(jobs) {
			return nil, status.Errorf(codes.InvalidArgument, "The page token %q is invalid.", t)
		}
		last = n
	}
	resp := &pb.ListJobsResponse{}
	for i := last; i >= 0; i-- {
		j := jobs[i]
		if j.project != req.GetProjectId() || location != "" && j.location != location ||
			req.Name != nil && j.name != req.GetName() || !matches(req.GetFilter(), j.currentState()) {
			continue
		}
		if len(resp.Jobs) == size {
			// The place of the next job: jobs are only ever added behind it.
			resp.NextPageToken = strconv.Itoa(i)
			break
		}
		resp.Jobs = append(resp.Jobs, j.view(pb.JobView_JOB_VIEW_SUMMARY))
	}
	return resp, nil
}

func matches(f pb.ListJobsRequest_Filter, s pb.JobState) bool {
	switch f {
	case pb.ListJobsRequest_TERMINATED:
		return terminal(s)
	case pb.ListJobsRequest_ACTIVE:
		return !terminal(s)
	}
	return true
}

// UpdateJob requests a state of a job, or changes the bounds on its workers.
func (s jobsService) UpdateJob(_ context.Context, req *pb.UpdateJobRequest) (*pb.Job, error) {
	j, err := s.find(req.GetProjectId(), req.GetLocation(), req.GetJobId())
	if err != nil {
		return nil, err
	}
	requested := req.GetJob().GetRequestedState()
	paths := req.GetUpdateMask().GetPaths()
	switch {
	case requested != pb.JobState_JOB_STATE_UNKNOWN && len(paths) > 0:
		return nil, status.Error(codes.InvalidArgument, "Cannot update both the requested state and the fields of an update mask.")
	case len(paths) > 0:
		if err := j.resize(paths, req.GetJob().GetRuntimeUpdatableParams()); err != nil {
			return nil, err
		}
		return &pb.Job{Id: j.id, ProjectId: j.project, Location: j.location}, nil
	case requested == pb.JobState_JOB_STATE_UNKNOWN:
		return nil, status.Error(codes.InvalidArgument, "The request has neither a requested state nor an update mask.")
	}
	if err := j.request(requested, req.GetJob().GetLabels()); err != nil {
		return nil, err
	}
	// Sparse, as on the real service: clients have to read the job again.
	return &pb.Job{Id: j.id, ProjectId: j.project, Location: j.location, RequestedState: requested}, nil
}

// view is the job as clients see it.
func (j *job) view(v pb.JobView) *pb.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := &pb.Job{
		Id: j.id, ProjectId: j.project, Name: j.name, Location: j.location, Type: pb.JobType_JOB_TYPE_STREAMING,
		CurrentState: j.state, CurrentStateTime: timestamppb.New(j.stateTime), RequestedState: j.requested,
		CreateTime: timestamppb.New(j.created), StartTime: timestamppb.New(j.created),
		JobMetadata: j.metadata(), ReplacedByJobId: j.replacedBy,
	}
	if j.replaces != nil {
		out.ReplaceJobId = j.replaces.id
	}
	if !j.reported.IsZero() && len(j.report.Sources) == 0 {
		out.Type = pb.JobType_JOB_TYPE_BATCH
	}
	if v == pb.JobView_JOB_VIEW_DESCRIPTION || v == pb.JobView_JOB_VIEW_ALL {
		out.Labels = maps.Clone(j.labels)
		out.PipelineDescription = j.description()
	}
	if v == pb.JobView_JOB_VIEW_ALL {
		out.Environment = j.env()
		if j.resized != nil {
			out.RuntimeUpdatableParams = proto.CloneOf(j.resized)
		}
	}
	return out
}

// env is the environment, with the parameters as pipeline options.
func (j *job) env() *pb.Environment {
	options := map[string]*structpb.Value{}
	for name, value := range j.parameters {
		options[name] = structpb.NewStringValue(value)
	}
	return &pb.Environment{
		ServiceAccountEmail: j.environment.GetServiceAccountEmail(), ServiceKmsKeyName: j.environment.GetKmsKeyName(),
		WorkerRegion: j.environment.GetWorkerRegion(),
		Experiments:  j.environment.GetAdditionalExperiments(),
		WorkerPools: []*pb.WorkerPool{{
			NumWorkers: 1, MachineType: j.environment.GetMachineType(), // one process, whatever was asked for
			DiskSizeGb: j.environment.GetDiskSizeGb(), Network: j.environment.GetNetwork(), Subnetwork: j.environment.GetSubnetwork(),
			IpConfiguration: j.environment.GetIpConfiguration(),
			AutoscalingSettings: &pb.AutoscalingSettings{
				Algorithm: j.environment.GetAutoscalingAlgorithm(), MaxNumWorkers: j.environment.GetMaxWorkers(),
			},
		}},
		SdkPipelineOptions: &structpb.Struct{Fields: map[string]*structpb.Value{
			"options": structpb.NewStructValue(&structpb.Struct{Fields: options}),
		}},
	}
}
