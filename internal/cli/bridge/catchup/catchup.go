// Package catchup is `kappa bridge catchup`: it parses, calls package
// bridge/catchup, and prints views of its result.
package catchup

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge/catchup"
	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/progress"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
)

type options struct {
	specs       *specflags.Flags
	from, to    []string
	splits      int
	splitsGiven bool
	parallel    int
	plan        bool
	rate        string
	observe     time.Duration
	discard     bool

	exitWithParent bool
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "catchup -f SPEC",
		Short: "Read a bounded range with more parallelism than there are partitions",
		Long: `Read a bounded range of records and publish it as the bridge would, with the same
ids. The range is cut into splits of equal bytes, wherever in the partitions the cuts
fall, so that a partition that holds most of the bytes is read by most of the
splits. By default the range goes from the committed offsets of the bridge's group
to what is there now; at the end the group goes on where the range ends, and the
bridge can be started again.

Stop the bridge first: what it reads meanwhile is published twice (with the same
ids), and nothing is handed over to a group that has members. Order is lost, so a
bridge with ordering.buckets is refused.

The plan and the position of each split are kept in Kafka, in groups named
GROUP.catchup-0 and so on. After Ctrl-C or a kill the same command goes on where
it was. Another range is refused until the plan is done or dropped (--discard).

--plan prints the splits and a forecast; nothing is written, and of the records only
small samples are read. Bytes are those of keys, values and headers, uncompressed,
and a few for each record. The forecast counts in what is produced meanwhile.

Where offsets of the range are gone from Kafka, what would have read them stops and
says how many, everything else is read, and the exit code is 3.`,
		Example: `  kappa bridge catchup -f specs/bridge.yaml --plan --rate 200MiB
  kappa bridge catchup -f specs/bridge.yaml --splits 32
  kappa bridge catchup -f specs/bridge.yaml --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z
  kappa bridge catchup -f specs/bridge.yaml --from flights/0=1000,flights/1=1200 --to flights/0=5000
  kappa bridge catchup -f specs/bridge.yaml --discard`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.splitsGiven = cmd.Flags().Changed("splits")
			return run(cmd.Context(), a, &o)
		},
	}
	o.specs = specflags.Add(cmd)
	f := cmd.Flags()
	cpus := runtime.GOMAXPROCS(0)
	f.StringArrayVar(&o.from, "from", nil, "where the range begins: committed, earliest, a time (RFC 3339), or `[SOURCE/]TOPIC/PARTITION=OFFSET`, several separated by commas; partitions without one begin at the committed offset (default: committed)")
	f.StringArrayVar(&o.to, "to", nil, "where the range ends, exclusive: end, a time, or `[SOURCE/]TOPIC/PARTITION=OFFSET`; partitions without one end at what is there now (default: end)")
	f.IntVar(&o.splits, "splits", 2*cpus, "`number` of splits to cut the range into; fixed once it is planned")
	f.IntVar(&o.parallel, "parallel", 2*cpus, "`number` of splits to read at a time")
	f.BoolVar(&o.plan, "plan", false, "print the splits and a forecast, and read nothing")
	f.StringVar(&o.rate, "rate", "", "`bytes` per second to forecast for, as 200MiB (default: several)")
	f.DurationVar(&o.observe, "observe", 5*time.Second, "how long to watch what is produced, for the forecast; 0: not at all")
	f.BoolVar(&o.discard, "discard", false, "drop the plan that is under way; the group's own offsets stay where they are")
	f.BoolVar(&o.exitWithParent, "exit-with-parent", false, "stop when stdin reaches its end")
	_ = f.MarkHidden("exit-with-parent")
	cmd.MarkFlagsMutuallyExclusive("plan", "discard")
	return cmd
}

func run(ctx context.Context, a *app.App, o *options) error {
	req, rate, err := o.request()
	if err != nil {
		return err
	}
	spec, _, err := o.specs.Bridge()
	if err != nil {
		return err
	}
	if err := catchup.Refuse(&spec.Spec); err != nil {
		return err
	}
	if o.exitWithParent {
		ctx = child.WithParent(ctx)
	}
	cfg := catchup.DefaultConfig()
	cfg.Log = a.Log
	for _, name := range spec.Spec.SourceNames() {
		cfg.Sources = append(cfg.Sources, catchup.Source{Name: name, Spec: spec.Spec.Sources[name]})
	}
	c, err := catchup.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer c.Close()
	switch {
	case o.discard:
		return discard(ctx, a, c)
	case o.plan:
		return preview(ctx, a, c, req, rate, o.observe)
	}
	return read(ctx, a, o, spec, c, req)
}

// request reads the flags.
func (o *options) request() (catchup.Request, float64, error) {
	req := catchup.Request{Splits: o.splits, SplitsGiven: o.splitsGiven}
	var err error
	if req.From, err = catchup.ParseBound("from", o.from); err != nil {
		return req, 0, err
	}
	if req.To, err = catchup.ParseBound("to", o.to); err != nil {
		return req, 0, err
	}
	switch {
	case o.splits < 1:
		return req, 0, exit.Usagef("--splits %d: at least 1 is needed", o.splits)
	case o.parallel < 1:
		return req, 0, exit.Usagef("--parallel %d: at least 1 is needed", o.parallel)
	case o.observe < 0:
		return req, 0, exit.Usagef("--observe %s is negative", o.observe)
	case o.rate == "":
		return req, 0, nil
	}
	rate, err := jobspecs.ParseBytes(o.rate)
	if err != nil || rate < 1 {
		return req, 0, exit.Usagef("--rate %q is no number of bytes per second", o.rate).WithHint("write it as 200MiB")
	}
	return req, float64(rate), nil
}

func discard(ctx context.Context, a *app.App, c *catchup.Catchup) error {
	n, err := c.Discard(ctx)
	if err != nil {
		return err
	}
	if a.JSON() {
		return a.PrintJSON(struct {
			Discarded int `json:"discardedSplits"`
		}{n})
	}
	text := fmt.Sprintf("dropped a plan of %d splits; the group's own offsets are where they were", n)
	if n == 0 {
		text = "there was no plan"
	}
	_, err = fmt.Fprintln(a.Out, text)
	return err
}

func preview(ctx context.Context, a *app.App, c *catchup.Catchup, req catchup.Request, rate float64, observe time.Duration) error {
	p, found, err := c.Find(ctx, req)
	if err != nil {
		return err
	}
	var in *catchup.Inflow
	if observe > 0 {
		a.Log.Info("watching what is produced", "for", observe.String())
		measured, err := c.Inflow(ctx, p, observe)
		if err != nil {
			return err
		}
		in = &measured
	}
	v := catchup.NewPreview(p, found, rate, in)
	if a.JSON() {
		return a.PrintJSON(v)
	}
	return v.WriteText(a.Out)
}

func read(ctx context.Context, a *app.App, o *options, spec *jobspecs.Bridge, c *catchup.Catchup, req catchup.Request) error {
	var client *pubsub.Client
	if spec.Spec.UsesPubSub() {
		platform, err := gcp.Open(spec.Spec.Platform)
		if err != nil {
			return err
		}
		if client, err = platform.PubSub(ctx); err != nil {
			return err
		}
		defer client.Close()
	}
	began := time.Now()
	p, found, err := c.Find(ctx, req)
	if err != nil {
		return err
	}
	for _, warning := range p.Warnings {
		a.Log.Warn(warning)
	}
	show := progress.New(a)
	defer show.Stop()
	cfg := catchup.DefaultRunConfig()
	cfg.Bridge.Spec, cfg.Bridge.PubSub, cfg.Bridge.Log = spec, client, show.Log
	cfg.Bridge.Version = version.Read(a.Version).Version
	cfg.Parallel = o.parallel
	cfg.Listen = func(addr string) { show.Log.Info("listening", "url", "http://"+addr) }
	r, err := c.NewRunner(p, cfg)
	if err != nil {
		return err
	}
	result := catchup.Result{Plan: p.ID, Bytes: p.Bytes, Resumed: found}
	if len(p.Splits) > 0 {
		if !found {
			if err := c.Save(ctx, p); err != nil {
				return err
			}
		}
		if !p.Done() {
			v := &view{look: r.Progress}
			show.Start(v)
			if err := r.Run(ctx); err != nil {
				return err
			}
			v.whole = true
			show.End()
		}
		if result.HandedOver, err = c.HandOver(ctx, p); err != nil {
			return err
		}
	}
	s := r.Progress().Bridge
	result.Records, result.Published, result.Filtered, result.DeadLettered = s.Records, s.Published, s.Filtered, s.DeadLettered
	result.Seconds = time.Since(began).Seconds()
	if a.JSON() {
		return a.PrintJSON(result)
	}
	return result.WriteText(a.Out)
}
