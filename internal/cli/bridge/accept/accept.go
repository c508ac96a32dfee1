// Package accept is `kappa bridge accept`: it shows what is gone of a partition
// and records that somebody accepts it.
package accept

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

type options struct {
	specs             *specflags.Flags
	source, partition string
	by, reason        string
	at                int64
	yes               bool
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "accept -f SPEC --partition TOPIC/N --by NAME --reason TEXT",
		Short: "Accept that offsets of a partition are gone, so that the bridge goes on",
		Long: `A bridge stops a partition where offsets are gone: removed by retention before they
were read, lost by the cluster, or of a topic that was created again. This command
looks up what is gone, shows it, asks, and records who accepts it and why, as the
metadata of an offset in the consumer group GROUP.kappa-accepted, which needs the
permission to commit to that group.

The bridge goes on by itself within seconds, or at its next start. It passes over
nothing but what was shown here: if more is gone by then, it stops again. Brokers
forget what was accepted and never used after offsets.retention.minutes (a week).

After a log was cut back, new records take the offsets of old ones. Where ids are
made from positions they would get the old ones' ids, and deduplication would drop
them: reading goes on at the offset up to which records had been read, once the log
has reached it. Elsewhere, and with --at, it goes on where the log was cut.

With --at and nothing gone, records that are there are skipped, if the bridge has
stopped the partition at that very offset (a batch beyond its memory, say).`,
		Example: `  kappa bridge accept -f specs/bridge.yaml --partition flights/3 --by ada --reason outage-of-may-2
  kappa bridge accept -f specs/bridge.yaml --source onprem --partition flights/3 --at 1200 --by ada --reason test --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("at") && o.at < 0 {
				return exit.Usagef("--at %d is not an offset", o.at)
			}
			return run(cmd.Context(), a, &o)
		},
	}
	o.specs = specflags.Add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.source, "source", "", "`name` of the source, where the spec has several")
	f.StringVar(&o.partition, "partition", "", "the partition, `TOPIC/N`")
	f.StringVar(&o.by, "by", "", "`name` of who accepts it")
	f.StringVar(&o.reason, "reason", "", "why, as `text`")
	f.Int64Var(&o.at, "at", -1, "`offset` at which to go on (default: the first one that is left)")
	f.BoolVar(&o.yes, "yes", false, "record it without asking; needed where there is no terminal to ask on")
	return cmd
}

// result is what is printed.
type result struct {
	Source string `json:"source"`
	Group  string `json:"group"`
	*bridge.Gap
	Result string `json:"result"` // accepted, or accepted before
}

func run(ctx context.Context, a *app.App, o *options) error {
	topic, number, err := parsePartition(o.partition)
	if err != nil {
		return err
	}
	if strings.TrimSpace(o.by) == "" || strings.TrimSpace(o.reason) == "" {
		return exit.Usagef("who accepts the gap, and why, must be said").WithHint("give --by NAME and --reason TEXT")
	}
	spec, _, err := o.specs.Bridge()
	if err != nil {
		return err
	}
	name, source, err := pick(&spec.Spec, o.source)
	if err != nil {
		return err
	}
	admin, err := kafka.NewAdmin(ctx, source.KafkaCluster, "kappa-bridge-accept")
	if err != nil {
		return err
	}
	defer admin.Close()
	g, err := bridge.FindGap(ctx, admin, source, spec.Spec.IDs, topic, number, o.at)
	if err != nil {
		return err
	}
	res := result{name, source.Group, g, "accepted"}
	switch {
	case g.Covered():
		res.Result = "accepted before"
		return res.print(a)
	case g.Empty():
		return exit.Usagef("%s/%d: %s", topic, number, g.What).
			WithHint("if the bridge has stopped it for another reason, mend that, or name with --at the offset to go on at; what is in flight must be committed first")
	}
	if err := ask(ctx, a, o.yes, &res); err != nil {
		return err
	}
	if g.Accepted, err = g.Accept(ctx, admin, o.by, o.reason); err != nil {
		return err
	}
	return res.print(a)
}

func parsePartition(text string) (topic string, number int32, err error) {
	at := strings.LastIndexByte(text, '/')
	if at > 0 {
		if n, err := strconv.ParseInt(text[at+1:], 10, 32); err == nil && n >= 0 {
			return text[:at], int32(n), nil
		}
	}
	return "", 0, exit.Usagef("--partition %q is not TOPIC/N", text).WithHint("name the partition as /readyz does, for example flights/3")
}

// pick returns the source that is meant.
func pick(spec *jobspecs.BridgeSpec, name string) (string, jobspecs.KafkaSource, error) {
	names := spec.SourceNames()
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	if s, ok := spec.Sources[name]; ok {
		return name, s, nil
	}
	e := exit.Usagef("the spec has the sources %s", strings.Join(names, ", ")).WithHint("name one of them with --source")
	if s := suggest.Closest(name, names); name != "" && s != "" {
		e = exit.Usagef("the spec has no source %q", name).WithHint("did you mean %q?", s)
	}
	return "", jobspecs.KafkaSource{}, e
}

// ask shows what is gone and asks. Programs have to say --yes.
func ask(ctx context.Context, a *app.App, yes bool, r *result) error {
	fmt.Fprint(a.Err, r.text())
	if yes {
		return nil
	}
	if !a.Interactive() {
		return exit.Usagef("there is no terminal to ask on; nothing was recorded").WithHint("look at what is gone above, then accept it with --yes")
	}
	accepted, err := a.Confirm(ctx, "Accept?")
	if err == nil && !accepted {
		err = exit.With(exit.Failed, errors.New("not accepted; nothing was recorded"))
	}
	return err
}

// text says what is gone.
func (r *result) text() string {
	lost := "nobody knows how many records are lost"
	if r.Lost >= 0 {
		lost = fmt.Sprintf("%d offsets are passed over", r.Lost)
	}
	return fmt.Sprintf("%s %s/%d: %s\nreading goes on at offset %d of a log that goes from %d to %d; %s\n",
		r.Source, r.Topic, r.Partition, r.What, r.To, r.Start, r.End-1, lost)
}

func (r *result) print(a *app.App) error {
	if a.JSON() {
		return a.PrintJSON(r)
	}
	c := r.Accepted
	state := "the bridge goes on by itself, within seconds or at its next start"
	if c.Applied != nil {
		state = "the bridge went on at " + c.Applied.Format("2006-01-02T15:04:05Z")
	}
	_, err := fmt.Fprintf(a.Out, "%s by %s at %s (%s): %s/%d goes on at offset %d; %s\n", r.Result, c.By, c.Time.Format("2006-01-02T15:04:05Z"), c.Reason, r.Topic, r.Partition, c.To, state)
	return err
}
