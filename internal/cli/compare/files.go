package compare

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/localfiles"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/internal/sqlexpr"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Comparisons over local files need no cloud: kappa-sandbox is started as a
// child with BigQuery alone, the files are loaded into tables there, and the
// sides are these tables. From there on it is a comparison like any other.

const (
	filesDataset = "files"
	filesMemory  = "2GiB"           // of the warehouse; what does not fit goes to disk
	filesStart   = 60 * time.Second // how long it may take to come up
)

// overFiles reports whether the sides are local files.
func overFiles(s *jobspecs.ComparisonSpec) bool { return len(s.Batch.Files)+len(s.Stream.Files) > 0 }

// warehouse is BigQuery as a child process.
type warehouse struct {
	child  *sandboxchild.Process
	client *bigquery.Client
}

// close ends the child. It would end with this process too, however that does.
func (w *warehouse) close() {
	if w.client != nil {
		_ = w.client.Close() // nothing is on its way
	}
	_ = w.child.Stop(sandboxchild.StopGrace) // its data is of no use any more
}

// filesConfig starts a warehouse and loads the sides of cfg's spec into it. What
// it returns compares the tables there, and, where no bounds are given, all
// windows that the files have. The caller calls the function.
func filesConfig(ctx context.Context, a *app.App, specs *specflags.Flags, cfg compare.Config) (compare.Config, func(), error) {
	if err := filesOnly(&cfg.Spec.Spec); err != nil {
		return cfg, nil, err
	}
	dir, err := specFolder(specs, cfg.Spec.Metadata.Name)
	if err != nil {
		return cfg, nil, err
	}
	phases := term.NewPhases(term.New(a.Err))
	var notes []string
	w, err := startWarehouse(ctx, cfg.Spec.Spec.Project)
	if err == nil {
		cfg.Client = w.client
		if err = cfg.Validate(); err == nil {
			notes, err = w.serve(ctx, &cfg, dir, phases)
		}
		if err != nil {
			w.close()
		}
	}
	phases.Close(err)
	for _, n := range notes {
		fmt.Fprintln(a.Err, n)
	}
	if err != nil {
		return cfg, nil, err
	}
	return cfg, w.close, nil
}

// serve loads the files and makes cfg a comparison of their tables.
func (w *warehouse) serve(ctx context.Context, cfg *compare.Config, dir string, phases *term.Phases) ([]string, error) {
	spec := *cfg.Spec // the caller's own stays as it was loaded
	cfg.Spec = &spec
	notes, err := w.load(ctx, &spec.Spec, dir, phases)
	if err != nil {
		return nil, err
	}
	newest := cfg.Last > 0 || spec.Spec.Range.Last.D() > 0
	cfg.Range, err = w.windows(ctx, &spec.Spec, cfg.Range, newest)
	return notes, err
}

// filesOnly refuses what files cannot be compared with or by.
func filesOnly(s *jobspecs.ComparisonSpec) error {
	switch {
	case len(s.Batch.Files) == 0:
		return exit.Usagef("stream.files is given and batch.files is not: both sides must be files")
	case len(s.Stream.Files) == 0:
		return exit.Usagef("batch.files is given and stream.files is not: both sides must be files")
	case s.Evidence.Raw != "":
		return exit.Usagef("evidence.raw is a table, and a comparison of files reads none").WithHint("leave evidence out, or load the files into BigQuery and compare the tables")
	case s.History.Dataset != "":
		return exit.Usagef("history.dataset is a dataset of BigQuery, and a comparison of files writes to none").WithHint("keep compare.json of --out instead")
	case s.Stream.Job != "" || s.Batch.Shadow != "" || s.Batch.SettledBy == jobspecs.SettledByLoads:
		return exit.Usagef("stream.job, batch.shadow and batch.settledBy: loads look at control tables, and a comparison of files has none")
	}
	for _, m := range s.Metrics {
		if m.Value == "BIGNUMERIC" {
			return exit.Usagef("metric %s: a comparison of files has no BIGNUMERIC", m.Name).WithHint("NUMERIC holds 29 digits before the point and 9 after it")
		}
	}
	return nil
}

func startWarehouse(ctx context.Context, project string) (*warehouse, error) {
	starting, cancel := context.WithTimeoutCause(ctx, filesStart, exit.Environmentf("%s was not ready after %s", sandboxchild.Program, filesStart))
	defer cancel()
	child, err := sandboxchild.Start(starting, sandboxchild.Config{
		Args: []string{"--services", "bigquery", "--bigquery-memory", filesMemory, "--project", project, "--log-level", "error"},
	})
	if err != nil {
		if starting.Err() != nil {
			err = context.Cause(starting)
		}
		return nil, err
	}
	w := &warehouse{child: child}
	// The client gets the address from the child, not from the environment:
	// which cloud or sandbox that speaks of is not asked here.
	if w.client, err = gcp.BigQueryAt(ctx, project, child.Environment[gcp.EnvBigQuery]); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// load loads both sides, and makes them tables in s. It returns what a person
// should know of the files.
func (w *warehouse) load(ctx context.Context, s *jobspecs.ComparisonSpec, dir string, phases *term.Phases) ([]string, error) {
	dataset := w.client.Dataset(filesDataset)
	if err := dataset.Create(ctx, nil); err != nil {
		return nil, exit.Environmentf("make room for the files: %w", err)
	}
	var notes []string
	for _, side := range []struct {
		name string
		of   *jobspecs.Side
		text func(batch, stream string) string
	}{
		{"batch", &s.Batch.Side, func(batch, _ string) string { return batch }},
		{"stream", &s.Stream.Side, func(_, stream string) string { return stream }},
	} {
		source := localfiles.Source{Name: side.name, Patterns: side.of.Files, Dir: dir, Format: side.of.Format, Time: side.of.Time, Types: columnTypes(s, side.of.Time, side.text), Hidden: hiddenColumns(s, side.text)}
		phase := "load " + side.name
		loaded, err := localfiles.Load(ctx, dataset.Table(side.name), source, func(done, total int64) {
			task := phases.Enter(phase, term.UnitBytes, total)
			if task.Set(done); done == total {
				task.Note("read; being stored")
			}
		})
		if err != nil {
			return nil, err
		}
		notes = append(notes, notesOf(side.name, loaded)...)
		side.of.Table = side.name
	}
	s.Dataset = filesDataset
	s.Batch.SettledBy = jobspecs.SettledByClock
	return notes, nil
}

// columnTypes are the types that the columns have which the spec names alone, as
// keys and metrics: those of other columns are guessed where the files do not
// hold them. A column that is named with two types is guessed too, and cast.
func columnTypes(s *jobspecs.ComparisonSpec, window string, text func(batch, stream string) string) map[string]string {
	types := map[string]string{}
	var clash []string
	add := func(name, expression, typ string) {
		if expression != "" {
			column, ok := sqlexpr.Column(expression)
			if !ok {
				return
			}
			name = column
		}
		if have := types[name]; have != "" && have != typ || name == window {
			clash = append(clash, name)
		}
		types[name] = typ
	}
	for _, k := range s.Keys {
		add(k.Name, text(k.Batch, k.Stream), k.Type)
	}
	for _, m := range s.Metrics {
		add(m.Name, text(m.Batch, m.Stream), m.Value)
	}
	for _, name := range clash {
		delete(types, name)
	}
	return types
}

// hiddenColumns are those that sensitive keys are made from.
func hiddenColumns(s *jobspecs.ComparisonSpec, text func(batch, stream string) string) []string {
	var hidden []string
	for _, k := range s.Keys {
		switch expression := text(k.Batch, k.Stream); {
		case !slices.Contains(s.Sensitive, k.Name):
		case expression == "":
			hidden = append(hidden, k.Name)
		default:
			hidden = append(hidden, sqlexpr.Columns(expression)...)
		}
	}
	return hidden
}

// notesOf says what was loaded and what was guessed.
func notesOf(side string, l *localfiles.Loaded) []string {
	name := filepath.Base(l.Files[0])
	if len(l.Files) > 1 {
		name = fmt.Sprintf("%d %s files", len(l.Files), l.Format)
	}
	notes := []string{fmt.Sprintf("%s: %d rows of %s", side, l.Rows, name)}
	var guessed []string
	for _, c := range l.Columns {
		if c.Guessed {
			guessed = append(guessed, c.Name+" "+c.Type)
		}
	}
	if len(guessed) > 0 {
		notes[0] += "; guessed from all values: " + strings.Join(guessed, ", ")
	}
	if len(l.LeftOut) > 0 {
		notes = append(notes, side+": left out: "+strings.Join(l.LeftOut, ", "))
	}
	return notes
}

// windows fills the bounds of r that are not given with the first and the last
// window that a side has, so that what is on one side alone is not cut off.
// newest says that the range is counted from its end.
func (w *warehouse) windows(ctx context.Context, s *jobspecs.ComparisonSpec, r compare.Range, newest bool) (compare.Range, error) {
	var have compare.Range
	for _, side := range []jobspecs.Side{s.Batch.Side, s.Stream.Side} {
		covered, err := w.covered(ctx, s, side)
		if err != nil {
			return r, err
		}
		if have.From.IsZero() || covered.From.Before(have.From) {
			have.From = covered.From
		}
		if covered.To.After(have.To) {
			have.To = covered.To
		}
	}
	if r.To.IsZero() {
		r.To = have.To
	}
	if r.From.IsZero() && !newest {
		r.From = have.From
	}
	return r, nil
}

// covered are the windows of one side. A row without one could not be compared,
// and would be no difference either.
func (w *warehouse) covered(ctx context.Context, s *jobspecs.ComparisonSpec, side jobspecs.Side) (compare.Range, error) {
	// The loader of specs lets only names pass that stand in backticks.
	q := w.client.Query(fmt.Sprintf("SELECT COUNTIF(`%[1]s` IS NULL), MIN(`%[1]s`), MAX(`%[1]s`) FROM `%[2]s`.`%[3]s`", side.Time, filesDataset, side.Table))
	it, err := q.Read(ctx)
	var row []bigquery.Value
	if err == nil {
		err = it.Next(&row)
	}
	if err != nil {
		return compare.Range{}, exit.Environmentf("look at the windows of the %s files: %w", side.Table, err)
	}
	if n := row[0].(int64); n > 0 {
		return compare.Range{}, exit.Environmentf("%s.files: %s is NULL in %d rows: they belong to no window", side.Table, side.Time, n)
	}
	return compare.Covering(s, row[1], row[2])
}

// specFolder is the folder of the file that holds the comparison.
func specFolder(f *specflags.Flags, name string) (string, error) {
	vars, err := specflags.Vars(f.Sets)
	if err != nil {
		return "", err
	}
	vars.Environment = f.Env
	_, docs, err := jobspecs.LoadDocuments(f.Files, vars)
	if err != nil {
		return "", err
	}
	docs = slices.DeleteFunc(docs, func(d jobspecs.Document) bool { return d.Kind != jobspecs.KindComparison || d.Abstract })
	// A name with a variable in it stands there as written.
	i := max(0, slices.IndexFunc(docs, func(d jobspecs.Document) bool { return d.Name == name }))
	return filepath.Dir(docs[i].File), nil
}
