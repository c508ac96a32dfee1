// Command kappa-truth checks a run of the demo from the outside: it computes
// the truth from the input file alone and holds it against what BigQuery's
// stream table and Bigtable say, both read through Google's plain clients.
//
// It shares no code with the rest of the module (it imports none of its
// packages), so a mistake in a shared package cannot hide from it. What it
// knows of the storage contracts is written down here once more:
//
//   - one row (BigQuery) or cell (Bigtable) per key, window, writer and pane;
//     copies are dropped, panes and writers are summed;
//   - a writer counts by the newest row of it in the generations table: a stream
//     that is open or drained, a backfill that is drained. Void and cancelled
//     ones do not, nor one that another supersedes, nor one without a row;
//   - a complete backfill counts in its own span of windows alone, and there
//     instead of all other writers of its group; where several overlap, the one
//     that was completed last does;
//   - an event that is in the late table is in no aggregate, and is taken out of
//     the truth, unless a writer that counts in its window has read it and not
//     found it late. What a writer of which nothing counts found late does not
//     say anything; what a replaced stream found late does, for the windows that
//     a backfill has taken over are closed to streams.
//
// Exit codes: 0 all agree, 1 they do not, 2 bad flag or input, 3 a service
// cannot be reached or lacks a table.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	exitAgree = iota
	exitDisagree
	exitUsage
	exitEnvironment
)

type options struct {
	input       string
	project     string
	dataset     string
	streamTable string
	rawTable    string
	lateTable   string
	instance    string
	bigtable    string
	aggregation string
	window      time.Duration
	output      string
	timeout     time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("kappa-truth", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.input, "input", "", "`file` of flights: CSV, gzipped or not, or Parquet")
	fs.StringVar(&o.project, "project", "kappa-demo", "Google Cloud project `id`")
	fs.StringVar(&o.dataset, "dataset", "kappa", "BigQuery `dataset`")
	fs.StringVar(&o.streamTable, "stream-table", "stream_flights", "`table` of the stream aggregates")
	fs.StringVar(&o.rawTable, "raw-table", "raw_flights", "`table` of every delivery of every event")
	fs.StringVar(&o.lateTable, "late-table", "late_flights", "`table` of the events that were too late")
	fs.StringVar(&o.instance, "instance", "kappa", "Bigtable `instance`")
	fs.StringVar(&o.bigtable, "bigtable-table", "aggregates", "Bigtable `table`")
	fs.StringVar(&o.aggregation, "aggregation", "flights_by_origin", "`name` of the aggregation: the prefix of its Bigtable row keys")
	fs.DurationVar(&o.window, "window", time.Hour, "size of the windows")
	fs.StringVar(&o.output, "output", "text", "text or json")
	fs.DurationVar(&o.timeout, "timeout", 5*time.Minute, "give up after this time")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.input == "":
		err = errors.New("--input is needed")
	case o.window < time.Second || o.window%time.Second != 0:
		err = fmt.Errorf("--window %s is not a number of whole seconds", o.window)
	case o.output != "text" && o.output != "json":
		err = fmt.Errorf("--output %q is neither text nor json", o.output)
	case o.timeout <= 0:
		err = fmt.Errorf("--timeout %s is not positive", o.timeout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "error: %v\n", err)
	}
	return o, err
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitAgree
	}
	if err != nil {
		return exitUsage
	}
	truth, err := readInput(o.input, o.window)
	if err != nil {
		fmt.Fprintf(stderr, "error: %v\n", err)
		return exitUsage
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	found, err := readServices(ctx, o)
	if err != nil {
		fmt.Fprintf(stderr, "error: %v\n  hint: are the emulators' addresses set (BIGQUERY_EMULATOR_HOST, BIGTABLE_EMULATOR_HOST)?\n", err)
		return exitEnvironment
	}
	r := judge(truth, found)
	if err := write(stdout, o.output, r); err != nil {
		fmt.Fprintf(stderr, "error: write the report: %v\n", err)
		return exitEnvironment
	}
	if !r.Agrees {
		return exitDisagree
	}
	return exitAgree
}

func write(w io.Writer, format string, r report) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	verdict := "agree"
	if !r.Agrees {
		verdict = "DISAGREE"
	}
	if _, err := fmt.Fprintf(w, "%d events in %d windows, %d dropped as too late: truth and services %s\n", r.Events, r.Windows, r.LateDropped, verdict); err != nil {
		return err
	}
	for _, s := range []struct {
		name string
		side
	}{{"BigQuery", r.BigQuery}, {"Bigtable", r.Bigtable}} {
		if _, err := fmt.Fprintf(w, "%s: %d counted, %d lost, %d counted twice, %d keys disagree, %d panes contradict themselves\n",
			s.name, s.Counted, s.Lost, s.DoubleCounted, s.DisagreeingKeys, s.ConflictingPanes); err != nil {
			return err
		}
		for _, d := range s.Samples {
			if _, err := fmt.Fprintf(w, "  %s %s: truth %+v, found %+v\n", d.Origin, d.WindowStart.Format(time.RFC3339), d.Truth, d.Found); err != nil {
				return err
			}
		}
	}
	return nil
}
