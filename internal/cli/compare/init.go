package compare

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/spf13/cobra"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

type initOptions struct {
	project, batch, stream, name, job, out string
	sandbox, force                         bool
}

func newInit(a *app.App) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init --project PROJECT --batch DATASET.TABLE --stream DATASET.TABLE",
		Short: "Write a Comparison from two tables",
		Long: `Write a Comparison by looking at the schemas of two tables and matching their
columns: by name, without case and underscores, and without what a suffix says
(_total, _sum, _count, _cnt). Columns of numbers are metrics, others are keys; the
partition column is the start of the window.

What was guessed, and what was left out and why, is said on stderr, and marked in
the spec. Schemas are free to read; the size of the windows is found in the newest
starts, by one query over the time column of the batch side, of at most 1 GiB.

Exit codes: 0 when it is written, 2 if the file is there, 3 if a table is missing or
the tables share no key or no metric.`,
		Example: `  kappa compare init --project example-project --batch lambda.flights --stream kappa.stream_flights --job flights --out compare.yaml
  kappa compare init --project example-project --batch lambda.flights --stream kappa.stream_flights --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return initSpec(cmd.Context(), a, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.project, "project", "", "Google Cloud `PROJECT` of the tables")
	flags.StringVar(&o.batch, "batch", "", "`DATASET.TABLE` of the old aggregates")
	flags.StringVar(&o.stream, "stream", "", "`DATASET.TABLE` of the new ones; its dataset has the control tables")
	flags.StringVar(&o.name, "comparison", "", "`NAME` of the Comparison (default: made from the stream's table)")
	flags.StringVar(&o.job, "job", "", "`NAME` of the StreamJob that writes the stream's table (default: looked for in the table generations)")
	flags.StringVar(&o.out, "out", "", "`FILE` to write the spec into (default: stdout)")
	flags.BoolVar(&o.force, "force", false, "overwrite the file")
	flags.BoolVar(&o.sandbox, "sandbox", false, "the tables are in `kappa sandbox`, by the emulators' addresses in the environment")
	for _, name := range []string{"project", "batch", "stream"} {
		_ = cmd.MarkFlagRequired(name)
	}
	_ = cmd.MarkFlagFilename("out", "yaml", "yml")
	return cmd
}

func initSpec(ctx context.Context, a *app.App, o initOptions) error {
	in := compare.InitInput{Project: o.project, Name: o.name, Job: o.job, Environment: "production"}
	if o.sandbox {
		in.Environment = "sandbox"
	}
	_, stream, ok := strings.Cut(o.stream, ".")
	if !ok || !strings.Contains(o.batch, ".") || strings.Count(o.stream, ".")+strings.Count(o.batch, ".") != 2 {
		return exit.Usagef("--batch %q and --stream %q: both are DATASET.TABLE", o.batch, o.stream)
	}
	if in.Name == "" {
		in.Name = strings.Trim(strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(stream, "stream_")), "_", "-"), "-")
	}
	if o.out != "" && !o.force { // before anything is asked
		if _, err := os.Stat(o.out); err == nil {
			return exit.Usagef("%s is there already", o.out).WithHint("give --force to overwrite it")
		}
	}
	platform, err := gcp.Open(jobspecs.Platform{Environment: in.Environment, Project: o.project})
	if err != nil {
		return err
	}
	client, err := platform.BigQuery(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := platform.Reachable(ctx); err != nil {
		return err
	}
	if err := look(ctx, client, o, &in); err != nil {
		return err
	}
	g, err := compare.InitSpec(in)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(g.Spec), 0o644); err != nil {
			return exit.Environmentf("write the spec: %w", err)
		}
	}
	say(a, g, o.out)
	switch {
	case a.JSON():
		return a.PrintJSON(g)
	case o.out == "":
		fmt.Fprint(a.Out, g.Spec)
	}
	return nil
}

// say tells what was guessed.
func say(a *app.App, g *compare.Init, out string) {
	for _, m := range g.Matches {
		fmt.Fprintf(a.Err, "%-8s %s: %s = %s (%s: %s)\n", m.Role, m.Name, m.Batch, m.Stream, m.Sure, m.Why)
	}
	for _, s := range g.Guesses {
		fmt.Fprintf(a.Err, "guess    %s\n", s)
	}
	for _, u := range g.LeftOut {
		fmt.Fprintf(a.Err, "left out %s.%s: %s\n", u.Side, u.Column, u.Why)
	}
	if out != "" {
		fmt.Fprintf(a.Err, "wrote %s; look at it, then: kappa compare plan -f %s\n", out, out)
	}
}

// look reads what the guess is made from.
func look(ctx context.Context, client *bigquery.Client, o initOptions, in *compare.InitInput) error {
	of := func(name string) (*bigquery.Table, *bigquery.TableMetadata, error) {
		dataset, table, _ := strings.Cut(name, ".")
		t := client.Dataset(dataset).Table(table)
		md, err := t.Metadata(ctx)
		if err != nil {
			return t, nil, exit.Environmentf("look at table %s: %w", name, err)
		}
		return t, md, nil
	}
	batch, batchMD, err := of(o.batch)
	if err != nil {
		return err
	}
	stream, streamMD, err := of(o.stream)
	if err != nil {
		return err
	}
	in.Dataset = stream.DatasetID
	in.Batch, in.Stream = initTable(batch, batchMD, in.Dataset), initTable(stream, streamMD, in.Dataset)
	switch _, err := client.Dataset(in.Dataset).Table(tables.BatchLoads).Metadata(ctx); {
	case err == nil:
		in.Loads = true
	case !missing(err):
		return exit.Environmentf("look at the table %s: %w", tables.BatchLoads, err)
	}
	written := slices.ContainsFunc(streamMD.Schema, func(f *bigquery.FieldSchema) bool { return f.Name == "generation" })
	if in.Job == "" && written {
		if in.Job, err = jobOf(ctx, client, in.Dataset); err != nil {
			return err
		}
	}
	in.Starts, err = starts(ctx, client, batch, in)
	return err
}

func missing(err error) bool {
	var api *googleapi.Error
	return errors.As(err, &api) && api.Code == http.StatusNotFound
}

func initTable(t *bigquery.Table, md *bigquery.TableMetadata, dataset string) compare.InitTable {
	out := compare.InitTable{Name: t.TableID, Schema: md.Schema}
	if t.DatasetID != dataset {
		out.Name = t.DatasetID + "." + t.TableID
	}
	if md.TimePartitioning != nil {
		out.Partition = md.TimePartitioning.Field
	}
	return out
}

const initMaxBytes = 1 << 30

func read(ctx context.Context, client *bigquery.Client, sql string, each func([]bigquery.Value)) error {
	q := client.Query(sql)
	q.MaxBytesBilled = initMaxBytes
	it, err := q.Read(ctx)
	if err != nil {
		return err
	}
	for {
		var row []bigquery.Value
		switch err := it.Next(&row); {
		case errors.Is(err, iterator.Done):
			return nil
		case err != nil:
			return err
		}
		each(row)
	}
}

// jobOf is the StreamJob of a dataset, where it has one alone.
func jobOf(ctx context.Context, client *bigquery.Client, dataset string) (string, error) {
	var groups []string
	err := read(ctx, client, fmt.Sprintf("SELECT DISTINCT job_group FROM `%s`.`%s` LIMIT 10", dataset, tables.Generations), func(row []bigquery.Value) {
		if group := fmt.Sprint(row[0]); !tables.IsShadow(group) {
			groups = append(groups, group)
		}
	})
	if err == nil && len(groups) == 1 {
		return groups[0], nil
	}
	return "", exit.Usagef("the stream's table is written by a StreamJob, and which one cannot be told: the table %s.%s names %d", dataset, tables.Generations, len(groups)).
		WithHint("name it with --job")
}

// starts are the newest starts of windows of the batch side.
func starts(ctx context.Context, client *bigquery.Client, t *bigquery.Table, in *compare.InitInput) ([]time.Time, error) {
	column := in.Batch.Partition
	if column == "" {
		return nil, nil // the whole table would be read
	}
	var out []time.Time
	err := read(ctx, client, fmt.Sprintf("SELECT DISTINCT `%s` AS w FROM `%s`.`%s` WHERE `%s` IS NOT NULL ORDER BY w DESC LIMIT 200", column, t.DatasetID, t.TableID, column), func(row []bigquery.Value) {
		switch v := row[0].(type) {
		case time.Time:
			out = append(out, v.UTC())
		case civil.DateTime:
			out = append(out, v.In(time.UTC))
		case civil.Date:
			out = append(out, v.In(time.UTC))
		}
	})
	if err != nil {
		return nil, exit.Environmentf("look at the windows of %s: %w", in.Batch.Name, err)
	}
	return out, nil
}
