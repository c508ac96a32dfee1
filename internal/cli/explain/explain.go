// Package explain is `kappa explain`: what a field of a spec means.
package explain

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// New returns the command.
func New(a *app.App) *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "explain [KIND[.FIELD…]]",
		Short: "Say what a field of a spec means",
		Long: `Say what a kind of spec is for, or what a field of it means: its type, whether it
is required, its default, and which values it takes. Without an argument the kinds
are listed. A field of the items of a list, or of a mapping by name, is named as if
there were one; a path that an error names is taken as it is, with the kind before
it.`,
		Example: `  kappa explain
  kappa explain StreamJob.spec.sources
  kappa explain Bridge.spec.limits.memory
  kappa explain "StreamJob.spec.aggregations[0].measures"
  kappa explain StreamJob --recursive
  kappa explain Comparison --recursive --output json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: complete,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return kinds(a, deep)
			}
			x, err := jobspecs.Explain(args[0], deep)
			switch {
			case err != nil:
				return err
			case a.JSON():
				return a.PrintJSON(x)
			}
			return text(a.Out, x, deep, app.Width(a.Out))
		},
	}
	cmd.Flags().BoolVar(&deep, "recursive", false, "all fields below it, by name alone; with --output json whole")
	return cmd
}

// complete completes kinds and fields.
func complete(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	i := strings.LastIndex(typed, ".")
	if i < 0 {
		return jobspecs.Kinds(), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	x, err := jobspecs.Explain(typed[:i], false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for _, f := range x.Fields {
		found = append(found, f.Path+"\t"+kindOf(f))
	}
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func kinds(a *app.App, deep bool) error {
	var all []*jobspecs.Explanation
	for _, kind := range jobspecs.Kinds() {
		x, err := jobspecs.Explain(kind, deep)
		if err != nil {
			return err
		}
		if !deep {
			x.Fields = nil
		}
		all = append(all, x)
	}
	if a.JSON() {
		return a.PrintJSON(all)
	}
	for i, x := range all {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		if deep {
			tree(a.Out, *x, 0)
			continue
		}
		fmt.Fprintln(a.Out, x.Path)
		paragraph(a.Out, x.Doc, "  ", app.Width(a.Out))
	}
	return nil
}

func text(w io.Writer, x *jobspecs.Explanation, deep bool, width int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", x.Path, kindOf(*x))
	describe(&b, *x, "", width)
	if len(x.Fields) > 0 {
		b.WriteString("\nFields:\n")
	}
	for _, f := range x.Fields {
		if deep {
			tree(&b, f, 1)
			continue
		}
		fmt.Fprintf(&b, "\n  %s: %s\n", name(f), kindOf(f))
		describe(&b, f, "    ", width)
	}
	if within := nested(x.Fields); within != "" && !deep {
		fmt.Fprintf(&b, "\nWhat is within a field: kappa explain %s\n", within)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// nested is the path of the last field that has fields of its own: of a kind,
// its spec.
func nested(fields []jobspecs.Explanation) string {
	for _, f := range slices.Backward(fields) {
		if strings.HasSuffix(f.Type, "mapping") || strings.HasSuffix(f.Type, "mappings") {
			return f.Path
		}
	}
	return ""
}

// describe writes what a field means, and the rules for its value.
func describe(w io.Writer, x jobspecs.Explanation, indent string, width int) {
	paragraph(w, x.Doc, indent, width)
	if len(x.Enum) > 0 {
		paragraph(w, "One of: "+strings.Join(x.Enum, ", "), indent, width)
	}
	if x.Minimum != nil {
		fmt.Fprintf(w, "%sAt least: %d\n", indent, *x.Minimum)
	}
	if x.Pattern != "" {
		fmt.Fprintf(w, "%sMatches: %s\n", indent, x.Pattern) // in one piece, to be copied
	}
	if x.Default != nil {
		fmt.Fprintf(w, "%sDefault: %s\n", indent, *x.Default)
	}
}

// tree writes names and types, indented as a spec is.
func tree(w io.Writer, x jobspecs.Explanation, depth int) {
	fmt.Fprintf(w, "%s%s: %s\n", strings.Repeat("  ", depth), name(x), kindOf(x))
	for _, f := range x.Fields {
		tree(w, f, depth+1)
	}
}

func name(x jobspecs.Explanation) string { return x.Path[strings.LastIndex(x.Path, ".")+1:] }

func kindOf(x jobspecs.Explanation) string {
	text := x.Type
	if x.Required {
		text += ", required"
	}
	if x.Pipeline != "" && !x.Required {
		text += ","
	}
	if x.Pipeline != "" {
		text += " for pipeline " + x.Pipeline
	}
	return text
}

// paragraph writes a text in lines of at most width characters.
func paragraph(w io.Writer, text, indent string, width int) {
	width = min(max(width, 40), 88)
	line := indent
	for _, word := range strings.Fields(text) {
		if len([]rune(line))+1+len([]rune(word)) > width && line != indent {
			fmt.Fprintln(w, line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	if line != indent {
		fmt.Fprintln(w, line)
	}
}
