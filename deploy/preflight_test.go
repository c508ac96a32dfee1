package deploy_test

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// Everything that is wrong is found at once, and then nothing is done.
func TestPreflightCollects(t *testing.T) {
	f := start(t, false, nil)
	f.job.Metadata.Labels = map[string]string{"Team": "x", "kappa-mine": "y"}
	subscribe := func(topic, name string, change ...func(*pubsubpb.Subscription)) {
		dataflowtest.Subscribe(t, f.job, f.clients.PubSub, topic, name, change...)
	}
	subscribe("flights", "flights-0")
	subscribe("flights", "flights-1")
	subscribe("other", "flights-2", func(s *pubsubpb.Subscription) {
		s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(48 * time.Hour)}
	})
	subscribe("gone", "flights-3")
	topic := "projects/" + f.job.Spec.Project + "/topics/gone"
	if err := f.clients.PubSub.TopicAdminClient.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	ds := f.clients.BigQuery.Dataset("kappa")
	if err := ds.Create(t.Context(), &bigquery.DatasetMetadata{}); err != nil {
		t.Fatal(err)
	}
	err := ds.Table("raw_flights").Create(t.Context(), &bigquery.TableMetadata{Schema: bigquery.Schema{{Name: "event_id", Type: bigquery.BytesFieldType}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.clients.Bigtable.CreateTableFromConf(t.Context(), &bigtable.TableConf{
		TableID: "aggregates", Families: map[string]bigtable.GCPolicy{"m": bigtable.MaxAgePolicy(24 * time.Hour)},
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.clients.Bigtable.CreateTableFromConf(t.Context(), &bigtable.TableConf{
		TableID: "event-ids", Families: map[string]bigtable.GCPolicy{tables.IDFamily: bigtable.MaxAgePolicy(tables.IDMaxAge - time.Hour)},
	}); err != nil {
		t.Fatal(err)
	}
	p, err := f.deployer().Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, q := range p.Problems {
		found = append(found, q.Severity+": "+q.What+": "+q.Text)
	}
	for _, want := range []string{
		"error: label Team: Dataflow takes no label",
		"error: label kappa-mine: labels that begin with kappa-",
		"error: subscription flights-1: reads the same topic as flights-0",
		"warning: subscription flights-2: expires",
		"error: subscription flights-3: its topic was deleted",
		"error: subscription flights-4: does not exist",
		"error: subscription flights-5: does not exist",
		"error: table kappa.raw_flights: column event_id is BYTES instead of STRING",
		"error: table kappa.raw_flights: lacks the column event_time TIMESTAMP",
		"warning: table kappa.raw_flights: is not partitioned by day of event_time",
		`error: Bigtable family kappa/aggregates/m: has the garbage collection policy "age() > 1d": it deletes aggregates`,
		`error: Bigtable family kappa/event-ids/i: has the garbage collection policy "age() > `,
		"error: template gs://kappa-demo-templates/kappa-pipeline-v1.json: does not exist",
		"error: staging bucket gs://kappa-demo-staging: does not exist",
	} {
		ok := false
		for _, got := range found {
			ok = ok || strings.HasPrefix(got, want)
		}
		if !ok {
			t.Errorf("not found: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("found:\n%s", strings.Join(found, "\n"))
	}

	_, err = deploy.Apply(t.Context(), f.config(), nil)
	if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "subscription flights-5: does not exist") {
		t.Errorf("got %v", err)
	}
	if _, err := ds.Table("generations").Metadata(t.Context()); err == nil || f.jobs.launches > 0 {
		t.Errorf("a plan with errors was applied: %v, %d launches", err, f.jobs.launches)
	}
}

func TestPreflightTemplate(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"not JSON":         {"{", "is not a flex template"},
		"without an image": {"{}", "names no image"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, true, nil)
			dataflowtest.Write(t, f.clients.Storage, dataflowtest.FlightsTemplates, dataflowtest.FlightsTemplate, c.text)
			p, err := f.deployer().Plan(t.Context())
			if err != nil || len(p.Errors()) != 1 || !strings.Contains(p.Errors()[0].Text, c.want) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// The table of event ids is made so that ids live as long as they are needed,
// and an existing one that keeps them for longer is as good.
func TestCreatesIDs(t *testing.T) {
	for name, existing := range map[string]*bigtable.TableConf{
		"none":               nil,
		"without the family": {TableID: "event-ids"},
		"one version":        {TableID: "event-ids", Families: map[string]bigtable.GCPolicy{tables.IDFamily: bigtable.MaxVersionsPolicy(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, true, nil)
			f.job.Spec.Jobs = 1
			if existing != nil {
				if err := f.clients.Bigtable.CreateTableFromConf(t.Context(), existing); err != nil {
					t.Fatal(err)
				}
			}
			f.apply()
			info, err := f.clients.Bigtable.TableInfo(t.Context(), "event-ids")
			if err != nil || len(info.FamilyInfos) != 1 || info.FamilyInfos[0].Name != tables.IDFamily {
				t.Fatalf("%+v, %v", info, err)
			}
			want := bigtable.MaxAgePolicy(tables.IDMaxAge)
			if name == "one version" {
				want = bigtable.MaxVersionsPolicy(1)
			}
			if got := info.FamilyInfos[0].FullGCPolicy; got.String() != want.String() {
				t.Errorf("policy %s, want %s", got, want)
			}
			if p := f.plan(); len(p.Create) > 0 || len(p.Problems) > 0 {
				t.Errorf("afterwards %+v", p)
			}
		})
	}
}

// What is missing is created, and what is there is completed.
func TestCreates(t *testing.T) {
	f := start(t, true, map[string]dataflowtest.Behaviour{})
	f.job.Spec.Jobs = 1
	if err := f.clients.Bigtable.CreateTable(t.Context(), "aggregates"); err != nil {
		t.Fatal(err)
	}
	res := f.apply()
	var created []string
	for _, r := range res.Created {
		created = append(created, r.Kind+" "+r.Name)
	}
	for _, want := range []string{"dataset kappa", "table kappa.generations", "table kappa.watermarks", "table kappa.deployments", "table kappa.raw_flights", "table kappa.late_flights", "table kappa.stream_flights", "bigtable family kappa/aggregates/m", "bigtable table kappa/event-ids", "file " + res.SpecFile} {
		ok := false
		for _, got := range created {
			ok = ok || got == want
		}
		if !ok {
			t.Errorf("not created: %s (created %q)", want, created)
		}
	}
	if p := f.plan(); len(p.Create) > 0 || len(p.Problems) > 0 {
		t.Errorf("after apply: %+v", p)
	}
}
