package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/provision"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/jobspecs"
)

//go:embed spec.yaml
var specText []byte

const (
	specFile = "events.yaml"
	horizon  = "31d" // of the spec that the jobs are updated to
	// arriveWithin is how long what was published may take to arrive, without
	// anything arriving.
	arriveWithin = 90 * time.Second
)

// rollout is one run.
type rollout struct {
	config
	dir    string
	job    *jobspecs.StreamJob
	pubsub *pubsub.Client
	bq     *bigquery.Client
	shards []*shard
}

// applied is what `kappa deploy apply` prints, as far as it is used.
type applied struct {
	Jobs []struct {
		Job      string `json:"job"`
		Launched bool   `json:"launched"`
		Drained  *struct {
			Seconds float64 `json:"seconds"`
		} `json:"drained"`
	} `json:"jobs"`
}

func (r *rollout) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// run makes a whole rollout and reports it.
func run(ctx context.Context, cfg config) (*report, error) {
	dir, err := os.MkdirTemp("", "kappa-rollout-")
	if err != nil {
		return nil, exit.Environmentf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	if cfg.bin, err = filepath.Abs(cfg.bin); err != nil {
		return nil, exit.Environmentf("%w", err)
	}
	if cfg.logs == "" {
		cfg.logs = dir
	}
	if err := errors.Join(os.MkdirAll(cfg.logs, 0o755), os.WriteFile(filepath.Join(dir, specFile), specText, 0o644)); err != nil {
		return nil, exit.Environmentf("%w", err)
	}
	r := &rollout{config: cfg, dir: dir}
	sampled, stop := context.WithCancel(ctx)
	defer stop()
	mem := watchMemory(sampled)
	sb, err := r.sandbox(ctx)
	if err != nil {
		return nil, err
	}
	defer sb.Kill()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	defer r.pubsub.Close()
	defer r.bq.Close()
	version, err := r.kappa(ctx, "version")
	if err != nil {
		return nil, err
	}
	rep := &report{Rate: cfg.rate}
	rep.Kappa, _, _ = strings.Cut(string(version), "\n")
	if err := r.play(ctx, rep); err != nil {
		return nil, err
	}
	rep.Memory, rep.MemoryOf = mem.peaks()
	rep.OK = len(rep.Violations) == 0
	return rep, nil
}

// sandbox starts the platform, whose addresses this process's environment gets.
func (r *rollout) sandbox(ctx context.Context) (*sandboxchild.Process, error) {
	log, err := os.Create(filepath.Join(r.logs, "sandbox.log"))
	if err != nil {
		return nil, exit.Environmentf("%w", err)
	}
	if err := os.Setenv(sandboxchild.EnvOverride, filepath.Join(r.bin, sandboxchild.Program)); err != nil {
		return nil, err
	}
	sb, err := sandboxchild.Start(ctx, sandboxchild.Config{
		Args: []string{"--project", "kappa-rollout", "--job-logs", r.logs},
		Log:  func(line []byte) { fmt.Fprintf(log, "%s\n", line) },
	})
	if err != nil {
		return nil, err
	}
	for name, value := range sb.Environment {
		if err := os.Setenv(name, value); err != nil {
			sb.Kill()
			return nil, err
		}
	}
	return sb, nil
}

// connect makes what the spec expects, and the clients.
func (r *rollout) connect(ctx context.Context) error {
	set, err := jobspecs.Load([]string{filepath.Join(r.dir, specFile)}, jobspecs.Vars{})
	if err != nil {
		return err
	}
	if _, err := provision.Apply(ctx, set); err != nil {
		return err
	}
	r.job = set.StreamJobs[0]
	p, err := gcp.Open(r.job.Spec.Platform)
	if err != nil {
		return err
	}
	if r.pubsub, err = p.PubSub(ctx); err != nil {
		return err
	}
	r.bq, err = p.BigQuery(ctx)
	for i, name := range r.job.Spec.Sources.Names() {
		r.shards = append(r.shards, &shard{index: i, topic: "projects/" + r.job.Spec.Project + "/topics/" + name})
	}
	return err
}

// kappa runs the program under test and returns what it prints.
func (r *rollout) kappa(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "kappa"), args...)
	cmd.Dir = r.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	log, err := os.OpenFile(filepath.Join(r.logs, "kappa.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, exit.Environmentf("%w", err)
	}
	defer log.Close()
	cmd.Stderr = io.MultiWriter(&said, log)
	out, err := cmd.Output()
	if err != nil {
		return nil, exit.With(exit.Failed, fmt.Errorf("kappa %s: %w\n%s", strings.Join(args, " "), err, &said))
	}
	return out, nil
}

func (r *rollout) apply(ctx context.Context, flags ...string) (*applied, error) {
	out, err := r.kappa(ctx, append([]string{"deploy", "apply", "-f", specFile, "--yes", "--output", "json"}, flags...)...)
	if err != nil {
		return nil, err
	}
	var a applied
	if err := json.Unmarshal(out, &a); err != nil {
		return nil, fmt.Errorf("read what kappa deploy apply printed: %w", err)
	}
	return &a, nil
}

// play lets events flow, updates the jobs meanwhile, and counts.
func (r *rollout) play(ctx context.Context, rep *report) error {
	if _, err := r.apply(ctx); err != nil {
		return err
	}
	r.say("%d jobs run; %d events a second", len(r.shards), r.rate)
	stop := publishAll(ctx, r.pubsub, r.shards, r.rate)
	began, done, err := time.Now(), (*applied)(nil), wait(ctx, r.before)
	if err == nil {
		began = time.Now()
		done, err = r.apply(ctx, "--set", "HORIZON="+horizon)
	}
	ended := time.Now()
	if err == nil {
		rep.Seconds = ended.Sub(began).Seconds()
		r.say("updated in %.0f s", rep.Seconds)
		err = wait(ctx, r.after)
	}
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	if err := r.arrive(ctx, rep); err != nil {
		return err
	}
	if _, err := r.kappa(ctx, append([]string{"drain", "-f", specFile, "--set", "HORIZON=" + horizon, "--parallel", "4"}, r.job.JobNames()...)...); err != nil {
		return err
	}
	return r.judge(ctx, rep, done, began, ended)
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// arrive waits until every message is in the raw table.
func (r *rollout) arrive(ctx context.Context, rep *report) error {
	for _, s := range r.shards {
		rep.Events += s.events.Load()
		rep.Messages += s.events.Load() + s.again.Load()
	}
	last, since := int64(-1), time.Now()
	for {
		n, err := arrived(ctx, r.bq)
		if err != nil {
			return err
		}
		if n >= rep.Messages {
			r.say("all of %d messages have arrived", n)
			return nil
		}
		if n > last {
			last, since = n, time.Now()
		}
		if time.Since(since) > arriveWithin {
			return exit.With(exit.Failed, fmt.Errorf("%d of %d messages have arrived, and none for %s", n, rep.Messages, arriveWithin))
		}
		if err := wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// judge fills in the report.
func (r *rollout) judge(ctx context.Context, rep *report, done *applied, began, ended time.Time) error {
	tallies, err := count(ctx, r.bq, r.shards)
	if err != nil {
		return err
	}
	gaps, err := pauses(ctx, r.bq, began, ended)
	if err != nil {
		return err
	}
	byName := map[string]int{}
	for i, name := range r.job.JobNames() {
		byName[name] = i
		s, t := r.shards[i], tallies[i]
		rep.Shards = append(rep.Shards, shardReport{
			Job: name, Events: s.events.Load(), Twice: s.again.Load(), Counted: t.counted, Lost: t.lost, Double: t.double, Pause: gaps[name].seconds,
		})
		rep.Lost, rep.Double = rep.Lost+t.lost, rep.Double+t.double
		for _, e := range t.examples {
			rep.Violations = append(rep.Violations, name+": "+e)
		}
		if s.again.Load() == 0 {
			rep.Violations = append(rep.Violations, name+": nothing was sent twice, so nothing was shown")
		}
	}
	for _, j := range done.Jobs {
		if i, ok := byName[j.Job]; ok && j.Launched && j.Drained != nil {
			rep.Shards[i].Drain = j.Drained.Seconds
			delete(byName, j.Job)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		rep.Violations = append(rep.Violations, name+" was not replaced")
	}
	return nil
}
