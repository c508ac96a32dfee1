package bridge

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

const spec = `apiVersion: kappa/v1
kind: Bridge
variables:
  KAFKA_BROKERS: {}
metadata: {name: test}
spec:
  environment: sandbox
  project: kappa-test
  sources: {main: {brokers: ["${KAFKA_BROKERS}"], topics: [in], group: g}}
  split: {topicPrefix: out-, count: 2}
  deadLetter: {topic: dead}
`

// environment is a Kafka and a Pub/Sub with topics; it returns the arguments
// that name them.
func environment(t *testing.T, topics ...string) []string {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	_, addr := pubsubtest.Start(t, "kappa-test", topics...)
	t.Setenv(gcp.EnvPubSub, addr)
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"run", "-f", file, "--set", "KAFKA_BROKERS=" + kafka.ListenAddrs()[0]}
}

func TestRunPrintsWhereItListens(t *testing.T) {
	for _, c := range []struct{ output, pattern string }{
		{"text", `^listening on (http://127\.0\.0\.1:[0-9]+)$`},
		{"json", `^\{"listen":"(http://127\.0\.0\.1:[0-9]+)"\}$`},
	} {
		t.Run(c.output, func(t *testing.T) {
			args := environment(t, "out-0", "out-1", "dead")
			out, in := io.Pipe()
			var logs bytes.Buffer
			a := &app.App{In: strings.NewReader(""), Out: in, Err: &logs, Version: "v1", Output: c.output, Log: slog.New(slog.NewTextHandler(&logs, nil))}
			cmd := New(a)
			cmd.SetArgs(args)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- cmd.ExecuteContext(ctx) }()
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			m := regexp.MustCompile(c.pattern).FindStringSubmatch(strings.TrimSpace(line))
			if m == nil {
				t.Fatalf("printed %q", line)
			}
			if c.output == "json" && !json.Valid([]byte(line)) {
				t.Errorf("%q is not JSON", line)
			}
			resp, err := http.Get(m[1] + "/livez")
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("livez: %v, %v", resp, err)
			}
			resp.Body.Close()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("a bridge that is stopped in order ends with %v", err)
			}
			if host, _ := os.Hostname(); strings.Contains(logs.String(), "bridge runs") && !strings.Contains(logs.String(), "instance_id="+host+"-test") {
				t.Errorf("log has no default instance id:\n%s", logs.String())
			}
		})
	}
}

func TestRunFails(t *testing.T) {
	for _, c := range []struct {
		name string
		args func(t *testing.T) []string
		code exit.Code
		want string
	}{
		{"missing topic", func(t *testing.T) []string { return environment(t, "out-0", "dead") }, exit.Environment, "out-1 does not exist"},
		{"no spec", func(*testing.T) []string { return []string{"run"} }, exit.Usage, "no spec given"},
		{"missing file", func(*testing.T) []string { return []string{"run", "-f", "nowhere.yaml"} }, exit.Environment, "nowhere.yaml"},
		{"no emulator", func(t *testing.T) []string {
			args := environment(t)
			t.Setenv(gcp.EnvPubSub, "")
			return args
		}, exit.Environment, "PUBSUB_EMULATOR_HOST is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := apptest.Run(t, "text", New, c.args(t)...)
			if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != c.code {
				t.Errorf("error %v (code %d), want %q (code %d)", err, exit.Of(err), c.want, c.code)
			}
		})
	}
}
