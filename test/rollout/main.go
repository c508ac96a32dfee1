package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/test/program"
)

func main() { program.Main("rollout", command) }

// config says how to run.
type config struct {
	bin    string
	rate   int
	before time.Duration
	after  time.Duration
	logs   string
	out    io.Writer
}

func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("rollout", flag.ContinueOnError)
	cfg := config{out: out}
	flags.StringVar(&cfg.bin, "bin", "bin", "`folder` of the programs under test")
	flags.IntVar(&cfg.rate, "rate", 2400, "events per second, over all shards")
	flags.DurationVar(&cfg.before, "before", 20*time.Second, "how long events flow before the update")
	flags.DurationVar(&cfg.after, "after", 15*time.Second, "how long events flow after it")
	flags.StringVar(&cfg.logs, "logs", "", "`folder` for what the programs log")
	path := flags.String("out", "out/soak/rollout.json", "`file` of the report")
	if err := program.Parse(flags, args, out); err != nil {
		return err
	}
	if flags.NArg() > 0 || cfg.rate < batch || cfg.before < 0 || cfg.after < 0 {
		return exit.Usagef("no arguments are taken, --rate is at least %d, and --before and --after are not negative", batch)
	}
	r, err := run(ctx, cfg)
	if err != nil {
		return err
	}
	if err := r.write(*path); err != nil {
		return exit.Environmentf("write the report: %w", err)
	}
	r.print(out)
	fmt.Fprintln(out, "report:", *path)
	if !r.OK {
		return exit.With(exit.Failed, errors.New("events were lost or counted twice"))
	}
	return nil
}
