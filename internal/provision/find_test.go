package provision

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func load(t *testing.T, paths ...string) *jobspecs.Set {
	t.Helper()
	set, err := jobspecs.Load(paths, jobspecs.Vars{Lookup: func(name string) (string, bool) { return "a:1,b:2", name == "KAFKA_BROKERS" }})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const examples = "../../jobspecs/examples/"

func TestFindFlights(t *testing.T) {
	got, err := Find(load(t, examples+"flights"))
	if err != nil {
		t.Fatal(err)
	}
	topics := []string{"flights-0", "flights-1", "flights-2", "flights-3", "flights-4", "flights-5", "flights-dead-letters"}
	var subscriptions []Subscription
	for _, name := range topics {
		subscriptions = append(subscriptions, Subscription{name, name})
	}
	want := &Resources{
		Kafka: map[string][]string{"a:1,b:2": {"flights"}},
		Projects: []Project{{
			ID: "kappa-demo", Topics: topics, Subscriptions: subscriptions,
			Buckets:   []string{"kappa-demo-templates", "kappa-demo-staging", "kappa-demo-batch"},
			Templates: []string{"gs://kappa-demo-templates/kappa-pipeline-v1.json"},
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// The topic between two bridges is one topic, and so is a cluster of both.
func TestFindTwoSteps(t *testing.T) {
	got, err := Find(load(t, examples+"two-step"))
	if err != nil {
		t.Fatal(err)
	}
	topics := []string{"interactions-0", "interactions-1", "interactions-dead-letters"}
	var subscriptions []Subscription
	for _, name := range topics {
		subscriptions = append(subscriptions, Subscription{name, name})
	}
	want := &Resources{
		Kafka:    map[string][]string{"a:1,b:2": {"interactions", "interactions-clean-0", "interactions-dead-letters"}},
		Projects: []Project{{ID: "kappa-demo", Topics: topics, Subscriptions: subscriptions}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// change copies a spec with a text replaced.
func change(t *testing.T, file, old, new string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("there is no %q in %s", old, file)
	}
	name := filepath.Join(t.TempDir(), "changed.yaml")
	if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(text), old, new)), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Subscriptions of other names than the topics are paired by number.
func TestFindPairs(t *testing.T) {
	stream := change(t, examples+"flights/stream.yaml", "subscriptionPrefix: flights-", "subscriptionPrefix: read-")
	got, err := Find(load(t, examples+"flights/bridge.yaml", stream))
	if err != nil {
		t.Fatal(err)
	}
	p := got.Projects[0]
	if len(p.Topics) != 7 || len(p.Subscriptions) != 7 || p.Subscriptions[5] != (Subscription{"read-5", "flights-5"}) || p.Subscriptions[6].Name != "flights-dead-letters" {
		t.Errorf("%+v", p)
	}
	if got, err = Find(load(t, stream)); err != nil || len(got.Projects[0].Topics) != 6 || got.Projects[0].Subscriptions[3] != (Subscription{"read-3", "read-3"}) {
		t.Errorf("without the bridge: %+v, %v", got, err)
	}
}

func TestFindRefusesProduction(t *testing.T) {
	for _, name := range []string{"bridge", "load", "compare"} {
		file := change(t, examples+"flights/"+name+".yaml", "environment: sandbox", "environment: production")
		if _, err := Find(load(t, file)); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is production") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
