package deploy

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

const (
	// recordWithin bounds a record that was begun, whatever the caller's context says.
	recordWithin = 5 * time.Minute
	// launchAttempts is how often a launch is tried that failed before it began.
	launchAttempts = 3
	errorMessages  = 3 // of a job that failed, quoted in the error
)

// applyJob does what was decided about a job, and waits until it runs.
func (d *Deployer) applyJob(ctx context.Context, p *Plan, a Action, progress func(Event)) (JobResult, error) {
	row := tables.Generation{Job: a.Job, Generation: a.Generation, Kind: tables.WriterStream, State: tables.StateOpen}
	say := func(s Step, id, text string) {
		progress(Event{Step: s, Job: a.Job, Generation: a.Generation, DataflowID: id, Text: text})
	}
	id := a.DataflowID
	if a.Kind == Launch {
		if e := a.Ended; e != nil {
			say(Recording, e.DataflowID, fmt.Sprintf("generation %d as %s: %s", e.Generation, e.State, e.Why))
			if err := d.recordEnd(ctx, a.Job, *e); err != nil {
				return JobResult{}, err
			}
		}
		// invariant D2: on record before it is launched.
		say(Recording, "", fmt.Sprintf("generation %d as open", a.Generation))
		row.Supersedes = bigquery.NullString{StringVal: a.Supersedes, Valid: a.Supersedes != ""}
		if _, err := d.cfg.History.Append(ctx, row); err != nil {
			return JobResult{}, err
		}
		say(Launching, "", "from "+p.Template)
		var err error
		if id, err = d.launch(ctx, p, a); err != nil {
			return JobResult{}, err
		}
	}
	if a.Kind == Launch || a.Kind == Adopt {
		say(Recording, id, "its Dataflow job")
		row.DataflowJobID = bigquery.NullString{StringVal: id, Valid: true}
		if err := d.record(ctx, row); err != nil {
			return JobResult{}, fmt.Errorf("%s was launched as %s: %w", a.Job, id, err)
		}
	}
	state, err := d.waitRunning(ctx, a, id, say)
	if err != nil {
		return JobResult{}, err
	}
	return JobResult{
		Job: a.Job, Generation: a.Generation, DataflowID: id, State: dataflowapi.StateName(state),
		Launched: a.Kind == Launch, Differs: a.Differs,
	}, nil
}

// record records a fact that is one already, even if the caller leaves now.
func (d *Deployer) record(ctx context.Context, row tables.Generation) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	_, err := d.cfg.History.Append(ctx, row)
	return err
}

// recordEnd records how a generation ended (invariant P5: before its successor starts).
func (d *Deployer) recordEnd(ctx context.Context, job string, e Ended) error {
	if e.State == tables.StateDrained {
		return d.cfg.History.RecordDrained(ctx, d.cfg.Job.Metadata.Name, job, e.DataflowID, e.Generation, time.Time{})
	}
	return d.record(ctx, tables.Generation{
		Job: job, Generation: e.Generation, Kind: tables.WriterStream, State: e.State,
		DataflowJobID: bigquery.NullString{StringVal: e.DataflowID, Valid: e.DataflowID != ""},
	})
}

// parameters is the launch of a generation.
func (d *Deployer) parameters(p *Plan, a Action) *pb.LaunchFlexTemplateParameter {
	t := d.cfg.Job.Spec.Tuning
	labels := maps.Clone(d.cfg.Job.Metadata.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[dataflowapi.LabelGroup] = p.Group
	labels[dataflowapi.LabelGeneration] = strconv.FormatInt(a.Generation, 10)
	labels[dataflowapi.LabelSpec] = p.Spec
	labels[dataflowapi.LabelDeployment] = d.deployment(a.Job, a.Generation)
	return &pb.LaunchFlexTemplateParameter{
		JobName:  a.Job,
		Template: &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: p.Template},
		Parameters: map[string]string{
			"jobspec": p.SpecFile, "job": a.Job, "generation": labels[dataflowapi.LabelGeneration],
		},
		Environment: &pb.FlexTemplateRuntimeEnvironment{
			NumWorkers: int32(t.Workers), MaxWorkers: int32(t.MaxWorkers), MachineType: t.MachineType,
			EnableStreamingEngine: true, AdditionalUserLabels: labels,
		},
	}
}

// launch launches a generation once and returns the id of its job. The service
// has no request id for it: an answer that was lost, or says that the name is
// taken, is settled by the deployment label of the job that runs.
func (d *Deployer) launch(ctx context.Context, p *Plan, a Action) (string, error) {
	var err error
	for attempt := range launchAttempts {
		var job *pb.Job
		if job, err = d.cfg.Jobs.Launch(ctx, d.parameters(p, a)); err == nil && job.GetId() != "" {
			return job.GetId(), nil
		}
		if err == nil {
			err = fmt.Errorf("launch job %s: the answer names no job", a.Job)
		} else if !uncertain(err) {
			return "", err
		}
		d.cfg.Log.Warn("launch without an answer", "job", a.Job, "attempt", attempt+1, "error", err)
		id, ferr := d.find(ctx, a)
		if ferr != nil {
			return "", fmt.Errorf("%w; and whether the job was launched cannot be told: %w", err, ferr)
		}
		if id != "" {
			return id, nil
		}
		if status.Code(err) == codes.AlreadyExists {
			return "", fmt.Errorf("%w: it was not launched as generation %d of %s", err, a.Generation, p.Group)
		}
		if err := d.pause(ctx); err != nil {
			return "", err
		}
	}
	return "", exit.Environmentf("%w (%d attempts)", err, launchAttempts).
		WithHint("generation %d is on record and not launched: apply again", a.Generation)
}

// uncertain reports whether a failed launch may have launched.
func uncertain(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Aborted, codes.Canceled, codes.AlreadyExists:
		return true
	}
	return false
}

// find looks for the job with the deployment label of a; "" if there is none.
// It looks even if the caller has left: an id that is known now need not be
// searched for by the next run.
func (d *Deployer) find(ctx context.Context, a Action) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	jobs, err := d.cfg.Jobs.Named(ctx, a.Job)
	if err != nil {
		return "", err
	}
	for _, j := range jobs {
		if dataflowapi.Terminal(j.GetCurrentState()) {
			continue
		}
		full, err := d.cfg.Jobs.Get(ctx, j.GetId())
		if err != nil {
			return "", err
		}
		if full.GetLabels()[dataflowapi.LabelDeployment] == d.deployment(a.Job, a.Generation) {
			return full.GetId(), nil
		}
	}
	return "", nil
}

// waitRunning waits until a job runs. One that fails is void at once: its rows
// must not count until somebody applies again.
func (d *Deployer) waitRunning(ctx context.Context, a Action, id string, say func(Step, string, string)) (pb.JobState, error) {
	deadline := time.Now().Add(d.cfg.StartTimeout)
	shown := pb.JobState(-1)
	for {
		j, err := d.cfg.Jobs.Get(ctx, id)
		if err != nil {
			return 0, err
		}
		state := j.GetCurrentState()
		switch {
		case state == pb.JobState_JOB_STATE_RUNNING:
			say(Running, id, "")
			return state, nil
		case dataflowapi.Terminal(state):
			return state, d.failed(ctx, a, id, state)
		case state != shown:
			say(Starting, id, dataflowapi.StateName(state))
			shown = state
		}
		if time.Now().After(deadline) {
			return state, exit.With(exit.Failed, fmt.Errorf("%s (%s) is still %s after %s", a.Job, id, dataflowapi.StateName(state), d.cfg.StartTimeout)).
				WithHint("apply again to go on waiting")
		}
		if err := d.pause(ctx); err != nil {
			return state, fmt.Errorf("%s (%s) is launched and %s: %w", a.Job, id, dataflowapi.StateName(state), err)
		}
	}
}

func (d *Deployer) failed(ctx context.Context, a Action, id string, state pb.JobState) error {
	msgs, err := d.cfg.Jobs.Errors(ctx, id, errorMessages)
	if err != nil {
		msgs = []string{"its messages cannot be read: " + err.Error()}
	}
	text := fmt.Sprintf("%s (%s) became %s instead of RUNNING", a.Job, id, dataflowapi.StateName(state))
	if len(msgs) > 0 {
		text += ":\n" + strings.Join(msgs, "\n")
	}
	if state == pb.JobState_JOB_STATE_FAILED || state == pb.JobState_JOB_STATE_CANCELLED {
		err := d.recordEnd(ctx, a.Job, Ended{Generation: a.Generation, State: tables.StateVoid, DataflowID: id})
		if err != nil {
			return fmt.Errorf("%s\nand generation %d could not be recorded as void: %w", text, a.Generation, err)
		}
		text += fmt.Sprintf("\ngeneration %d is recorded as void", a.Generation)
	}
	return exit.With(exit.Failed, fmt.Errorf("%s", text)).WithHint("mend the cause and apply again: generation %d follows", a.Generation+1)
}

// pause waits for the poll interval.
func (d *Deployer) pause(ctx context.Context) error {
	t := time.NewTimer(d.cfg.Poll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
