// Package specflags holds the flags of every command that takes specs:
// -f/--file, --env, --set and --name, and loads what they name; and how flags that
// several of those commands have are read.
package specflags

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Flags are the values of the flags.
type Flags struct {
	Files []string // files and folders
	Sets  []string // NAME=VALUE
	Env   string   // environment whose overlays are laid over the documents; empty: none
	Name  string   // of the document, where several of its kind are loaded
}

// Add adds the flags to cmd.
func Add(cmd *cobra.Command) *Flags {
	f := &Flags{}
	cmd.Flags().StringArrayVarP(&f.Files, "file", "f", nil, "`path` of a spec file, or of a folder of them; may be repeated")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	AddEnv(cmd, &f.Env, func([]string) []string { return f.Files })
	AddSet(cmd, &f.Sets)
	cmd.Flags().StringVar(&f.Name, "name", "", "`name` of the document to use, where several of its kind are loaded")
	return f
}

// AddEnv adds --env alone; files returns the paths, of the flags and arguments
// so far, whose environments the shell may complete.
func AddEnv(cmd *cobra.Command, env *string, files func(args []string) []string) {
	cmd.Flags().Var((*environment)(env), "env", "`name` of the environment whose overlays are laid over the documents")
	_ = cmd.RegisterFlagCompletionFunc("env", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		names, err := jobspecs.Environments(files(args))
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// environment is the value of --env. An empty one, as a variable of the shell
// that is not set gives it, must not stand for no environment.
type environment string

func (e *environment) String() string { return string(*e) }
func (e *environment) Type() string   { return "string" }

func (e *environment) Set(name string) error {
	switch {
	case name == "":
		return errors.New("the name of the environment is empty; leave the flag out to lay no overlays")
	case *e != "":
		return errors.New("only one environment can be given")
	}
	*e = environment(name)
	return nil
}

// AddSet adds --set alone.
func AddSet(cmd *cobra.Command, sets *[]string) {
	cmd.Flags().StringArrayVar(sets, "set", nil, "`NAME=VALUE` of a variable that the specs declare; may be repeated")
}

// Vars reads the values of --set.
func Vars(sets []string) (jobspecs.Vars, error) {
	v := jobspecs.Vars{Set: map[string]string{}}
	for _, s := range sets {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return v, exit.Usagef("--set %q is not NAME=VALUE", s)
		}
		if _, twice := v.Set[name]; twice {
			return v, exit.Usagef("--set gives %s twice", name)
		}
		v.Set[name] = value
	}
	return v, nil
}

// Time reads the value of a flag that is a time; an empty one is none.
func Time(flag, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, exit.Usagef("%s %q is not a time", flag, value).
		WithHint("write 2001-01-08 (midnight UTC) or 2001-01-08T06:00:00Z")
}

// Load loads the documents that the flags name.
func (f *Flags) Load() (*jobspecs.Set, error) {
	v, err := Vars(f.Sets)
	if err != nil {
		return nil, err
	}
	if len(f.Files) == 0 {
		return nil, exit.Usagef("no spec given").WithHint("name a spec file or a folder with -f")
	}
	v.Environment = f.Env
	return jobspecs.Load(f.Files, v)
}

// Bridge loads the specs and returns the one Bridge, or the one that --name names.
func (f *Flags) Bridge() (*jobspecs.Bridge, *jobspecs.Set, error) {
	return one(f, jobspecs.KindBridge, func(s *jobspecs.Set) []*jobspecs.Bridge { return s.Bridges },
		func(d *jobspecs.Bridge) string { return d.Metadata.Name })
}

// StreamJob is as Bridge, for a StreamJob.
func (f *Flags) StreamJob() (*jobspecs.StreamJob, *jobspecs.Set, error) {
	return one(f, jobspecs.KindStreamJob, func(s *jobspecs.Set) []*jobspecs.StreamJob { return s.StreamJobs },
		func(d *jobspecs.StreamJob) string { return d.Metadata.Name })
}

// BatchLoad is as Bridge, for a BatchLoad.
func (f *Flags) BatchLoad() (*jobspecs.BatchLoad, *jobspecs.Set, error) {
	return one(f, jobspecs.KindBatchLoad, func(s *jobspecs.Set) []*jobspecs.BatchLoad { return s.BatchLoads },
		func(d *jobspecs.BatchLoad) string { return d.Metadata.Name })
}

// Comparison is as Bridge, for a Comparison.
func (f *Flags) Comparison() (*jobspecs.Comparison, *jobspecs.Set, error) {
	return one(f, jobspecs.KindComparison, func(s *jobspecs.Set) []*jobspecs.Comparison { return s.Comparisons },
		func(d *jobspecs.Comparison) string { return d.Metadata.Name })
}

// Monitor is as Bridge, for a DuplicateMonitor.
func (f *Flags) Monitor() (*jobspecs.DuplicateMonitor, *jobspecs.Set, error) {
	return one(f, jobspecs.KindDuplicateMonitor, func(s *jobspecs.Set) []*jobspecs.DuplicateMonitor { return s.Monitors },
		func(d *jobspecs.DuplicateMonitor) string { return d.Metadata.Name })
}

func one[T any](f *Flags, kind string, of func(*jobspecs.Set) []*T, name func(*T) string) (*T, *jobspecs.Set, error) {
	set, err := f.Load()
	if err != nil {
		return nil, nil, err
	}
	d, err := Pick(kind, of(set), name, f.Name)
	return d, set, err
}

// Pick returns the document named want; with an empty want, the only one.
func Pick[T any](kind string, docs []*T, name func(*T) string, want string) (*T, error) {
	names := make([]string, 0, len(docs))
	for _, d := range docs {
		if name(d) == want {
			return d, nil
		}
		names = append(names, name(d))
	}
	switch {
	case len(docs) == 0:
		return nil, exit.Usagef("the specs hold no %s", kind).WithHint("add a file with a document of kind %s with -f", kind)
	case want != "":
		hint := "there are " + strings.Join(names, ", ")
		if s := suggest.Closest(want, names); s != "" {
			hint = fmt.Sprintf("did you mean %s?", s)
		}
		return nil, exit.Usagef("no %s is named %q", kind, want).WithHint("%s", hint)
	case len(docs) > 1:
		return nil, exit.Usagef("the specs hold %d documents of kind %s", len(docs), kind).
			WithHint("choose one with --name: %s", strings.Join(names, ", "))
	}
	return docs[0], nil
}
