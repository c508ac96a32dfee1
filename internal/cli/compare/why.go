package compare

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/specflags"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/term"
)

// whyLimit is how many deliveries and rows are listed.
const whyLimit = 50

func newWhy(a *app.App) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "why KEY WINDOW -f SPEC",
		Short: "Rebuild both numbers of one key from the raw events, line by line",
		Long: `Show how both numbers of one key come about: its raw events in order, what either
side made of each and why not, with running totals; the rows that both sides have
stored; and whether the rebuilt numbers meet them. Then the cause, as a run finds
it.

KEY is NAME=VALUE for each key, separated by commas, or of a single key the value
alone. NULL is the NULL; a value with commas or quotes, or the text NULL, stands in
double quotes. WINDOW is the start of the window.

Some causes show only in the keys around, so both sides of the whole day are read.

Exit codes: 0 if the key is explained or not, 2 if there is no such key or window,
3 where a table, file or permission is missing, 13 if the window is not settled.`,
		Example: `  kappa compare why ORD 2001-01-08T06:00:00Z -f flights/compare.yaml
  kappa compare why 'origin=ORD,gate=NULL' 2001-01-08T06:00:00Z -f flights/ --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 2:
				return nil
			case 0, 1:
				return exit.Usagef("KEY and WINDOW are wanted, and %d of them is given", len(args)).
					WithHint("write the key and the start of its window: ORD 2001-01-08T06:00:00Z; kappa compare run shows both")
			}
			return exit.Usagef("KEY and WINDOW are wanted, and %q is one too many", args[2]).WithHint("put a key with spaces in quotes")
		},
	}
	specs := specflags.Add(cmd)
	cmd.Flags().IntVar(&limit, "limit", whyLimit, "list at most `N` deliveries, and as many rows of each side; all are counted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 1 {
			return exit.Usagef("--limit is %d: it must be at least 1", limit)
		}
		if args[1] == "" {
			return exit.Usagef("WINDOW is empty").WithHint("write the start of the window, such as 2001-01-08T06:00:00Z")
		}
		window, err := specflags.Time("WINDOW", args[1])
		if err != nil {
			return err
		}
		cfg, done, err := config(cmd.Context(), a, specs, bounds{})
		if err != nil {
			return err
		}
		defer done()
		step, finish := progress(term.New(a.Err))
		cfg.Progress = step
		why, err := compare.Explain(cmd.Context(), cfg, args[0], window, limit)
		finish(err)
		if err != nil {
			return err
		}
		if a.JSON() {
			return a.PrintJSON(why)
		}
		color := app.Terminal(a.Out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		width := app.Width(a.Out)
		if !app.Terminal(a.Out) {
			width = report.FileWidth // a pipe or file has no edge to cut at
		}
		return report.WriteWhy(a.Out, why, width, color)
	}
	return cmd
}
