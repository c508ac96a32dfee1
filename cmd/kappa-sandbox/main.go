// Command kappa-sandbox is the whole platform in one process on loopback. It
// prints where its services are once all are up, and runs until it is told to
// stop. `kappa sandbox` and `kappa demo` run it as a child.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
)

const (
	// memoryLimit is where the garbage collector starts to work hard, unless
	// GOMEMLIMIT says otherwise.
	memoryLimit = 2 << 30
	// stopLimit is when a stop that hangs is given up: whoever started the
	// sandbox must get its ports back.
	stopLimit = 15 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// With the handler gone, a second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	// If the parent is gone, so is the reader of our log: that must not end
	// the process before its services are closed.
	signal.Ignore(syscall.SIGPIPE)

	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %s\n", err)
		var e *exit.Error
		if errors.As(err, &e) && e.Hint != "" {
			fmt.Fprintf(os.Stderr, "  hint: %s\n", e.Hint)
		}
		os.Exit(int(exit.Of(err)))
	}
}

// options are the flags.
type options struct {
	output   string
	child    bool
	script   string
	logLevel slog.Level
	logJSON  bool
	sandbox  sandbox.Config
}

// parse reads the flags.
func parse(args []string, usage io.Writer) (options, error) {
	var o options
	var logFormat string
	fs := pflag.NewFlagSet(sandboxchild.Program, pflag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintf(usage, "Usage: %s [flags]\n\nRuns the whole platform on loopback until it is told to stop.\n\nFlags:\n%s", sandboxchild.Program, fs.FlagUsages())
	}
	fs.StringVar(&o.output, "output", sandboxchild.FormatText, "`format` of the endpoints: text, json or env")
	fs.BoolVar(&o.child, "child", false, "stop when stdin is closed: when the parent is gone")
	fs.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "least `level` of log lines: debug, info, warn or error")
	fs.StringVar(&logFormat, "log-format", "text", "`format` of log lines: text or json")
	c := &o.sandbox
	fs.StringVar(&c.Project, "project", sandbox.DefaultProject, "Google Cloud `project` that clients are told to use")
	fs.IntVar(&c.KafkaPartitions, "kafka-partitions", sandbox.DefaultPartitions, "`number` of partitions of topics created without one")
	fs.StringSliceVar(&c.Services, "services", nil, "`names` of the services to start: "+strings.Join(sandbox.ServiceNames, ", ")+"; without it all")
	fs.StringVar(&c.BigQueryMemory, "bigquery-memory", "", "`size` of the memory for BigQuery's tables and queries, such as 2GiB; what does not fit goes to disk")
	fs.StringVar(&c.JobLogs, "job-logs", "", "`folder` for the logs of Dataflow jobs")
	fs.StringVar(&o.script, "dataflow-script", "", "`file` of rules by which the Dataflow service answers otherwise than it would")
	for _, p := range []struct {
		port *int
		name string
	}{
		{&c.Ports.Kafka, "kafka"}, {&c.Ports.PubSub, "pubsub"}, {&c.Ports.Bigtable, "bigtable"},
		{&c.Ports.BigQuery, "bigquery"}, {&c.Ports.Transfer, "transfer"}, {&c.Ports.Dataflow, "dataflow"}, {&c.Ports.Storage, "storage"},
	} {
		fs.IntVar(p.port, p.name+"-port", 0, "`port` of the service; 0: a free one")
	}
	if err := fs.Parse(args); err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			return o, exit.With(exit.Usage, err).WithHint("run `%s --help`", sandboxchild.Program)
		}
		return o, err
	}
	if fs.NArg() > 0 {
		return o, exit.Usagef("unexpected argument %q", fs.Arg(0))
	}
	switch o.output {
	case sandboxchild.FormatText, sandboxchild.FormatJSON, sandboxchild.FormatEnv:
	default:
		return o, exit.Usagef("--output %q is none of text, json, env", o.output)
	}
	switch logFormat {
	case "text":
	case "json":
		o.logJSON = true
	default:
		return o, exit.Usagef("--log-format %q is neither text nor json", logFormat)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	var handler slog.Handler = slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: o.logLevel})
	if o.logJSON {
		handler = slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: o.logLevel})
	}
	log := slog.New(handler)
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(memoryLimit)
	}
	if o.child {
		ctx = child.WithParent(ctx)
	}
	o.sandbox.Log = log
	if o.script != "" {
		if o.sandbox.DataflowScript, err = dataflow.LoadScript(o.script); err != nil {
			return exit.With(exit.Usage, err)
		}
	}
	if err := o.sandbox.Validate(); err != nil {
		return exit.With(exit.Usage, err)
	}
	if slices.Contains(o.sandbox.Services, "dataflow") {
		if o.sandbox.PipelineBinary, err = child.Sibling("kappa-pipeline", "KAPPA_PIPELINE_BIN"); err != nil {
			log.Warn("Dataflow jobs cannot be launched", "error", err)
		}
	}
	sb, err := sandbox.Start(ctx, o.sandbox)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it was up, and everything is closed again
		}
		return exit.With(exit.Environment, err)
	}
	printed := sandboxchild.Endpoints{Project: sb.Project(), Environment: sb.Environment()}.Print(stdout, o.output)
	if printed == nil {
		<-ctx.Done()
		log.Info("stopping", "cause", context.Cause(ctx).Error())
	}
	hung := time.AfterFunc(stopLimit, func() {
		log.Error("the services did not stop in time", "limit", stopLimit.String())
		os.Exit(int(exit.Failed))
	})
	sb.Close()
	hung.Stop()
	if printed != nil {
		return fmt.Errorf("print the endpoints: %w", printed)
	}
	return nil
}
