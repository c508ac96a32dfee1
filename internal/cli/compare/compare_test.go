package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/spf13/cobra"

	domain "github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sandboxchild"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/term"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

func spec(t *testing.T, environment string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "compare.yaml")
	doc := `apiVersion: kappa/v1
kind: Comparison
metadata: {name: flights}
spec:
  environment: ` + environment + `
  project: kappa-demo
  dataset: kappa
  batch: {table: batch_flights, cutoff: 2h}
  stream: {table: stream_flights, job: flights}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics: [{name: flights, type: count}]
  gate: {days: 0} # hours alone are loaded
`
	if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadInput(t *testing.T) {
	t.Setenv("BIGQUERY_EMULATOR_HOST", "")
	t.Setenv(sandboxchild.EnvOverride, filepath.Join(t.TempDir(), "none")) // nothing is started
	production, local := spec(t, "production"), spec(t, "sandbox")
	tests := []struct {
		name string
		args []string
		code exit.Code
		want string
	}{
		{"no spec", []string{"run"}, exit.Usage, "no spec given"},
		{"missing file", []string{"run", "-f", filepath.Join(t.TempDir(), "none.yaml")}, 0, "none.yaml"},
		{"bad time", []string{"run", "-f", production, "--from", "yesterday"}, exit.Usage, `--from "yesterday" is not a time`},
		{"sandbox without an address", []string{"run", "-f", local}, exit.Environment, "BIGQUERY_EMULATOR_HOST"},
		{"unknown flag", []string{"run", "--nonsense"}, 0, "nonsense"},
		{"argument", []string{"run", "x"}, 0, "x"},
		{"no key", []string{"why", "-f", production}, exit.Usage, "KEY and WINDOW are wanted, and 0 of them is given"},
		{"too many keys", []string{"why", "New", "York", "2001-01-08", "-f", production}, exit.Usage, `"2001-01-08" is one too many`},
		{"no age", []string{"gate", "-f", production, "--max-age", "old"}, exit.Usage, `--max-age "old" is not a length of time`},
		{"a gate of files", []string{"gate", "-f", "../../../jobspecs/examples/compare-files"}, exit.Usage, "no history"}, // and no sandbox is started
		{"state of files", []string{"run", "-f", "../../../jobspecs/examples/compare-files", "--state", "x"}, exit.Usage, "keeps nothing"},
		{"out is a file", []string{"run", "-f", "../../../jobspecs/examples/compare-files", "--out", local}, exit.Environment, "make the output folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := apptest.Run(t, "text", New, tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one that says %q", err, tt.want)
			}
			if tt.code != 0 && exit.Of(err) != tt.code {
				t.Errorf("exit code %d, want %d", exit.Of(err), tt.code)
			}
		})
	}
}

func TestEmptyRangeIsRefused(t *testing.T) {
	t.Setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:1")
	_, _, err := apptest.Run(t, "text", New, "plan", "-f", spec(t, "sandbox"), "--from", "2001-01-09", "--to", "2001-01-08")
	if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("error %v, code %d", err, exit.Of(err))
	}
}

func TestEmulatorOutsideOfTheSandboxIsRefused(t *testing.T) {
	t.Setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:1")
	_, _, err := apptest.Run(t, "text", New, "run", "-f", spec(t, "production"))
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "BIGQUERY_EMULATOR_HOST is set") {
		t.Errorf("error %v, code %d", err, exit.Of(err))
	}
}

func TestVerdictIsTheExitCode(t *testing.T) {
	for verdictText, want := range map[string]exit.Code{domain.Go: exit.OK, domain.Hold: exit.GateNotMet, domain.NoData: exit.NoData} {
		err := verdict(domain.Verdict{Verdict: verdictText, Rule: "a rule"})
		if exit.Of(err) != want {
			t.Errorf("%s exits with %d, want %d", verdictText, exit.Of(err), want)
		}
		var e *exit.Error
		if want != exit.OK && (!errors.As(err, &e) || !e.Printed) {
			t.Errorf("%s would be reported twice", verdictText)
		}
	}
}

// A HOLD of which only the first lines were read is no pass, and a GO no failure.
func TestReadersThatHaveSeenEnough(t *testing.T) {
	gone := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}
	full := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	hold := verdict(domain.Verdict{Verdict: domain.Hold})
	for _, tt := range []struct{ shown, verdict, want error }{
		{nil, nil, nil}, {nil, hold, hold}, {gone, hold, hold}, {gone, nil, gone}, {full, nil, full}, {full, hold, full},
	} {
		if got := concluded(tt.shown, tt.verdict); got != tt.want {
			t.Errorf("%v and %v: %v, want %v", tt.shown, tt.verdict, got, tt.want)
		}
	}
}

func TestProgressEndsEveryPhase(t *testing.T) {
	var b bytes.Buffer
	step, finish := progress(term.New(&b))
	step(domain.Progress{Phase: "control", Message: "reading"})
	step(domain.Progress{Phase: "evidence", Message: "looking", Unit: "keys", Total: 7})
	step(domain.Progress{Phase: "evidence", Message: "looking", Unit: "keys", Done: 7, Total: 7})
	finish(nil)
	for _, want := range []string{"control", "evidence", "7"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("progress lacks %q:\n%s", want, b.String())
		}
	}
}

// row is a row of a table.
type row map[string]bigquery.Value

func (r row) Save() (map[string]bigquery.Value, string, error) { return r, "", nil }

var start = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

// platform starts BigQuery with two loaded hours, a drained job, and an exact
// key in the first of them.
func platform(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	client, addr := bigquerytest.Start(t, "kappa-demo", "kappa")
	t.Setenv("BIGQUERY_EMULATOR_HOST", addr)
	ds := client.Dataset("kappa")
	origin := []jobspecs.Field{{Name: "origin", Type: "STRING"}}
	flights := row{"origin": "ORD", "window_start": start, "flights": 3}
	pane := row{"job": "flights-0", "generation": 1, "pane": 0, "timing": "on_time", "write_time": start}
	for k, v := range flights {
		pane[k] = v
	}
	for _, table := range []struct {
		tables.Table
		row
	}{
		{tables.Batch(jobspecs.BatchLoadSpec{Table: "batch_flights", Keys: origin, Metrics: []jobspecs.Field{{Name: "flights", Type: "INT64"}}}), flights},
		{tables.Aggregate(jobspecs.Aggregation{Dimensions: []string{"origin"}, Measures: []jobspecs.Measure{{Name: "flights", Type: "count"}}, Table: "stream_flights"},
			jobspecs.Event{Fields: origin}), pane},
		{tables.GenerationsTable(), row{"job_group": "flights", "job": "flights-0", "generation": 1, "kind": "stream", "state": "drained", "recorded_at": start, "seq": 1}},
		{tables.WatermarksTable(), row{"job_group": "flights", "job": "flights-0", "generation": 1, "at_maximum": true, "observed_at": start}},
		{tables.BatchLoadsTable(), row{"load": "flights", "target": "batch_flights", "range_start": start, "range_end": start.Add(2 * time.Hour), "row_count": 1,
			"source": "gs://b/", "job_id": "j", "loaded_at": start}},
	} {
		must(ds.Table(table.Name).Create(t.Context(), table.Metadata()))
		must(ds.Table(table.Name).Inserter().Put(t.Context(), []row{table.row}))
	}
}

func TestRunAndPlan(t *testing.T) {
	platform(t)
	path := spec(t, "sandbox")
	dir := filepath.Join(t.TempDir(), "reports")
	stdout, stderr, err := apptest.Run(t, "text", New, "run", "-f", path, "--out", dir)
	if err != nil || !strings.HasPrefix(stdout, "GO  flights: 100.00 % of 1 key exact") || !strings.Contains(stdout, "reports in "+dir) {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
	if !strings.Contains(stderr, "reconcile") {
		t.Errorf("no progress on stderr:\n%s", stderr)
	}
	for _, f := range report.Files {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}

	stdout, _, err = apptest.Run(t, "text", New, "run", "-f", path, "--from", "2001-01-08T01:00:00Z")
	if exit.Of(err) != exit.NoData || !strings.HasPrefix(stdout, "NO DATA  flights") {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}

	stdout, _, err = apptest.Run(t, "text", New, "plan", "-f", path)
	if err != nil || !strings.Contains(stdout, "2 windows of 1h settled") || !strings.Contains(stdout, "GROUPING SETS") {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
}

func TestRunPrintsJSON(t *testing.T) {
	platform(t)
	stdout, _, err := apptest.Run(t, "json", New, "run", "-f", spec(t, "sandbox"))
	if err != nil {
		t.Fatal(err)
	}
	var res domain.Result
	if err := json.Unmarshal([]byte(stdout), &res); err != nil {
		t.Fatal(err)
	}
	if res.Version != domain.ResultVersion || res.Verdict.Verdict != domain.Go || res.Counts.Exact != 1 {
		t.Errorf("result %+v", res)
	}
}

func TestFlagsOfTheRange(t *testing.T) {
	path := spec(t, "sandbox")
	t.Setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:1")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--last", "soon"}, `--last "soon" is not a length of time`},
		{[]string{"--last", "0s"}, `--last "0s" is not a length of time`},
		{[]string{"--last", "2h", "--from", "2001-01-08"}, "--from and --last exclude each other"},
	} {
		_, _, err := apptest.Run(t, "text", New, append([]string{"run", "-f", path}, tt.args...)...)
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v", tt.args, err)
		}
	}
}

func TestLastIsTheNewestWindows(t *testing.T) {
	platform(t)
	stdout, _, err := apptest.Run(t, "json", New, "run", "-f", spec(t, "sandbox"), "--last", "1h")
	var res domain.Result
	if uerr := json.Unmarshal([]byte(stdout), &res); uerr != nil || exit.Of(err) != exit.NoData || !res.Scope.Range.From.Equal(start.Add(time.Hour)) {
		t.Errorf("%v, %v, range %+v", uerr, err, res.Scope.Range)
	}
}

func TestGate(t *testing.T) {
	platform(t)
	path, dir := spec(t, "sandbox"), t.TempDir()
	if _, _, err := apptest.Run(t, "text", New, "run", "-f", path, "--out", dir); err != nil {
		t.Fatal(err)
	}
	result := filepath.Join(dir, "compare.json")
	stdout, _, err := apptest.Run(t, "text", New, "gate", "--result", result)
	if err != nil || !strings.HasPrefix(stdout, "GO  flights: the compared range: 0 unexplained of 1 key") {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
	stdout, _, err = apptest.Run(t, "json", New, "gate", "--result", result)
	var d domain.Decision
	if uerr := json.Unmarshal([]byte(stdout), &d); uerr != nil || err != nil || d.Verdict.Verdict != domain.Go || d.Source != domain.SourceResult {
		t.Errorf("%v, %v, %+v", uerr, err, d)
	}
	data, err := os.ReadFile(result)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "damaged.json")
	if err := os.WriteFile(damaged, data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code exit.Code
		want string
	}{
		{[]string{"--result", damaged}, exit.Usage, "not the JSON of a result"},
		{[]string{"--result", filepath.Join(dir, "none.json")}, exit.Environment, "none.json"},
		{[]string{"--result", result, "-f", path}, exit.Usage, "exclude each other"},
		{[]string{"-f", path}, exit.Usage, "no history"},
		{nil, exit.Usage, "no spec given"},
	} {
		if _, _, err := apptest.Run(t, "text", New, append([]string{"gate"}, tt.args...)...); exit.Of(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, code %d", tt.args, err, exit.Of(err))
		}
	}
	// A regression since the baseline, and none.
	if _, _, err := apptest.Run(t, "text", New, "run", "-f", path, "--baseline", result); err != nil {
		t.Errorf("without a regression: %v", err)
	}
	if _, _, err := apptest.Run(t, "text", New, "run", "-f", path, "--baseline", damaged); exit.Of(err) != exit.Usage {
		t.Errorf("a damaged baseline: %v", err)
	}
}

// A run in parts keeps what it has found until it has ended.
func TestStateIsEmptyAfterTheRun(t *testing.T) {
	platform(t)
	path, state := spec(t, "sandbox"), t.TempDir()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, "  range: {partition: 1h}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := apptest.Run(t, "json", New, "run", "-f", path, "--state", state)
	var res domain.Result
	if uerr := json.Unmarshal([]byte(stdout), &res); uerr != nil || err != nil || res.Partitions != 2 || res.Resumed != 0 {
		t.Errorf("%v, %v, %d parts, %d resumed", uerr, err, res.Partitions, res.Resumed)
	}
	if !strings.Contains(stderr, "to read in 2 partitions") {
		t.Errorf("the estimate is not said:\n%s", stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(state, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(filepath.Join(state, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := apptest.Run(t, "text", New, "run", "-f", path, "--state", filepath.Join(state, "file")); exit.Of(err) != exit.Environment {
		t.Errorf("error %v", err)
	}
}

// The shell offers files where a file is meant, and nowhere else.
func TestCompletions(t *testing.T) {
	for line, want := range map[string]string{
		"run --from ":       ":4\n",
		"run ":              ":4\n",
		"why ":              ":4\n",
		"run -f ":           "yaml\nyml\n:8\n",
		"run --baseline ":   "json\n:8\n",
		"run --out ":        ":16\n",
		"schedule --print ": "cronjob\ngithub-action\n:4\n",
		"gate --max-age ":   "36h\n3d\n7d\n:4\n",
		"gate --result ":    "json\n:8\n",
		"init --batch ":     ":4\n",
		"init --out ":       "yaml\nyml\n:8\n",
		"duplicates --to ":  ":4\n",
	} {
		root := &cobra.Command{Use: "kappa"}
		root.AddCommand(New(&app.App{}))
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"__complete", "compare"}, strings.Split(line, " ")...))
		if err := root.Execute(); err != nil || out.String() != want {
			t.Errorf("%q offers %q, %v, want %q", line, out.String(), err, want)
		}
	}
}
