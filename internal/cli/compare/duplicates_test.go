package compare

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	domain "github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const monitorSpec = `apiVersion: kappa/v1
kind: DuplicateMonitor
metadata: {name: flights}
spec:
  environment: sandbox
  project: kappa-demo
  raw: raw_flights
  late: late_flights
  counts: {job: flights, table: stream_flights, measure: flights, window: 1h}
  keys: [origin]
  range: {past: 0}
`

func monitorFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "duplicates.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDuplicatesBadInput(t *testing.T) {
	t.Setenv("BIGQUERY_EMULATOR_HOST", "")
	local := monitorFile(t, monitorSpec)
	t.Run("inside", func(t *testing.T) {
		t.Setenv("BIGQUERY_EMULATOR_HOST", "127.0.0.1:1")
		_, _, err := apptest.Run(t, "text", New, "duplicates", "-f", local, "--from", "2001-01-09", "--to", "2001-01-08")
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("error %v, code %d", err, exit.Of(err))
		}
		_, _, err = apptest.Run(t, "text", New, "duplicates", "-f", local)
		if exit.Of(err) != exit.Environment {
			t.Errorf("error %v, code %d", err, exit.Of(err))
		}
	})
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no spec", []string{"duplicates"}, "no spec given"},
		{"another kind", []string{"duplicates", "-f", spec(t, "sandbox")}, "hold no DuplicateMonitor"},
		{"bad time", []string{"duplicates", "-f", local, "--to", "noon"}, `--to "noon" is not a time`},
		{"no address", []string{"duplicates", "-f", local}, "BIGQUERY_EMULATOR_HOST"},
		{"argument", []string{"duplicates", "x"}, "x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := apptest.Run(t, "text", New, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// TestDuplicates runs the command against the sandbox's BigQuery: an hour with three
// flights, of which one was delivered three times, and then one counted twice.
func TestDuplicates(t *testing.T) {
	platform(t)
	client, err := bigquery.NewClient(t.Context(), "kappa-demo", option.WithEndpoint("http://"+os.Getenv("BIGQUERY_EMULATOR_HOST")+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ds := client.Dataset("kappa")
	event := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}}}
	for _, table := range []tables.Table{tables.Raw("raw_flights", event), tables.Late("late_flights", event)} {
		if err := ds.Table(table.Name).Create(t.Context(), table.Metadata()); err != nil {
			t.Fatal(err)
		}
	}
	var rows []row
	for i, id := range []string{"a", "b", "c", "c", "c"} {
		rows = append(rows, row{"event_id": id, "message_id": fmt.Sprint("m", i), "event_time": start.Add(time.Minute), "source_time": start, "publish_time": start,
			"write_time": start, "position": "c/flights/0/" + id, "job": "flights-0", "generation": 1, "origin": "ORD"})
	}
	if err := ds.Table("raw_flights").Inserter().Put(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	path := monitorFile(t, monitorSpec)
	args := []string{"duplicates", "-f", path, "--from", "2001-01-08", "--to", "2001-01-08T02:00:00Z"}
	stdout, stderr, err := apptest.Run(t, "text", New, args...)
	if exit.Of(err) != exit.GateNotMet || !strings.HasPrefix(stdout, "ALERT  duplicates of flights\n66.67 % of the events, wanted at most 5 % (maxPercentBefore)\n") {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
	if !strings.Contains(stderr, "exact") || !strings.Contains(stdout, "ORD") {
		t.Errorf("stderr:\n%s\nstdout:\n%s", stderr, stdout)
	}

	lenient := monitorFile(t, monitorSpec+"  alert: {maxPercentBefore: 70}\n")
	args[2] = lenient
	if stdout, _, err = apptest.Run(t, "text", New, args...); err != nil || !strings.HasPrefix(stdout, "OK  ") || !strings.Contains(stdout, "--exact counts distinct events") {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
	again := row{"origin": "ORD", "window_start": start, "flights": 1, "job": "flights-0", "generation": 1, "pane": 1, "timing": "late", "write_time": start}
	if err := ds.Table("stream_flights").Inserter().Put(t.Context(), []row{again}); err != nil {
		t.Fatal(err)
	}
	stdout, _, err = apptest.Run(t, "json", New, append(args, "--exact")...)
	var res domain.Duplicates
	if exit.Of(err) != exit.GateNotMet || json.Unmarshal([]byte(stdout), &res) != nil || res.Counts.DistinctCounts == nil || res.Counts.Twice != 1 || !res.Exact {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
	args[4] = "2001-01-08T01:00:00Z"
	if stdout, _, err = apptest.Run(t, "text", New, args...); exit.Of(err) != exit.NoData || !strings.HasPrefix(stdout, "NO DATA  ") {
		t.Errorf("error %v, stdout:\n%s", err, stdout)
	}
}
