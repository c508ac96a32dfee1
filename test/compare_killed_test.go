package test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

const killedSpec = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: killed}
spec:
  environment: sandbox
  project: kappa-demo
  dataset: kappa
  batch: {table: old_flights, settledBy: clock}
  stream: {table: new_flights}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics: [{name: flights, type: count}]
  range: {partition: 2h}
  gate: {days: 0}
`

type flightRow struct {
	Origin  string    `bigquery:"origin"`
	Window  time.Time `bigquery:"window_start"`
	Flights int64     `bigquery:"flights"`
}

// TestKilledComparison: a run that is killed goes on with the part that it was at,
// and finds what a run that was not killed finds.
func TestKilledComparison(t *testing.T) {
	client, addr := bigquerytest.Start(t, "kappa-demo", "kappa")
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	schema, err := bigquery.InferSchema(flightRow{})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"old_flights", "new_flights"} {
		table := client.Dataset("kappa").Table(name)
		if err := table.Create(t.Context(), &bigquery.TableMetadata{Schema: schema, TimePartitioning: &bigquery.TimePartitioning{Field: "window_start"}}); err != nil {
			t.Fatal(err)
		}
		var rows []flightRow
		for h := range 10 {
			rows = append(rows, flightRow{"ORD", start.Add(time.Duration(h) * time.Hour), 3}, flightRow{"ATL", start.Add(time.Duration(h) * time.Hour), int64(h + i*(h%2))})
		}
		if err := table.Inserter().Put(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	target, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = nil
	var asked atomic.Int64 // reconciliations
	var hang atomic.Bool   // at the third of them
	at := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Method == http.MethodPost && bytes.Contains(body, []byte("GROUPING SETS")) && !bytes.Contains(body, []byte(`"dryRun":true`)) && asked.Add(1) == 3 && hang.Load() {
			close(at)
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()

	dir := t.TempDir()
	spec, state := filepath.Join(dir, "compare.yaml"), filepath.Join(dir, "state")
	if err := os.WriteFile(spec, []byte(killedSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	command := func(further ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
		var stdout, stderr bytes.Buffer
		args := append([]string{"compare", "run", "-f", spec, "--from", "2001-01-08", "--to", "2001-01-08T10:00:00Z", "--output", "json", "--state", state}, further...)
		cmd := exec.CommandContext(t.Context(), kappa, args...)
		cmd.Env = append(os.Environ(), "BIGQUERY_EMULATOR_HOST="+strings.TrimPrefix(front.URL, "http://"))
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		return cmd, &stdout, &stderr
	}
	run := func(further ...string) *compare.Result {
		t.Helper()
		asked.Store(0)
		cmd, stdout, stderr := command(further...)
		_ = cmd.Run() // HOLD is an exit code of its own
		res := &compare.Result{}
		if err := json.Unmarshal(stdout.Bytes(), res); err != nil {
			t.Fatalf("%v, stderr:\n%s", err, stderr)
		}
		return res
	}
	kill := func() {
		t.Helper()
		asked.Store(0)
		hang.Store(true)
		at = make(chan struct{})
		cmd, _, stderr := command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-at:
		case <-time.After(time.Minute):
			t.Errorf("the third part was not asked for; stderr:\n%s", stderr)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		hang.Store(false)
	}

	whole := run("--fresh")
	if whole.Partitions != 5 || whole.Resumed != 0 || asked.Load() != 5 || whole.Counts.Mismatch == 0 {
		t.Fatalf("%d parts, %d resumed, %d asked for, %+v", whole.Partitions, whole.Resumed, asked.Load(), whole.Counts)
	}
	kill()
	resumed := run()
	if resumed.Resumed != 2 || asked.Load() != 3 {
		t.Errorf("%d parts resumed, %d asked for", resumed.Resumed, asked.Load())
	}
	if resumed.Counts != whole.Counts || resumed.Verdict.Rule != whole.Verdict.Rule || len(resumed.Windows) != len(whole.Windows) || resumed.Metrics[0].Difference != whole.Metrics[0].Difference ||
		len(resumed.DifferingKeys) != len(whole.DifferingKeys) || resumed.Cost.Billed != whole.Cost.Billed || resumed.Cost.LowerBound != whole.Cost.LowerBound {
		t.Errorf("a run that was killed found\n%+v\n%+v, another one\n%+v\n%+v", resumed.Counts, resumed.Cost, whole.Counts, whole.Cost)
	}
	if left, _ := filepath.Glob(filepath.Join(state, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	kill()
	if again := run("--fresh"); again.Resumed != 0 || asked.Load() != 5 {
		t.Errorf("--fresh: %d resumed, %d asked for", again.Resumed, asked.Load())
	}
	kill()
	if err := os.WriteFile(spec, []byte(strings.Replace(killedSpec, "days: 0", "days: 0, maxUnexplained: 1", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if other := run(); other.Resumed != 0 || asked.Load() != 5 {
		t.Errorf("of another spec: %d resumed, %d asked for", other.Resumed, asked.Load())
	}
	kill()
	if err := client.Dataset("kappa").Table("old_flights").Inserter().Put(t.Context(), []flightRow{{"DEN", start, 1}}); err != nil {
		t.Fatal(err)
	}
	if other := run(); other.Resumed != 0 || other.Counts.Missing != 1 {
		t.Errorf("of a table that was written to since: %d resumed, %+v", other.Resumed, other.Counts)
	}
}
