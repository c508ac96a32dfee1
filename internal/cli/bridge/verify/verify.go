// Package verify is `kappa bridge verify`: it parses, calls package
// bridge/verify, and prints views of its result.
package verify

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge/verify"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/trial"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const clientID = "kappa-bridge-verify"

type options struct {
	specs         *specflags.Flags
	from, to      string
	offsets       []string
	table         string
	subscriptions []string
	ack           bool
	letters       string
	quiet         time.Duration
	timeout       time.Duration
	missing       string
	samples       int
	memory        string
	maxBilled     string
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "verify -f SPEC",
		Short: "Compare what Kafka holds with what arrived",
		Long: `Compare the records of a range of positions with the events that arrived, and name
what is missing, what came more than once, and ids that are not their position's.
Each record is put through the bridge's own transform: what its filter drops, and
what can only be a dead letter, is counted by itself and not missing. Nor is what
Kafka no longer holds. With --dead-letters those are looked for as well, and an event
that the destination refused is found there instead of missing.

The range is all that the bridge's group has committed, from where the spec lets the
bridge begin; --from and --to bound it by the records' timestamps, --offsets by
offsets of single partitions. What arrived is read from the raw table that the
pipeline writes, the one of the StreamJob in the specs or --table; or from
subscriptions that exist for this alone, one for each topic of the bridge, made
before the messages were published and labelled ` + verify.Label + `=true. Messages are
acknowledged only with --ack; otherwise they are given back at the end. Reading ends
when every expected event was seen, or when nothing came for --quiet.

Several deliveries of an event are no failure: the bridge publishes at least once.
A run that was cut short is inconclusive, and that is no pass.

Exit codes: 0 for COMPLETE, 10 for INCOMPLETE (events are missing, or came under a
wrong id or with two contents), 13 for INCONCLUSIVE and NO DATA.`,
		Example: `  kappa bridge verify -f specs/
  kappa bridge verify -f specs/ --from 2026-01-31 --to 2026-02-01 --missing-file missing.txt
  kappa bridge verify -f specs/bridge.yaml --offsets flights/0:100-200 --table raw_data.events
  kappa bridge verify -f specs/bridge.yaml --subscription verify-0 --subscription verify-1 --quiet 2m`,
		Args: cobra.NoArgs,
	}
	o.specs = specflags.Add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "first record timestamp, `TIME` as 2006-01-02 or RFC 3339 (default: where the bridge began)")
	f.StringVar(&o.to, "to", "", "record timestamp at which to stop, `TIME`, exclusive (default: what the group has committed)")
	f.StringArrayVar(&o.offsets, "offsets", nil, "`[SOURCE/]TOPIC/PARTITION:FROM-TO` to verify alone, the last offset exclusive; may be repeated")
	f.StringVar(&o.table, "table", "", "raw table, `[PROJECT.]DATASET.TABLE` (default: that of the StreamJob in the specs)")
	f.StringArrayVar(&o.subscriptions, "subscription", nil, "`name` of a subscription to read instead of a table; one for each topic")
	f.StringVar(&o.letters, "dead-letters", "", "`where` dead letters are read, as the spec's kind of them: a subscription, a Kafka topic or a file (default: they are not looked for)")
	f.BoolVar(&o.ack, "ack", false, "acknowledge the messages that are read")
	f.DurationVar(&o.quiet, "quiet", 30*time.Second, "how long nothing may come before reading subscriptions ends")
	f.DurationVar(&o.timeout, "timeout", 0, "longest reading of subscriptions; 0: no bound")
	f.StringVar(&o.missing, "missing-file", "", "`file` to write the position of every missing event into, one a line")
	f.IntVar(&o.samples, "samples", 20, "most lines of each list in the text report")
	f.StringVar(&o.memory, "memory", "512MiB", "most memory `bytes` for the accounts of the range")
	f.StringVar(&o.maxBilled, "max-bytes-billed", "100GiB", "most `bytes` that the query of the raw table may be billed for; 0: no cap")
	_ = cmd.MarkFlagFilename("missing-file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), a, &o) }
	return cmd
}

func run(ctx context.Context, a *app.App, o *options) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	spec, set, err := o.specs.Bridge()
	if err != nil {
		return err
	}
	cfg.Bridge = spec.Metadata.Name
	arrived, closeArrived, err := o.arrived(ctx, a, spec, set)
	if err != nil {
		return err
	}
	defer closeArrived()
	cfg.Arrived = arrived
	letters, closeLetters, err := o.deadLetters(ctx, &spec.Spec)
	if err != nil {
		return err
	}
	defer closeLetters()
	cfg.Letters = letters
	maker, err := trial.NewMaker(spec, version.Read(a.Version).Version)
	if err != nil {
		return err
	}
	cfg.Expecter, cfg.IDs, cfg.Log = maker, trial.IDs{}, a.Log
	sources, done, err := trial.Open(ctx, &spec.Spec, clientID)
	defer done()
	if err != nil {
		return err
	}
	if cfg.Clusters, err = trial.Clusters(ctx, sources, clientID, o.from != "" || len(o.offsets) > 0); err != nil {
		return err
	}
	var file io.Closer
	if o.missing != "" {
		f, err := os.Create(o.missing)
		if err != nil {
			return exit.Environmentf("make the file of missing positions: %w", err)
		}
		defer f.Close()
		cfg.Missing, file = f, f
	}
	step, finish := progress(term.New(a.Err))
	cfg.Progress = step
	res, err := verify.Run(ctx, cfg)
	finish(err)
	if err != nil {
		return err
	}
	if file != nil {
		if err := file.Close(); err != nil {
			return exit.Environmentf("write the file of missing positions: %w", err)
		}
	}
	if a.JSON() {
		err = res.WriteJSON(a.Out)
	} else {
		err = res.WriteText(a.Out, o.samples)
	}
	if err != nil {
		return err
	}
	return verdict(res)
}

// config reads the flags that need nothing else.
func (o *options) config() (cfg verify.Config, err error) {
	if cfg.Range.From, err = specflags.Time("--from", o.from); err != nil {
		return cfg, err
	}
	if cfg.Range.To, err = specflags.Time("--to", o.to); err != nil {
		return cfg, err
	}
	for _, s := range o.offsets {
		r, err := verify.ParseOffsets(s)
		if err != nil {
			return cfg, err
		}
		cfg.Range.Offsets = append(cfg.Range.Offsets, r)
	}
	switch {
	case len(o.offsets) > 0 && (o.from != "" || o.to != ""):
		return cfg, exit.Usagef("--offsets and --from or --to bound the range twice").WithHint("give one of them")
	case o.table != "" && len(o.subscriptions) > 0:
		return cfg, exit.Usagef("--table and --subscription are both given").WithHint("choose where to read what arrived")
	case o.ack && len(o.subscriptions) == 0 && o.letters == "":
		return cfg, exit.Usagef("--ack acknowledges messages of subscriptions, but no --subscription is given")
	case o.quiet <= 0 || o.timeout < 0 || o.samples < 0:
		return cfg, exit.Usagef("--quiet must be positive, --timeout and --samples not negative")
	}
	if cfg.Memory, err = jobspecs.ParseBytes(o.memory); err != nil {
		return cfg, exit.Usagef("--memory %q: %w", o.memory, err)
	}
	return cfg, nil
}

// arrived opens where what arrived is read.
func (o *options) arrived(ctx context.Context, a *app.App, spec *jobspecs.Bridge, set *jobspecs.Set) (verify.Arrived, func(), error) {
	platform, err := gcp.Open(spec.Spec.Platform)
	if err != nil {
		return nil, nil, err
	}
	if len(o.subscriptions) > 0 {
		if spec.Spec.Destination.Kind == jobspecs.DestinationKafka {
			return nil, nil, exit.Usagef("the bridge publishes to Kafka, which has no subscriptions").WithHint("verify the last hop, or the raw table with --table")
		}
		client, err := platform.PubSub(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &verify.Subscriptions{Client: client, Project: spec.Spec.Project, Names: o.subscriptions, Topics: spec.Spec.Topics(),
			Ack: o.ack, Quiet: o.quiet, Timeout: o.timeout}, func() { client.Close() }, nil
	}
	t := &verify.RawTable{Project: spec.Spec.Project, Log: a.Log}
	if t.MaxBytesBilled, err = jobspecs.ParseBytes(o.maxBilled); err != nil {
		return nil, nil, exit.Usagef("--max-bytes-billed %q: %w", o.maxBilled, err)
	}
	if err := o.rawTable(t, set); err != nil {
		return nil, nil, err
	}
	if t.Client, err = platform.BigQuery(ctx); err != nil {
		return nil, nil, err
	}
	return t, func() { t.Client.Close() }, nil
}

// deadLetters opens where dead letters are read; nil without --dead-letters.
func (o *options) deadLetters(ctx context.Context, spec *jobspecs.BridgeSpec) (verify.DeadLetters, func(), error) {
	d := &spec.DeadLetter
	switch {
	case o.letters == "":
		return nil, func() {}, nil
	case d.File != "":
		return &verify.LetterFile{Name: o.letters}, func() {}, nil
	case d.Topic != "":
		platform, err := gcp.Open(spec.Platform)
		if err != nil {
			return nil, nil, err
		}
		client, err := platform.PubSub(ctx)
		if err != nil {
			return nil, nil, err
		}
		return &verify.LetterSubscription{Subscriptions: verify.Subscriptions{Client: client, Project: spec.Project, Names: []string{o.letters},
			Topics: []string{d.Topic}, Ack: o.ack, Quiet: o.quiet, Timeout: o.timeout}}, func() { client.Close() }, nil
	}
	client, err := kafka.Connect(ctx, d.Kafka.KafkaCluster, clientID)
	if err != nil {
		return nil, nil, err
	}
	return &verify.LetterTopic{Client: client, Topic: o.letters, Reader: trial.Reader(ctx, d.Kafka.KafkaCluster, clientID)}, client.Close, nil
}

// rawTable finds out which table is the raw one.
func (o *options) rawTable(t *verify.RawTable, set *jobspecs.Set) error {
	if o.table == "" {
		if len(set.StreamJobs) != 1 {
			return exit.Usagef("the specs hold %d documents of kind StreamJob, so the raw table is not known", len(set.StreamJobs)).
				WithHint("name it with --table DATASET.TABLE, or read subscriptions with --subscription")
		}
		if err := set.StreamJobs[0].KappaPipeline("raw table"); err != nil {
			return err
		}
		s := &set.StreamJobs[0].Spec
		t.Project, t.Dataset, t.Table = s.Project, s.Sinks.BigQuery.Dataset, s.Sinks.BigQuery.Raw
		return nil
	}
	parts := strings.Split(o.table, ".")
	if n := len(parts); n >= 2 && parts[n-1] != "" && parts[n-2] != "" {
		t.Dataset, t.Table = parts[n-2], parts[n-1]
		if n > 2 {
			t.Project = strings.Join(parts[:n-2], ".")
		}
		if t.Project != "" {
			return nil
		}
	}
	return exit.Usagef("--table %q is not [PROJECT.]DATASET.TABLE", o.table)
}

// units are what is counted in each phase.
var units = map[string]string{verify.PhaseKafka: "offsets", verify.PhaseArrived: "events", verify.PhaseLetters: "dead letters"}

// progress shows the phases of a run; finish ends the last of them.
func progress(d *term.Display) (step func(verify.Progress), finish func(error)) {
	phases := term.NewPhases(d)
	return func(p verify.Progress) { phases.Enter(p.Phase, units[p.Phase], p.Total).Set(p.Done) }, phases.Close
}

// verdict turns the verdict into the exit code. The report has already said
// all there is to say.
func verdict(res *verify.Result) error {
	code := res.ExitCode()
	if code == exit.OK {
		return nil
	}
	e := exit.With(code, errors.New(res.Verdict+": "+res.Reason))
	e.Printed = true
	return e
}
