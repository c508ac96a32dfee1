// Package fake is the fake worker of package dataflowtest: it behaves as told, and
// speaks the protocol of internal/worker. Tests start hundreds of them, so the
// program of it (folder worker) imports next to nothing: it starts in a
// hundredth of the time that a test binary takes, which has the whole sandbox in it.
package fake

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/worker"
)

// Env names the environment variable with the behaviours, by job, as JSON.
const Env = "KAPPA_TEST_WORKER"

// Behaviour is what a fake worker does.
type Behaviour struct {
	Sources    []string      // subscriptions, projects/P/subscriptions/S; nil: one, named after the job
	StartAfter time.Duration // how long until it reads its sources
	DrainTakes time.Duration // from the drain command until it is drained
	Hold       bool          // the drain never ends
	NoDrained  bool          // exits without reporting that it drained
	DrainExit  int           // exit code after a drain
	ExitAfter  time.Duration // exits without a drain; 0: does not
	Exit       int           // its code
	Unknown    bool          // never knows a watermark
	Still      bool          // its watermarks do not move
	Live       bool          // its watermarks are what the clock says
	ErrorEvery time.Duration // logs an error; 0: never
	Batch      bool          // has no sources

	NoTakeOver    bool          // refuses to take over from the job that it is to update
	TakeOverAfter time.Duration // how long until it takes over, or refuses to
	IgnoreUpdate  bool          // begins to read, as if it were launched for the first time
}

// firstWatermark is where the fake watermarks start; they gain an hour a report.
var firstWatermark = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

const reportEvery = 20 * time.Millisecond

// Work is what the worker's process does, with the parameters of a job. It returns
// the exit code.
func Work(args []string) int {
	flags := flag.NewFlagSet("kappa-pipeline", flag.ContinueOnError)
	job := flags.String("job", "", "")
	update := flags.Bool("update", false, "")
	input := flags.String("inputSubscription", "", "what a template that is not kappa's reads")
	for _, name := range []string{"jobspec", "generation", "archive", "files", "table", "maxbytes", "from", "to", "shadow", "runner", "control", "transform_name_mapping", "outputTableSpec", "outputDeadletterTable"} {
		flags.String(name, "", "")
	}
	if err := flags.Parse(args); err != nil {
		return 2
	}
	all := map[string]Behaviour{}
	if err := json.Unmarshal([]byte(os.Getenv(Env)), &all); err != nil {
		fmt.Fprintln(os.Stderr, "level=ERROR msg=behaviours error="+err.Error())
		return 2
	}
	b, ok := all[*job]
	if !ok {
		b = all[""]
	}
	if *input != "" {
		b.Sources = strings.Split(*input, ",")
	}
	if b.Sources == nil && !b.Batch {
		b.Sources = []string{"projects/test/subscriptions/" + *job}
	}
	commands := make(chan worker.Command)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			var c worker.Command
			if err := json.Unmarshal(in.Bytes(), &c); err != nil {
				fmt.Fprintln(os.Stderr, "level=ERROR msg=command error="+err.Error())
				os.Exit(2)
			}
			commands <- c
		}
		os.Exit(3) // the service is gone
	}()
	fmt.Fprintf(os.Stderr, "level=INFO msg=started args=%q\n", strings.Join(args, " "))
	return run(b, *update, commands)
}

func run(b Behaviour, update bool, commands <-chan worker.Command) int {
	started := time.Now()
	drainAt := time.Time{} // zero: no drain asked for
	errorAt := started     // the newest
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		r := worker.Report{Counters: map[string]int64{worker.CounterMessages: int64(n * 10)}}
		r.Running = time.Since(started) >= b.StartAfter
		if update && !b.IgnoreUpdate {
			due := time.Since(started) >= b.TakeOverAfter
			if due && b.NoTakeOver {
				fmt.Fprintln(os.Stderr, "level=ERROR msg=\"the coder of step Count has changed\"")
				return 1
			}
			r.TookOver, r.Running = due, r.Running && due
		}
		draining := !drainAt.IsZero()
		r.Drained = draining && !b.Hold && time.Since(drainAt) >= b.DrainTakes
		for _, s := range b.Sources {
			src := worker.Source{Subscription: s, Watermark: firstWatermark.Add(time.Duration(n) * time.Hour), AtMaximum: draining, Held: int64(n)}
			switch {
			case b.Still:
				src.Watermark = firstWatermark
			case b.Live:
				src.Watermark = time.Now()
			case b.Unknown:
				src = worker.Source{Subscription: s}
			}
			r.Sources = append(r.Sources, src)
		}
		if b.ErrorEvery > 0 && time.Since(errorAt) >= b.ErrorEvery {
			errorAt = time.Now()
			fmt.Fprintln(os.Stderr, "level=ERROR msg=\"no more crackers\"")
		}
		finished := r.Drained
		r.Drained = r.Drained && !b.NoDrained
		line, err := json.Marshal(r)
		if err != nil {
			return 2
		}
		fmt.Println(string(line))
		if finished {
			fmt.Fprintln(os.Stderr, "level=WARN msg=leaving")
			return b.DrainExit
		}
		if b.ExitAfter > 0 && time.Since(started) >= b.ExitAfter {
			fmt.Fprintln(os.Stderr, "level=ERROR msg=\"out of cheese\"")
			return b.Exit
		}
		select {
		case c := <-commands:
			if c.Do != worker.Drain {
				fmt.Fprintf(os.Stderr, "level=ERROR msg=unknown command=%s\n", c.Do)
				return 2
			}
			if drainAt.IsZero() {
				drainAt = time.Now()
			}
		case <-tick.C:
		}
	}
}
