package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/test/program"
)

func main() { program.Main("soak", command) }

func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	cfg := config{out: out}
	flags.StringVar(&cfg.kappa, "kappa", "bin/kappa", "the `program` under test")
	flags.Uint64Var(&cfg.seed, "seed", 0, "`seed` of the schedule; 0 takes one from the clock")
	flags.DurationVar(&cfg.length, "duration", 150*time.Second, "how long things go wrong; finishing comes on top")
	flags.StringVar(&cfg.broker, "broker", "kfake", "kfake, in this process, or kafka, a real one")
	flags.IntVar(&cfg.rate, "rate", 800, "records per second")
	flags.IntVar(&cfg.payload, "payload", 600, "bytes of a record, about")
	flags.BoolVar(&cfg.verbose, "v", false, "show every event")
	flags.StringVar(&cfg.logs, "logs", "", "`folder` for what the bridges log")
	skip := flags.String("skip", "", "`kinds` of events to leave out, separated by commas; to find what a failure needs")
	path := flags.String("out", "out/soak/bridge.json", "`file` of the report")
	plan := flags.Bool("plan", false, "print the schedule and run nothing")
	if err := program.Parse(flags, args, out); err != nil {
		return err
	}
	if flags.NArg() > 0 || cfg.length <= 0 || cfg.rate < 20 || cfg.payload < 1 {
		return exit.Usagef("no arguments are taken, and --duration, --rate (at least 20) and --payload must be positive")
	}
	if cfg.seed == 0 {
		cfg.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	if *skip != "" {
		cfg.skip = strings.Split(*skip, ",")
	}
	events, left, err := cfg.schedule()
	if err != nil {
		return err
	}
	if *plan {
		for _, e := range events {
			fmt.Fprintln(out, e)
		}
		for _, l := range left {
			fmt.Fprintln(out, "left out:", l)
		}
		return nil
	}
	if cfg.logs != "" {
		if err := os.MkdirAll(cfg.logs, 0o755); err != nil {
			return exit.Environmentf("make the folder for logs: %w", err)
		}
	}
	version, err := exec.CommandContext(ctx, cfg.kappa, "version").Output()
	if err != nil {
		return exit.Environmentf("run %s: %w", cfg.kappa, err).WithHint("build it with `make build`, or name it with --kappa")
	}
	report, err := soak(ctx, cfg, events, left)
	if err != nil {
		return fmt.Errorf("seed %d: %w", cfg.seed, err)
	}
	report.Kappa, _, _ = strings.Cut(string(version), "\n")
	if err := report.write(*path); err != nil {
		return err
	}
	return verdict(report, *path, out)
}

// verdict prints what came of a run.
func verdict(r *report, path string, out io.Writer) error {
	d := r.Duplicates
	fmt.Fprintf(out, "\n%d records, %d messages, %d dead letters; missing %d, wrong %d\n", r.Records, r.Stored, r.DeadLetters, r.Missing,
		r.WrongID+r.WrongContent+r.TwoContents+r.Misplaced+r.Phantoms+r.Disordered)
	fmt.Fprintf(out, "%d kills exposed %d records, the largest %d (bound %d); published again: %d (killed %d, answer hidden %d, moved %d, paused %d, unexplained %d)\n",
		r.Exposure.Kills, r.Exposure.Exposed, r.Exposure.Largest, r.Exposure.Bound, d.Total, d.Killed, d.Hidden, d.Moved, d.Paused, d.Unexplained)
	fmt.Fprintf(out, "%d bridges, %d moves of partitions, %d commits checked, %d gaps reported and accepted, longest outage %.0f s, at most %d MiB resident\n", r.Bridges, r.Moves, r.Commits, len(r.Gaps), r.Longest, r.Resident>>20)
	for _, l := range r.Left {
		fmt.Fprintln(out, "left out:", l)
	}
	for _, v := range r.Violations {
		fmt.Fprintln(out, "VIOLATION:", v)
	}
	fmt.Fprintln(out, "report:", path)
	if !r.OK {
		return exit.With(exit.Failed, errViolated).WithHint("run it again with --seed %d -v", r.Seed)
	}
	return nil
}
