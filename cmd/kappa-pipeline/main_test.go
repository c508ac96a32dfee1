package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kappa-migrate/kappa/internal/worker"
)

// The tests run the program itself: this test binary, told by a variable to be it.
const beMain = "KAPPA_PIPELINE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

const specYAML = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: flights}
spec:
  environment: ENVIRONMENT
  project: kappa-demo
  region: us-central1
  template: gs://t/t.json
  staging: gs://s/s
  jobs: 1
  sources: {subscriptionPrefix: flights-, count: 1}
  event: {fields: [{name: origin, type: STRING}, {name: delay, type: INT64}]}
  horizon: 4d
  aggregations:
    - name: by_origin
      dimensions: [origin]
      window: 1h
      measures: [{name: flights, type: count}, {name: delay_sum, type: sum, field: delay}]
      table: stream_flights
  sinks:
    bigquery: {dataset: kappa, raw: raw_flights, late: late_flights}
    bigtable: {instance: kappa-serving, table: aggregates}
`

// A job run by a service reports, drains on command, acknowledges only after
// all is written, and says so.
func TestDrain(t *testing.T) {
	c := newCloud(t)
	const n = 200
	c.publish(n)
	p := c.start("--generation=1", "--control=stdio", "--runner=prism")
	p.until("everything is read", func() bool { return c.count("raw_flights") == n })
	p.until("everything is held", func() bool { r := p.last(); return r.Running && len(r.Sources) == 1 && r.Sources[0].Held == n })
	if got := c.count("Acknowledge"); got != 0 {
		t.Errorf("%d acknowledgements before the drain", got)
	}
	fmt.Fprintln(p.stdin, `{"do":"drain"}`)
	if code := p.ended(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, &p.stderr)
	}
	r := p.last()
	if !r.Drained || !r.Sources[0].AtMaximum || r.Sources[0].Held != 0 || r.Counters[worker.CounterPanes] != 72 || r.Sources[0].Subscription != "projects/kappa-demo/subscriptions/flights-0" {
		t.Errorf("last report %+v", r)
	}
	acks := 0
	for _, call := range c.calls {
		if call == "Acknowledge" {
			acks++
		} else if acks > 0 {
			t.Errorf("%s is written after an acknowledgement", call)
		}
	}
	if acks == 0 {
		t.Error("nothing was acknowledged")
	}
	if got := c.count("stream_flights"); got != 72 { // 24 hours, 3 origins
		t.Errorf("%d panes are written, want 72", got)
	}
}

// A job that dies has acknowledged nothing: by SIGKILL, by SIGTERM, by the end
// of its service. (P5)
func TestDeathAcknowledgesNothing(t *testing.T) {
	for _, test := range []struct {
		name string
		kill func(*program)
		code int
	}{
		{"SIGKILL", func(p *program) { _ = p.cmd.Process.Kill() }, -1},
		{"SIGTERM", func(p *program) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }, 130},
		{"end of stdin", func(p *program) { _ = p.stdin.Close() }, 130},
		{"unknown command", func(p *program) { fmt.Fprintln(p.stdin, `{"do":"dance"}`) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCloud(t)
			c.publish(100)
			p := c.start("--generation=1", "--control=stdio", "--runner=prism")
			p.until("panes are written", func() bool { return c.count("stream_flights") > 0 && c.count("raw_flights") == 100 })
			test.kill(p)
			if code := p.ended(); code != test.code {
				t.Errorf("exit code %d, want %d\n%s", code, test.code, &p.stderr)
			}
			if got := c.count("Acknowledge"); got != 0 {
				t.Errorf("%d acknowledgements", got)
			}
			if p.last().Drained {
				t.Error("the job reports that it has drained")
			}
		})
	}
}

// A job that is run by hand drains on the first signal.
func TestSignalDrains(t *testing.T) {
	c := newCloud(t)
	c.publish(50)
	p := c.start("--generation=1")
	p.until("everything is read", func() bool { return c.count("raw_flights") == 50 })
	_ = p.cmd.Process.Signal(os.Interrupt)
	if code := p.ended(); code != 0 || c.count("Acknowledge") == 0 || c.count("stream_flights") == 0 {
		t.Errorf("exit code %d, calls %v\n%s", code, c.rows, &p.stderr)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "--jobspec=" + path
	}
	good := write("good.yaml", strings.Replace(specYAML, "ENVIRONMENT", "sandbox", 1))
	production := write("production.yaml", strings.Replace(specYAML, "ENVIRONMENT", "production", 1))
	broken := write("broken.yaml", strings.Replace(specYAML, "horizon", "horizont", 1))
	two := write("two.yaml", strings.Repeat("---\n"+strings.Replace(specYAML, "ENVIRONMENT", "sandbox", 1), 2))
	for _, test := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"help", []string{"--help"}, 0, []string{"Usage:", "--jobspec", "--archive", "--control"}},
		{"unknown flag", []string{"--nope"}, 2, []string{"error: ", "nope", "hint: "}},
		{"argument", []string{good, "x"}, 2, []string{`unexpected argument "x"`}},
		{"nothing", nil, 2, []string{"--jobspec is missing"}},
		{"no job", []string{good, "--generation=1"}, 2, []string{"--job is missing"}},
		{"no generation", []string{good, "--job=flights-0"}, 2, []string{"--generation"}},
		{"no such job", []string{good, "--job=flights-1", "--generation=1"}, 2, []string{`no job "flights-1"`, "flights-0"}},
		{"runner", []string{good, "--job=flights-0", "--generation=1", "--runner=spark"}, 2, []string{"--runner=spark"}},
		{"update off Dataflow", []string{good, "--job=flights-0", "--generation=1", "--update=true", "--transform_name_mapping={}"}, 2, []string{"--update", "strategy drain"}},
		{"control", []string{good, "--job=flights-0", "--generation=1", "--control=tcp"}, 2, []string{"--control=tcp"}},
		{"log level", []string{good, "--job=flights-0", "--generation=1", "--log-level=loud"}, 2, []string{"--log-level=loud"}},
		{"missing file", []string{"--jobspec=" + dir + "/none.yaml", "--job=flights-0", "--generation=1"}, 3, []string{"none.yaml"}},
		{"broken spec", []string{broken, "--job=flights-0", "--generation=1"}, 2, []string{"horizont", "broken.yaml"}},
		{"two jobs", []string{two, "--job=flights-0", "--generation=1"}, 2, []string{"two.yaml"}},
		{"no archive", []string{good, "--job=b", "--generation=1", "--archive=" + dir + "/*.avro"}, 3, []string{"no file matches"}},
		{"sandbox without emulators", []string{good, "--job=flights-0", "--generation=1"}, 3, []string{"BIGQUERY_EMULATOR_HOST", "hint: "}},
		{"production with an emulator", []string{production, "--job=flights-0", "--generation=1"}, 3, []string{"PUBSUB_EMULATOR_HOST", "production"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], test.args...)
			cmd.Env = append(os.Environ(), beMain+"=1", "PUBSUB_EMULATOR_HOST=127.0.0.1:1")
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d\n%s", code, test.code, out)
			}
			for _, want := range test.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
}
