package drain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// Phase is how far the drain of a job is.
type Phase string

// The phases, in order.
const (
	Requesting Phase = "requesting" // the service does not take the request yet
	Draining   Phase = "draining"
	Cancelling Phase = "cancelling" // it did not drain in time
	Recording  Phase = "recording"  // it has ended; its generation is being recorded
	Drained    Phase = "drained"
	Voided     Phase = "void" // it was cancelled, and that is on record
)

// Progress is what is reported of a job's drain at every poll.
type Progress struct {
	Phase   Phase
	Reading Reading
	Sources []SourceProgress
	ETA     time.Duration // 0: not known
	Elapsed time.Duration
	Note    string // why nothing new is known
}

// JobResult is a job that has ended.
type JobResult struct {
	Job        string    `json:"job"`
	ID         string    `json:"id"`
	Generation int64     `json:"generation,omitempty"`
	State      string    `json:"state"`             // DRAINED; of a cancelled job CANCELLED or FAILED
	Void       bool      `json:"void,omitempty"`    // it did not drain and was cancelled: its rows do not count
	Before     bool      `json:"drained_before"`    // it had ended before this run
	Watermark  Watermark `json:"watermark"`         // last one before the maximum
	Seconds    float64   `json:"seconds"`           // from the request to the end; 0: ended before
	Sources    []Source  `json:"sources,omitempty"` // as last seen; none: it had ended before
}

// errorMessages is how many of a failed job's messages an error quotes.
const errorMessages = 3

// metricsWithin bounds the reading of metrics, which is repeated while the service
// does not answer: the state must be looked at meanwhile.
const metricsWithin = 2 * time.Second

// one drains one job.
type one struct {
	cfg     Config
	name    string
	id      string
	started time.Time
	tracker tracker
	last    Watermark // newest one of the job (the least of its sources) that was a time
	reading Reading   // the newest
	asked   bool      // the service has taken the request, from us or from someone else
	late    bool      // it did not drain in time, and is cancelled for it
	now     bool      // it is cancelled in the place of a drain
}

// run drains the job, or says why it did not end as drained.
func (d *one) run(ctx context.Context) (JobResult, error) {
	d.started = time.Now()
	job, err := d.find(ctx)
	if err != nil {
		return JobResult{}, err
	}
	d.id = job.GetId()
	d.reading = newReading(job, nil, d.started)
	before := job.GetCurrentState() == pb.JobState_JOB_STATE_DRAINED
	cancelled := d.cfg.cancels() && job.GetCurrentState() == pb.JobState_JOB_STATE_CANCELLED
	state := job.GetCurrentState()
	if !before && !cancelled {
		if state, err = d.toTheEnd(ctx, job); err != nil {
			return JobResult{}, err
		}
	}
	res := JobResult{
		Job: d.name, ID: d.id, Generation: dataflowapi.Generation(job), State: dataflowapi.StateName(state),
		Before: before || cancelled, Watermark: d.last,
	}
	if !res.Before {
		res.Seconds, res.Sources = time.Since(d.started).Seconds(), d.reading.Sources
	}
	if state != pb.JobState_JOB_STATE_DRAINED {
		return d.void(ctx, state, res)
	}
	// The job is gone; that has to be on record even if the caller leaves now.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	d.reading.State = dataflowapi.StateName(pb.JobState_JOB_STATE_DRAINED)
	d.report(Recording, "")
	last, _ := d.last.Time()
	if err := d.cfg.Recorder.RecordDrained(ctx, d.cfg.Group, d.name, d.id, res.Generation, last); err != nil {
		return JobResult{}, fmt.Errorf("%s has drained, but that is not on record: %w", d.name, err)
	}
	d.report(Drained, "")
	return res, nil
}

// find returns the job to drain: the active one of that name, else the newest
// if it has drained, or if a run that cancels what does not drain in time has
// left it to be recorded.
func (d *one) find(ctx context.Context) (*pb.Job, error) {
	jobs, err := d.cfg.API.Named(ctx, d.name)
	if err != nil {
		return nil, err
	}
	job, ok := active(jobs)
	if ok {
		return d.cfg.API.Get(ctx, job.GetId())
	}
	if id, err := d.cfg.Adopted.of(ctx, d.name, jobs); err != nil {
		return nil, err
	} else if id != "" {
		return d.cfg.API.Get(ctx, id)
	}
	switch {
	case len(jobs) == 0:
		return nil, exit.Environmentf("there is no job named %s", d.name).
			WithHint("look for it with `gcloud dataflow jobs list`, or launch it with `kappa deploy apply`")
	case jobs[0].GetCurrentState() == pb.JobState_JOB_STATE_DRAINED:
		return d.cfg.API.Get(ctx, jobs[0].GetId())
	case d.cfg.cancels() && jobs[0].GetCurrentState() == pb.JobState_JOB_STATE_CANCELLED:
		return d.cfg.API.Get(ctx, jobs[0].GetId())
	}
	return nil, exit.Environmentf("no job named %s runs: the newest, %s, is %s", d.name, jobs[0].GetId(), dataflowapi.StateName(jobs[0].GetCurrentState()))
}

// active returns the job that has not ended: the service lets one name have one.
func active(jobs []*pb.Job) (*pb.Job, bool) {
	for _, j := range jobs {
		if !dataflowapi.Terminal(j.GetCurrentState()) {
			return j, true
		}
	}
	return nil, false
}

// watch requests the drain and polls until the service says DRAINED.
func (d *one) watch(ctx context.Context, job *pb.Job) error {
	d.asked = d.asked || job.GetCurrentState() == pb.JobState_JOB_STATE_DRAINING
	described := job // the newest with a description
	tick := time.NewTicker(d.cfg.Poll)
	defer tick.Stop()
	for {
		if len(described.GetJobMetadata().GetPubsubDetails()) == 0 || described.GetPipelineDescription() == nil {
			// A young job has no description yet.
			if j, err := d.cfg.API.Get(ctx, d.id); err == nil {
				described = j
			}
		}
		note := ""
		state, err := d.poll(ctx, described)
		d.asked = d.asked || state == pb.JobState_JOB_STATE_DRAINING // by a request whose answer was lost
		switch {
		case err != nil && !temporary(err):
			return err
		case err != nil:
			note = err.Error()
			d.cfg.Log.Warn("cannot read the job", "job", d.name, "job_id", d.id, "error", err)
		case state == pb.JobState_JOB_STATE_DRAINED:
			return nil // invariant D3: the state, and nothing else
		case dataflowapi.Terminal(state):
			return d.failed(ctx, state)
		case state == pb.JobState_JOB_STATE_CANCELLING:
			note = "somebody has cancelled it"
		case !d.asked:
			// After the first reading, so that the watermarks before the drain are known.
			if note, err = d.request(ctx); err != nil {
				return err
			}
		}
		phase := Requesting
		if d.asked {
			phase = Draining
		}
		d.report(phase, note)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// poll reads the state and the watermarks. Metrics that cannot be read cost
// progress, never the drain.
func (d *one) poll(ctx context.Context, described *pb.Job) (pb.JobState, error) {
	summary, err := d.cfg.API.Summary(ctx, d.id)
	if err != nil {
		return 0, err
	}
	within, cancel := context.WithTimeout(ctx, max(metricsWithin, d.cfg.Poll))
	defer cancel()
	metrics, err := d.cfg.API.Metrics(within, d.id)
	if err != nil {
		d.cfg.Log.Warn("cannot read the job's metrics", "job", d.name, "job_id", d.id, "error", err)
	}
	described.CurrentState = summary.GetCurrentState()
	d.reading = newReading(described, metrics, time.Now())
	if w := d.reading.Watermark(); w.Known() && !w.AtMaximum() {
		d.last = w
	}
	return summary.GetCurrentState(), nil
}

// request requests the drain. A job that cannot drain yet, or has ended
// meanwhile, is no error: the next poll says what it is.
func (d *one) request(ctx context.Context) (note string, err error) {
	err = d.cfg.API.Request(ctx, d.id, pb.JobState_JOB_STATE_DRAINED)
	switch {
	case err == nil:
		d.asked = true
		d.cfg.Log.Info("drain requested", "job", d.name, "job_id", d.id)
		return "", nil
	case strings.Contains(err.Error(), "not yet ready"):
		return "the service does not take the request yet", nil
	case strings.Contains(err.Error(), "has terminated"):
		return "", nil
	case temporary(err):
		d.cfg.Log.Warn("cannot request the drain", "job", d.name, "job_id", d.id, "error", err)
		return err.Error(), nil
	}
	return "", err
}

// failed is the error of a job that ended otherwise, with its own words.
func (d *one) failed(ctx context.Context, state pb.JobState) error {
	msgs, err := d.cfg.API.Errors(ctx, d.id, errorMessages)
	if err != nil {
		msgs = []string{"its messages cannot be read: " + err.Error()}
	}
	detail := ""
	if len(msgs) > 0 {
		detail = ":\n" + strings.Join(msgs, "\n")
	}
	return fmt.Errorf("%s (%s) became %s instead of DRAINED%s", d.name, d.id, dataflowapi.StateName(state), detail)
}

// errTimeout is the cause of a context whose job took too long.
var errTimeout = errors.New("the drain takes too long")

// explain says what a caller whose time is over, or who left, has to know: the
// drain goes on.
func (d *one) explain(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	goesOn := "its drain goes on"
	if !d.asked {
		goesOn = "its drain was not requested"
	}
	if errors.Is(context.Cause(ctx), errTimeout) {
		e := exit.With(exit.DrainTimeout, fmt.Errorf("%s is %s after %s; %s", d.name, d.reading.State, d.cfg.Timeout, goesOn))
		return e.WithHint("run the command again to go on watching; if it never drains, `kappa drain --on-timeout cancel --accept-loss` cancels it, which makes its generation void")
	}
	e := exit.With(exit.Interrupted, fmt.Errorf("stopped watching %s; %s: %w", d.name, goesOn, ctx.Err()))
	return e.WithHint("run the command again to go on watching")
}

func (d *one) report(phase Phase, note string) {
	sources, eta := d.tracker.add(d.reading)
	d.cfg.report(Progress{
		Phase: phase, Reading: d.reading, Sources: sources, ETA: eta,
		Elapsed: time.Since(d.started), Note: note,
	})
}

// temporary reports whether a call may succeed later.
func temporary(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Aborted, codes.ResourceExhausted:
		return true
	}
	return false
}
