package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
)

// envPlay makes the test binary play kappa-sandbox.
const envPlay = "KAPPA_TEST_PLAY_SANDBOX"

func TestMain(m *testing.M) {
	if what := os.Getenv(envPlay); what != "" && slices.Contains(os.Args, "--child") {
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		fmt.Fprintln(os.Stderr, "args:", strings.Join(os.Args[1:], " "))
		_ = sandboxchild.Endpoints{Project: "p", Environment: map[string]string{"A_HOST": "127.0.0.1:1"}}.Print(os.Stdout, sandboxchild.FormatJSON)
		if what == "die" {
			os.Exit(7)
		}
		<-ctx.Done()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// buffer is safe for a command that writes while a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs the command until the returned function is called.
func start(t *testing.T, what, output string, args ...string) (out, log *buffer, stop func() error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(sandboxchild.EnvOverride, self)
	t.Setenv(envPlay, what)
	out, log = &buffer{}, &buffer{}
	cmd := New(&app.App{Out: out, Err: log, Output: output})
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	return out, log, func() error {
		end := time.Now().Add(20 * time.Second)
		for out.String() == "" && time.Now().Before(end) {
			select {
			case err := <-done: // ended by itself
				cancel()
				return err
			case <-time.After(5 * time.Millisecond):
			}
		}
		if what == "die" {
			err := <-done
			cancel()
			return err
		}
		cancel()
		return <-done
	}
}

func TestPrintsEndpointsUntilStopped(t *testing.T) {
	for output, want := range map[string]string{
		"text": "  A_HOST=127.0.0.1:1\n",
		"json": `{"project":"p","environment":{"A_HOST":"127.0.0.1:1"}}`,
		"env":  "export A_HOST=127.0.0.1:1\n",
	} {
		out, log, stop := start(t, "run", output, "--pubsub-port", "8085", "--project", "x", "--job-logs", "logs", "--dataflow-script", "s.yaml")
		if err := stop(); err != nil {
			t.Errorf("%s: %v", output, err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: printed %q, want %q", output, out, want)
		}
		if want := "args: --child --output json --project x --kafka-partitions 6 --job-logs logs --dataflow-script s.yaml --pubsub-port 8085\n"; !strings.Contains(log.String(), want) {
			t.Errorf("%s: logged %q, want %q", output, log, want)
		}
	}
}

func TestSandboxDies(t *testing.T) {
	_, _, stop := start(t, "die", "text")
	if err := stop(); exit.Of(err) != exit.Failed || !strings.Contains(fmt.Sprint(err), "code 7") {
		t.Errorf("got %v with code %d, want 1 about code 7", err, exit.Of(err))
	}
}

func TestBadFlags(t *testing.T) {
	for _, args := range [][]string{{"--pubsub-port", "70000"}, {"--kafka-partitions", "0"}, {"--set", "A=b"}} {
		_, _, stop := start(t, "run", "text", args...)
		var e *exit.Error
		if err := stop(); !errors.As(err, &e) || e.Code != exit.Usage {
			t.Errorf("%v: got %v, want code 2", args, err)
		}
	}
}

// Specs that cannot be loaded end the sandbox before its addresses are printed.
func TestSpecs(t *testing.T) {
	production := filepath.Join(t.TempDir(), "production.yaml")
	text := "apiVersion: kappa/v1\nkind: BatchLoad\nmetadata: {name: b}\nspec:\n  project: kappa-demo\n  source: {uri: gs://b/}\n" +
		"  dataset: d\n  table: t\n  keys: [{name: k, type: STRING}]\n  metrics: [{name: m, type: INT64}]\n"
	if err := os.WriteFile(production, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code exit.Code
		want string
	}{
		{[]string{"--specs", "/nonexistent/specs"}, exit.Environment, "/nonexistent/specs"},
		{[]string{"--specs", production}, exit.Usage, "the environment of BatchLoad b is production"},
		{[]string{"--specs", production, "--set", "NOPE=1"}, exit.Usage, "NOPE"},
		{[]string{"--set", "NOPE"}, exit.Usage, "is not NAME=VALUE"},
	} {
		t.Setenv("A_HOST", "") // set by the command; restored when the test ends
		out, _, stop := start(t, "run", "text", c.args...)
		if err := stop(); exit.Of(err) != c.code || !strings.Contains(err.Error(), c.want) || out.String() != "" {
			t.Errorf("%v: %v, printed %q", c.args, err, out)
		}
	}
}
