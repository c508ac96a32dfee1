package deploy

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestMismatches(t *testing.T) {
	declared := []templateParameter{
		{Name: "inputSubscription", Label: "Pub/Sub input subscription", Regexes: []string{"^projects/[^/]+/subscriptions/[^/]+$"}},
		{Name: "outputTable", HelpText: "PROJECT:DATASET.TABLE", Regexes: []string{".+:.+", `.+\..+`}},
		{Name: "batch", IsOptional: true, Regexes: []string{"[0-9]+"}},
		{Name: "java", IsOptional: true, Regexes: []string{"(?!x).*"}},
		{Name: "plain"},
	}
	const sub = "projects/p/subscriptions/s"
	for _, c := range []struct {
		name  string
		given map[string]string
		want  []string
	}{
		{"right", map[string]string{"inputSubscription": sub, "outputTable": "a:b.c", "plain": ""}, nil},
		{"optional, and what only Java reads", map[string]string{"inputSubscription": sub, "outputTable": "a:b.c", "plain": "x", "batch": "7", "java": "x"}, nil},
		{"nothing", nil, []string{
			"requires the parameter inputSubscription (Pub/Sub input subscription)", "requires the parameter outputTable (PROJECT:DATASET.TABLE)", "requires the parameter plain"}},
		{"all at once", map[string]string{"inputSubscriptions": sub, "outputTable": "a", "batch": "7x", "plain": "", "zzz": ""}, []string{
			"has no parameter inputSubscriptions", "has no parameter zzz",
			"requires the parameter inputSubscription (Pub/Sub input subscription)",
			`does not take "a" for the parameter outputTable: it must match .+:.+`, `does not take "a" for the parameter outputTable: it must match .+\..+`,
			`does not take "7x" for the parameter batch: it must match [0-9]+`,
		}},
		{"a part alone", map[string]string{"inputSubscription": "x " + sub, "outputTable": "a:b.c", "plain": ""}, []string{
			`does not take "x projects/p/subscriptions/s" for the parameter inputSubscription: it must match ^projects/[^/]+/subscriptions/[^/]+$`}},
	} {
		var got []string
		for _, m := range mismatches(declared, c.given) {
			got = append(got, m.text)
			if m.mend == "" {
				t.Errorf("%s: %s: not said how to mend it", c.name, m.text)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
	}
	if m := mismatches(declared, map[string]string{"inputSubscriptions": sub}); m[0].mend != "write inputSubscription, if that is meant" {
		t.Errorf("got %q", m[0].mend)
	}
}

func TestOtherParameters(t *testing.T) {
	job := &jobspecs.StreamJob{Metadata: jobspecs.Metadata{Name: "copy"}, Spec: jobspecs.StreamJobSpec{
		Platform: jobspecs.Platform{Project: "acme"}, Region: "r", Jobs: 2, Pipeline: jobspecs.PipelineOther,
		Sources:    jobspecs.Subscriptions{SubscriptionPrefix: "s-", Count: 4},
		Parameters: map[string]string{"in": "{subscriptions}", "me": "{job}@{generation}", "at": "{{{project}}}/{region}", "one": "{subscription}"},
	}}
	got, err := otherParameters(job, "copy-1", 7)
	if err != nil {
		t.Fatal(err)
	}
	both := "projects/acme/subscriptions/s-1,projects/acme/subscriptions/s-3"
	if d := cmp.Diff(map[string]string{"in": both, "me": "copy-1@7", "at": "{acme}/r", "one": both}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if _, err := otherParameters(job, "copy-2", 1); err == nil {
		t.Error("a job that the spec does not have has parameters")
	}
	job.Spec.Parameters = map[string]string{"a": "{x}"}
	if _, err := otherParameters(job, "copy-1", 1); err == nil {
		t.Error("a wrong placeholder is taken")
	}
}

// TestOwnTemplate: what deploy launches kappa-pipeline with is what the metadata
// that it is built with declares.
func TestOwnTemplate(t *testing.T) {
	data, err := os.ReadFile("../examples/flex-template/metadata.json")
	if err != nil {
		t.Fatal(err)
	}
	var tmpl template
	if err := json.Unmarshal(data, &tmpl.Metadata); err != nil || len(tmpl.Metadata.Parameters) == 0 {
		t.Fatal(err)
	}
	day := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	for name, l := range map[string]launching{
		"stream":           {},
		"backfill":         {parameters: Backfill{From: day, To: day.AddDate(0, 0, 1), Archive: "gs://a/b*.avro", Shadow: "v2"}.parameters()},
		"from files":       {parameters: Backfill{From: day, To: day.AddDate(0, 0, 1), Files: "gs://a/b*.json.gz"}.parameters()},
		"from a raw table": {parameters: Backfill{From: day, To: day.AddDate(0, 0, 1), Table: "kappa.raw_flights", MaxBytes: 1 << 40}.parameters()},
	} {
		d := &Deployer{cfg: Config{Job: &jobspecs.StreamJob{}}}
		l.job, l.generation, l.specFile = "flights-0", 10, "gs://kappa-demo-staging/jobs/flights/3f1c9a52e07b8d46.yaml"
		given, err := d.parameters(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mismatches(tmpl.Metadata.Parameters, given) {
			t.Errorf("%s: %s", name, m.text)
		}
	}
}
