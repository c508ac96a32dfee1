package jobspecs

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExpandParameter(t *testing.T) {
	value := func(name string) string { return "<" + name + ">" }
	for _, c := range []struct{ text, want, wrong string }{
		{"", "", ""},
		{"plain", "plain", ""},
		{"{job}", "<job>", ""},
		{"a {job}{generation} b", "a <job><generation> b", ""},
		{"{project}:{region}", "<project>:<region>", ""},
		{"{subscription} {subscriptions}", "<subscription> <subscriptions>", ""},
		{"{{job}}", "{job}", ""},
		{"{{{job}}}", "{<job>}", ""},
		{`{{"a": "{job}"}}`, `{"a": "<job>"}`, ""},
		{"{jbo}", "", "{jbo}"},
		{"x {} y", "", "{}"},
		{"x {job", "", "{job"},
		{"x } y", "", "}"},
		{"{job}}", "", "}"},
	} {
		got, err := ExpandParameter(c.text, value)
		var wrong *PlaceholderError
		switch {
		case c.wrong == "" && (err != nil || got != c.want):
			t.Errorf("%q: got %q, %v; want %q", c.text, got, err, c.want)
		case c.wrong != "" && (!errors.As(err, &wrong) || wrong.Text != c.wrong || wrong.Hint == ""):
			t.Errorf("%q: got %q, %+v; want an error at %q", c.text, got, err, c.wrong)
		}
	}
}

// Property: whatever text is meant, it can be written.
func TestAnyParameterCanBeWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([a-z "]|\{|\}|job){0,12}`).Draw(t, "text")
		written := strings.NewReplacer("{", "{{", "}", "}}").Replace(text)
		got, err := ExpandParameter(written, func(string) string { return "X" })
		if err != nil || got != text {
			t.Fatalf("%q, written %q, becomes %q, %v", text, written, got, err)
		}
	})
}

// TestRefusedOnPurpose: what people try first is answered with a reason.
func TestRefusedOnPurpose(t *testing.T) {
	for _, c := range []struct{ old, new, hint string }{
		{"subscriptionPrefix: trips-", "subscriptionPrefix: projects/acme-data/topics/trips-", "never a topic"},
		{"subscriptionPrefix: trips-", "subscriptionPrefix: projects/acme-data/subscriptions/trips-", "without projects/PROJECT/subscriptions/"},
		{"subscriptionPrefix: trips-", "topicPrefix: trips-", "never a topic"},
		{"subscriptionPrefix: trips-", "topic: trips-", "never a topic"},
		{"type: count}], table", "type: avg}], table", "does not merge"},
		{"type: count}], table", "type: Distinct}], table", "does not merge"},
		{"type: count}], table", "type: counts}], table", "did you mean count?"},
	} {
		_, err := Parse("spec.yaml", []byte(edited(t, lintJob, c.old, c.new)), Vars{Lookup: noEnv})
		if err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: got %v, want the hint %q", c.new, err, c.hint)
		}
	}
}

// TestPipelines: the schema and the loader agree on the fields of each pipeline,
// and a resolved document is read back as it was.
func TestPipelines(t *testing.T) {
	const other = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: copy}
spec:
  project: kappa-demo
  region: us-central1
  pipeline: other
  template: gs://t/t.json
  staging: gs://s/s
  sources: {subscriptionPrefix: s-, count: 1}
  parameters: {input: "{subscription}"}
  sinks: {bigquery: {dataset: d}}
`
	v := newValidator(t)
	for _, c := range []struct {
		text, old, new string
		ok             bool
	}{
		{other, "", "", true},
		{other, "  pipeline: other\n", "", false},
		{other, "pipeline: other", "pipeline: kappa", false},
		{other, "pipeline: other", "pipeline: others", false},
		{other, "  parameters: {input: \"{subscription}\"}\n", "", true},
		{other, "{dataset: d}", "{}", false},
		{other, "{dataset: d}", "{dataset: d, raw: r}", false},
		{other, "{dataset: d}}", "{dataset: d}, bigtable: {instance: kappa-demo, table: t}}", false},
		{other, "  sinks", "  horizon: 1d\n  sinks", false},
		{other, "  sinks", "  watermark: {}\n  sinks", false},
		{other, "  sinks", "  tuning: {workers: 1}\n  sinks", true},
		{lintJob, "", "", true},
		{lintJob, "  region", "  pipeline: kappa\n  region", true},
		{lintJob, "  region", "  pipeline: other\n  region", false},
		{lintJob, "  region", "  parameters: {a: b}\n  region", false},
		{lintJob, "  horizon: 2d\n", "", false},
		{lintJob, ", late: late_trips", "", false},
		{lintJob, ", bigtable: {instance: acme-serving, table: aggregates}", "", false},
	} {
		text := strings.Replace(c.text, c.old, c.new, 1)
		doc, err := asJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		set, lerr := Parse("spec.yaml", []byte(text), Vars{Lookup: noEnv})
		serr := v.check(doc)
		if (lerr == nil) != c.ok || (serr == nil) != c.ok {
			t.Errorf("%q: loader: %v; schema: %v; want ok %v", c.new, lerr, serr, c.ok)
		}
		if lerr != nil {
			continue
		}
		resolved, err := Marshal(set.StreamJobs[0])
		if err != nil {
			t.Fatal(err)
		}
		if foreign := set.StreamJobs[0].Spec.Pipeline == PipelineOther; foreign == strings.Contains(string(resolved), "bigtable:") {
			t.Errorf("resolved:\n%s", resolved)
		}
		if _, err := Parse("resolved.yaml", resolved, Vars{Lookup: noEnv}); err != nil {
			t.Errorf("resolved: %v", err)
		}
	}
}

// TestAbstractLeavesThePipelineOpen: who extends a document says what it runs.
func TestAbstractLeavesThePipelineOpen(t *testing.T) {
	const base = `apiVersion: kappa/v1
kind: StreamJob
abstract: true
metadata: {name: base}
spec:
  project: kappa-demo
  region: us-central1
  template: gs://t/t.json
  staging: gs://s/s
  parameters: {input: "{subscription}"}
  sources: {subscriptionPrefix: s-, count: 1}
  sinks: {bigquery: {dataset: d}}
---
apiVersion: kappa/v1
kind: StreamJob
extends: base
metadata: {name: derived}
`
	if _, err := Parse("spec.yaml", []byte(base+"spec: {pipeline: other}\n"), Vars{Lookup: noEnv}); err != nil {
		t.Error(err)
	}
	_, err := Parse("spec.yaml", []byte(base), Vars{Lookup: noEnv})
	if e := find1(t, err, CodeConflict); e.Path != "spec.parameters" || e.Line != 10 {
		t.Errorf("%+v", e)
	}
}

func TestKappaPipeline(t *testing.T) {
	j := &StreamJob{Metadata: Metadata{Name: "copy"}, Spec: StreamJobSpec{Pipeline: PipelineKappa}}
	if err := j.KappaPipeline("backfill"); err != nil {
		t.Error(err)
	}
	j.Spec.Pipeline = PipelineOther
	if err := j.KappaPipeline("backfill"); err == nil || !strings.HasPrefix(err.Error(), "backfill: StreamJob copy") {
		t.Error(err)
	}
}
