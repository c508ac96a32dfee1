// Command kappa moves a data platform from a Lambda to a Kappa architecture
// and proves that the new numbers are right. It has no cgo and no Beam in it:
// what needs them runs as a child process (kappa-sandbox, kappa-pipeline).
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/kappa-migrate/kappa/internal/cli"
	"github.com/kappa-migrate/kappa/internal/cli/app"
)

// version is set at link time: -ldflags "-X main.version=v1.2.3".
var version string

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal stops gracefully; with the handler gone, the second
	// ends the process at once.
	context.AfterFunc(ctx, stop)
	// A reader of our output that goes away is an error of write, not a signal
	// that kills us before our children are stopped. To ignore the signal
	// instead would make the children ignore it too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	a := &app.App{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Version: version,
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	return int(cli.Run(ctx, a, os.Args[1:]))
}
