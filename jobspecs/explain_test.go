package jobspecs

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestExplain(t *testing.T) {
	x, err := Explain("streamjob.spec.sources.replay", false)
	if err != nil {
		t.Fatal(err)
	}
	def := "snapshot"
	want := &Explanation{Path: "StreamJob.spec.sources.replay", Type: "string", Doc: x.Doc, Default: &def, Enum: []string{"snapshot", "archive"}}
	if diff := cmp.Diff(want, x); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	x, err = Explain("StreamJob.spec.aggregations.measures", false) // through two lists
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range x.Fields {
		names = append(names, f.Path)
	}
	for _, name := range []string{"name", "type", "field"} {
		if !strings.Contains(strings.Join(names, " "), "StreamJob.spec.aggregations.measures."+name) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	if x.Type != "list of mappings" || !x.Required {
		t.Errorf("%+v", x)
	}
	if x, err = Explain("Bridge.spec.sources.brokers", false); err != nil || x.Type != "list of strings" { // through a mapping, and an inlined struct
		t.Errorf("%+v, %v", x, err)
	}
}

// Paths are taken as errors write them.
func TestExplainPathsOfErrors(t *testing.T) {
	for path, want := range map[string]string{
		"StreamJob.spec.aggregations[0].measures[12].field": "StreamJob.spec.aggregations.measures.field",
		"StreamJob.spec.aggregations[]":                     "StreamJob.spec.aggregations",
		"Bridge.spec.sources.onprem.topics[1]":              "Bridge.spec.sources.topics",
		"Bridge.variables.KAFKA_BROKERS.default":            "Bridge.variables.default",
		"STREAMJOB.kind":                                    "StreamJob.kind",
	} {
		if x, err := Explain(path, false); err != nil || x.Path != want {
			t.Errorf("%s: %+v, %v; want %s", path, x, err, want)
		}
	}
	if x, err := Explain("Comparison.kind", false); err != nil || !cmp.Equal(x.Enum, []string{KindComparison}) {
		t.Errorf("%+v, %v", x, err)
	}
}

// Everything that the types have is explained, in words.
func TestExplainAll(t *testing.T) {
	n := 0
	var walk func(x Explanation)
	walk = func(x Explanation) {
		n++
		if x.Doc == "" || x.Type == "" {
			t.Errorf("%s has no text or type", x.Path)
		}
		again, err := Explain(x.Path, true)
		if err != nil || !cmp.Equal(*again, x) {
			t.Errorf("%s: %v\n%s", x.Path, err, cmp.Diff(*again, x))
		}
		for _, f := range x.Fields {
			walk(f)
		}
	}
	for _, kind := range Kinds() {
		x, err := Explain(kind, true)
		if err != nil {
			t.Fatal(err)
		}
		walk(*x)
	}
	if n < 200 {
		t.Errorf("only %d fields", n)
	}
}

func TestExplainNothing(t *testing.T) {
	for path, want := range map[string]string{
		"":                             `there is no kind ""`,
		"Streamjobs":                   "did you mean StreamJob?",
		"Job":                          "kinds are Batch",
		"StreamJob.spec.subscriptions": "its fields are",
		"StreamJob.spec.source":        "did you mean sources?",
		"StreamJob.spec.region.name":   "it is a string",
		"StreamJob.":                   "has no field",
		"Bridge.spec.sources.brokrs":   "did you mean brokers?",
		"Bridge.spec.sources.a.b.tls":  `no field "a"`,
		"Bridge.spec.sources.a.":       `no field "a"`,
	} {
		_, err := Explain(path, false)
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Usage || !strings.Contains(e.Error()+" "+e.Hint, want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}
