package sandboxchild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// envPlay makes the test binary play kappa-sandbox.
const envPlay = "KAPPA_TEST_PLAY_SANDBOX"

func TestMain(m *testing.M) {
	if what := os.Getenv(envPlay); what != "" && slices.Contains(os.Args, "--child") {
		os.Exit(play(what))
	}
	goleak.VerifyTestMain(m)
}

func play(what string) int {
	switch what {
	case "fail":
		fmt.Fprintln(os.Stderr, "error: start Kafka: no luck")
		return 3
	case "refuse":
		fmt.Fprintln(os.Stderr, "error: script.yaml:3: no such field")
		return int(exit.Usage)
	case "nonsense":
		fmt.Println("nonsense")
	case "ready":
		fmt.Fprintln(os.Stderr, "args:", strings.Join(os.Args[1:], " "))
		_ = endpoints.Print(os.Stdout, FormatJSON)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

var endpoints = Endpoints{Project: "p", Environment: map[string]string{"B_HOST": "127.0.0.1:2", "A_HOST": "127.0.0.1:1"}}

func use(t *testing.T, what string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvOverride, self)
	t.Setenv(envPlay, what)
}

func TestStart(t *testing.T) {
	use(t, "ready")
	logged := make(chan string, 10)
	p, err := Start(t.Context(), Config{Args: []string{"--project", "p"}, Log: func(line []byte) { logged <- string(line) }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(endpoints, p.Endpoints); diff != "" {
		t.Error(diff)
	}
	if got, want := <-logged, "args: --child --output json --project p"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
	p.Kill()
}

func TestStartFails(t *testing.T) {
	for what, want := range map[string]string{
		"fail":     "kappa-sandbox ended with code 3 before it was ready: start Kafka: no luck",
		"nonsense": "read what",
	} {
		use(t, what)
		if _, err := Start(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	use(t, "refuse")
	if _, err := Start(t.Context(), Config{}); exit.Of(err) != exit.Usage || err.Error() != "kappa-sandbox: script.yaml:3: no such field" {
		t.Errorf("what it cannot take: got %v with code %d, want 2", err, exit.Of(err))
	}
	t.Setenv(EnvOverride, "/nonexistent/kappa-sandbox")
	if _, err := Start(t.Context(), Config{}); exit.Of(err) != exit.Environment {
		t.Errorf("a program that is not there: got %v with code %d, want 3", err, exit.Of(err))
	}
}

func TestStartIsInterrupted(t *testing.T) {
	use(t, "silent")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Start(ctx, Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestPrint(t *testing.T) {
	for format, want := range map[string]string{
		FormatJSON: `{"project":"p","environment":{"A_HOST":"127.0.0.1:1","B_HOST":"127.0.0.1:2"}}` + "\n",
		FormatEnv:  "export A_HOST=127.0.0.1:1\nexport B_HOST=127.0.0.1:2\n",
		FormatText: "The sandbox is ready. Use project p and these variables:\n  A_HOST=127.0.0.1:1\n  B_HOST=127.0.0.1:2\n",
	} {
		var b bytes.Buffer
		if err := endpoints.Print(&b, format); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v, want %q", format, b.String(), err, want)
		}
	}
	if err := endpoints.Print(io.Discard, "xml"); err == nil {
		t.Error("an unknown format was printed")
	}
}
