// Command compare is the benchmark of `kappa compare run`: kappa-sandbox holds
// two tables with ten million keys each, kappa reconciles them, each a process of
// its own, and raw DuckDB runs the very SQL that the sandbox ran, in the same
// run, as the limit. It prints a table, writes out/bench/compare.json and the
// SQL beside it, and fails
// if a count is wrong or a bound is broken. `make bench-compare` runs it.
//
// The tables are made inside the sandbox, by SQL whose differences are known, so
// that every count of the result can be checked.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/test/program"
)

// Bounds that the benchmark holds kappa to. Time is not held in --quick.
const (
	maxSeconds      = 15
	maxSandboxBytes = 4 << 30
	maxKappaBytes   = 200 << 20
)

func main() {
	program.Main("bench/compare", func(ctx context.Context, _ []string, _ io.Writer) error { return run(ctx) })
}

type options struct {
	quick  bool
	hours  int
	only   string
	bin    string
	out    string
	memory string
	rounds int
}

// report is what is written to out/bench/compare.json.
type report struct {
	Time       time.Time `json:"time"`
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Quick      bool      `json:"quick"`
	Memory     string    `json:"duckdb_memory_limit"`
	Cases      []figures `json:"cases"`
	MaxSeconds float64   `json:"bound_seconds"`
	MaxSandbox int64     `json:"bound_sandbox_bytes"`
	MaxKappa   int64     `json:"bound_kappa_bytes"`
}

// figures are those of a case: of its fastest round.
type figures struct {
	Name           string    `json:"name"`
	Keys           int64     `json:"keys"`        // of both sides together
	BatchRows      int64     `json:"batch_rows"`  // as counted by kappa
	StreamRows     int64     `json:"stream_rows"` // likewise
	Differing      int64     `json:"differing"`
	MakeSeconds    float64   `json:"make_tables_seconds"`
	Seconds        []float64 `json:"kappa_seconds"` // of every round, the whole process
	Best           float64   `json:"best_seconds"`
	Raw            []float64 `json:"raw_duckdb_seconds"`
	Ratio          float64   `json:"ratio_to_raw"` // best of both
	KappaPeak      int64     `json:"kappa_peak_bytes"`
	SandboxPeak    int64     `json:"sandbox_peak_bytes"`
	BytesBilled    int64     `json:"bytes_billed"`
	BytesProcessed int64     `json:"bytes_processed"`
}

func run(ctx context.Context) error {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "a tenth of the keys, one round, no bound on time: for CI")
	flag.IntVar(&o.hours, "hours", 0, "`number` of windows, of 60,000 keys each, instead of the scale's")
	flag.StringVar(&o.only, "case", "", "`name` of the only case to run: plain or writers")
	flag.StringVar(&o.bin, "bin", "", "`folder` of kappa and kappa-sandbox (default: built from this module)")
	flag.StringVar(&o.out, "out", "out/bench/compare.json", "`file` for the results")
	flag.StringVar(&o.memory, "memory", "2GiB", "`size` of DuckDB's memory, in the sandbox and raw; what comparisons of files have")
	flag.IntVar(&o.rounds, "rounds", 0, "`number` of rounds, instead of the scale's")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.hours == 0 {
		o.hours = 168
		if o.quick {
			o.hours = 17
		}
	}
	if o.rounds == 0 {
		o.rounds = 2
		if o.quick {
			o.rounds = 1
		}
	}
	if o.bin == "" {
		dir, err := build(ctx)
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.bin = dir
	}
	if o.only != "" && !slices.ContainsFunc(cases, func(c testCase) bool { return c.name == o.only }) {
		return fmt.Errorf("there is no case %q: there are plain and writers", o.only)
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	rep := report{Time: time.Now().UTC(), CPU: proc.CPUModel(), Cores: runtime.NumCPU(), Quick: o.quick, Memory: o.memory,
		MaxSeconds: maxSeconds, MaxSandbox: maxSandboxBytes, MaxKappa: maxKappaBytes}
	var broken error
	for _, c := range cases {
		if o.only != "" && c.name != o.only {
			continue
		}
		f, err := c.measure(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		rep.Cases = append(rep.Cases, f)
		fmt.Printf("%-8s %11d keys  %6.2f s (raw DuckDB %.2f s, ratio %.2f)  kappa %d MiB  sandbox %d MiB  tables made in %.1f s\n",
			f.Name, f.Keys, f.Best, f.Best/f.Ratio, f.Ratio, f.KappaPeak>>20, f.SandboxPeak>>20, f.MakeSeconds)
		broken = errors.Join(broken, f.check(o.quick))
	}
	data, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.out, append(data, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Println("written:", o.out)
	return broken
}

// check reports which bounds are broken.
func (f figures) check(quick bool) error {
	var err error
	if f.KappaPeak > maxKappaBytes {
		err = errors.Join(err, fmt.Errorf("%s: kappa had %d MiB, more than %d", f.Name, f.KappaPeak>>20, maxKappaBytes>>20))
	}
	if f.SandboxPeak > maxSandboxBytes {
		err = errors.Join(err, fmt.Errorf("%s: the sandbox had %d MiB, more than %d", f.Name, f.SandboxPeak>>20, maxSandboxBytes>>20))
	}
	if !quick && f.Best > maxSeconds {
		err = errors.Join(err, fmt.Errorf("%s: %.1f s, more than %d", f.Name, f.Best, maxSeconds))
	}
	return err
}

// build builds the programs into a temporary folder.
func build(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "kappa-bench-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", "./cmd/kappa", "./cmd/kappa-sandbox")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("build the programs: %w", err)
	}
	return dir, nil
}
