// Package cli is the kappa program: the root command, its global flags, and
// how a command's error becomes what the user reads and the exit code (rules
// A1, A2 and A3). Each group of commands is a package of its own below this
// one; commands parse and print, and hold no domain logic.
package cli

import (
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/backfill"
	"github.com/kappa-migrate/kappa/internal/cli/bridge"
	"github.com/kappa-migrate/kappa/internal/cli/compare"
	"github.com/kappa-migrate/kappa/internal/cli/demo"
	"github.com/kappa-migrate/kappa/internal/cli/deploy"
	"github.com/kappa-migrate/kappa/internal/cli/drain"
	"github.com/kappa-migrate/kappa/internal/cli/explain"
	"github.com/kappa-migrate/kappa/internal/cli/export"
	"github.com/kappa-migrate/kappa/internal/cli/initspec"
	"github.com/kappa-migrate/kappa/internal/cli/load"
	"github.com/kappa-migrate/kappa/internal/cli/repair"
	"github.com/kappa-migrate/kappa/internal/cli/sandbox"
	"github.com/kappa-migrate/kappa/internal/cli/schema"
	"github.com/kappa-migrate/kappa/internal/cli/serve"
	"github.com/kappa-migrate/kappa/internal/cli/validate"
	"github.com/kappa-migrate/kappa/internal/cli/version"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// Groups of commands in the help.
const (
	groupSpecs   = "specs"
	groupMigrate = "migrate"
	groupLocal   = "local"
	groupOther   = "other"
)

// OutputFormats is the annotation with which a command says which values of
// --output it takes, separated by commas. Without it a command takes
// "text,json".
const OutputFormats = "output-formats"

const defaultFormats = "text,json"

// New returns the root command with all groups of commands.
func New(a *app.App) *cobra.Command {
	var logLevel, logFormat string
	root := &cobra.Command{
		Use:   "kappa",
		Short: "Move a data platform from Lambda to Kappa, and prove that the numbers are right",
		Long: `kappa moves a data platform from a Lambda architecture (Kafka, a batch layer, a
real-time layer) to a Kappa architecture on Google Cloud (Pub/Sub, one streaming
Beam job on Dataflow, Bigtable, BigQuery), and proves that the new numbers are
right before anyone switches over.`,
		Example: `  kappa demo
  kappa validate specs/
  kappa help exit-codes`,
		Version:       version.Read(a.Version).Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(cmd, a.Output); err != nil {
				return err
			}
			log, err := newLogger(a, logLevel, logFormat)
			if err != nil {
				return err
			}
			a.Log = log
			return nil
		},
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	flags := root.PersistentFlags()
	flags.StringVar(&a.Output, "output", "text", "`format` of results: text for people, json for programs")
	flags.StringVar(&logLevel, "log-level", "info", "least `level` of log lines: debug, info, warn or error")
	flags.StringVar(&logFormat, "log-format", "text", "`format` of log lines: text or json")
	complete(root, "output", "text", "json")
	complete(root, "log-level", "debug", "info", "warn", "error")
	complete(root, "log-format", "text", "json")

	root.AddGroup(
		&cobra.Group{ID: groupMigrate, Title: "Migrate:"},
		&cobra.Group{ID: groupSpecs, Title: "Specs:"},
		&cobra.Group{ID: groupLocal, Title: "Try it on this machine:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupMigrate, bridge.New(a), deploy.New(a), drain.New(a), backfill.New(a), repair.New(a), load.New(a), compare.New(a), serve.New(a))
	add(groupLocal, demo.New(a), sandbox.New(a))
	add(groupSpecs, initspec.New(a), validate.New(a), explain.New(a), schema.New(a), export.New(a))
	add(groupOther, version.New(a))
	root.AddCommand(exitCodes(), specsTopic(), outputTopic())
	root.SetUsageTemplate(usageTemplate(root))
	root.SetHelpCommand(help())
	root.SetCompletionCommandGroupID(groupOther)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	prepare(root)
	return root
}

// complete offers the values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// checkOutput refuses a format that cmd does not print.
func checkOutput(cmd *cobra.Command, format string) error {
	formats := defaultFormats
	if f, ok := cmd.Annotations[OutputFormats]; ok {
		formats = f
	}
	list := strings.Split(formats, ",")
	for _, f := range list {
		if f == format {
			return nil
		}
	}
	return exit.Usagef("--output %q: %s prints %s", format, cmd.CommandPath(), oneOf(list))
}

// oneOf writes a list of words as a, b or c.
func oneOf(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

func newLogger(a *app.App, level, format string) (*slog.Logger, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	l, ok := levels[level]
	if !ok {
		return nil, exit.Usagef("--log-level %q is none of debug, info, warn, error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.Err, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.Err, opts)), nil
	}
	return nil, exit.Usagef("--log-format %q is neither text nor json", format)
}
