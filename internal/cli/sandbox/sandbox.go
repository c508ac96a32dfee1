// Package sandbox is `kappa sandbox`: the platform on this machine.
package sandbox

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/provision"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// services have a port each.
var services = []string{"kafka", "pubsub", "bigtable", "bigquery", "transfer", "dataflow", "storage"}

type options struct {
	project    string
	partitions int
	jobLogs    string
	script     string // of the Dataflow service
	ports      map[string]*int
	specs      []string // files and folders whose resources are made
	sets       []string
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	o := options{ports: map[string]*int{}}
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run the whole platform on this machine",
		Long: `Run Kafka, Pub/Sub, Bigtable, BigQuery with its Data Transfer API, Dataflow and
Cloud Storage in one process on loopback, until Ctrl-C. Everything is kept in memory: the sandbox
starts empty and leaves nothing behind.

The official clients find the services by the environment variables that are
printed once all are up. Specs use them with "environment: sandbox".

With --specs the sandbox has what those specs expect to find, and no command
makes: the Kafka topics, the Pub/Sub topics with a subscription each, the
buckets and the template. Tables are made by kappa deploy apply.

With --dataflow-script the Dataflow service does by rules what the real one does
now and then: it answers late or not at all, refuses, forgets jobs, lets drains
hang. docs/sandbox-dataflow.md has the rules.`,
		Example: `  kappa sandbox
  kappa sandbox --specs specs/
  kappa sandbox --dataflow-script stuck-drain.yaml
  kappa sandbox --output env > sandbox.env   # then, elsewhere: . ./sandbox.env
  kappa sandbox --output json --pubsub-port 8085`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"output-formats": "text,json,env"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			args, err := o.args(cmd)
			if err != nil {
				return err
			}
			vars, err := specflags.Vars(o.sets)
			if err != nil {
				return err
			}
			if len(o.sets) > 0 && len(o.specs) == 0 {
				return exit.Usagef("--set gives variables to specs, and there is no --specs").WithHint("name the specs with --specs, or leave --set out")
			}
			return run(cmd.Context(), a, args, o.specs, vars)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.project, "project", "kappa-demo", "Google Cloud `project` that clients are told to use")
	flags.IntVar(&o.partitions, "kafka-partitions", 6, "`number` of partitions of topics created without one")
	flags.StringVar(&o.jobLogs, "job-logs", "", "`folder` for the logs of Dataflow jobs")
	flags.StringVar(&o.script, "dataflow-script", "", "`file` of rules by which the Dataflow service answers otherwise than it would")
	_ = cmd.MarkFlagFilename("dataflow-script", "yaml", "yml")
	flags.StringArrayVar(&o.specs, "specs", nil, "`path` of a spec file, or of a folder of them, whose resources are made; may be repeated")
	_ = cmd.MarkFlagFilename("specs", "yaml", "yml")
	specflags.AddSet(cmd, &o.sets)
	for _, s := range services {
		o.ports[s] = flags.Int(s+"-port", 0, "`port` of the service; 0: a free one")
	}
	return cmd
}

// args are the arguments of kappa-sandbox.
func (o *options) args(cmd *cobra.Command) ([]string, error) {
	if o.partitions < 1 {
		return nil, exit.Usagef("--kafka-partitions %d is less than 1", o.partitions)
	}
	args := []string{"--project", o.project, "--kafka-partitions", strconv.Itoa(o.partitions)}
	if o.jobLogs != "" {
		args = append(args, "--job-logs", o.jobLogs)
	}
	if o.script != "" {
		args = append(args, "--dataflow-script", o.script)
	}
	for _, s := range services {
		port := *o.ports[s]
		if port < 0 || port > 65535 {
			return nil, exit.Usagef("--%s-port %d is not between 0 and 65535", s, port)
		}
		if port > 0 {
			args = append(args, "--"+s+"-port", strconv.Itoa(port))
		}
	}
	for _, name := range []string{"log-level", "log-format"} {
		if f := cmd.Root().PersistentFlags().Lookup(name); f != nil {
			args = append(args, "--"+name, f.Value.String())
		}
	}
	return args, nil
}

func run(ctx context.Context, a *app.App, args, specs []string, vars jobspecs.Vars) error {
	p, err := sandboxchild.Start(ctx, sandboxchild.Config{
		Args: args,
		Log:  func(line []byte) { fmt.Fprintf(a.Err, "%s\n", line) },
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it started
		}
		return err
	}
	if err := provisioned(ctx, a, p.Endpoints, specs, vars); err != nil {
		p.Kill()
		return err
	}
	if err := p.Print(a.Out, a.Output); err != nil {
		p.Kill()
		return err
	}
	if a.Output == sandboxchild.FormatText {
		fmt.Fprintln(a.Err, "Ctrl-C stops it.")
	}
	select {
	case <-ctx.Done():
		if err := p.Stop(sandboxchild.StopGrace); err != nil {
			return fmt.Errorf("stop %s: %w", sandboxchild.Program, err)
		}
		return nil
	case <-p.Done():
		return exit.With(exit.Failed, fmt.Errorf("%s ended by itself with code %d", sandboxchild.Program, p.ExitCode()))
	}
}

// provisioned makes what the specs expect to find. Their variables, and this
// process, get the sandbox's addresses first.
func provisioned(ctx context.Context, a *app.App, e sandboxchild.Endpoints, specs []string, vars jobspecs.Vars) error {
	if len(specs) == 0 {
		return nil
	}
	for name, value := range e.Environment {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	set, err := jobspecs.Load(specs, vars)
	if err != nil {
		return err
	}
	made, err := provision.Apply(ctx, set)
	for _, what := range made {
		fmt.Fprintf(a.Err, "made %s\n", what)
	}
	return err
}
