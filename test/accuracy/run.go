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
	"slices"
	"strings"
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
	keys  int // most keys; 0: all
	out   io.Writer
}

// keyed are the worlds of all keys, and their fates.
type keyed struct {
	places []place
	worlds map[place]*world
	fates  map[place]fate
}

// run injects, compares and grades.
func run(ctx context.Context, cfg config) (*report, error) {
	started := time.Now()
	fs, err := read(cfg.input)
	if err != nil {
		return nil, err
	}
	k, all := inject(fs, cfg)
	fmt.Fprintf(cfg.out, "seed %d: %d flights, %d keys, %d raw rows\n", cfg.seed, len(fs), len(k.places), len(all[rawTable]))
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
	r := &report{Seed: cfg.seed, Flights: len(fs), Keys: len(k.places), Date: started.UTC().Format(time.DateOnly), OK: true}
	for _, c := range []struct {
		name string
		m    metrics
	}{{"count and two sums", metrics{sums: true}}, {"count alone", metrics{}}} {
		found, err := compare(ctx, cfg, sandbox, c.m)
		if err != nil {
			return nil, err
		}
		g := grade(c.name, c.m, k, found)
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

// inject gives every key a fate, and writes down what came of it.
func inject(fs []flights.Flight, cfg config) (*keyed, rows) {
	of, ids := map[place][]flights.Flight{}, map[place][]string{}
	k := &keyed{worlds: map[place]*world{}, fates: map[place]fate{}}
	for i, f := range fs {
		p := place{f.Origin, f.ScheduledAt().Truncate(window)}
		if of[p] == nil {
			k.places = append(k.places, p)
		}
		of[p], ids[p] = append(of[p], f), append(ids[p], fmt.Sprintf("e%d", i))
	}
	slices.SortFunc(k.places, func(a, b place) int {
		if c := a.start.Compare(b.start); c != 0 {
			return c
		}
		return strings.Compare(a.origin, b.origin)
	})
	if cfg.keys > 0 && cfg.keys < len(k.places) {
		k.places = k.places[:cfg.keys]
	}
	in := &injector{rand: rand.New(rand.NewPCG(cfg.seed, 0))}
	all := rows{}
	for _, p := range k.places {
		for {
			f := draw(in.rand)
			if w, ok := in.make(p, ids[p], of[p], f); ok {
				k.worlds[p], k.fates[p] = w, f
				break
			}
		}
		all.of(p, k.worlds[p], in.rand)
	}
	first, last := k.places[0].start, k.places[len(k.places)-1].start
	all.control(first, last.Add(window))
	return k, all
}

// attribution is what kappa says of a key.
type attribution struct{ cause, status string }

// compare runs the real program, and returns what it says of every differing key.
func compare(ctx context.Context, cfg config, sandbox *sandboxchild.Process, m metrics) (map[place]attribution, error) {
	dir, err := os.MkdirTemp("", "kappa-accuracy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "compare.yaml")
	if err := os.WriteFile(file, []byte(spec(m)), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(cfg.bin, "kappa"), "compare", "run", "-f", file, "--output", "json")
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
	found := map[place]attribution{}
	for _, s := range res.Samples {
		found[place{*s.Key[0].Value, s.Window.UTC()}] = attribution{s.Cause, s.Status}
	}
	if n := res.Keys.Total - res.Keys.Exact; n != len(found) {
		return nil, fmt.Errorf("kappa counts %d differing keys and shows %d", n, len(found))
	}
	return found, nil
}
