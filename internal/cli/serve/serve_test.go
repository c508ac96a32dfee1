package serve

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

const header = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: flights}
spec:
  environment: sandbox
  project: kappa-demo
  region: us-central1
  template: gs://kappa-demo-templates/t.json
  staging: gs://kappa-demo-staging/jobs
  sources: {subscriptionPrefix: flights-, count: 1}
  event: {fields: [{name: origin, type: STRING}, {name: gate, type: INT64}, {name: slot, type: TIMESTAMP}, {name: delay, type: INT64}]}
  horizon: 1d
  sinks:
    bigquery: {dataset: kappa, raw: raw_flights, late: late_flights}
    bigtable: {instance: kappa, table: aggregates}
  aggregations:
    - {name: flights_by_origin, dimensions: [origin], window: 1h, table: stream_flights,
       measures: [{name: flights, type: count}, {name: worst, type: max, field: delay}]}
`

const second = `    - {name: flights_by_gate, dimensions: [gate, slot], window: 1h, table: stream_gates, measures: [{name: flights, type: count}]}
`

const rolled = `    - {name: flights, dimensions: [origin, gate], rollups: [[gate], []], window: 1h, table: stream_flights_rolled, measures: [{name: flights, type: count}]}
`

func spec(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stream.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// call runs the command query.
func call(t *testing.T, output string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return apptest.Run(t, output, New, append([]string{"query"}, args...)...)
}

func TestBadInput(t *testing.T) {
	t.Setenv("BIGQUERY_EMULATOR_HOST", "")
	t.Setenv("BIGTABLE_EMULATOR_HOST", "")
	one, two := spec(t, header), spec(t, header+second)
	sets := []string{"-f", spec(t, header+rolled), "--aggregation", "flights"}
	in := func(args ...string) []string { return append(slices.Clone(sets), args...) }
	for _, c := range []struct {
		name string
		args []string
		want string // part of the error
		hint string
	}{
		{"no spec", nil, "no spec given", "-f"},
		{"bad time", []string{"-f", one, "--from", "yesterday"}, `--from "yesterday" is not a time`, "2001-01-08"},
		{"backwards", []string{"-f", one, "--from", "2001-01-09", "--to", "2001-01-08"}, "is empty", "--from before --to"},
		{"negative limit", []string{"-f", one, "--limit", "-1"}, "--limit -1 is negative", ""},
		{"several aggregations", []string{"-f", two}, "StreamJob flights has 2 aggregations", "--aggregation: flights_by_origin, flights_by_gate"},
		{"misspelt aggregation", []string{"-f", two, "--aggregation", "flights_by_orign"}, `has no aggregation "flights_by_orign"`, "did you mean flights_by_origin?"},
		{"unknown aggregation", []string{"-f", one, "--aggregation", "x"}, `has no aggregation "x"`, "there are flights_by_origin"},
		{"no key", []string{"-f", one, "--key", "ATL"}, `--key "ATL" is not DIMENSION=VALUE`, ""},
		{"misspelt dimension", []string{"-f", one, "--key", "orign=ATL"}, `aggregation flights_by_origin has no dimension "orign"`, "did you mean origin?"},
		{"a field that is no dimension", []string{"-f", one, "--key", "delay=x"}, `has no dimension "delay"`, "there are origin"},
		{"given twice", []string{"-f", one, "--key", "origin=ATL", "--key", "origin=ORD"}, "--key gives origin twice", ""},
		{"half a key", []string{"-f", two, "--aggregation", "flights_by_gate", "--key", "gate=7"}, "the key lacks dimension slot", "--key slot=VALUE"},
		{"no INT64", []string{"-f", two, "--aggregation", "flights_by_gate", "--key", "gate=A7", "--key", "slot=%null"}, `--key gate=A7: "A7" is not an INT64`, ""},
		{"no TIMESTAMP", []string{"-f", two, "--aggregation", "flights_by_gate", "--key", "gate=7", "--key", "slot=now"}, `--key slot=now: "now" is not a TIMESTAMP`, ""},
		{"a key of no set", in("--key", "origin=ATL"), "the key lacks dimension gate", "it groups by (origin,gate), (gate), ()"},
		{"no such set", in("--rollup", "origin"), "aggregation flights does not group by (origin)", "it groups by (origin,gate), (gate), ()"},
		{"misspelt set", in("--rollup", "gat"), `aggregation flights has no dimension "gat"`, "did you mean gate?"},
		{"empty in a set", in("--rollup", "gate,"), `aggregation flights has no dimension ""`, ""},
		{"key and set differ", in("--rollup", "gate", "--key", "gate=7", "--key", "origin=ATL"), "the key has other dimensions than --rollup gate", "leave --rollup out"},
		{"no rollups", []string{"-f", one, "--rollup", ""}, "aggregation flights_by_origin does not group by ()", "it groups by (origin)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := call(t, "text", c.args...)
			var e *exit.Error
			if out != "" || exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) || !errors.As(err, &e) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("error %v, %+v\n%s", err, e, out)
			}
		})
	}
	if _, _, err := call(t, "text", "-f", one); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "BIGQUERY_EMULATOR_HOST") {
		t.Errorf("without a sandbox: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	text := func(s string) *string { return &s }
	event := jobspecs.Event{Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "gate", Type: "INT64"}, {Name: "slot", Type: "TIMESTAMP"}}}
	agg := jobspecs.Aggregation{Name: "a", Dimensions: []string{"origin", "gate", "slot"}}
	for _, c := range []struct {
		origin, gate, slot string
		want               []*string
	}{
		{"ATL", "+07", "2001-01-08T01:00:00+01:00", []*string{text("ATL"), text("7"), text("2001-01-08T00:00:00.000000Z")}},
		{"", "%null", "%null", []*string{text(""), nil, nil}},
		{"%null", "-1", "%null", []*string{nil, text("-1"), nil}},
		{"%%null", "0", "%null", []*string{text("%null"), text("0"), nil}},
		{"%%%", "0", "%null", []*string{text("%%"), text("0"), nil}},
		{"%=", "0", "%null", []*string{text("%="), text("0"), nil}},
	} {
		_, got, err := parseKey(agg, event, []string{"slot=" + c.slot, "origin=" + c.origin, "gate=" + c.gate}, rollupFlag{})
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%+v: %v (-want +got):\n%s", c, err, diff)
		}
		if got != nil && shown(got[0]) != c.origin && c.origin != "" && c.origin != "%%%" {
			t.Errorf("%q is shown as %q", c.origin, shown(got[0]))
		}
	}
	if _, got, err := parseKey(agg, event, nil, rollupFlag{}); got != nil || err != nil {
		t.Errorf("no key: %v, %v", got, err)
	}
}

// platform is a sandbox with cells of two airports, one of them null: a stream
// that was redeployed, a generation that died, and a backfill of an hour.
func platform(t *testing.T) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sandboxtest.Start(t)
	p, err := gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"})
	must(err)
	bq, err := p.BigQuery(t.Context())
	must(err)
	defer bq.Close()
	ds := bq.Dataset("kappa")
	must(ds.Create(t.Context(), nil))
	must(ds.Table(tables.Generations).Create(t.Context(), tables.GenerationsTable().Metadata()))
	start := time.Date(2001, 1, 8, 5, 0, 0, 0, time.UTC)
	row := func(n int64, kind, state string) *bigquery.StructSaver {
		g := tables.Generation{Job: "flights-0", Generation: n, Kind: kind, State: state, Group: "flights", RecordedAt: start, Seq: 1}
		if kind == tables.WriterBackfill {
			g.Job = "flights-fill"
			g.WindowFrom = bigquery.NullTimestamp{Timestamp: start.Add(time.Hour), Valid: true}
			g.WindowTo = bigquery.NullTimestamp{Timestamp: start.Add(2 * time.Hour), Valid: true}
		}
		return &bigquery.StructSaver{Struct: g, InsertID: state + kind}
	}
	must(ds.Table(tables.Generations).Inserter().Put(t.Context(), []*bigquery.StructSaver{
		row(1, "stream", "drained"), row(2, "stream", "void"), row(3, "stream", "open"), row(1, "backfill", "drained")}))

	admin, err := p.BigtableAdmin(t.Context(), "kappa")
	must(err)
	defer admin.Close()
	must(admin.CreateTableFromConf(t.Context(), &bigtable.TableConf{TableID: "aggregates", Families: map[string]bigtable.GCPolicy{tables.Family: bigtable.NoGcPolicy()}}))
	bt, err := p.Bigtable(t.Context(), "kappa")
	must(err)
	defer bt.Close()
	atl := "ATL"
	for _, c := range []struct {
		origin *string
		hour   int
		cell   tables.Cell
		value  int64
	}{
		{&atl, 0, tables.Cell{Measure: "flights", Job: "flights-0", Generation: 1}, 2}, {&atl, 0, tables.Cell{Measure: "worst", Job: "flights-0", Generation: 1}, -3},
		{&atl, 0, tables.Cell{Measure: "flights", Job: "flights-0", Generation: 2}, 50},
		{&atl, 0, tables.Cell{Measure: "flights", Job: "flights-0", Generation: 3, Pane: 1}, 9}, {&atl, 0, tables.Cell{Measure: "worst", Job: "flights-0", Generation: 3, Pane: 1}, 120},
		{&atl, 1, tables.Cell{Measure: "flights", Job: "flights-0", Generation: 1}, 70}, {&atl, 1, tables.Cell{Measure: "flights", Job: "flights-fill", Generation: 1}, 7},
		{nil, 0, tables.Cell{Measure: "flights", Job: "flights-0", Generation: 1}, 1},
	} {
		at := start.Add(time.Duration(c.hour) * time.Hour)
		if c.cell.Generation == 3 && c.cell.Measure == "flights" { // an event is in every set
			for space, dims := range map[string][]*string{"flights": {c.origin, nil}, "flights:gate": {nil}, "flights:": nil} {
				m := bigtable.NewMutation()
				m.Set(tables.Family, c.cell.Qualifier(), bigtable.Time(at), tables.EncodeValue(c.value))
				must(bt.Open("aggregates").Apply(t.Context(), tables.RowKey(space, dims, at), m))
			}
		}
		m := bigtable.NewMutation()
		m.Set(tables.Family, c.cell.Qualifier(), bigtable.Time(at), tables.EncodeValue(c.value))
		must(bt.Open("aggregates").Apply(t.Context(), tables.RowKey("flights_by_origin", []*string{c.origin}, at), m))
	}
}

func TestQuery(t *testing.T) {
	platform(t)
	file := spec(t, header)
	const table = `origin  window_start          flights  worst
%null   2001-01-08T05:00:00Z        1   null
ATL     2001-01-08T05:00:00Z       11    120
ATL     2001-01-08T06:00:00Z        7   null
`
	out, errs, err := call(t, "text", "-f", file)
	if err != nil || errs != "" {
		t.Fatalf("%v\n%s", err, errs)
	}
	if diff := cmp.Diff(table, out); diff != "" {
		t.Errorf("all keys (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		args []string
		want string // windows and values
		note string
	}{
		{[]string{"--key", "origin=ATL"}, "ATL 05 11 120, ATL 06 7 null", ""},
		{[]string{"--key", "origin=ATL", "--to", "2001-01-08T06:00:00Z"}, "ATL 05 11 120", ""},
		{[]string{"--from", "2001-01-08T06:00:00Z"}, "ATL 06 7 null", ""},
		{[]string{"--key", "origin=%null"}, "%null 05 1 null", ""},
		{[]string{"--key", "origin=LAX"}, "", "no window of flights_by_origin is there that counts\n"},
		{[]string{"--limit", "1"}, "%null 05 1 null", "there are more windows than the 1 shown: raise --limit\n"},
		{[]string{"--key", "origin=ATL", "--limit", "1"}, "ATL 05 11 120", "there are more windows than the 1 shown: raise --limit\n"},
		{[]string{"--key", "origin=ATL", "--limit", "2"}, "ATL 05 11 120, ATL 06 7 null", ""},
	} {
		out, errs, err := call(t, "text", append([]string{"-f", file, "--aggregation", "flights_by_origin"}, c.args...)...)
		if err != nil || errs != c.note {
			t.Errorf("%v: %v, notes %q", c.args, err, errs)
		}
		var got []string
		for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
			if f := strings.Fields(line); i > 0 {
				f[1] = f[1][len("2001-01-08T"):len("2001-01-08T05")]
				got = append(got, strings.Join(f, " "))
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	out, _, err = call(t, "json", "-f", file, "--limit", "2")
	if err != nil {
		t.Fatal(err)
	}
	const document = `{
  "aggregation": "flights_by_origin",
  "window": "1h",
  "dimensions": [
    "origin"
  ],
  "measures": [
    "flights",
    "worst"
  ],
  "windows": [
    {
      "key": {
        "origin": null
      },
      "window_start": "2001-01-08T05:00:00Z",
      "values": {
        "flights": 1,
        "worst": null
      }
    },
    {
      "key": {
        "origin": "ATL"
      },
      "window_start": "2001-01-08T05:00:00Z",
      "values": {
        "flights": 11,
        "worst": 120
      }
    }
  ],
  "truncated": true
}
`
	if diff := cmp.Diff(document, out); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	out, _, err = call(t, "json", "-f", file, "--key", "origin=LAX")
	if err != nil || !strings.Contains(out, `"windows": []`) || !strings.Contains(out, `"truncated": false`) {
		t.Errorf("JSON of nothing: %v\n%s", err, out)
	}

	// Nothing is read of what is not there.
	if _, _, err := call(t, "text", "-f", spec(t, strings.Replace(header, "table: aggregates", "table: nothing", 1))); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("missing Bigtable table: %v", err)
	}
	if _, _, err := call(t, "text", "-f", spec(t, strings.Replace(header, "dataset: kappa", "dataset: nothing", 1))); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("missing generations: %v", err)
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{"ATL": "ATL", "%null": "%%null", "%%": "%%%", "50%": "50%", "": `""`, " a": `" a"`, "a\x1b[31m": `"a\x1b[31m"`, "Ünï": "Ünï"} {
		if got := shown(&in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
	if got := shown(nil); got != "%null" {
		t.Errorf("null is shown as %s", got)
	}
}

// Of an aggregation with rollups the set that is asked for is shown, and each
// event once.
func TestQueryRollups(t *testing.T) {
	platform(t)
	file := spec(t, header+rolled)
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "origin gate window_start flights ATL %null 2001-01-08T05:00:00Z 9"},
		{[]string{"--key", "gate=%null", "--key", "origin=ATL"}, "origin gate window_start flights ATL %null 2001-01-08T05:00:00Z 9"},
		{[]string{"--key", "gate=%null"}, "gate window_start flights %null 2001-01-08T05:00:00Z 9"},
		{[]string{"--rollup", "gate"}, "gate window_start flights %null 2001-01-08T05:00:00Z 9"},
		{[]string{"--rollup", "gate,origin"}, "origin gate window_start flights ATL %null 2001-01-08T05:00:00Z 9"},
		{[]string{"--rollup", ""}, "window_start flights 2001-01-08T05:00:00Z 9"},
		{[]string{"--key", "gate=7"}, ""},
	} {
		out, _, err := call(t, "text", append([]string{"-f", file, "--aggregation", "flights"}, c.args...)...)
		if err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
		if got := strings.Join(strings.Fields(out), " "); got != c.want {
			t.Errorf("%v: %q, want %q", c.args, got, c.want)
		}
	}
	out, _, err := call(t, "json", "-f", file, "--aggregation", "flights", "--rollup", "")
	if err != nil || !strings.Contains(out, `"dimensions": [],`) || !strings.Contains(out, `"key": {},`) {
		t.Errorf("%v\n%s", err, out)
	}
}
