// Package export is `kappa export`: what specs say, in the languages of other
// tools.
package export

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/deploy/terraform"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write what specs need as the configuration of other tools",
	}
	cmd.AddCommand(newTerraform(a))
	return cmd
}

// Report is the result as it prints with --output json.
type Report struct {
	Files     []File               `json:"files"`
	Resources []terraform.Resource `json:"resources"`
	Notes     []string             `json:"notes"`
	Removed   []string             `json:"removed,omitempty"` // files of an earlier run that are needed no more
}

// File is a file of the configuration: where it was written, or its text.
type File struct {
	Name string `json:"name"`
	Path string `json:"path,omitempty"`
	Text string `json:"text,omitempty"`
}

type terraformFlags struct {
	*specflags.Flags
	out       string
	overwrite bool
	options   terraform.Options
}

func newTerraform(a *app.App) *cobra.Command {
	var f terraformFlags
	cmd := &cobra.Command{
		Use:   "terraform -f SPEC",
		Short: "Write the Terraform configuration of what specs need on Google Cloud",
		Long: `Write the Terraform configuration of everything that the specs need on Google
Cloud: topics with their dead letters, subscriptions and archive, buckets,
datasets, the Bigtable instance with its tables, and for each part of the
migration a service account with the roles that it needs and no others.

Name all specs of a platform together: what they share is declared once, and a
StreamJob's subscriptions find the topics of its Bridge. The specs are only
read, and no service is asked.

kappa deploy and kappa load create BigQuery tables themselves; --tables writes
them as well, for those who want them under Terraform.

With --out the files are written into a folder. Files there that this command
has not written are left alone, and nothing is written, unless --overwrite is
given; files of an earlier run that are no longer needed are removed. What
exists on Google Cloud already has to be imported (terraform import) before the
first apply.`,
		Example: `  kappa export terraform -f specs/
  kappa export terraform -f specs/ --out infra/ --tables
  kappa export terraform -f specs/ --output json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runTerraform(a, f) },
	}
	f.Flags = specflags.Add(cmd)
	flags := cmd.Flags()
	flags.Lookup("name").Usage = "`name` of the documents to export, of whichever kind; all without it"
	flags.StringVar(&f.out, "out", "", "`folder` to write the files into; without it they are printed")
	_ = cmd.MarkFlagDirname("out")
	flags.BoolVar(&f.overwrite, "overwrite", false, "write over files that this command has not written")
	flags.BoolVar(&f.options.Tables, "tables", false, "write the BigQuery tables, too")
	return cmd
}

func runTerraform(a *app.App, f terraformFlags) error {
	set, err := f.Load()
	if err != nil {
		return err
	}
	if f.Name != "" {
		if set, err = named(set, f.Name); err != nil {
			return err
		}
	}
	if f.overwrite && f.out == "" {
		return exit.Usagef("--overwrite is given without --out").WithHint("name the folder to write into with --out")
	}
	c, err := terraform.Generate(set, f.options)
	if err != nil {
		return err
	}
	r := Report{Resources: c.Resources, Notes: c.Notes}
	for _, file := range c.Files {
		r.Files = append(r.Files, File{Name: file.Name, Text: file.Text})
	}
	if f.out != "" {
		if r.Files, r.Removed, err = write(f.out, c.Files, f.overwrite); err != nil {
			return err
		}
	}
	switch {
	case a.JSON():
		return a.PrintJSON(r)
	case f.out != "":
		return written(a.Out, r)
	}
	return stream(a.Out, r)
}

// named are the documents of a name.
func named(set *jobspecs.Set, name string) (*jobspecs.Set, error) {
	out := &jobspecs.Set{}
	for _, d := range set.Bridges {
		if d.Metadata.Name == name {
			out.Bridges = append(out.Bridges, d)
		}
	}
	for _, d := range set.StreamJobs {
		if d.Metadata.Name == name {
			out.StreamJobs = append(out.StreamJobs, d)
		}
	}
	for _, d := range set.BatchLoads {
		if d.Metadata.Name == name {
			out.BatchLoads = append(out.BatchLoads, d)
		}
	}
	for _, d := range set.Comparisons {
		if d.Metadata.Name == name {
			out.Comparisons = append(out.Comparisons, d)
		}
	}
	for _, d := range set.Monitors {
		if d.Metadata.Name == name {
			out.Monitors = append(out.Monitors, d)
		}
	}
	if len(out.Bridges)+len(out.StreamJobs)+len(out.BatchLoads)+len(out.Comparisons)+len(out.Monitors) == 0 {
		return nil, exit.Usagef("no document is named %q", name).WithHint("mend --name, or leave it out to export all documents")
	}
	return out, nil
}

// stream prints the files one after the other, as one configuration.
func stream(w io.Writer, r Report) error {
	for i, f := range r.Files {
		gap := ""
		if i > 0 {
			gap = "\n"
		}
		if _, err := fmt.Fprintf(w, "%s# File: %s\n%s", gap, f.Name, f.Text); err != nil {
			return err
		}
	}
	return nil
}

// written says what was written.
func written(w io.Writer, r Report) error {
	count := map[string]int{}
	for _, res := range r.Resources {
		count[res.File]++
	}
	for _, f := range r.Files {
		what := ""
		if n := count[f.Name]; n > 0 {
			what = "  " + report.Quantity(int64(n), "resource")
		}
		if _, err := fmt.Fprintf(w, "wrote    %s%s\n", f.Path, what); err != nil {
			return err
		}
	}
	for _, p := range r.Removed {
		if _, err := fmt.Fprintf(w, "removed  %s\n", p); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", n); err != nil {
			return err
		}
	}
	return nil
}
