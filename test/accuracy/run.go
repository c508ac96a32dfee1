package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	example "github.com/kappa-migrate/kappa/examples/flights"
	"github.com/kappa-migrate/kappa/internal/demo/flights"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

// config says how to run.
type config struct {
	bin   string
	input string // file of flights; empty: the week that is built in
	seed  uint64
	keys  int // about how many keys; 0: all
	out   io.Writer
}

// run injects, compares and grades.
func run(ctx context.Context, cfg config) (*report, error) {
	started := time.Now()
	fs, err := read(cfg.input)
	if err != nil {
		return nil, err
	}
	chance := rand.New(rand.NewPCG(cfg.seed, 1))
	fs = sample(fs, cfg.keys, chance)
	k, days := inject(fs, cfg.seed)
	all := rows{}
	for _, at := range k.keys {
		all.of(at, k.entries[at], chance)
	}
	all.control(days)
	fmt.Fprintf(cfg.out, "seed %d: %d flights, %d keys, %d raw rows after %s\n", cfg.seed, len(fs), len(k.keys), len(all[rawTable]), time.Since(started).Round(time.Second))
	if err := os.Setenv(sandboxchild.EnvOverride, filepath.Join(cfg.bin, sandboxchild.Program)); err != nil {
		return nil, err
	}
	sandbox, err := sandboxchild.Start(ctx, sandboxchild.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = sandbox.Stop(sandboxchild.StopGrace) }()
	client, err := bigquery.NewClient(ctx, project, option.WithEndpoint("http://"+sandbox.Environment[gcp.EnvBigQuery]+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err := all.write(ctx, client); err != nil {
		return nil, err
	}
	fmt.Fprintf(cfg.out, "tables written after %s\n", time.Since(started).Round(time.Second))
	r := &report{Seed: cfg.seed, Flights: len(fs), Keys: len(k.keys), DrawnAgain: k.untold, Date: started.UTC().Format(time.DateOnly), OK: 100*k.untold <= len(k.keys)}
	for _, c := range comparisons {
		began := time.Now()
		found, err := compare(ctx, cfg, sandbox, c.metrics)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(cfg.out, "compared by %s in %s\n", c.name, time.Since(began).Round(time.Second))
		g := grade(c.name, c.metrics, k, found)
		r.Comparisons = append(r.Comparisons, g)
		r.OK = r.OK && g.OK
	}
	r.Seconds = time.Since(started).Seconds()
	return r, nil
}

func read(input string) ([]flights.Flight, error) {
	if input == "" {
		return flights.ReadBytes(example.WeekName, example.Week)
	}
	return flights.ReadFile(input)
}

// attribution is what kappa says of a key.
type attribution struct{ cause, status string }

// compare runs the real program, and returns what it says of every differing key.
func compare(ctx context.Context, cfg config, sandbox *sandboxchild.Process, m metrics) (map[key]attribution, error) {
	dir, err := os.MkdirTemp("", "kappa-accuracy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "compare.yaml")
	if err := os.WriteFile(file, []byte(spec(m)), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(cfg.bin, "kappa"), "compare", "run", "-f", file, "--output", "json",
		"--state", filepath.Join(dir, "state")) // what another run has found of other keys is not to be taken
	cmd.Env = append(os.Environ(), sandbox.Variables()...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != int(exit.GateNotMet) { // most keys differ: HOLD is right
		return nil, fmt.Errorf("kappa compare run: %w\n%s", err, errs.String())
	}
	var res struct {
		Keys struct {
			Total int `json:"total"`
			Exact int `json:"exact"`
		} `json:"keys"`
		Samples []struct {
			Window time.Time `json:"window_start"`
			Key    []struct {
				Value *string `json:"value"`
			} `json:"key"`
			Cause  string `json:"cause"`
			Status string `json:"status"`
		} `json:"samples"`
	}
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		return nil, fmt.Errorf("read kappa's result: %w", err)
	}
	found := map[key]attribution{}
	for _, s := range res.Samples {
		origin := null
		if s.Key[0].Value != nil {
			origin = *s.Key[0].Value
		}
		found[key{origin, s.Window.UTC()}] = attribution{s.Cause, s.Status}
	}
	if n := res.Keys.Total - res.Keys.Exact; n != len(found) {
		return nil, fmt.Errorf("kappa counts %d differing keys and shows %d", n, len(found))
	}
	return found, nil
}
