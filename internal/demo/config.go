package demo

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Config says how the demo runs.
type Config struct {
	Input       string        // file of flights; empty: the week that is built in
	BatchCutoff time.Duration // how long after an hour's end the old batch layer still takes reports
	Duplicates  float64       // fraction of the flights whose report is sent twice
	Rate        float64       // records produced per second; zero: by the number of flights
	Out         string        // folder that the reports are published into
	Keep        bool          // leave the sandbox up until the context is cancelled

	LogLevel slog.Level                   // least level in the logs, of the demo and of its processes
	Progress io.Writer                    // phases and counts, for people
	Finished func(*Summary, *Paths) error // called with the outcome, before anything is stopped
	// Serving is called where Keep is set, with NAME=VALUE pairs and the path of
	// a file that a shell reads to set them.
	Serving func(environment []string, file string)
}

// Default is the config of a run without flags.
func Default() Config {
	return Config{BatchCutoff: 120 * time.Minute, Duplicates: 0.01, Out: "out/demo"}
}

// Validate refuses what cannot be run.
func (c Config) Validate() error {
	switch {
	case c.BatchCutoff < 0:
		return exit.Usagef("--batch-cutoff %s is negative", c.BatchCutoff).WithHint("give a duration such as 120m, or 0s")
	case math.IsNaN(c.Duplicates) || c.Duplicates < 0 || c.Duplicates > 1:
		return exit.Usagef("--duplicates %v is not a fraction", c.Duplicates).WithHint("give a number between 0 and 1, such as 0.01")
	case math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) || c.Rate < 0:
		return exit.Usagef("--rate %v is not a number of records per second", c.Rate).WithHint("give a positive number, or leave it out")
	case c.Out == "":
		return exit.Usagef("--out is empty").WithHint("name a folder")
	case c.Progress == nil || c.Finished == nil || c.Serving == nil:
		return errors.New("demo: progress, finished and serving are needed")
	}
	return nil
}

// Pace of the producer where none is given: a stream long enough to be killed
// in, drained and watched, and no faster than two cores carry it end to end.
const (
	paceSpan    = 35 * time.Second
	slowestPace = 500.0
	fastestPace = 3500.0
)

// pace is the rate of production, in records per second.
func (c Config) pace(records int) float64 {
	if c.Rate > 0 {
		return c.Rate
	}
	return min(fastestPace, max(slowestPace, float64(records)/paceSpan.Seconds()))
}
