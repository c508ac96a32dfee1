// Package explain is `kappa explain`: what a field of a spec means.
package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/term"
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
there were one.`,
		Example: `  kappa explain
  kappa explain StreamJob.spec.sources
  kappa explain Bridge.spec.limits.memory
  kappa explain StreamJob --recursive`,
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
			return text(a.Out, x, deep, columns(a.Out))
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
		found = append(found, f.Path)
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
		paragraph(a.Out, x.Doc, "  ", columns(a.Out))
	}
	return nil
}

func text(w io.Writer, x *jobspecs.Explanation, deep bool, width int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", x.Path, kindOf(*x))
	if rule := values(*x); rule != "" {
		fmt.Fprintf(&b, "%s\n", rule)
	}
	b.WriteByte('\n')
	paragraph(&b, x.Doc, "", width)
	if len(x.Fields) > 0 && deep {
		b.WriteByte('\n')
		for _, f := range x.Fields {
			tree(&b, f, 0)
		}
	} else {
		for _, f := range x.Fields {
			rule := values(f)
			if rule != "" {
				rule = "; " + rule
			}
			fmt.Fprintf(&b, "\n%s: %s%s\n", name(f), kindOf(f), rule)
			paragraph(&b, f.Doc, "  ", width)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
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
	if x.Required {
		return x.Type + ", required"
	}
	return x.Type
}

// values says which values a field takes, and which it has if none is given.
func values(x jobspecs.Explanation) string {
	var rules []string
	if len(x.Enum) > 0 {
		rules = append(rules, "one of "+strings.Join(x.Enum, ", "))
	}
	if x.Minimum != nil {
		rules = append(rules, "at least "+strconv.FormatInt(*x.Minimum, 10))
	}
	if x.Pattern != "" {
		rules = append(rules, "matches "+x.Pattern)
	}
	if x.Default != nil {
		rules = append(rules, "default "+*x.Default)
	}
	return strings.Join(rules, "; ")
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

// columns is the width of the terminal.
func columns(w io.Writer) int {
	n, _ := term.Detect(w).Size()
	return n
}
