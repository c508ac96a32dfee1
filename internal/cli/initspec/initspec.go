// Package initspec is `kappa init`: the first specs of a migration.
package initspec

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// maxSplits is far more than any topic needs.
const maxSplits = 64

// maxName leaves room for what is appended to the name: a Bigtable table's has
// at most 50 characters.
const maxName = 40

// options are the values of the flags.
type options struct {
	Name    string
	Project string
	Region  string
	Topic   string // empty: Name
	Splits  int
}

// Result is what was written, as it prints with --output json.
type Result struct {
	Folder string   `json:"folder"`
	Files  []string `json:"files"` // names in the folder
}

// New returns the command.
func New(a *app.App) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write the first specs of a migration",
		Long: `Write the specs of a migration to a folder, by default the one that you are in:
bridge.yaml, stream.yaml, batch.yaml and compare.yaml, and a README.md with the
commands that come next. The folder is made if it is not there. A file that is
there is never overwritten: nothing is written then, and the exit code is 2.

The specs are complete and valid, and they are for the sandbox. What differs
between environments is a variable of theirs: KAPPA_ENVIRONMENT, KAPPA_PROJECT,
KAFKA_BROKERS. The fields of the events are an example; put your own there.`,
		Example: `  kappa init
  kappa init orders --name orders --topic shop.orders --splits 6
  kappa init orders --name orders --project my-project --region europe-west1`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return run(a, dir, o)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "events", "`name` of the migration: of its documents, topics, subscriptions and tables")
	flags.StringVar(&o.Project, "project", "kappa-demo", "Google Cloud `project`, the default of KAPPA_PROJECT")
	flags.StringVar(&o.Region, "region", "us-central1", "`region` that the streaming jobs run in")
	flags.StringVar(&o.Topic, "topic", "", "Kafka `topic` that is read (default: the name)")
	flags.IntVar(&o.Splits, "splits", 4, "`number` of Pub/Sub topics that the events are spread over")
	return cmd
}

func run(a *app.App, dir string, o options) error {
	if o.Topic == "" {
		o.Topic = o.Name
	}
	if err := o.validate(); err != nil {
		return err
	}
	files, err := render(o)
	if err != nil {
		return err
	}
	if err := write(dir, files); err != nil {
		return err
	}
	r := Result{Folder: dir}
	for _, f := range files {
		r.Files = append(r.Files, f.name)
	}
	if a.JSON() {
		return a.PrintJSON(r)
	}
	for _, f := range r.Files {
		fmt.Fprintf(a.Out, "wrote %s\n", filepath.Join(dir, f))
	}
	fmt.Fprintf(a.Out, "\nNext: kappa validate %s\n%s says what comes then.\n", dir, filepath.Join(dir, readme))
	return nil
}

// validate checks the flags by the rules of the fields that they become.
func (o options) validate() error {
	for _, c := range []struct{ flag, value, path string }{
		{"name", o.Name, "StreamJob.metadata.name"},
		{"project", o.Project, "StreamJob.spec.project"},
		{"region", o.Region, "StreamJob.spec.region"},
		{"topic", o.Topic, "Bridge.spec.sources.topics"},
	} {
		x, err := jobspecs.Explain(c.path, false)
		if err != nil {
			return err
		}
		ok, err := regexp.MatchString("^(?:"+x.Pattern+")$", c.value)
		if err != nil {
			return fmt.Errorf("pattern of %s: %w", c.path, err)
		}
		if !ok {
			return exit.Usagef("--%s %q cannot be the %s", c.flag, c.value, c.flag).WithHint("it must match %s", x.Pattern)
		}
	}
	switch {
	case len(o.Name) > maxName:
		return exit.Usagef("--name %q has %d characters: names of tables are made from it", o.Name, len(o.Name)).WithHint("use at most %d", maxName)
	case strings.HasPrefix(o.Name, "goog"):
		return exit.Usagef("--name %q begins with goog, which names of topics cannot", o.Name)
	case strings.ContainsAny(o.Project, ":."):
		return exit.Usagef("--project %q: names of buckets, which are made from it, cannot hold its domain", o.Project).
			WithHint("give a name without : and ., and then write the project and the buckets into the specs")
	case o.Topic == "." || o.Topic == "..":
		return exit.Usagef("--topic %q cannot be the topic: Kafka refuses that name", o.Topic)
	case o.Splits < 1 || o.Splits > maxSplits:
		return exit.Usagef("--splits %d is not between 1 and %d", o.Splits, maxSplits)
	}
	return nil
}

// write writes the files to a folder: all of them, or none if one is there.
func write(dir string, files []file) error {
	var there []string
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil {
			there = append(there, f.name)
		}
	}
	if len(there) > 0 {
		return exit.Usagef("%s holds %s already; nothing was written", dir, strings.Join(there, ", ")).
			WithHint("name another folder: kappa init DIR")
	}
	if i, err := os.Stat(dir); err == nil && !i.IsDir() {
		return exit.Usagef("%s is not a folder", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exit.Environmentf("make the folder: %w", err)
	}
	for i, f := range files {
		if err := create(filepath.Join(dir, f.name), f.text); err != nil {
			for _, f := range files[:i] {
				_ = os.Remove(filepath.Join(dir, f.name)) // of no use without the rest
			}
			return exit.Environmentf("write the specs: %w", err)
		}
	}
	return nil
}

// create writes a file that is not there; one that appears meanwhile stays as
// it is. Nothing is left of a file that cannot be written.
func create(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(name)
	}
	return err
}
