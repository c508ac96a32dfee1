package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/bench/internal/proc"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

// testCase is one shape of the stream side.
type testCase struct {
	name    string
	writers bool // rows count as their writer does
}

var cases = []testCase{{"plain", false}, {"writers", true}}

const specText = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: bench}
spec:
  environment: sandbox
  project: kappa-bench
  dataset: kappa
  batch: {table: batch_flights%s}
  stream: {table: stream_flights%s}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics:
    - {name: flights, type: count}
    - {name: delay, type: sum, field: delay}
  gate: {days: 0}
`

func (c testCase) spec() string {
	if c.writers {
		return fmt.Sprintf(specText, "", ", job: flights")
	}
	return fmt.Sprintf(specText, ", settledBy: clock", "")
}

// measure makes the tables in a sandbox of their own and compares them.
func (c testCase) measure(ctx context.Context, o options) (f figures, err error) {
	f.Name = c.name
	if err := os.Setenv(sandboxchild.EnvOverride, filepath.Join(o.bin, sandboxchild.Program)); err != nil {
		return f, err
	}
	dir, err := os.MkdirTemp("", "kappa-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	var ran longest
	sb, err := sandboxchild.Start(ctx, sandboxchild.Config{
		Args: []string{"--services", "bigquery", "--bigquery-memory", o.memory, "--project", project, "--log-level", "debug", "--log-format", "json"},
		Env:  []string{"TMPDIR=" + dir},
		Log:  ran.see,
	})
	if err != nil {
		return f, err
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		return sb.Stop(sandboxchild.StopGrace)
	}
	defer func() { err = errors.Join(err, stop()) }()
	client, err := gcp.BigQueryAt(ctx, project, sb.Environment[gcp.EnvBigQuery])
	if err != nil {
		return f, err
	}
	defer client.Close()
	begin := time.Now()
	if err := makeTables(ctx, client, o.hours, c.writers); err != nil {
		return f, fmt.Errorf("make the tables: %w", err)
	}
	f.MakeSeconds = time.Since(begin).Seconds()
	spec := filepath.Join(dir, "compare.yaml")
	if err := os.WriteFile(spec, []byte(c.spec()), 0o644); err != nil {
		return f, err
	}
	for range o.rounds {
		if err := c.compare(ctx, o, sb, spec, &f); err != nil {
			return f, err
		}
	}
	use, err := proc.Of(sb.Pid())
	if err != nil {
		return f, err
	}
	f.SandboxPeak = use.PeakRSS
	if err := stop(); err != nil { // two DuckDBs at once would be in each other's way
		return f, err
	}
	query := ran.reconcile()
	if err := os.WriteFile(filepath.Join(filepath.Dir(o.out), "compare-"+c.name+".sql"), []byte(query+"\n"), 0o644); err != nil {
		return f, err
	}
	if f.Raw, err = raw(ctx, o, c.writers, query); err != nil {
		return f, fmt.Errorf("raw DuckDB: %w", err)
	}
	f.Best = slices.Min(f.Seconds)
	f.Ratio = f.Best / slices.Min(f.Raw)
	return f, nil
}

// result is what is read of the comparison's result.
type result struct {
	Counts struct {
		Total, Exact, Mismatch, Missing, Extra, Nonunique int64
	} `json:"keys"`
	Cost struct {
		Billed    int64 `json:"bytes_billed"`
		Processed int64 `json:"bytes_processed"`
	} `json:"cost"`
}

// compare runs kappa once and checks what it has found.
func (c testCase) compare(ctx context.Context, o options, sb *sandboxchild.Process, spec string, f *figures) error {
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "kappa"), "compare", "run", "-f", spec, "--output", "json",
		"--from", firstDay, "--to", time.Date(2001, 1, 8, o.hours, 0, 0, 0, time.UTC).Format(time.RFC3339))
	cmd.Env = append(os.Environ(), sb.Variables()...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	var peak int64
	var watching sync.WaitGroup
	watching.Go(func() { peak = watch(cmd.Process.Pid, done) })
	err := cmd.Wait()
	close(done)
	watching.Wait()
	f.Seconds = append(f.Seconds, time.Since(begin).Seconds())
	f.KappaPeak = max(f.KappaPeak, peak)
	var ended *exec.ExitError
	if err != nil && (!errors.As(err, &ended) || ended.ExitCode() != int(exit.GateNotMet)) {
		return fmt.Errorf("kappa compare run: %w\n%s", err, log.String())
	}
	var res result
	if err := json.Unmarshal(out.Bytes(), &res); err != nil {
		return fmt.Errorf("read the result: %w", err)
	}
	n := res.Counts
	f.Keys, f.Differing = n.Total, n.Mismatch+n.Missing+n.Extra+n.Nonunique
	f.BatchRows, f.StreamRows = n.Total-n.Extra, n.Total-n.Missing
	f.BytesBilled, f.BytesProcessed = res.Cost.Billed, res.Cost.Processed
	want := expect(o.hours)
	if got := (expected{n.Total, n.Exact, n.Mismatch, n.Missing, n.Extra}); got != want || n.Nonunique != 0 {
		return fmt.Errorf("kappa found %+v and %d nonunique, want %+v", got, n.Nonunique, want)
	}
	return nil
}

// watch returns the highest resident set (VmHWM) that a process has had, as last
// seen before done. What the kernel says at its end (ru_maxrss) is of no use: it
// counts the process that started it too.
func watch(pid int, done <-chan struct{}) (peak int64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if use, err := proc.Of(pid); err == nil { // it may have ended already
			peak = max(peak, use.PeakRSS)
		}
		select {
		case <-done:
			return peak
		case <-tick.C:
		}
	}
}

// longest remembers the SQL of queries that the sandbox's log tells of.
type longest struct {
	mu  sync.Mutex
	sql string
}

func (l *longest) see(line []byte) {
	var entry struct{ Msg, SQL string }
	if json.Unmarshal(line, &entry) != nil || entry.Msg != "query" || !strings.HasPrefix(entry.SQL, "WITH") && !strings.HasPrefix(entry.SQL, "SELECT") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(entry.SQL) > len(l.sql) { // the reconciliation is the longest by far
		l.sql = entry.SQL
	}
}

func (l *longest) reconcile() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sql
}
