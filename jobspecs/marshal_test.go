package jobspecs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// documents are all documents of a set.
func documents(s *Set) []any {
	var out []any
	for _, d := range s.Bridges {
		out = append(out, d)
	}
	for _, d := range s.StreamJobs {
		out = append(out, d)
	}
	for _, d := range s.BatchLoads {
		out = append(out, d)
	}
	for _, d := range s.Comparisons {
		out = append(out, d)
	}
	for _, d := range s.Monitors {
		out = append(out, d)
	}
	return out
}

// TestMarshalRoundTrip: what Marshal writes is read back equal, whatever the
// strings in it.
func TestMarshalRoundTrip(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := drawDocument(t, kind)
				text, err := Marshal(want)
				if err != nil {
					t.Fatal(err)
				}
				got, errs := decodeOnly(kind, string(text))
				if len(errs) > 0 {
					t.Fatalf("%v\n%s", errs, text)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("(-want +got)\n%s\n%s", d, text)
				}
			})
		})
	}
}

// TestMarshalExamples goes through Parse itself.
func TestMarshalExamples(t *testing.T) {
	set, err := Load([]string{"examples/flights"}, exampleVars)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range documents(set) {
		text, err := Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("resolved.yaml", text, Vars{Lookup: noEnv})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := cmp.Diff([]any{doc}, documents(again)); d != "" {
			t.Errorf("(-want +got)\n%s\n%s", d, text)
		}
	}
}

func TestMarshalIsReadable(t *testing.T) {
	set, err := Load([]string{"examples/flights/load.yaml"}, Vars{Lookup: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Marshal(set.BatchLoads[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: kappa/v1
kind: BatchLoad
metadata:
  name: flights
  description: "Hourly flights per origin airport as the old batch job counted them."
spec:
  environment: sandbox
  project: kappa-demo
  source:
    uri: gs://kappa-demo-batch/flights/
    batch: 4h
    format: avro
  dataset: kappa
  table: batch_flights
  keys:
    - name: origin
      type: STRING
  metrics:
    - name: flights
      type: INT64
    - name: delay_sum
      type: INT64
    - name: distance_sum
      type: INT64
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestMarshalRefuses(t *testing.T) {
	var none *Bridge
	for _, bad := range []any{nil, none, Bridge{}, &BridgeSpec{}, "text", &Bridge{Header: Header{Extends: "a"}}, &Bridge{Header: Header{Variables: map[string]Variable{"A": {}}}}} {
		if _, err := Marshal(bad); err == nil || !strings.HasPrefix(err.Error(), "marshal spec: ") {
			t.Errorf("Marshal(%T): %v", bad, err)
		}
	}
}
