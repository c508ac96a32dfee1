package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/storage"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// otherTemplate is a template that is not kappa's. (Its image is the one that
// the sandbox can run, as the tests' worker, which takes its parameters.)
const otherTemplate = `{
  "image": "example.invalid/kappa/kappa-pipeline:1.0",
  "metadata": {
    "name": "Pub/Sub to BigQuery", "streaming": true,
    "parameters": [
      {"name": "inputSubscription", "label": "Pub/Sub input subscription", "regexes": ["^projects/[^/]+/subscriptions/[^/]+$"]},
      {"name": "outputTableSpec", "label": "BigQuery output table", "regexes": [".+:.+\\..+"]},
      {"name": "outputDeadletterTable", "label": "Dead letters", "isOptional": true}
    ]
  }
}`

// startOther is a sandbox with what the jobs of another pipeline need.
func startOther(t *testing.T) *fixture {
	t.Helper()
	f := start(t, false, nil)
	f.job = dataflowtest.Load(t, "../jobspecs/examples/other/stream.yaml")
	f.job.Spec.Update.Rollout.Conditions.HealthyFor = 0
	clients, err := deploy.Connect(t.Context(), f.job)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	f.clients = clients
	f.store = history.New(clients.BigQuery, f.job.Spec.Sinks.BigQuery.Dataset)
	for _, name := range f.job.Spec.Sources.Names() {
		dataflowtest.Subscribe(t, f.job, clients.PubSub, name, name)
	}
	for _, bucket := range []string{dataflowtest.FlightsStaging, dataflowtest.FlightsTemplates} {
		if err := clients.Storage.Bucket(bucket).Create(t.Context(), f.job.Spec.Project, &storage.BucketAttrs{}); err != nil {
			t.Fatal(err)
		}
	}
	_, object, _ := strings.Cut(strings.TrimPrefix(f.job.Spec.Template, "gs://"), "/")
	dataflowtest.Write(t, clients.Storage, dataflowtest.FlightsTemplates, object, otherTemplate)
	return f
}

// reads are the subscriptions that the service sees each active job read.
func (f *fixture) reads() map[string][]string {
	f.Helper()
	jobs, err := f.jobs.Active(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	out := map[string][]string{}
	for _, j := range jobs {
		for _, s := range j.GetJobMetadata().GetPubsubDetails() {
			out[j.GetName()] = append(out[j.GetName()], s.GetSubscription())
		}
	}
	return out
}

// Another pipeline is launched, drained, replaced and recorded as kappa's is;
// nothing is made or looked at that is its own affair.
func TestOtherPipeline(t *testing.T) {
	f := startOther(t)
	var created []string
	for _, r := range f.plan().Create {
		created = append(created, r.Kind+" "+r.Name)
	}
	if d := cmp.Diff([]string{"dataset kappa", "table kappa.generations", "table kappa.watermarks", "table kappa.deployments"}, created[:len(created)-1]); d != "" {
		t.Errorf("created (-want +got)\n%s", d)
	}
	f.apply()
	own := map[string][]string{
		"orders-copy-0": {"projects/kappa-demo/subscriptions/orders-copy-0"},
		"orders-copy-1": {"projects/kappa-demo/subscriptions/orders-copy-1"},
	}
	if d := cmp.Diff(own, f.reads()); d != "" {
		t.Errorf("what the jobs read (-want +got)\n%s", d)
	}
	if p := f.plan(); p.Pending() {
		t.Errorf("after apply: %+v", p)
	}

	f.job.Spec.Parameters["outputTableSpec"] = "{project}:orders.raw_{generation}"
	p := f.plan()
	for _, a := range p.Jobs {
		if a.Kind != deploy.Replace || a.Drains == nil {
			t.Errorf("%s: %+v", a.Job, a)
		}
		if !slices.ContainsFunc(a.Changes, func(c deploy.Change) bool { return strings.Contains(c.Path, "parameters") }) {
			t.Errorf("%s: the changed parameter is not shown: %+v", a.Job, a.Changes)
		}
	}
	f.apply()
	want := []string{"orders-copy-0@1 drained", "orders-copy-0@2 open", "orders-copy-1@1 drained", "orders-copy-1@2 open"}
	if d := cmp.Diff(want, f.summary()); d != "" {
		t.Errorf("history (-want +got)\n%s", d)
	}
	if d := cmp.Diff(own, f.reads()); d != "" {
		t.Errorf("what the jobs read (-want +got)\n%s", d)
	}
}

// What the service would refuse a launch for is found before anything is done,
// all at once and once for all jobs.
func TestOtherParametersAreChecked(t *testing.T) {
	f := startOther(t)
	f.job.Spec.Parameters = map[string]string{
		"inputSubscriptions": "{subscription}", "outputTableSpec": "{job}", "outputDeadletterTable": "anything",
	}
	p, err := f.deployer().Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, q := range p.Errors() {
		got = append(got, q.Text)
	}
	if d := cmp.Diff([]string{
		"has no parameter inputSubscriptions",
		"requires the parameter inputSubscription (Pub/Sub input subscription)",
		`does not take "orders-copy-0" for the parameter outputTableSpec: it must match .+:.+\..+`,
		`does not take "orders-copy-1" for the parameter outputTableSpec: it must match .+:.+\..+`,
	}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if _, err := deploy.Apply(t.Context(), f.config(), nil); exit.Of(err) != exit.Environment || f.jobs.launches > 0 {
		t.Errorf("a plan with errors was applied: %v, %d launches", err, f.jobs.launches)
	}
}

// A template of somebody else's, in a spec that says it is kappa's.
func TestTemplateOfAnotherPipeline(t *testing.T) {
	f := start(t, true, nil)
	dataflowtest.Write(t, f.clients.Storage, dataflowtest.FlightsTemplates, dataflowtest.FlightsTemplate, otherTemplate)
	p, err := f.deployer().Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	errs := p.Errors()
	if len(errs) == 0 || !strings.Contains(errs[0].Mend, "not a template of kappa-pipeline") {
		t.Errorf("%+v", errs)
	}
}
