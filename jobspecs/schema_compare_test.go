package jobspecs

import "testing"

const comparisonHead = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: flights}
`

// TestSchemaKnowsTheSides: exactly one source of a side, in the schema as in the
// loader; a document that may leave it to another has one at most.
func TestSchemaKnowsTheSides(t *testing.T) {
	v := newValidator(t)
	with := func(batch string) string {
		return comparisonHead + "spec:\n  project: kappa-demo\n  batch: " + batch +
			"\n  stream: {query: SELECT 1}\n  keys: [{name: origin, type: STRING}]\n  window: 1h\n  metrics: [{name: flights, type: count}]\n"
	}
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{with("{table: batch_flights}"), true},
		{with("{query: SELECT 2}"), true},
		{with("{}"), false},
		{with("{cutoff: 1h}"), false},
		{with("{table: batch_flights, query: SELECT 2}"), false},
		{with(`{table: ""}`), false},
		{with("{files: []}"), false},
		{with(`{query: ""}`), false},
		{with("{table: batch_flights, settledBy: watermarks}"), false},
		{with("{table: batch_flights, shadow: flights}"), false},
		{with("{table: flights of May}"), false},
		{with("{table: kappa-demo.kappa.batch_flights}"), true},
	} {
		doc, err := asJSON([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		_, lerr := Parse("spec.yaml", []byte(c.text), Vars{Lookup: noEnv})
		if serr := v.check(doc); (lerr == nil) != c.ok || (serr == nil) != c.ok {
			t.Errorf("%s\nloader: %v\nschema: %v\nwant ok %v", c.text, lerr, serr, c.ok)
		}
	}
	for text, ok := range map[string]bool{
		"extends: base.yaml\nspec: {batch: {cutoff: 1h}}\n":                        true,
		"extends: base.yaml\nspec: {batch: {table: batch_flights}}\n":              true,
		"abstract: true\nspec: {batch: {query: SELECT 1}}\n":                       true,
		"extends: base.yaml\nspec: {batch: {table: a_table, query: SELECT 1}}\n":   false,
		"overlays: {staging: {spec: {batch: {table: a_table, files: [a.csv]}}}}\n": false,
	} {
		doc, err := asJSON([]byte(comparisonHead + text))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.check(doc); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestPartsAreWhole: the default of range.partition fits the window; what is
// written must.
func TestPartsAreWhole(t *testing.T) {
	for _, c := range []struct {
		window, further string
		want            string
	}{
		{"1h", "", "7d"},
		{"24h", "", "7d"},
		{"5h", "", "10d"},
		{"5h", "gate: {days: 0}", "170h"},
		{"48h", "", "8d"},
		{"30d", "", "30d"},
		{"1h", "range: {partition: 1d}", "1d"},
		{"1h", "range: {partition: 90m}", ""},
		{"1h", "range: {partition: 1h}", ""},
		{"1h", "range: {partition: 1h}\n  gate: {days: 0}", "1h"},
		{"48h", "range: {partition: 24h}", ""},
		{"1h", "range: {partition: 0}", ""},
	} {
		text := comparisonHead + "spec:\n  project: kappa-demo\n  batch: {table: batch_flights}\n  stream: {table: stream_flights}\n  keys: [{name: origin, type: STRING}]\n  metrics: [{name: flights, type: count}]\n  window: " + c.window + "\n  " + c.further + "\n"
		set, err := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv})
		got := ""
		if err == nil {
			got = set.Comparisons[0].Spec.Range.Partition.String()
		}
		if got != c.want {
			t.Errorf("window %s, %s: partition %q (%v), want %q", c.window, c.further, got, err, c.want)
		}
	}
}

func TestTableOf(t *testing.T) {
	s := &ComparisonSpec{Platform: Platform{Project: "acme-data"}, Dataset: "kappa"}
	for name, want := range map[string]TableName{
		"flights":                      {"acme-data", "kappa", "flights"},
		"old.flights":                  {"acme-data", "old", "flights"},
		"acme-old.old.flights":         {"acme-old", "old", "flights"},
		"example.com:acme.old.flights": {"example.com:acme", "old", "flights"},
	} {
		if got := s.TableOf(Side{Table: name}); got != want {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}
