// Package locate is `kappa bridge locate`: it parses, calls package
// bridge/locate, and prints its result.
package locate

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge/locate"
	"github.com/kappa-migrate/kappa/bridge/transform"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/trial"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	var specs *specflags.Flags
	var show, value bool
	cmd := &cobra.Command{
		Use:   "locate UUID -f SPEC",
		Short: "Find the Kafka record that an event id was made from",
		Long: `Read the position back from an event id that was made from one (a UUIDv8: the
attribute kappa-id, or column event_id of the raw table), find its topic in the
clusters that the bridge reads, and print cluster, topic, partition, offset and
which event of the record it is. --show prints the record too: timestamp, key, size
and headers; --value also its value, with the spec's sensitive fields hashed.

The id holds a hash of the topic's id, not its name: a topic that was deleted and
created again is another one.`,
		Example: `  kappa bridge locate 8c1f6d0a-2b3c-8000-8000-0000000004d2 -f specs/bridge.yaml
  kappa bridge locate 8c1f6d0a-2b3c-8000-8000-0000000004d2 -f specs/ --name flights --show --value`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd.Context(), a, specs, args[0], show || value, value)
		},
	}
	specs = specflags.Add(cmd)
	cmd.Flags().BoolVar(&show, "show", false, "print the record: timestamp, key, size of the value, headers")
	cmd.Flags().BoolVar(&value, "value", false, "print the record with its value")
	return cmd
}

func run(ctx context.Context, a *app.App, specs *specflags.Flags, text string, show, value bool) error {
	id, err := locate.Parse(text, trial.IDs{})
	if err != nil {
		return err
	}
	spec, _, err := specs.Bridge()
	if err != nil {
		return err
	}
	sources, done, err := trial.Open(ctx, &spec.Spec, "kappa-bridge-locate")
	defer done()
	if err != nil {
		return err
	}
	clusters := make([]locate.Cluster, len(sources))
	for i, s := range sources {
		clusters[i] = locate.Cluster{Name: s.Name, Spec: s.Spec.KafkaCluster, Client: s.Client}
	}
	res, err := locate.Find(ctx, id, clusters, trial.IDs{})
	if err != nil {
		return err
	}
	if show {
		how, err := shown(ctx, a, &spec.Spec, value)
		if err != nil {
			return err
		}
		how.Uncommitted = trial.Uncommitted(spec.Spec.Sources[res.Source])
		if err := res.Show(ctx, how); err != nil {
			return err
		}
	}
	if a.JSON() {
		return a.PrintJSON(res)
	}
	return res.WriteText(a.Out)
}

// shown says how a record is shown. Values are decoded as the spec says,
// without filter and changes.
func shown(ctx context.Context, a *app.App, spec *jobspecs.BridgeSpec, value bool) (locate.Show, error) {
	how := locate.Show{Value: value}
	for _, s := range spec.Sensitive {
		names, err := locate.SplitPath(s)
		if err != nil {
			return how, exit.Usagef("spec.sensitive: %q: %w", s, err)
		}
		how.Sensitive = append(how.Sensitive, names)
	}
	if !value || spec.Transform.Decode == "none" || spec.Transform.Decode == "" {
		return how, nil
	}
	log := a.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	program, err := transform.New(jobspecs.Transform{Decode: spec.Transform.Decode, Schema: spec.Transform.Schema, Encode: "json"},
		transform.Options{Log: log, Secret: kafka.Secret})
	if err != nil {
		return how, err
	}
	machine := program.NewMachine()
	how.Decode = func(b []byte) ([]byte, error) {
		if spec.Transform.Decode == "json" {
			return b, nil // as it was written
		}
		if _, err := machine.Apply(ctx, b); err != nil {
			return nil, err
		}
		return machine.AppendData(nil, 0)
	}
	return how, nil
}
