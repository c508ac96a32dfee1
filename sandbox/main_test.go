package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox"
)

// The test binary plays other programs when it is started with one of these
// in its environment.
const (
	envWorker = "KAPPA_SANDBOX_TEST_WORKER" // kappa-pipeline: the file to write its process id to
	envParent = "KAPPA_SANDBOX_TEST_PARENT" // a program that runs kappa-sandbox as its child
)

func TestMain(m *testing.M) {
	// A job has flags with two dashes, a test with one, the parent has none.
	if file := os.Getenv(envWorker); file != "" && len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "--") {
		os.Exit(playWorker(file))
	}
	if os.Getenv(envParent) != "" && len(os.Args) == 1 {
		os.Exit(playParent())
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			removeProgram()
			os.Exit(code)
		}),
		// Of client libraries, started once per process or ending at their next tick.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"))
}

// playWorker is a job that runs until its service is gone. It logs an
// environment variable, to show what it was given.
func playWorker(file string) int {
	if err := os.WriteFile(file, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return 1
	}
	fmt.Fprintf(os.Stderr, "level=INFO msg=started pubsub=%s bigtable=%s\n", os.Getenv(gcp.EnvPubSub), os.Getenv(gcp.EnvBigtable))
	gone := make(chan struct{})
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
		}
		close(gone)
	}()
	out := json.NewEncoder(os.Stdout)
	for {
		if err := out.Encode(worker.Report{Running: true, Sources: []worker.Source{{Subscription: "projects/p/subscriptions/s"}}}); err != nil {
			return 1
		}
		select {
		case <-gone:
			return 3
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// playParent starts kappa-sandbox, prints its endpoints and waits to be killed.
func playParent() int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := sandboxchild.Start(ctx, sandboxchild.Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := p.Print(os.Stdout, sandboxchild.FormatJSON); err != nil {
		return 1
	}
	fmt.Println(p.Pid())
	<-ctx.Done()
	p.Kill()
	return 1
}

// platform is the platform of a spec with `environment: sandbox`.
func platform(t *testing.T) gcp.Platform {
	t.Helper()
	p, err := gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: sandbox.DefaultProject})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// poll waits until ok, and fails after 30 seconds.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("still not so after 30s: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
