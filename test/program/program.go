// Package program is how the programs of this folder begin and end: they run
// until they are done or interrupted, print an error once, with its hint, and end
// with its exit code.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Main runs a program and ends the process if it fails.
func Main(name string, command func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	var e *exit.Error
	if errors.As(err, &e) && e.Hint != "" {
		fmt.Fprintln(os.Stderr, "  hint:", e.Hint)
	}
	os.Exit(int(exit.Of(err)))
}

// Parse parses flags of a flag.ContinueOnError set. Where help was asked for, it
// prints that to out and returns flag.ErrHelp.
func Parse(flags *flag.FlagSet, args []string, out io.Writer) error {
	flags.SetOutput(io.Discard) // an error is printed once, by Main
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(out)
		flags.Usage()
		return err
	}
	if err != nil {
		return exit.Usagef("%w", err)
	}
	return nil
}
