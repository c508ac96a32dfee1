package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// Versions of the pipeline: each has a template of its own.
const (
	firstVersion = "v1"
	nextVersion  = "v2"
	// versionVariable is the specs' variable with the version.
	versionVariable = "PIPELINE"
)

// When things happen while records are produced, as parts of them.
const (
	redeployAt = 0.20 // a new version is deployed
	restartAt  = 0.50 // the bridge is killed
	crashAt    = 0.65 // a streaming job is killed
)

// disturb does to the platform what happens to platforms, while events flow:
// a new version of the streaming jobs, a bridge that dies, a job that dies.
func (r *run) disturb(ctx context.Context) error {
	for _, step := range []struct {
		at float64
		do func(context.Context) error
	}{{redeployAt, r.redeploy}, {restartAt, r.crashBridge}, {crashAt, r.crashJob}} {
		if err := r.untilCommitted(ctx, int64(step.at*float64(len(r.order)))); err != nil {
			return err
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// untilCommitted waits until the bridge has committed a number of records.
func (r *run) untilCommitted(ctx context.Context, want int64) error {
	return poll(ctx, pollFast, func() (bool, error) {
		n, err := committed(ctx, r.clients.admin, r.specs.source().Group, r.topic)
		return n > 0 && n >= want, err
	})
}

// redeploy brings a new version to the jobs.
func (r *run) redeploy(ctx context.Context) error {
	return r.phase("Redeploy", "", 0, func(task *term.Task) (string, error) {
		r.away.Store(true)
		defer r.away.Store(false)
		res, err := r.apply(ctx, nextVersion, task)
		if err != nil {
			return "", err
		}
		n := launched(res)
		if n != r.specs.stream.Spec.Jobs {
			return "", fmt.Errorf("%d of %d jobs were replaced", n, r.specs.stream.Spec.Jobs)
		}
		r.summary.Redeploys += int64(n)
		return fmt.Sprintf("%d jobs drained and replaced by %s, one after the other", n, nextVersion), nil
	})
}

// crashJob kills a streaming job's process with SIGKILL and starts it again by
// the command that deployed it.
func (r *run) crashJob(ctx context.Context) error {
	return r.phase("Crash a job", "", 0, func(task *term.Task) (string, error) {
		r.away.Store(true)
		defer r.away.Store(false)
		name := r.specs.stream.JobName(r.specs.stream.Spec.Jobs / 2)
		id, pid, err := r.worker(ctx, name)
		if err != nil {
			return "", err
		}
		proc, err := os.FindProcess(pid)
		if err == nil {
			err = proc.Kill()
		}
		if err != nil {
			return "", fmt.Errorf("kill %s (process %d): %w", name, pid, err)
		}
		r.crashed = time.Now()
		r.summary.JobCrashes++
		r.log.Info("job killed", "job", name, "pid", pid)
		task.Note("killed " + name)
		if err := poll(ctx, pollFast, func() (bool, error) {
			job, err := r.dataflow().Summary(ctx, id)
			return dataflowapi.Terminal(job.GetCurrentState()), err
		}); err != nil {
			return "", err
		}
		res, err := r.apply(ctx, nextVersion, task)
		if err != nil {
			return "", err
		}
		if n := launched(res); n != 1 {
			return "", fmt.Errorf("%d jobs were launched after one was killed", n)
		}
		return name + " killed with SIGKILL, and started again by the same command", nil
	})
}

func launched(res *deploy.Result) (n int) {
	for _, j := range res.Jobs {
		if j.Launched {
			n++
		}
	}
	return n
}

// apply runs `kappa deploy apply` of this very program for a version.
func (r *run) apply(ctx context.Context, version string, task *term.Task) (*deploy.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, exit.Environmentf("find this program: %w", err)
	}
	task.Note("kappa deploy apply, " + version)
	out, _, err := runTool(ctx, "deploy", self, r.out.path(logsFolder), []string{
		"deploy", "apply", "--exit-with-parent", "-f", filepath.Join(r.out.path(specsFolder), streamFile), "--set", versionVariable + "=" + version,
		"--yes", "--output", "json", "--poll", pollJobs.String(), r.logLevel(),
	})
	if err != nil {
		return nil, err
	}
	res := new(deploy.Result)
	if err := json.Unmarshal(out, res); err != nil {
		return nil, fmt.Errorf("read what kappa deploy apply printed: %w", err)
	}
	return res, nil
}

var workerStarted = regexp.MustCompile(`Worker started, process ([0-9]+)\.`)

// worker returns the id of the running job of that name, and its process.
func (r *run) worker(ctx context.Context, name string) (id string, pid int, err error) {
	jobs, err := r.dataflow().Named(ctx, name)
	if err != nil {
		return "", 0, err
	}
	for _, j := range jobs {
		if dataflowapi.Terminal(j.GetCurrentState()) {
			continue
		}
		s := r.specs.stream.Spec
		it := r.clients.Dataflow.Messages.ListJobMessages(ctx, &pb.ListJobMessagesRequest{
			ProjectId: s.Project, Location: s.Region, JobId: j.GetId(), MinimumImportance: pb.JobMessageImportance_JOB_MESSAGE_BASIC,
		})
		for {
			m, err := it.Next()
			if errors.Is(err, iterator.Done) {
				break
			}
			if err != nil {
				return "", 0, exit.Environmentf("read the messages of %s: %w", name, err)
			}
			if at := workerStarted.FindStringSubmatch(m.GetMessageText()); at != nil {
				pid, err := strconv.Atoi(at[1])
				return j.GetId(), pid, err
			}
		}
	}
	return "", 0, fmt.Errorf("no process of %s was found", name)
}
