//go:build demo

// Package demo runs the real demo, the whole platform in real processes, and
// holds its summary against numbers that are computed here from the input
// alone. It takes minutes, so it has a build tag: `make test-demo`.
//
// Every test has copies of the programs in a folder of its own, so that it can tell
// its processes from all others, and demos beside each other. The one that is held
// against limits of time and memory, TestGuide, runs alone: it is not parallel.
package demo

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

const week = "../../examples/flights/flights-week.csv.gz"

type flight struct {
	scheduled           time.Time
	delay, distance     int64
	origin, destination string
}

// summary is the part of summary.json that is checked.
type summary struct {
	Events          int64            `json:"events"`
	RecordsProduced int64            `json:"records_produced"`
	Published       int64            `json:"messages_published"`
	EventsCounted   int64            `json:"events_counted"`
	Lost            int64            `json:"lost"`
	DoubleCounted   int64            `json:"double_counted"`
	LateAccepted    int64            `json:"late_accepted"`
	LateDropped     int64            `json:"late_dropped"`
	Windows         int64            `json:"windows"`
	Exact           int64            `json:"exact"`
	Mismatch        int64            `json:"mismatch"`
	Missing         int64            `json:"missing"`
	Extra           int64            `json:"extra"`
	ExactPct        json.Number      `json:"exact_pct"`
	ExplainedPct    json.Number      `json:"explained_pct"`
	Unexplained     int64            `json:"unexplained"`
	Causes          map[string]int64 `json:"causes"`
	Verdict         string           `json:"verdict"`
	Redeploys       int64            `json:"redeploys"`
	JobCrashes      int64            `json:"job_crashes"`
	WindowsCut      int64            `json:"windows_cut"`
	Across          int64            `json:"duplicates_across_generations"`
	BridgeRestarts  int64            `json:"bridge_restarts"`
	DuplicatePctRaw float64          `json:"duplicate_pct_raw"`
	LatencyP99      float64          `json:"latency_p99_s"`
	Seconds         float64          `json:"seconds"`
	PeakMemoryBytes int64            `json:"peak_memory_bytes"`
}

// numbers are what the comparison must find.
type numbers struct{ Events, Windows, Exact, Mismatch, Extra int64 }

func expect(flights []flight, cutoff time.Duration) numbers {
	type key struct {
		origin string
		hour   time.Time
	}
	all, inTime := map[key]int64{}, map[key]int64{}
	for _, f := range flights {
		k := key{f.origin, f.scheduled.Truncate(time.Hour)}
		all[k]++
		if arrival := f.scheduled.Add(time.Duration(f.delay) * time.Minute); !arrival.After(k.hour.Add(time.Hour + cutoff)) {
			inTime[k]++
		}
	}
	n := numbers{Events: int64(len(flights)), Windows: int64(len(all))}
	for k, v := range all {
		switch inTime[k] {
		case v:
			n.Exact++
		case 0:
			n.Extra++
		default:
			n.Mismatch++
		}
	}
	return n
}

func readWeek(t *testing.T) []flight {
	t.Helper()
	f, err := os.Open(week)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []flight
	for _, r := range rows[1:] {
		at, err := time.Parse(time.RFC3339, r[0])
		delay, err1 := strconv.ParseInt(r[1], 10, 64)
		distance, err2 := strconv.ParseInt(r[2], 10, 64)
		if err := errors.Join(err, err1, err2); err != nil {
			t.Fatal(err)
		}
		out = append(out, flight{at, delay, distance, r[3], r[4]})
	}
	return out
}

// binaries copies bin/ into a folder of the test's own, so that processes of
// this test can be told from all others.
func binaries(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../bin")); err != nil {
		t.Fatalf("copy the programs (run `make build` first): %v", err)
	}
	for _, e := range must(os.ReadDir(dir)) {
		if err := os.Chmod(filepath.Join(dir, e.Name()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, p := range processes(dir) {
			t.Errorf("process left behind: %s", p)
		}
	})
	return dir
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// processes lists the running processes of programs in dir.
func processes(dir string) []string {
	var out []string
	for _, link := range must(filepath.Glob("/proc/[0-9]*/exe")) {
		if exe, err := os.Readlink(link); err == nil && strings.HasPrefix(exe, dir+"/") {
			out = append(out, filepath.Base(filepath.Dir(link))+" "+filepath.Base(exe))
		}
	}
	return out
}

func runDemo(t *testing.T, bin string, args ...string) summary {
	t.Helper()
	out := t.TempDir()
	cmd := exec.Command(filepath.Join(bin, "kappa"), append([]string{"demo", "--out", out}, args...)...)
	cmd.Dir = t.TempDir() // the demo must not depend on where it is started
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kappa demo %q: %v\n%s", args, err, text)
	}
	return readSummary(t, out)
}

// readSummary reads what a demo has left in its folder.
func readSummary(t *testing.T, out string) summary {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(out, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatalf("summary.json: %v\n%s", err, raw)
	}
	for _, report := range []string{"compare.txt", "compare.json", "compare.html"} {
		if st, err := os.Stat(filepath.Join(out, report)); err != nil || st.Size() == 0 {
			t.Errorf("report %s: %v", report, err)
		}
	}
	t.Logf("%s", raw)
	return s
}

// check holds a summary against the truth and against itself.
func check(t *testing.T, s summary, want numbers, duplicates float64) {
	t.Helper()
	got := numbers{s.Events, s.Windows, s.Exact, s.Mismatch, s.Extra}
	if got != want {
		t.Errorf("found %+v, the input has %+v", got, want)
	}
	if s.Lost != 0 || s.DoubleCounted != 0 || s.LateDropped != 0 || s.Missing != 0 || s.Unexplained != 0 {
		t.Errorf("lost %d, double_counted %d, late_dropped %d, missing %d, unexplained %d; all must be 0",
			s.Lost, s.DoubleCounted, s.LateDropped, s.Missing, s.Unexplained)
	}
	if s.EventsCounted != want.Events {
		t.Errorf("events_counted %d, want %d", s.EventsCounted, want.Events)
	}
	if records := want.Events + int64(float64(want.Events)*duplicates+0.5); s.RecordsProduced != records {
		t.Errorf("records_produced %d, want %d", s.RecordsProduced, records)
	}
	if s.Published < s.RecordsProduced {
		t.Errorf("messages_published %d is less than records_produced %d", s.Published, s.RecordsProduced)
	}
	// Of few flights all may have arrived before a job is drained: no window is
	// open then.
	if s.Redeploys < 3 || s.JobCrashes < 1 || s.WindowsCut < 1 && s.RecordsProduced > 50_000 {
		t.Errorf("redeploys %d, job_crashes %d, windows_cut %d: the jobs were left in peace", s.Redeploys, s.JobCrashes, s.WindowsCut)
	}
	if s.BridgeRestarts < 1 {
		t.Error("the bridge was never killed")
	}
	caused := int64(0)
	for n := range maps.Values(s.Causes) {
		caused += n
	}
	if caused != want.Mismatch+want.Extra || s.Causes["late_dropped_by_batch"] != caused {
		t.Errorf("causes %v; all %d must be late_dropped_by_batch", s.Causes, want.Mismatch+want.Extra)
	}
	if raw := float64(s.Published-s.Events) / float64(s.Published) * 100; raw < s.DuplicatePctRaw-0.01 || raw > s.DuplicatePctRaw+0.01 {
		t.Errorf("duplicate_pct_raw %g; from the counts it is %g", s.DuplicatePctRaw, raw)
	}
}

// checkDefaults holds the summary of a demo without flags against what it must be.
func checkDefaults(t *testing.T, s summary) {
	t.Helper()
	check(t, s, numbers{Events: 115_245, Windows: 16_459, Exact: 15_728, Mismatch: 644, Extra: 87}, 0.01)
	if pct := must(s.ExactPct.Float64()); math.Round(pct*100) != 9556 {
		t.Errorf("exact_pct %s, want 95.56", s.ExactPct)
	}
	if s.Verdict != "GO" {
		t.Errorf("verdict %s", s.Verdict)
	}
	if s.Seconds > 120 {
		t.Errorf("the demo took %.0f s, it may take 120", s.Seconds)
	}
	if s.PeakMemoryBytes <= 0 || s.PeakMemoryBytes > 3<<30 {
		t.Errorf("peak memory %d bytes, it may be 3 GiB", s.PeakMemoryBytes)
	}
	if s.Across < 1 {
		t.Error("no event was read by two generations: deduplication across them was not tried")
	}
	if s.LatencyP99 <= 0 || s.LateAccepted <= 0 {
		t.Errorf("latency_p99_s %g, late_accepted %d: not measured", s.LatencyP99, s.LateAccepted)
	}
}

// TestOtherInputs: nothing may be tuned to one file, cut-off or fraction.
func TestOtherInputs(t *testing.T) {
	t.Parallel()
	all := readWeek(t)
	t.Run("reordered plain CSV, strict cut-off, many duplicates", func(t *testing.T) {
		t.Parallel()
		bin := binaries(t)
		part := all[20_000:32_000]
		path := filepath.Join(t.TempDir(), "part.csv")
		var b strings.Builder
		b.WriteString("destination,origin,distance,scheduled,delay\n")
		for _, f := range part {
			fmt.Fprintf(&b, "%s,%s,%d,%s,%d\n", f.destination, f.origin, f.distance, f.scheduled.Format(time.RFC3339), f.delay)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		check(t, runDemo(t, bin, "--input", path, "--batch-cutoff", "15m", "--duplicates", "0.2"), expect(part, 15*time.Minute), 0.2)
	})
	t.Run("Parquet, one airport, generous cut-off, no duplicates", func(t *testing.T) {
		t.Parallel()
		bin := binaries(t)
		part := slices.DeleteFunc(slices.Clone(all), func(f flight) bool { return f.origin != "ATL" })
		type row struct {
			Date        time.Time `parquet:"date,timestamp(microsecond)"`
			Delay       int64     `parquet:"delay"`
			Distance    int64     `parquet:"distance"`
			Origin      string    `parquet:"origin"`
			Destination string    `parquet:"destination"`
		}
		var rows []row
		for _, f := range part {
			rows = append(rows, row{f.scheduled, f.delay, f.distance, f.origin, f.destination})
		}
		path := filepath.Join(t.TempDir(), "part.parquet")
		if err := parquet.WriteFile(path, rows); err != nil {
			t.Fatal(err)
		}
		check(t, runDemo(t, bin, "--input", path, "--batch-cutoff", "6h", "--duplicates", "0"), expect(part, 6*time.Hour), 0)
	})
}

func TestTwiceAtOnce(t *testing.T) {
	t.Parallel()
	bin, part := binaries(t), readWeek(t)[:4_000]
	path := filepath.Join(t.TempDir(), "part.csv")
	var b strings.Builder
	b.WriteString("scheduled,delay,distance,origin,destination\n")
	for _, f := range part {
		fmt.Fprintf(&b, "%s,%d,%d,%s,%s\n", f.scheduled.Format(time.RFC3339), f.delay, f.distance, f.origin, f.destination)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { check(t, runDemo(t, bin, "--input", path), expect(part, 2*time.Hour), 0.01) })
	}
	wg.Wait()
}

// TestCtrlC interrupts the demo at moments spread over its life, up to the end
// of producing, which is paced to take 35 s: it must end with the code for
// that, soon, and leave no process behind. The clock starts with the first line
// that it prints, for until the program listens for signals the system ends it,
// and how long that takes is up to the machine. The phases after producing are
// too short to be met by the clock; the tests of internal/demo interrupt them
// by name.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, time.Second, 3 * time.Second, 8 * time.Second, 20 * time.Second, 32 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			bin := binaries(t)
			cmd := exec.Command(filepath.Join(bin, "kappa"), "demo", "--out", t.TempDir())
			read, write := io.Pipe()
			cmd.Stdout, cmd.Stderr = io.Discard, write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := read.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, read) }()
			time.Sleep(after) // the moment is what is tested
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case <-ended:
			case <-time.After(30 * time.Second):
				_ = cmd.Process.Kill()
				<-ended
				t.Fatal("still running 30 s after Ctrl-C")
			}
			if code := cmd.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d, want 130", code)
			}
			waitForNone(t, bin)
		})
	}
}

// TestKilledDemoLeavesNothing: SIGKILL gives the demo no chance to clean up;
// its children must end by themselves.
func TestKilledDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	cmd := exec.Command(filepath.Join(bin, "kappa"), "demo", "--out", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(60 * time.Second)
	for len(processes(bin)) < 5 { // kappa, the sandbox, the bridge, two jobs at least
		if time.Now().After(deadline) {
			t.Fatalf("only %q are running", processes(bin))
		}
		time.Sleep(20 * time.Millisecond) // between two looks, with a deadline
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	waitForNone(t, bin)
}
