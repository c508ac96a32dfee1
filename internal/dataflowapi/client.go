// Package dataflowapi is the part of the Dataflow API that deploy and drain
// use: regional calls, paging, retries of what is safe to repeat, and the
// facts about states and labels that both need.
//
// Invariants: every call names its region (the ones without reach a single
// region); an answer that is known to be incomplete is an error (rule D3); a
// launch is never repeated here, because the service has no request id for it:
// the caller looks for its deployment label instead.
package dataflowapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
)

// Labels that deploy stamps on the jobs that it launches.
const (
	LabelGroup      = "kappa-group"      // name of the StreamJob
	LabelGeneration = "kappa-generation" // generation of the job
	LabelSpec       = "kappa-spec"       // hash of the resolved spec
	LabelDeployment = "kappa-deployment" // hash of job, generation and spec: names one launch
)

// Client calls the API for one project and region.
type Client struct {
	api     *gcp.Dataflow
	project string
	region  string
}

// New returns a client. The caller owns api.
func New(api *gcp.Dataflow, project, region string) *Client {
	return &Client{api: api, project: project, region: region}
}

// retry repeats calls that change nothing, or that may be repeated, until the
// call's time is over: the client's own default is a minute.
func retry() gax.CallOption {
	return gax.WithRetry(func() gax.Retryer {
		return gax.OnCodes([]codes.Code{codes.Unavailable, codes.Internal, codes.ResourceExhausted, codes.Aborted},
			gax.Backoff{Initial: 200 * time.Millisecond, Max: 10 * time.Second, Multiplier: 2})
	})
}

// Named returns all jobs of that name that the service still knows, newest
// first, as summaries: without labels.
func (c *Client) Named(ctx context.Context, name string) ([]*pb.Job, error) {
	return c.list(ctx, "list the jobs named "+name,
		&pb.ListJobsRequest{Name: &name, Filter: pb.ListJobsRequest_ALL},
		func(j *pb.Job) bool { return j.GetName() == name })
}

// Active returns all jobs that have not ended, newest first, as summaries: with
// their sources, without labels.
func (c *Client) Active(ctx context.Context) ([]*pb.Job, error) {
	return c.list(ctx, "list the active jobs",
		&pb.ListJobsRequest{Filter: pb.ListJobsRequest_ACTIVE},
		func(j *pb.Job) bool { return !Terminal(j.GetCurrentState()) })
}

func (c *Client) list(ctx context.Context, what string, req *pb.ListJobsRequest, keep func(*pb.Job) bool) ([]*pb.Job, error) {
	req.ProjectId, req.Location = c.project, c.region
	it := c.api.Jobs.ListJobs(ctx, req, retry())
	var jobs []*pb.Job
	for {
		j, err := it.Next()
		// invariant D3: a region that did not answer may have the job. The
		// last page may say so without a job.
		if r, ok := it.Response.(*pb.ListJobsResponse); ok && len(r.GetFailedLocation()) > 0 {
			return nil, exit.Environmentf("%s: the region %s did not answer", what, r.GetFailedLocation()[0].GetName())
		}
		if errors.Is(err, iterator.Done) {
			return jobs, nil
		}
		if err != nil {
			return nil, c.wrap(ctx, what, err)
		}
		if keep(j) {
			jobs = append(jobs, j)
		}
	}
}

// Get returns a job with labels and description.
func (c *Client) Get(ctx context.Context, id string) (*pb.Job, error) {
	return c.get(ctx, id, pb.JobView_JOB_VIEW_ALL)
}

// Summary returns a job's state and sources.
func (c *Client) Summary(ctx context.Context, id string) (*pb.Job, error) {
	return c.get(ctx, id, pb.JobView_JOB_VIEW_SUMMARY)
}

func (c *Client) get(ctx context.Context, id string, view pb.JobView) (*pb.Job, error) {
	j, err := c.api.Jobs.GetJob(ctx, &pb.GetJobRequest{ProjectId: c.project, Location: c.region, JobId: id, View: view}, retry())
	if err != nil {
		return nil, c.wrap(ctx, "read job "+id, err)
	}
	return j, nil
}

// Request asks for a state of a job, once. The reply of the service says little,
// and one that is lost says nothing: read the job again.
func (c *Client) Request(ctx context.Context, id string, s pb.JobState) error {
	_, err := c.api.Jobs.UpdateJob(ctx, &pb.UpdateJobRequest{
		ProjectId: c.project, Location: c.region, JobId: id, Job: &pb.Job{RequestedState: s},
	})
	return c.wrap(ctx, "request "+s.String()+" of job "+id, err)
}

// labelForceCancel asks for a forced cancel, beside the state.
const labelForceCancel = "force_cancel_job"

// ForceCancel asks for a forced cancel of a job, once, which the service takes only
// 30 minutes after a plain one.
func (c *Client) ForceCancel(ctx context.Context, id string) error {
	_, err := c.api.Jobs.UpdateJob(ctx, &pb.UpdateJobRequest{
		ProjectId: c.project, Location: c.region, JobId: id,
		Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_CANCELLED, Labels: map[string]string{labelForceCancel: "true"}},
	})
	return c.wrap(ctx, "force the cancel of job "+id, err)
}

// Resize changes the least and the most workers of a job that runs, without
// restarting it; only jobs with Streaming Engine can. The request names the two
// fields in its update mask and asks for no state: the service refuses both at
// once (UpdateJobRequest.update_mask). Its reply says little: read the job again.
func (c *Client) Resize(ctx context.Context, id string, least, most int) error {
	_, err := c.api.Jobs.UpdateJob(ctx, &pb.UpdateJobRequest{
		ProjectId: c.project, Location: c.region, JobId: id,
		Job: &pb.Job{RuntimeUpdatableParams: &pb.RuntimeUpdatableParams{
			MinNumWorkers: proto.Int32(int32(least)), MaxNumWorkers: proto.Int32(int32(most)),
		}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{
			"runtime_updatable_params.min_num_workers", "runtime_updatable_params.max_num_workers",
		}},
	}, retry())
	return c.wrap(ctx, "change the workers of job "+id, err)
}

// Metrics returns the newest metrics of a job.
func (c *Client) Metrics(ctx context.Context, id string) ([]*pb.MetricUpdate, error) {
	m, err := c.api.Metrics.GetJobMetrics(ctx, &pb.GetJobMetricsRequest{ProjectId: c.project, Location: c.region, JobId: id}, retry())
	if err != nil {
		return nil, c.wrap(ctx, "read the metrics of job "+id, err)
	}
	return m.GetMetrics(), nil
}

// Errors returns the newest error messages of a job, at most n, oldest first.
func (c *Client) Errors(ctx context.Context, id string, n int) ([]string, error) {
	var texts []string
	err := c.errors(ctx, id, nil, func(text string) {
		if texts = append(texts, text); len(texts) > n {
			texts = texts[1:]
		}
	})
	return texts, err
}

// ErrorsSince returns how many error messages a job has had since a time of the
// service's clock, and the newest.
func (c *Client) ErrorsSince(ctx context.Context, id string, since time.Time) (n int, newest string, err error) {
	err = c.errors(ctx, id, timestamppb.New(since), func(text string) { n, newest = n+1, text })
	return n, newest, err
}

// errors calls fn with the error messages of a job, oldest first; nil since: with
// all that the service keeps.
func (c *Client) errors(ctx context.Context, id string, since *timestamppb.Timestamp, fn func(text string)) error {
	it := c.api.Messages.ListJobMessages(ctx, &pb.ListJobMessagesRequest{
		ProjectId: c.project, Location: c.region, JobId: id, MinimumImportance: pb.JobMessageImportance_JOB_MESSAGE_ERROR, StartTime: since,
	}, retry())
	for {
		m, err := it.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return c.wrap(ctx, "read the messages of job "+id, err)
		}
		fn(m.GetMessageText())
	}
}

// Launch launches a flex template, once.
func (c *Client) Launch(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.Job, error) {
	resp, err := c.api.Templates.LaunchFlexTemplate(ctx, &pb.LaunchFlexTemplateRequest{
		ProjectId: c.project, Location: c.region, LaunchParameter: p,
	})
	if err != nil {
		return nil, c.wrap(ctx, "launch job "+p.GetJobName(), err)
	}
	return resp.GetJob(), nil
}

// wrap gives errors of the surroundings their exit code, and a call that was
// cut short the cause why, which a gRPC status does not carry.
func (c *Client) wrap(ctx context.Context, what string, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Unavailable, codes.PermissionDenied, codes.Unauthenticated, codes.NotFound:
		return exit.Environmentf("%s in %s, %s: %w", what, c.project, c.region, err)
	}
	return fmt.Errorf("%s in %s, %s: %w", what, c.project, c.region, err)
}

// Terminal reports whether a job in state s has ended. States that this
// version does not know are not: whoever waits goes on to wait.
func Terminal(s pb.JobState) bool {
	switch s {
	case pb.JobState_JOB_STATE_DONE, pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_CANCELLED,
		pb.JobState_JOB_STATE_UPDATED, pb.JobState_JOB_STATE_DRAINED:
		return true
	}
	return false
}

// StateName is a state without its prefix: RUNNING.
func StateName(s pb.JobState) string { return strings.TrimPrefix(s.String(), "JOB_STATE_") }

// Generation is the generation that a job is labelled with; 0: none.
func Generation(j *pb.Job) int64 {
	n, err := strconv.ParseInt(j.GetLabels()[LabelGeneration], 10, 64)
	if err != nil || n < 1 {
		return 0
	}
	return n
}
