package compare

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func schemaOf(columns ...string) bigquery.Schema {
	var s bigquery.Schema
	for _, c := range columns {
		name, typ, _ := strings.Cut(c, " ")
		typ, repeated := strings.CutSuffix(typ, "[]")
		s = append(s, &bigquery.FieldSchema{Name: name, Type: bigquery.FieldType(typ), Repeated: repeated})
	}
	return s
}

func initInput() InitInput {
	return InitInput{Name: "flights", Environment: "production", Project: "example-project", Dataset: "kappa", Job: "flights", Loads: true,
		Batch: InitTable{Name: "lambda.flights", Partition: "hour", Schema: schemaOf("hour TIMESTAMP", "Origin STRING", "carrier_id INTEGER", "flights_count INTEGER", "DelaySum INTEGER", "fare NUMERIC", "max_delay INTEGER",
			"avg_delay FLOAT", "tags STRING[]", "gate STRING", "only_batch STRING", "score FLOAT", "cancelled BOOLEAN")},
		Stream: InitTable{Name: "stream_flights", Partition: "window_start", Schema: schemaOf("window_start TIMESTAMP", "origin STRING", "carrier_id INTEGER", "flights INTEGER", "delay_sum INTEGER", "fare NUMERIC", "max_delay INTEGER",
			"avg_delay FLOAT", "tags STRING[]", "gate INTEGER", "score FLOAT", "cancelled BOOLEAN", "job STRING", "generation INTEGER", "pane INTEGER", "timing STRING", "write_time TIMESTAMP")},
		Starts: []time.Time{hours(0), hours(3), hours(1), hours(2), hours(5), hours(6), hours(7), hours(8), hours(9), hours(10)},
	}
}

func TestInitSpec(t *testing.T) {
	g, err := InitSpec(initInput())
	if err != nil {
		t.Fatal(err)
	}
	want := []Match{
		{"key", "origin", "STRING", "", "Origin", "origin", Probable, "same name but for case and underscores"},
		{"key", "carrier_id", "INT64", "", "carrier_id", "carrier_id", Sure, "same name"},
		{"key", "cancelled", "BOOL", "", "cancelled", "cancelled", Sure, "same name"},
		{"metric", "flights", "count", "INT64", "flights_count", "flights", Guessed, "same name but for a suffix"},
		{"metric", "delay_sum", "sum", "INT64", "DelaySum", "delay_sum", Probable, "same name but for case and underscores"},
		{"metric", "fare", "sum", "NUMERIC", "fare", "fare", Sure, "same name"},
		{"metric", "max_delay", "max", "INT64", "max_delay", "max_delay", Sure, "same name"},
		{"metric", "score", "sum", "FLOAT64", "score", "score", Sure, "same name"},
	}
	if diff := cmp.Diff(want, g.Matches); diff != "" {
		t.Errorf("matches (-want +got):\n%s", diff)
	}
	left := map[string]string{}
	for _, u := range g.LeftOut {
		left[u.Side+" "+u.Column] = u.Why
	}
	for column, why := range map[string]string{"batch avg_delay": "does not add up", "batch tags": "repeated", "stream gate": "INTEGER on the stream side", "batch only_batch": "no column like it"} {
		if !strings.Contains(left[column], why) {
			t.Errorf("%s is left out because %q, want %q", column, left[column], why)
		}
	}
	set, err := jobspecs.Parse("compare.yaml", []byte(g.Spec), jobspecs.Vars{})
	if err != nil {
		t.Fatalf("the spec does not load: %v\n%s", err, g.Spec)
	}
	spec := set.Comparisons[0].Spec
	if spec.Window.D() != time.Hour || spec.Batch.Time != "hour" || spec.Stream.Job != "flights" || spec.Keys[0].Batch != "Origin" || spec.Batch.Table != "lambda.flights" {
		t.Errorf("spec %+v", spec)
	}
	if _, err := newQueries(&spec); err != nil {
		t.Errorf("the spec cannot run: %v", err)
	}
}

func TestInitSpecGuesses(t *testing.T) {
	in := initInput()
	in.Job, in.Loads, in.Batch.Partition = "", false, ""
	in.Batch.Schema = append(in.Batch.Schema[:0:0], in.Batch.Schema...)
	in.Starts = []time.Time{hours(0.5), hours(24.5)}
	g, err := InitSpec(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"settledBy: clock", "unpruned: allow", "window: 24h # guess", "alignment: {offset: 30m}", "tolerance: {relative: 0.000001}"} {
		if !strings.Contains(g.Spec, want) {
			t.Errorf("the spec lacks %q:\n%s", want, g.Spec)
		}
	}
	if _, err := jobspecs.Parse("compare.yaml", []byte(g.Spec), jobspecs.Vars{}); err != nil {
		t.Errorf("the spec does not load: %v\n%s", err, g.Spec)
	}
}

func TestInitSpecRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*InitInput)
		want   string
	}{
		"no time": {func(in *InitInput) { in.Stream.Schema = schemaOf("origin STRING", "flights INTEGER") }, "cannot be told"},
		"two times": {func(in *InitInput) {
			in.Batch.Partition = ""
			in.Batch.Schema = append(in.Batch.Schema, schemaOf("day DATE")...)
		}, "2 columns"},
		"no key": {func(in *InitInput) {
			in.Batch.Schema, in.Stream.Schema = schemaOf("hour TIMESTAMP", "flights INTEGER"), schemaOf("window_start TIMESTAMP", "flights INTEGER")
		}, "share no key or no metric"},
		"no metric": {func(in *InitInput) {
			in.Batch.Schema, in.Stream.Schema = schemaOf("hour TIMESTAMP", "a STRING"), schemaOf("window_start TIMESTAMP", "a STRING", "b INTEGER")
		}, "stream b: the other table has no column like it"},
	}
	for name, tt := range tests {
		in := initInput()
		tt.change(&in)
		if _, err := InitSpec(in); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
