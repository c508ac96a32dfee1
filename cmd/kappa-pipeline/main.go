// Command kappa-pipeline is the Beam worker: it runs one job of a StreamJob as
// a stream, or as a batch over the archive of its messages. See package
// pipeline.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/pipeline"
)

func main() { os.Exit(run()) }

func run() int {
	// Stdout is the control protocol's alone: whatever a library prints goes
	// to stderr.
	stdout := os.Stdout
	os.Stdout = os.Stderr

	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return int(exit.OK)
	}
	if err == nil {
		err = start(o, stdout)
	}
	return report(err)
}

// report prints an error and returns its exit code.
func report(err error) int {
	if err == nil {
		return int(exit.OK)
	}
	fmt.Fprintf(os.Stderr, "error: %v\n", err)
	var e *exit.Error
	if errors.As(err, &e) && e.Hint != "" {
		fmt.Fprintf(os.Stderr, "  hint: %s\n", e.Hint)
	}
	return int(exit.Of(err))
}

// start runs what the options ask for.
func start(o options, stdout io.Writer) error {
	log, err := logger(o.logLevel)
	if err != nil {
		return err
	}
	// In a worker process that a runner has started, this runs the worker and
	// does not return.
	beam.Init()
	beamlog.SetLogger(&beamlog.Standard{Level: beamlog.SevWarn})
	slog.SetDefault(beamLogger(log))
	if err := o.validate(); err != nil {
		return err
	}
	tuneMemory()

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	plan, err := o.plan(ctx)
	if err != nil {
		return err
	}
	*jobopts.JobName = plan.Job
	cfg := pipeline.Config{Plan: plan, Runner: o.runner, Log: log}
	drain := make(chan struct{})
	if !plan.Batch.Given() {
		cfg.Drain = drain
	}
	if o.control == controlStdio {
		c := newControl(os.Stdin, stdout, drain)
		cfg.Report = c.report
		go func() { cancel(c.serve()) }()
	}
	go signals(o, log, drain, cancel)

	done := make(chan error, 1)
	go func() { done <- pipeline.Run(ctx, cfg) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		// Stop here and now: bundles that wait for a sink do not listen, and
		// nothing was acknowledged, so nothing is lost.
		return context.Cause(ctx)
	}
}

// signals stops the run on SIGINT and SIGTERM. A stream that is run by hand is
// drained on the first one; one that a service runs is drained by command, so
// a signal means to stop at once.
func signals(o options, log *slog.Logger, drain chan struct{}, cancel context.CancelCauseFunc) {
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	sig := <-ch
	if o.control == controlNone && !o.batch() && !pipeline.Dataflow(o.runner) {
		log.Info("draining", "signal", sig.String(), "hint", "send it again to stop at once; unacknowledged messages are then delivered again")
		close(drain)
		sig = <-ch
	}
	cancel(exit.With(exit.Interrupted, fmt.Errorf("stopped by %s; nothing was acknowledged", sig)))
}

// logger logs to stderr as text.
func logger(level string) (*slog.Logger, error) {
	l, ok := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}[level]
	if !ok {
		return nil, exit.Usagef("--log-level=%s: want debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}

// beamLogger is for Beam's parts, which log by the default logger: warnings
// and errors only, for Prism has much to say about itself, and cut short, for
// its errors hold whole plans and stacks. Why a job failed is said by main.
func beamLogger(log *slog.Logger) *slog.Logger {
	const most = 300
	level := slog.LevelWarn
	if log.Enabled(context.Background(), slog.LevelDebug) {
		return log
	}
	cut := func(s string) string {
		if len(s) > most {
			return strings.ToValidUTF8(s[:most], "") + "…"
		}
		return s
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindString || a.Value.Kind() == slog.KindAny {
			a.Value = slog.StringValue(cut(a.Value.String()))
		}
		return a
	}}))
}
