// Package apptest runs commands in tests.
package apptest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app"
)

// patience is far more than any command takes in a test.
const patience = 5 * time.Minute

// Run runs a command, in version v1 and without a terminal, and returns what it
// printed.
func Run(t testing.TB, output string, command func(*app.App) *cobra.Command, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := command(&app.App{In: strings.NewReader(""), Out: &out, Err: &errs, Log: slog.New(slog.DiscardHandler), Version: "v1", Output: output})
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = cmd.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}
