package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
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

	"cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// program is kappa-sandbox: the one in KAPPA_BIN_DIR, else one that is built once.
var program = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("KAPPA_BIN_DIR"); bin != "" {
		return filepath.Join(bin, sandboxchild.Program), nil
	}
	dir, err := os.MkdirTemp("", "kappa-sandbox-test-")
	if err != nil {
		return "", err
	}
	programDir = dir
	path := filepath.Join(dir, sandboxchild.Program)
	out, err := exec.Command("go", "build", "-o", path, "github.com/kappa-migrate/kappa/cmd/kappa-sandbox").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", sandboxchild.Program, err, out)
	}
	return path, nil
})

var programDir string

// services are the variables of all of them, sorted.
var services = []string{gcp.EnvBigQuery, gcp.EnvBigtable, gcp.EnvDataflow, gcp.EnvTransfer, sandbox.EnvKafka, gcp.EnvPubSub, gcp.EnvStorage}

var discard = slog.New(slog.DiscardHandler)

func removeProgram() {
	if programDir != "" {
		os.RemoveAll(programDir)
	}
}

// useProgram makes sandboxchild run the built program, with this test binary
// as the pipeline. It returns the file that a job writes its process id to.
func useProgram(t *testing.T) (pidFile string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pidFile = filepath.Join(t.TempDir(), "pid")
	t.Setenv(sandboxchild.EnvOverride, path)
	t.Setenv("KAPPA_PIPELINE_BIN", self)
	t.Setenv(envWorker, pidFile)
	return pidFile
}

func useEndpoints(t *testing.T, e sandboxchild.Endpoints) {
	t.Helper()
	if want := slices.Sorted(maps.Keys(e.Environment)); e.Project != project || !slices.Equal(want, services) {
		t.Fatalf("endpoints: %+v, want project %s and %v", e, project, services)
	}
	for name, value := range e.Environment {
		t.Setenv(name, value)
	}
}

// alive reports whether a process runs; one that is dead and not yet waited
// for by its parent does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err) || !isDir("/proc/self")
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(after, []byte("Z"))
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func readPid(t *testing.T, file string) int {
	t.Helper()
	var pid int
	poll(t, "the job wrote its process id", func() bool {
		b, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(string(b))
		return err == nil
	})
	return pid
}

func closed(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err != nil
}

func wantNothingLeft(t *testing.T, e sandboxchild.Endpoints, pids ...int) {
	t.Helper()
	for name, addr := range e.Environment {
		poll(t, name+" is closed", func() bool { return closed(addr) })
	}
	for _, pid := range pids {
		poll(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !alive(pid) })
	}
}

// TestTerminate ends the real program with SIGTERM while a job runs.
func TestTerminate(t *testing.T) {
	pidFile := useProgram(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := sandboxchild.Start(ctx, sandboxchild.Config{Log: func(line []byte) { t.Logf("%s", line) }})
	if err != nil {
		t.Fatal(err)
	}
	useEndpoints(t, p.Endpoints)
	launch(t, ctx)
	job := readPid(t, pidFile)
	if !alive(job) || !alive(p.Pid()) {
		t.Fatal("nothing runs: the test would show nothing")
	}
	if err := p.Stop(sandboxchild.StopGrace); err != nil || p.ExitCode() != 0 {
		t.Errorf("exit code %d, %v, want 0", p.ExitCode(), err)
	}
	wantNothingLeft(t, p.Endpoints, p.Pid(), job)
}

// TestParentKilled kills the program that started the sandbox with SIGKILL:
// sandbox and job end by themselves.
func TestParentKilled(t *testing.T) {
	pidFile := useProgram(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(ctx, self)
	parent.Env = append(os.Environ(), envParent+"=1")
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewScanner(stdout)
	line := func() []byte {
		if !out.Scan() {
			t.Fatalf("the parent ended: %v", out.Err())
		}
		return out.Bytes()
	}
	var endpoints sandboxchild.Endpoints
	if err := json.Unmarshal(line(), &endpoints); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(line()))
	if err != nil {
		t.Fatal(err)
	}
	useEndpoints(t, endpoints)
	launch(t, ctx)
	job := readPid(t, pidFile)
	if !alive(job) || !alive(pid) {
		t.Fatal("nothing runs: the test would show nothing")
	}
	begin := time.Now()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed: the error is wanted
	wantNothingLeft(t, endpoints, pid, job)
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("took %v to end after its parent", took)
	}
}

// TestSandboxKilled kills the sandbox itself: its jobs end by themselves.
func TestSandboxKilled(t *testing.T) {
	pidFile := useProgram(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := sandboxchild.Start(ctx, sandboxchild.Config{})
	if err != nil {
		t.Fatal(err)
	}
	useEndpoints(t, p.Endpoints)
	launch(t, ctx)
	job := readPid(t, pidFile)
	p.Kill()
	wantNothingLeft(t, p.Endpoints, job)
}

// TestPortTaken shows that a service that cannot start keeps the others from
// staying up, and says which it is.
func TestPortTaken(t *testing.T) {
	useProgram(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	_, err = sandboxchild.Start(t.Context(), sandboxchild.Config{Args: []string{"--dataflow-port", port}})
	if err == nil || !strings.Contains(err.Error(), "start Dataflow") || !strings.Contains(err.Error(), "address already in use") || exit.Of(err) != exit.Environment {
		t.Errorf("got %v with exit code %d, want one about Dataflow's port with 3", err, exit.Of(err))
	}
	// In this process, where goleak sees what stays behind.
	n, _ := strconv.Atoi(port)
	if s, err := sandbox.Start(t.Context(), sandbox.Config{Log: discard, Ports: sandbox.Ports{Dataflow: n}}); err == nil {
		s.Close()
		t.Error("started on a port that is taken")
	}
}

func TestConfig(t *testing.T) {
	for want, cfg := range map[string]sandbox.Config{
		"Log is nil":              {},
		"-1 Kafka partitions":     {Log: discard, KafkaPartitions: -1},
		"port 70000 of Pub/Sub":   {Log: discard, Ports: sandbox.Ports{PubSub: 70000}},
		"have the same port 8085": {Log: discard, Ports: sandbox.Ports{PubSub: 8085, Bigtable: 8085}},
	} {
		if _, err := sandbox.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestTwoAtOnce runs two sandboxes side by side; what is in one is not in the other.
// A script reaches the service, and one that is wrong keeps the sandbox from
// starting, with the file's line.
func TestDataflowScript(t *testing.T) {
	useProgram(t)
	file := filepath.Join(t.TempDir(), "script.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules:\n  - {call: list, answer: 501, message: not today}\n")
	p, err := sandboxchild.Start(t.Context(), sandboxchild.Config{Args: []string{"--project", project, "--dataflow-script", file}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	useEndpoints(t, p.Endpoints)
	platform, err := gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: project})
	if err != nil {
		t.Fatal(err)
	}
	api, err := platform.Dataflow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	if _, err := api.Jobs.ListJobs(t.Context(), &dataflowpb.ListJobsRequest{ProjectId: project, Location: "us-central1"}).Next(); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("list: %v", err)
	}
	write("rules:\n  - call: list\n    anwser: 501\n")
	_, err = sandboxchild.Start(t.Context(), sandboxchild.Config{Args: []string{"--dataflow-script", file}})
	if want := file + `:3: unknown field "anwser"`; exit.Of(err) != exit.Usage || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("got %v with code %d, want %q with 2", err, exit.Of(err), want)
	}
}

func TestTwoAtOnce(t *testing.T) {
	one := sandboxtest.Start(t)
	two := sandboxtest.Start(t)
	for name, addr := range one.Environment() {
		if two.Environment()[name] == addr {
			t.Errorf("both have %s=%s", name, addr)
		}
	}
}
