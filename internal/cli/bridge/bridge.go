// Package bridge is `kappa bridge`: Kafka records to Pub/Sub messages.
package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"cloud.google.com/go/pubsub/v2"
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/accept"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/catchup"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/check"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/locate"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/progress"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/redrive"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/verify"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/gcp"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bridge",
		Short: "Republish Kafka topics to Pub/Sub, check that it can be done, and prove that it was",
	}
	cmd.AddCommand(newRun(a), check.New(a), catchup.New(a), verify.New(a), locate.New(a), accept.New(a), redrive.New(a))
	return cmd
}

type runOptions struct {
	specs          *specflags.Flags
	instanceID     string
	instanceGiven  bool
	exitWithParent bool
}

func newRun(a *app.App) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run -f SPEC",
		Short: "Run a bridge until it is stopped",
		Long: `Run a bridge: read the Kafka topics of a Bridge as a member of its consumer group
and publish their events to its Pub/Sub topics, at least once, whatever happens to
this process. It runs until SIGINT or SIGTERM; then it stops reading, waits up to
limits.drain for what is in flight, commits, and leaves the group.

Before it reads anything it checks that the topics exist, and that each Pub/Sub
topic has a subscription or retention: what is published to a topic that has
neither is lost.

The address of /metrics, /livez and /readyz is printed once at the start. The
bridge is not ready while a topic or a permission is missing, or while a
partition is stopped because offsets are gone; /readyz says which.`,
		Example: `  kappa bridge run -f specs/bridge.yaml
  kappa bridge run -f specs/ --name flights --set KAFKA_BROKERS=kafka-1:9092
  kappa bridge run -f specs/bridge.yaml --instance-id flights-a`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.instanceGiven = cmd.Flags().Changed("instance-id")
			return run(cmd.Context(), a, &o)
		},
	}
	o.specs = specflags.Add(cmd)
	cmd.Flags().StringVar(&o.instanceID, "instance-id", "",
		"`id` of this bridge in the consumer group: started again under it, even after a kill, it gets its partitions back at once; no two running bridges of a group may share one; empty for none (default: host name and name of the bridge)")
	cmd.Flags().BoolVar(&o.exitWithParent, "exit-with-parent", false, "stop when stdin reaches its end")
	_ = cmd.Flags().MarkHidden("exit-with-parent")
	return cmd
}

func run(ctx context.Context, a *app.App, o *runOptions) error {
	spec, _, err := o.specs.Bridge()
	if err != nil {
		return err
	}
	if o.exitWithParent {
		ctx = child.WithParent(ctx)
		go child.EndWithoutParent(os.Getppid())
	}
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return err
	}
	var client *pubsub.Client
	if spec.Spec.UsesPubSub() {
		if client, err = platform.PubSub(ctx); err != nil {
			return err
		}
		defer client.Close()
	}
	limitMemory(int64(spec.Spec.Limits.Memory))

	show := progress.New(a)
	defer show.Stop()
	cfg := bridge.DefaultConfig()
	cfg.Spec, cfg.PubSub, cfg.Log = spec, client, show.Log
	cfg.Version = version.Read(a.Version).Version
	cfg.InstanceID = o.instanceID
	if !o.instanceGiven {
		host, err := os.Hostname()
		if err != nil {
			host = "localhost"
		}
		cfg.InstanceID = host + "-" + spec.Metadata.Name
	}
	b, err := bridge.New(cfg)
	if err != nil {
		return err
	}
	show.Start(newView(b.Status))
	var printed error
	err = b.Run(ctx, func(addr string) { printed = printAddress(a, "http://"+addr) })
	if err != nil {
		return err
	}
	return printed
}

// limitMemory keeps the process near its budget: the collector works more often
// as the heap comes near to a quarter above it, and less often below. Whoever
// sets GOMEMLIMIT or GOGC has the last word.
func limitMemory(budget int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(budget + budget/4 + 16<<20)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// printAddress prints where the bridge listens: one line, in JSON too, for
// programs that wait for it.
func printAddress(a *app.App, url string) error {
	if a.JSON() {
		return json.NewEncoder(a.Out).Encode(struct {
			Listen string `json:"listen"`
		}{url})
	}
	_, err := fmt.Fprintf(a.Out, "listening on %s\n", url)
	return err
}
