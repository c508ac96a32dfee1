package bigquery

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	bq "google.golang.org/api/bigquery/v2"
)

// defaultLocation is that of datasets and jobs which name none. Others are
// taken as they come: there is but one place where data can be.
const defaultLocation = "US"

// Bounds of what finished jobs keep: the newest stay.
const (
	maxJobs        = 5_000
	maxResultBytes = 64 << 20  // of all jobs together
	maxOneResult   = 256 << 20 // of one job
)

// jobs runs jobs and remembers them.
type jobs struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	byID     map[string]*job
	order    []*job // oldest first
	requests map[string]*job
	stopped  bool
}

func newJobs() *jobs {
	ctx, cancel := context.WithCancel(context.Background())
	return &jobs{ctx: ctx, cancel: cancel, byID: map[string]*job{}, requests: map[string]*job{}}
}

// stop cancels all jobs and takes no more.
func (j *jobs) stop() {
	j.mu.Lock()
	j.stopped = true
	j.mu.Unlock()
	j.cancel()
}

func (j *jobs) wait() { j.wg.Wait() }

// job is a query or load job. What run sets is read only after done is closed.
type job struct {
	ref     *bq.JobReference
	conf    *bq.JobConfiguration
	request string
	created time.Time
	cancel  context.CancelCauseFunc
	done    chan struct{}

	ended  time.Time
	err    *apiError
	stats  *bq.JobStatistics
	result *result // nil for loads
	// evicted: the result was dropped to make room; guarded by jobs.mu.
	evicted bool
}

// result is what a query returned: rows in the API's encoding.
type result struct {
	schema *bq.TableSchema
	rows   []json.RawMessage
	bytes  int
	dml    *bq.DmlStatistics
	// affected is the number of rows that DML changed.
	affected int64
}

var (
	errCancelled = &apiError{status: 499, reason: "stopped", message: "Job execution was cancelled: User requested cancellation"}
	jobID        = regexp.MustCompile(`^[A-Za-z0-9_-]{1,1000}$`)
)

// start registers a job and runs it in the background.
func (s *Server) start(ref bq.JobReference, request string, conf *bq.JobConfiguration, run func(ctx context.Context, j *job) error) (*job, error) {
	if ref.JobId == "" {
		ref.JobId = "job_" + rand.Text()
	} else if !jobID.MatchString(ref.JobId) {
		return nil, errInvalid("Invalid job ID %q: it may contain letters, numbers, underscores and dashes, at most 1000 of them.", ref.JobId)
	}
	if ref.Location == "" {
		ref.Location = defaultLocation
	}
	ctx, cancel := context.WithCancelCause(s.jobs.ctx)
	j := &job{
		ref:  &ref,
		conf: conf, request: request, created: time.Now(), cancel: cancel, done: make(chan struct{}), stats: &bq.JobStatistics{},
	}
	js := s.jobs
	js.mu.Lock()
	defer js.mu.Unlock()
	key := ref.ProjectId + ":" + ref.JobId
	switch {
	case js.stopped:
		cancel(nil)
		return nil, errStopping()
	case js.byID[key] != nil:
		cancel(nil)
		return nil, errDuplicate("Job %s:%s.%s", ref.ProjectId, ref.Location, ref.JobId)
	}
	js.byID[key] = j
	js.order = append(js.order, j)
	if request != "" {
		js.requests[ref.ProjectId+":"+request] = j
	}
	js.wg.Go(func() {
		defer cancel(nil)
		s.run(ctx, j, run)
	})
	return j, nil
}

func (s *Server) run(ctx context.Context, j *job, run func(ctx context.Context, j *job) error) {
	if ms := j.conf.JobTimeoutMs; ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(ms)*time.Millisecond, &apiError{status: 499, reason: "stopped",
			message: fmt.Sprintf("Job execution was cancelled: Job timed out after %d sec", (ms+999)/1000)})
		defer cancel()
	}
	err := run(ctx, j)
	if err != nil {
		j.err = asAPI(err)
		if ctx.Err() != nil {
			j.err = asAPI(context.Cause(ctx))
		}
		j.result = nil
		s.log.Debug("job failed", "job", j.ref.JobId, "error", err)
	}
	j.ended = time.Now()
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	close(j.done)
	s.jobs.evict()
}

// evict drops the oldest finished jobs and results beyond the bounds. The
// caller holds mu.
func (js *jobs) evict() {
	total := 0
	for i := len(js.order) - 1; i >= 0; i-- {
		j := js.order[i]
		if !j.isDone() || j.result == nil {
			continue
		}
		total += j.result.bytes
		if total > maxResultBytes && i < len(js.order)-1 && !j.evicted && j.result.bytes > 0 {
			j.evicted = true
			j.result = &result{schema: j.result.schema, dml: j.result.dml, affected: j.result.affected}
		}
	}
	for len(js.order) > maxJobs && js.order[0].isDone() {
		j := js.order[0]
		js.order = js.order[1:]
		delete(js.byID, j.ref.ProjectId+":"+j.ref.JobId)
		delete(js.requests, j.ref.ProjectId+":"+j.request)
	}
}

func (j *job) isDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// await waits until j is done, at most d.
func (j *job) await(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-j.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return j.isDone()
}

// resource is the job as the API shows it.
func (j *job) resource() *bq.Job {
	out := &bq.Job{
		Kind: "bigquery#job", Id: j.ref.ProjectId + ":" + j.ref.Location + "." + j.ref.JobId, JobReference: j.ref, Configuration: j.conf,
		Status:     &bq.JobStatus{State: "RUNNING"},
		Statistics: &bq.JobStatistics{CreationTime: j.created.UnixMilli(), StartTime: j.created.UnixMilli()},
		UserEmail:  "sandbox@kappa.invalid",
	}
	if !j.isDone() {
		return out
	}
	st := *j.stats
	st.CreationTime, st.StartTime, st.EndTime = j.created.UnixMilli(), j.created.UnixMilli(), j.ended.UnixMilli()
	out.Statistics = &st
	out.Status = &bq.JobStatus{State: "DONE"}
	if j.err != nil {
		out.Status.ErrorResult = j.err.proto()
		out.Status.Errors = []*bq.ErrorProto{j.err.proto()}
	}
	return out
}

func (s *Server) findJob(r *http.Request) (*job, error) {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	j, ok := s.jobs.byID[r.PathValue("project")+":"+r.PathValue("job")]
	if !ok {
		return nil, errNotFound("Job %s:%s", r.PathValue("project"), r.PathValue("job"))
	}
	if loc := r.URL.Query().Get("location"); loc != "" && !strings.EqualFold(loc, j.ref.Location) {
		return nil, errNotFound("Job %s:%s.%s", j.ref.ProjectId, loc, j.ref.JobId)
	}
	return j, nil
}

// jobRequest is the body of jobs.insert.
type jobRequest struct {
	Configuration *bq.JobConfiguration `json:"configuration"`
	JobReference  *bq.JobReference     `json:"jobReference"`
}

func (s *Server) insertJob(r *http.Request) (any, error) {
	var req jobRequest
	data, err := readBody(r, &req)
	if err != nil {
		return nil, err
	}
	return s.submit(r.Context(), r.PathValue("project"), data, &req, nil)
}

// submit checks a job's configuration and starts it. media is an uploaded file,
// which it closes in the end; nil: there is none.
func (s *Server) submit(ctx context.Context, project string, data []byte, req *jobRequest, media *spool) (any, error) {
	started := false
	defer func() {
		if !started {
			media.close()
		}
	}()
	conf := req.Configuration
	if conf == nil {
		return nil, errInvalid("Required parameter is missing: configuration")
	}
	if err := allowKeys(member(data, "configuration"), "configuration.", "query", "load", "dryRun", "labels", "jobTimeoutMs", "jobType"); err != nil {
		return nil, err
	}
	ref := bq.JobReference{ProjectId: project}
	if r := req.JobReference; r != nil {
		ref.JobId, ref.Location = r.JobId, r.Location
	}
	switch {
	case conf.Query != nil:
		conf.JobType = "QUERY"
		q, err := parseQueryConfig(member(data, "configuration", "query"), conf.Query)
		if err != nil {
			return nil, err
		}
		if conf.DryRun {
			return s.dryRun(ctx, project, conf, q)
		}
		j, err := s.start(ref, "", conf, func(ctx context.Context, j *job) error { return s.runQuery(ctx, j, project, q) })
		if err != nil {
			return nil, err
		}
		j.await(ctx, promptly)
		return j.resource(), nil
	case conf.Load != nil:
		conf.JobType = "LOAD"
		if conf.DryRun {
			return nil, errNotImplemented("dryRun of a load job")
		}
		if err := checkLoad(member(data, "configuration", "load"), conf.Load, media); err != nil {
			return nil, err
		}
		j, err := s.start(ref, "", conf, func(ctx context.Context, j *job) error {
			defer media.close()
			return s.runLoad(ctx, j, project, media)
		})
		if err != nil {
			return nil, err
		}
		started = true
		j.await(ctx, promptly)
		return j.resource(), nil
	}
	return nil, errInvalid("Required parameter is missing: configuration.query or configuration.load")
}

// promptly is how long jobs.insert waits for a job that is nearly done, which
// saves the client a poll.
const promptly = 100 * time.Millisecond

func (s *Server) getJob(r *http.Request) (any, error) {
	j, err := s.findJob(r)
	if err != nil {
		return nil, err
	}
	return j.resource(), nil
}

func (s *Server) cancelJob(r *http.Request) (any, error) {
	j, err := s.findJob(r)
	if err != nil {
		return nil, err
	}
	j.cancel(errCancelled)
	j.await(r.Context(), promptly)
	return &bq.JobCancelResponse{Kind: "bigquery#jobCancelResponse", Job: j.resource()}, nil
}

func (s *Server) listJobs(r *http.Request) (any, error) {
	q := r.URL.Query()
	project := r.PathValue("project")
	var minTime, maxTime int64
	for name, p := range map[string]*int64{"minCreationTime": &minTime, "maxCreationTime": &maxTime} {
		if v := q.Get(name); v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return nil, errInvalid("Invalid value for %s: %q", name, v)
			}
			*p = n
		}
	}
	if q.Get("parentJobId") != "" {
		return nil, errNotImplemented("parentJobId of jobs.list")
	}
	states := q["stateFilter"]
	s.jobs.mu.Lock()
	var all []*bq.JobListJobs
	for _, j := range slices.Backward(s.jobs.order) {
		if j.ref.ProjectId != project {
			continue
		}
		res := j.resource()
		created := res.Statistics.CreationTime
		if minTime > 0 && created < minTime || maxTime > 0 && created > maxTime ||
			len(states) > 0 && !slices.ContainsFunc(states, func(st string) bool { return strings.EqualFold(st, res.Status.State) }) {
			continue
		}
		it := &bq.JobListJobs{Kind: res.Kind, Id: res.Id, JobReference: res.JobReference, State: res.Status.State, Status: res.Status,
			ErrorResult: res.Status.ErrorResult, Statistics: res.Statistics, Configuration: res.Configuration, UserEmail: res.UserEmail}
		all = append(all, it)
	}
	s.jobs.mu.Unlock()
	page, next, err := paginate(r, len(all))
	if err != nil {
		return nil, err
	}
	return &bq.JobList{Kind: "bigquery#jobList", Jobs: all[page.from:page.to], NextPageToken: next}, nil
}
