// Package app is what every command group shares: the streams, the output
// format and the logger. It is passed to each group's constructor.
package app

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/kappa-migrate/kappa/internal/report"
)

// App is the environment of a command.
type App struct {
	In      io.Reader
	Out     io.Writer // results
	Err     io.Writer // progress, logs, errors
	Version string
	Log     *slog.Logger // writes to Err
	Output  string       // text or json; set by the root's --output flag before a command runs
}

// JSON reports whether results are wanted as JSON (rule A3).
func (a *App) JSON() bool { return a.Output == "json" }

// PrintJSON writes v to Out as indented JSON.
func (a *App) PrintJSON(v any) error {
	return report.WriteJSON(a.Out, v)
}

// Terminal reports whether w is a terminal.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the width of the terminal w in columns, and 80 elsewhere.
func Width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if cols, _, err := term.GetSize(int(f.Fd())); err == nil && cols > 0 {
			return cols
		}
	}
	return 80
}
