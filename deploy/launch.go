package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// launching is one launch of a generation.
type launching struct {
	job        string
	generation int64
	group      string
	kind       string // of writer: stream or backfill
	template   string
	specFile   string
	spec       string            // hash
	deployment string            // names the launch
	parameters map[string]string // beside those that every generation has
	update     bool              // of the job that runs, in place
	before     []string          // jobs of that name that there were before; of an update
}

func (d *Deployer) launching(p *Plan, job string, generation int64) launching {
	return launching{
		job: job, generation: generation, group: p.Group, kind: tables.WriterStream,
		template: p.Template, specFile: p.SpecFile, spec: p.Spec, deployment: d.deployment(job, generation),
	}
}

// row is the generation's row in the history, as open.
func (l launching) row() tables.Generation {
	return tables.Generation{Job: l.job, Generation: l.generation, Kind: l.kind, State: tables.StateOpen, Group: l.group}
}

// record records a fact that is one already, even if the caller leaves now.
func (d *Deployer) record(ctx context.Context, row tables.Generation) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	_, err := d.cfg.History.Append(ctx, row)
	return err
}

// recordEnd records how a generation of a stream ended (invariant P5: before
// its successor starts).
func (d *Deployer) recordEnd(ctx context.Context, job string, e Ended) error {
	group := d.cfg.Job.Metadata.Name
	if e.State == tables.StateDrained {
		return d.cfg.History.RecordDrained(ctx, group, job, e.DataflowID, e.Generation, time.Time{})
	}
	return d.record(ctx, tables.Generation{
		Job: job, Generation: e.Generation, Kind: tables.WriterStream, State: e.State, Group: group,
		DataflowJobID: nullString(e.DataflowID),
	})
}

func nullString(s string) bigquery.NullString {
	return bigquery.NullString{StringVal: s, Valid: s != ""}
}

// request is the launch as the service takes it.
func (d *Deployer) request(l launching) (*pb.LaunchFlexTemplateParameter, error) {
	labels := maps.Clone(d.cfg.Job.Metadata.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[dataflowapi.LabelGroup] = l.group
	labels[dataflowapi.LabelGeneration] = strconv.FormatInt(l.generation, 10)
	labels[dataflowapi.LabelSpec] = l.spec
	labels[dataflowapi.LabelDeployment] = l.deployment
	parameters, err := d.parameters(l)
	if err != nil {
		return nil, err
	}
	return &pb.LaunchFlexTemplateParameter{
		JobName:     l.job,
		Template:    &pb.LaunchFlexTemplateParameter_ContainerSpecGcsPath{ContainerSpecGcsPath: l.template},
		Parameters:  parameters,
		Environment: environment(d.cfg.Job.Spec.Tuning, l.kind, labels),
	}, nil
}

// launch launches a generation once and returns the id of its job. The service
// has no request id for it: an answer that was lost, or says that the name is
// taken, is settled by the deployment label of the job that runs.
func (d *Deployer) launch(ctx context.Context, l launching) (string, error) {
	request, err := d.request(l)
	if err != nil {
		return "", err
	}
	if l.update {
		d.inPlace(request)
	}
	for attempt := range launchAttempts {
		var job *pb.Job
		if job, err = d.cfg.Jobs.Launch(ctx, request); err == nil && job.GetId() != "" {
			return job.GetId(), nil
		}
		if err == nil {
			err = fmt.Errorf("launch job %s: the answer names no job", l.job)
		} else if !uncertain(err) {
			return "", err
		}
		d.cfg.Log.Warn("launch without an answer", "job", l.job, "attempt", attempt+1, "error", err)
		id, ferr := d.find(ctx, l)
		if ferr != nil {
			return "", fmt.Errorf("%w; and whether the job was launched cannot be told: %w", err, ferr)
		}
		if id != "" {
			return id, nil
		}
		if status.Code(err) == codes.AlreadyExists {
			return "", fmt.Errorf("%w: it was not launched as generation %d of %s", err, l.generation, l.group)
		}
		if err := d.pause(ctx); err != nil {
			return "", err
		}
	}
	return "", exit.Environmentf("%w (%d attempts)", err, launchAttempts).
		WithHint("generation %d is on record and not launched: run the command again", l.generation)
}

// uncertain reports whether a failed launch may have launched.
func uncertain(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Aborted, codes.Canceled, codes.AlreadyExists:
		return true
	}
	return false
}

// find looks for the job with the deployment label of a launch; "" if there is
// none. It looks even if the caller has left: an id that is known now need not
// be searched for by the next run.
func (d *Deployer) find(ctx context.Context, l launching) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	jobs, err := d.cfg.Jobs.Named(ctx, l.job)
	if err != nil {
		return "", err
	}
	for _, j := range jobs {
		// One that has ended already is the generation too: launched again, it would
		// be two jobs (invariant D2).
		if l.update && slices.Contains(l.before, j.GetId()) {
			continue
		}
		full, err := d.cfg.Jobs.Get(ctx, j.GetId())
		if err != nil {
			return "", err
		}
		if full.GetLabels()[dataflowapi.LabelDeployment] == l.deployment {
			return full.GetId(), nil
		}
	}
	return "", nil
}

// waitRunning waits until a job runs. One that fails is void at once: its rows
// must not count until somebody applies again.
func (d *Deployer) waitRunning(ctx context.Context, r *recorder, row tables.Generation, id string) (pb.JobState, error) {
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
			return state, r.after(ctx, of(Running, row.Writer(), id, ""))
		case dataflowapi.Terminal(state):
			return state, d.failed(ctx, row, id, state, pb.JobState_JOB_STATE_RUNNING)
		case state != shown:
			r.note(of(Starting, row.Writer(), id, dataflowapi.StateName(state)))
			shown = state
		}
		if time.Now().After(deadline) {
			return state, exit.With(exit.Failed, fmt.Errorf("%s (%s) is still %s after %s", row.Job, id, dataflowapi.StateName(state), d.cfg.StartTimeout)).
				WithHint("apply again to go on waiting")
		}
		if err := d.pause(ctx); err != nil {
			return state, fmt.Errorf("%s (%s) is launched and %s: %w", row.Job, id, dataflowapi.StateName(state), err)
		}
	}
}

// failed is the error of a job that ended otherwise than it should, in its own
// words. A generation that failed or was cancelled is recorded as void.
func (d *Deployer) failed(ctx context.Context, row tables.Generation, id string, state, wanted pb.JobState) error {
	msgs, err := d.cfg.Jobs.Errors(ctx, id, errorMessages)
	if err != nil {
		msgs = []string{"its messages cannot be read: " + err.Error()}
	}
	text := fmt.Sprintf("%s (%s) became %s instead of %s", row.Job, id, dataflowapi.StateName(state), dataflowapi.StateName(wanted))
	if len(msgs) > 0 {
		text += ":\n" + strings.Join(msgs, "\n")
	}
	if !void(state) {
		return exit.With(exit.Failed, errors.New(text)).WithHint("look at the job, then run the command again")
	}
	row.State, row.DataflowJobID = tables.StateVoid, nullString(id)
	if err := d.record(ctx, row); err != nil {
		return fmt.Errorf("%s\nand generation %d could not be recorded as void: %w", text, row.Generation, err)
	}
	text += fmt.Sprintf("\ngeneration %d is recorded as void", row.Generation)
	return exit.With(exit.Failed, errors.New(text)).WithHint("mend the cause and run the command again: generation %d follows", row.Generation+1)
}

// void reports whether what a job has written does not count once it is in a
// state (invariant P5).
func void(s pb.JobState) bool {
	return s == pb.JobState_JOB_STATE_FAILED || s == pb.JobState_JOB_STATE_CANCELLED
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
