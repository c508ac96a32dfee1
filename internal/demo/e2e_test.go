//go:build !race

// All of this runs the programs themselves, built without the race detector: it
// would see nothing here that the run without it does not.

package demo_test

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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/demo"
)

// binDir names the environment variable with a folder of programs that are
// built already, from this source.
const binDir = "KAPPA_BIN_DIR"

// built is the folder that programs has built into.
var built string

// programs returns the folder of the four programs, which it builds once.
var programs = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(binDir); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "kappa-demo-test")
	if err != nil {
		return "", err
	}
	built = dir
	cmd := exec.Command("go", "build", "-o", dir, "./cmd/kappa", "./cmd/kappa-pipeline", "./cmd/kappa-sandbox", "./cmd/kappa-truth")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// marker names the environment variable by which a test finds all processes
// that a demo has started, its descendants' descendants too.
const marker = "KAPPA_DEMO_TEST"

// process is a demo that runs.
type process struct {
	t      *testing.T
	mark   string
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of cmd.Wait; valid once ended is closed
	out    bytes.Buffer
	stderr lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, mark: fmt.Sprintf("%s=%d-%d", marker, os.Getpid(), time.Now().UnixNano())}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	p.cmd = exec.CommandContext(ctx, filepath.Join(dir, "kappa"), append([]string{"demo"}, args...)...)
	p.cmd.Dir = t.TempDir() // it must work from any folder
	p.cmd.Env = append(os.Environ(), p.mark)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return p
}

// wait waits for the end and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	<-p.ended
	var e *exec.ExitError
	if p.err != nil && !errors.As(p.err, &e) {
		p.t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// until waits until the demo's progress says something.
func (p *process) until(text string) {
	p.t.Helper()
	p.poll(2*time.Minute, "progress with "+text, func() bool {
		if strings.Contains(p.stderr.String(), text) {
			return true
		}
		select {
		case <-p.ended:
			p.t.Fatalf("ended without progress with %q; stderr:\n%s", text, p.stderr.String())
		default:
		}
		return false
	})
}

func (p *process) poll(limit time.Duration, what string, ok func() bool) {
	p.t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			p.t.Fatalf("no %s after %s; stderr:\n%s", what, limit, p.stderr.String())
		}
		<-tick.C
	}
}

// gone waits until no process of the demo is left.
func (p *process) gone() {
	p.t.Helper()
	p.poll(20*time.Second, "end of all processes", func() bool { return len(p.family()) == 0 })
}

// family returns the process ids of the demo's processes, or of those with a name.
func (p *process) family(name ...string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var out []int
	for _, f := range files {
		dir := filepath.Dir(f)
		env, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(env, []byte(p.mark)) {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && (len(name) == 0 || slices.Contains(name, strings.TrimSpace(string(comm)))) {
			out = append(out, pid)
		}
	}
	return out
}

// origins are enough that every topic gets some: a subscription without a
// message has no watermark, and holds back those of its job.
var origins = []string{"ATL", "LAS", "ORD", "A/#", "Zü", "SFO", "DEN", "JFK", "BOS", "SEA", "PHX", "MIA", "DFW", "IAH", "MSP", "DTW", "PHL", "CLT", "SLC"}

// smallInput writes n flights over some days, two for each origin and time,
// with reports from ten minutes early to thirty hours late.
func smallInput(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("origin,destination,delay,scheduled,distance\n")
	start := time.Date(2001, 3, 4, 22, 0, 0, 0, time.UTC)
	for i := range n {
		delay := (i*7)%90 - 10
		switch {
		case i%20 == 1:
			delay = 30 * 60 // later than any watermark lags behind
		case i%29 == 0:
			delay = 300
		}
		fmt.Fprintf(&b, "%s,SFO,%d,%s,%d\n", origins[i/2%len(origins)], delay,
			start.Add(time.Duration(i/2*22)*time.Minute).Format(time.RFC3339), 100+i)
	}
	file := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func summary(t *testing.T, out string) demo.Summary {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s demo.Summary
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDemo(t *testing.T) {
	const n = 260
	out := filepath.Join(t.TempDir(), "out")
	p := start(t, "--input", smallInput(t, n), "--out", out, "--duplicates", "0.1", "--rate", "60", "--batch-cutoff", "90m", "--output", "json")
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d; stderr:\n%s", code, p.stderr.String())
	}
	p.gone()
	s := summary(t, out)
	var printed demo.Summary
	if err := json.Unmarshal(p.out.Bytes(), &printed); err != nil || printed.Seconds != s.Seconds {
		t.Errorf("stdout is not the summary (%v): %s", err, p.out.String())
	}
	if s.Events != n || s.RecordsProduced != n+26 || s.EventsCounted != n || s.Lost != 0 || s.DoubleCounted != 0 || !s.TruthAgrees || !s.BigtableSame {
		t.Errorf("events are wrong: %+v", s)
	}
	if s.MessagesPublished < s.RecordsProduced || s.BridgeRestarts != 1 || s.DuplicatePctRaw < 100*26/(n+26.0)-0.01 || s.LateAccepted == 0 {
		t.Errorf("deliveries are wrong: %+v", s)
	}
	if s.Redeploys != 3 || s.JobCrashes != 1 || s.WindowsCut == 0 || s.RecoverySeconds <= 0 {
		t.Errorf("the jobs were not disturbed: %+v", s)
	}
	// Every difference comes from the flights that the old batch layer dropped.
	if s.Windows != s.TruthWindows || s.Mismatch+s.Extra == 0 || s.Missing != 0 || s.Unexplained != 0 ||
		s.CausesProven != s.Mismatch+s.Extra || s.BatchDropped == 0 || s.ExplainedPct != 100 {
		t.Errorf("the comparison is wrong: %+v", s)
	}
	if s.LatencyP99 <= 0 || s.Seconds <= 0 || s.PeakMemoryBytes <= 0 || s.Verdict == "" {
		t.Errorf("measures are missing: %+v", s)
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"compare.html", "compare.json", "compare.txt", "logs", "specs", "summary.json", "truth.json"}; !slices.Equal(names, want) {
		t.Errorf("the output folder holds %v, want %v", names, want)
	}
}

// Ctrl-C at any moment ends everything that was started and leaves no file.
func TestInterrupt(t *testing.T) {
	for _, moment := range []string{"Start the sandbox: …", "Deploy: …", "Produce: …", "Arrive: …", "Drain: …", "Compare: …"} {
		t.Run(strings.Trim(moment, ": …"), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			p := start(t, "--input", smallInput(t, 60), "--out", out)
			p.until(moment)
			if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(); code != 130 {
				t.Errorf("exit code %d, want 130; stderr:\n%s", code, p.stderr.String())
			}
			p.gone()
			if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the output folder is left behind (%v)", err)
			}
		})
	}
}

// A demo that is killed takes its processes with it; the next run removes the
// files that it could not remove itself.
func TestKilled(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	p := start(t, "--input", smallInput(t, 60), "--out", out)
	p.until("Produce: …")
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	p.gone()
	left, _ := filepath.Glob(filepath.Join(out, ".run-*"))
	if len(left) != 1 {
		t.Fatalf("left behind: %v", left)
	}
	p = start(t, "--input", smallInput(t, 60), "--out", out)
	p.until("Start the sandbox: …")
	if _, err := os.Stat(left[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there", left[0])
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	p.gone()
}

// The end of a process that the run needs is an error that says which, and
// where its log is.
func TestChildDies(t *testing.T) {
	for name, want := range map[string]string{
		"kappa-sandbox":  "kappa-sandbox ended unexpectedly",
		"kappa-pipeline": "streaming job flights-",
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			p := start(t, "--input", smallInput(t, 400), "--rate", "50", "--out", out)
			p.until("Produce: …")
			pids := p.family(name)
			if len(pids) == 0 {
				t.Fatalf("there is no %s", name)
			}
			if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(); code != 1 || !strings.Contains(p.stderr.String(), want) || !strings.Contains(p.stderr.String(), filepath.Join(out, "logs")) {
				t.Errorf("exit code %d; stderr:\n%s", code, p.stderr.String())
			}
			p.gone()
			if _, err := os.Stat(filepath.Join(out, "logs", "demo.log")); err != nil {
				t.Errorf("the logs are not there: %v", err)
			}
		})
	}
}

// Two at once, into the same folder, and the sandbox kept: each has its own
// platform, and the folder holds one run's results.
func TestTwoAtOnceAndKeep(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	a := start(t, "--input", smallInput(t, 80), "--out", out, "--keep")
	b := start(t, "--input", smallInput(t, 90), "--out", out)
	if code := b.wait(); code != 0 {
		t.Errorf("exit code %d; stderr:\n%s", code, b.stderr.String())
	}
	a.until("The sandbox is up until Ctrl-C")
	a.until("export BIGQUERY_EMULATOR_HOST=127.0.0.1:")
	if len(a.family("kappa-sandbox")) != 1 {
		t.Error("the sandbox is not kept")
	}
	if s := summary(t, out); s.Events != 80 && s.Events != 90 || !s.TruthAgrees {
		t.Errorf("the summary is wrong: %+v", s)
	}
	if err := a.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("exit code %d; stderr:\n%s", code, a.stderr.String())
	}
	a.gone()
	b.gone()
	for _, text := range []string{"Nothing lost, nothing counted twice", "Verdict", filepath.Join(out, "compare.html")} {
		if !strings.Contains(b.out.String(), text) {
			t.Errorf("the summary does not say %q:\n%s", text, b.out.String())
		}
	}
}

func TestRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.csv")
	if err := os.WriteFile(bad, []byte("scheduled,delay,distance,origin,destination\n2001-01-08T00:01:00Z,3,1,A,B\nyesterday,3,1,A,B\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"line 3: column scheduled", []string{"--input", bad}},
		{"no such file", []string{"--input", bad + "x"}},
		{"is not a file", []string{"--input", filepath.Dir(bad)}},
		{"--batch-cutoff", []string{"--batch-cutoff", "-1m"}},
		{"--duplicates", []string{"--duplicates", "1.5"}},
		{"make the output folder", []string{"--out", bad}},
	} {
		p := start(t, tc.args...)
		if code := p.wait(); code != 2 || !strings.Contains(p.stderr.String(), tc.want) || !strings.Contains(p.stderr.String(), "hint: ") {
			t.Errorf("%q: exit code %d, stderr:\n%s", tc.args, code, p.stderr.String())
		}
	}
}
