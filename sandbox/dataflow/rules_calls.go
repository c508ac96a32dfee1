package dataflow

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Rules is a script of rules. Of the rules about a call, the first that is not
// used up decides what happens to it; a rule counts the calls that came to it. How
// a job is shown (state, vanishes) is decided beside that, in the same way.
func Rules(rules ...Rule) (Script, error) {
	s := &scripted{jobs: map[string]*scriptedJob{}}
	for i, r := range rules {
		compiled, err := compile(r)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
		s.rules = append(s.rules, compiled)
		s.counts = append(s.counts, map[string]int{})
	}
	return s.call, nil
}

// scripted is a script of rules, and what it has to remember.
type scripted struct {
	rules []rule

	settling sync.Mutex // held while what is due is done, so that no answer is older

	mu     sync.Mutex
	counts []map[string]int // of each rule, how many calls came to it, by the job's name
	jobs   map[string]*scriptedJob
}

// scriptedJob is a job with which the script has something in mind.
type scriptedJob struct {
	gone bool // the service has forgotten it

	// Until then the job is shown in this state, and then what was asked for is
	// done, or the job fails. Pending is false if nothing of that kind is due.
	pending bool
	shown   pb.JobState
	until   time.Time            // zero: for ever
	request *pb.UpdateJobRequest // what is done then
	failure string               // message of the job that has failed, or will; empty: it does not fail

	failed bool
}

// subject is what a call is about.
type subject struct {
	call    Call
	id      string // empty: of no job that there is
	name    string // empty: of no single job
	state   pb.JobState
	sources []string
}

// describe says what a call is about; false if rules do not know such calls.
func (s *scripted) describe(ctx context.Context, req any, handle Handler) (subject, bool) {
	c := subject{}
	var project, location string
	switch r := req.(type) {
	case *pb.LaunchFlexTemplateRequest:
		return subject{call: CallLaunch, name: r.GetLaunchParameter().GetJobName()}, true
	case *pb.ListJobsRequest:
		return subject{call: CallList, name: r.GetName()}, true
	case *pb.GetJobRequest:
		c.call, c.id, project, location = CallGet, r.GetJobId(), r.GetProjectId(), r.GetLocation()
	case *pb.GetJobMetricsRequest:
		c.call, c.id, project, location = CallMetrics, r.GetJobId(), r.GetProjectId(), r.GetLocation()
	case *pb.ListJobMessagesRequest:
		c.call, c.id, project, location = CallMessages, r.GetJobId(), r.GetProjectId(), r.GetLocation()
	case *pb.UpdateJobRequest:
		c.id, project, location = r.GetJobId(), r.GetProjectId(), r.GetLocation()
		switch r.GetJob().GetRequestedState() {
		case pb.JobState_JOB_STATE_DRAINED:
			c.call = CallDrain
		case pb.JobState_JOB_STATE_CANCELLED:
			c.call = CallCancel
		default:
			c.call = CallResize
		}
	default:
		return c, false
	}
	resp, err := handle(ctx, &pb.GetJobRequest{ProjectId: project, Location: location, JobId: c.id, View: pb.JobView_JOB_VIEW_SUMMARY})
	j, ok := resp.(*pb.Job)
	if err != nil || !ok {
		return c, false // the service says why
	}
	s.show(j)
	c.name, c.state = j.GetName(), j.GetCurrentState()
	for _, d := range j.GetJobMetadata().GetPubsubDetails() {
		c.sources = append(c.sources, d.GetSubscription())
	}
	return c, true
}

// decide returns the rule that decides about a call, and how many it has decided
// before; nil: none. OfJobs asks for the rules about how a job is shown.
func (s *scripted) decide(c subject, ofJobs bool) (*rule, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.rules {
		r := &s.rules[i]
		if r.ofJobs() != ofJobs || !r.isAbout(c.call) || !r.isFor(c.name) || r.while >= 0 && r.while != c.state {
			continue
		}
		s.counts[i][c.name]++
		if n := s.counts[i][c.name]; r.holds(n) {
			return r, n - r.From
		}
	}
	return nil, 0
}

// call makes a call by the rules.
func (s *scripted) call(ctx context.Context, req any, handle Handler) (any, error) {
	s.settle(ctx, handle)
	c, ok := s.describe(ctx, req, handle)
	if !ok {
		return handle(ctx, req)
	}
	var look *rule
	if c.id != "" {
		look, _ = s.decide(c, true)
		if look != nil && look.Vanishes {
			s.job(c.id, func(j *scriptedJob) { j.gone = true })
		}
		if s.isGone(c.id) {
			return nil, notFound(c.id)
		}
	}
	r, n := s.decide(c, false)
	resp, err := s.do(ctx, r, c, req, handle)
	if err == nil {
		s.view(resp, c, r, n, look)
	}
	if r == nil {
		return resp, err
	}
	if r.Delay > 0 {
		t := time.NewTimer(r.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	if r.Answer != "" {
		return nil, status.Error(r.answer, r.text(c))
	}
	return resp, err
}

// text is the message of an answer.
func (r *rule) text(c subject) string {
	switch {
	case r.Message != "":
		return r.Message
	case r.answer == codes.AlreadyExists:
		return fmt.Sprintf("There is already an active job named %s. If you want to submit a second job, try again by setting a different name.", c.name)
	case r.answer == codes.NotFound:
		return status.Convert(notFound(c.id)).Message()
	}
	return "The sandbox answers so by its script."
}

// do does what was asked for, as far as the rule lets it.
func (s *scripted) do(ctx context.Context, r *rule, c subject, req any, handle Handler) (any, error) {
	if r != nil && r.Answer != "" && !r.Lost {
		return nil, nil
	}
	if c.call == CallDrain || c.call == CallCancel {
		return s.update(ctx, r, c, req.(*pb.UpdateJobRequest), handle)
	}
	// Whoever does not wait for a slow answer has asked nevertheless.
	resp, err := handle(context.WithoutCancel(ctx), req)
	if l, ok := resp.(*pb.LaunchFlexTemplateResponse); ok && err == nil && r != nil && r.Fails && l.GetJob() != nil {
		s.job(l.GetJob().GetId(), func(j *scriptedJob) {
			j.pending, j.shown, j.until = true, pb.JobState_JOB_STATE_PENDING, time.Now().Add(r.After)
			j.request, j.failure = cancelOf(req.(*pb.LaunchFlexTemplateRequest), l.GetJob().GetId()), r.failure()
		})
	}
	return resp, err
}

// cancelOf ends a job that was launched and is to fail: nothing else stops its
// worker.
func cancelOf(in interface {
	GetProjectId() string
	GetLocation() string
}, id string) *pb.UpdateJobRequest {
	return &pb.UpdateJobRequest{
		ProjectId: in.GetProjectId(), Location: in.GetLocation(), JobId: id, Job: &pb.Job{RequestedState: pb.JobState_JOB_STATE_CANCELLED},
	}
}

func (r *rule) failure() string {
	if r.Message != "" {
		return r.Message
	}
	return "Workflow failed. It does by the sandbox's script."
}

// update is a request for a state, of a job that may be shown in another one than
// it is in.
func (s *scripted) update(ctx context.Context, r *rule, c subject, req *pb.UpdateJobRequest, handle Handler) (any, error) {
	requested, labels := req.GetJob().GetRequestedState(), maps.Clone(req.GetJob().GetLabels())
	s.mu.Lock()
	pending := s.jobs[c.id] != nil && s.jobs[c.id].pending
	s.mu.Unlock()
	forced := pending && c.state == pb.JobState_JOB_STATE_CANCELLING && labels[forceCancelLabel] == "true"
	if forced {
		delete(labels, forceCancelLabel) // which the service would refuse: it has not tried to cancel the job
	}
	taken := &pb.Job{Id: c.id, ProjectId: req.GetProjectId(), Location: req.GetLocation(), RequestedState: requested}
	held := r != nil && (r.Stuck || r.Fails)
	if held || pending && !forced {
		to, err := next(c.id, c.state, requested, labels, len(c.sources) > 0)
		if err != nil {
			return nil, err
		}
		if to == c.state {
			return taken, nil
		}
		if held {
			s.job(c.id, func(j *scriptedJob) {
				j.pending, j.shown, j.until, j.request, j.failure = true, to, time.Time{}, req, ""
				if r.Fails {
					j.until, j.request, j.failure = time.Now().Add(r.After), cancelOf(req, c.id), r.failure()
				} else if r.For > 0 {
					j.until = time.Now().Add(r.For)
				}
			})
			return taken, nil
		}
	}
	plain := &pb.UpdateJobRequest{
		ProjectId: req.GetProjectId(), Location: req.GetLocation(), JobId: c.id, Job: &pb.Job{RequestedState: requested, Labels: labels},
	}
	resp, err := handle(context.WithoutCancel(ctx), plain)
	if err == nil && pending {
		s.job(c.id, func(j *scriptedJob) { j.pending = false })
	}
	return resp, err
}

// settle does what is due by now: requests that were stuck, jobs that fail.
func (s *scripted) settle(ctx context.Context, handle Handler) {
	s.settling.Lock()
	defer s.settling.Unlock()
	type due struct {
		id string
		scriptedJob
	}
	var all []due
	s.mu.Lock()
	for id, j := range s.jobs {
		if j.pending && !j.until.IsZero() && !time.Now().Before(j.until) {
			all = append(all, due{id, *j})
		}
	}
	s.mu.Unlock()
	for _, d := range all {
		// A job that has ended meanwhile refuses, and has ended as it has.
		_, err := handle(context.WithoutCancel(ctx), d.request)
		s.job(d.id, func(j *scriptedJob) { j.pending, j.failed = false, err == nil && d.failure != "" })
	}
}

// job changes what is remembered of a job.
func (s *scripted) job(id string, change func(*scriptedJob)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[id] == nil {
		s.jobs[id] = &scriptedJob{}
	}
	change(s.jobs[id])
}

func (s *scripted) isGone(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[id] != nil && s.jobs[id].gone
}

// view changes an answer as the rules have it.
func (s *scripted) view(resp any, c subject, r *rule, n int, look *rule) {
	switch resp := resp.(type) {
	case *pb.Job:
		if c.call != CallGet {
			return // the sparse answer to a request
		}
		s.show(resp)
		if look != nil && look.State != "" {
			resp.CurrentState = look.state
		}
	case *pb.ListJobsResponse:
		var kept []*pb.Job
		for _, j := range resp.GetJobs() {
			s.show(j)
			look, _ := s.decide(subject{call: CallList, id: j.GetId(), name: j.GetName(), state: j.GetCurrentState()}, true)
			switch {
			case look != nil && look.Vanishes:
				s.job(j.GetId(), func(j *scriptedJob) { j.gone = true })
			case look != nil:
				j.CurrentState = look.state
			}
			if !s.isGone(j.GetId()) {
				kept = append(kept, j)
			}
		}
		resp.Jobs = kept
	case *pb.JobMetrics:
		if r != nil && r.Watermarks != nil {
			r.change(resp, c.sources, n)
		}
	case *pb.ListJobMessagesResponse:
		s.mu.Lock()
		defer s.mu.Unlock()
		if j := s.jobs[c.id]; j != nil && j.failed && resp.GetNextPageToken() == "" {
			resp.JobMessages = append(resp.JobMessages, &pb.JobMessage{
				Id: "script", Time: timestamppb.New(j.until), MessageText: j.failure, MessageImportance: pb.JobMessageImportance_JOB_MESSAGE_ERROR,
			})
		}
	}
}

// show shows a job in the state that the script has it in.
func (s *scripted) show(j *pb.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.jobs[j.GetId()]
	switch {
	case known == nil:
	case known.pending && !terminal(j.GetCurrentState()):
		j.CurrentState = known.shown
		if known.failure == "" {
			j.RequestedState = known.request.GetJob().GetRequestedState()
		}
	case known.failed && j.GetCurrentState() == pb.JobState_JOB_STATE_CANCELLED:
		j.CurrentState, j.RequestedState = pb.JobState_JOB_STATE_FAILED, pb.JobState_JOB_STATE_UNKNOWN
	}
}
