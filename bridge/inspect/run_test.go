package inspect

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

func TestMain(m *testing.M) {
	// A dependency starts this one when it is imported.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// world is the systems of a bridge that could run.
type world struct {
	t      *testing.T
	kafka  *kgo.Client
	pubsub *pubsub.Client
	spec   *jobspecs.Bridge
}

func newWorld(t *testing.T, opts ...kfake.Opt) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(2, "in", "copy"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return worldOf(t, cluster.ListenAddrs())
}

// worldOf is the world of a cluster that has the topics.
func worldOf(t *testing.T, brokers []string) *world {
	t.Helper()
	w := &world{t: t}
	w.pubsub, _ = pubsubtest.Start(t, "kappa-test", "out-0", "out-1", "dead")
	var err error
	w.kafka, err = kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.must(err)
	t.Cleanup(w.kafka.Close)
	w.spec = &jobspecs.Bridge{Metadata: jobspecs.Metadata{Name: "test"}, Spec: jobspecs.BridgeSpec{
		Platform:    jobspecs.Platform{Environment: "sandbox", Project: "kappa-test"},
		Sources:     map[string]jobspecs.KafkaSource{"main": {KafkaCluster: jobspecs.KafkaCluster{Brokers: brokers}, Topics: []string{"in"}, Group: "g", Start: "earliest"}},
		IDs:         jobspecs.IDs{From: "position"},
		Destination: jobspecs.Destination{Kind: "pubsub"},
		Split:       jobspecs.Split{TopicPrefix: "out-", Count: 2},
		DeadLetter:  jobspecs.DeadLetter{Topic: "dead"},
	}}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) topic(name string, subscribed bool) {
	w.t.Helper()
	full := "projects/kappa-test/topics/" + name
	_, err := w.pubsub.TopicAdminClient.CreateTopic(w.t.Context(), &pubsubpb.Topic{Name: full})
	w.must(err)
	if subscribed {
		_, err := w.pubsub.SubscriptionAdminClient.CreateSubscription(w.t.Context(), &pubsubpb.Subscription{Name: "projects/kappa-test/subscriptions/" + name, Topic: full})
		w.must(err)
	}
}

func (w *world) produce(partition int32, values ...string) {
	w.t.Helper()
	for _, v := range values {
		w.must(w.kafka.ProduceSync(w.t.Context(), &kgo.Record{Topic: "in", Partition: partition, Value: []byte(v)}).FirstErr())
	}
}

func (w *world) run(change ...func(*Config)) *Result {
	w.t.Helper()
	cfg := DefaultConfig()
	cfg.Spec, cfg.PubSub, cfg.Trier, cfg.Wait = w.spec, w.pubsub, trier{}, 5*time.Second
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	r, err := Run(ctx, cfg)
	w.must(err)
	return r
}

func (w *world) source(change func(*jobspecs.KafkaSource)) {
	s := w.spec.Spec.Sources["main"]
	change(&s)
	w.spec.Spec.Sources["main"] = s
}

// trier does what values say.
type trier struct{}

func (trier) Try(ctx context.Context, _ string, _ [16]byte, r *kgo.Record) (Trial, error) {
	switch v := string(r.Value); {
	case v == "filter":
		return Trial{Dropped: 1}, nil
	case v == "bad":
		return Trial{Reason: "transform", Detail: "not JSON"}, nil
	case v == "away":
		<-ctx.Done()
		return Trial{}, ctx.Err()
	default:
		return Trial{Messages: []Message{{Topic: "out-" + string(rune('0'+r.Offset%2)), Bytes: 100 + len(v)}}}, nil
	}
}

// state returns the state and the detail of the check whose subject ends so.
func state(r *Result, subject string) string {
	i := slices.IndexFunc(r.Checks, func(c Check) bool { return strings.HasSuffix(c.Subject, subject) })
	if i < 0 {
		return "not there"
	}
	return r.Checks[i].State + ": " + r.Checks[i].Detail
}

func TestAllIsWell(t *testing.T) { newWorld(t).allIsWell() }

func (w *world) allIsWell() *Result {
	t := w.t
	for range 40 {
		w.produce(0, "a", "bb")
	}
	w.produce(1, "filter", "a")
	admin := kadm.NewClient(w.kafka)
	os := kadm.Offsets{}
	os.AddOffset("in", 0, 70, -1)
	w.must(admin.CommitAllOffsets(t.Context(), "g", os))
	r := w.run()
	if r.Verdict != Ready || r.ExitCode() != exit.OK {
		t.Errorf("%s: %s\n%+v", r.Verdict, r.Reason, r.Checks)
	}
	for _, c := range r.Checks {
		if c.State != Passed && c.State != Skipped {
			t.Errorf("%+v", c)
		}
	}
	// 30 of partition 0, both of partition 1.
	if diff := cmp.Diff(Sample{Records: 32, Bytes: r.Sample.Bytes, Filtered: 1, Events: 31, Dropped: 1, Messages: Sizes{101, 101, 101, 102, 102}, Refusals: []Refusal{}}, r.Sample); diff != "" {
		t.Errorf("sample (-want +got):\n%s", diff)
	}
	top := r.Topics[0]
	if top.Partitions != 2 || top.Records != 82 || top.Backlog != 12 || top.PerSecond == 0 || top.Skew.MaxOverMean <= 1 || len(r.Split.Parts) != 2 {
		t.Errorf("%+v, split %+v", top, r.Split)
	}
	if r.Throughput.BacklogMessages < 11 || r.Throughput.MessagesPerSecond <= 0 {
		t.Errorf("%+v", r.Throughput)
	}
	members, err := admin.DescribeGroups(t.Context(), "g")
	w.must(err)
	if n := len(members["g"].Members); n != 0 {
		t.Errorf("the dry run has joined the group: %d members", n)
	}
	return r
}

func TestWhatWouldBeRefused(t *testing.T) {
	w := newWorld(t)
	w.produce(1, "a", "bad", "a", "bad")
	r := w.run()
	if r.Verdict != Refuses || r.ExitCode() != exit.GateNotMet || r.Sample.Refused != 2 || len(r.Sample.Refusals) != 1 {
		t.Fatalf("%s: %s, %+v", r.Verdict, r.Reason, r.Sample)
	}
	f := r.Sample.Refusals[0]
	if f.Reason != "transform" || f.Records != 2 || len(f.Examples) != 2 || !strings.HasSuffix(f.Examples[0].Position, "/in/1/1") || f.Examples[0].Detail != "not JSON" {
		t.Errorf("%+v", f)
	}
}

func TestNothingToSample(t *testing.T) {
	w := newWorld(t)
	if r := w.run(); r.Verdict != Ready || !strings.Contains(r.Reason, "empty") {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	w.source(func(s *jobspecs.KafkaSource) { s.Topics, s.TopicPattern = nil, "later-.*" })
	if r := w.run(); r.Verdict != Ready || !strings.HasPrefix(state(r, "main topics"), "warning: no topic matches") {
		t.Errorf("%s: %s", r.Verdict, state(r, "main topics"))
	}
}

// TestWhatIsMissing: each fault is found, and does not hide the others.
func TestWhatIsMissing(t *testing.T) {
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path != "/schemas/types":
			w.WriteHeader(http.StatusNotFound)
		case user != "u" || password != "secret":
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer registry.Close()
	t.Setenv("REGISTRY_PASSWORD", "secret")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "there"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		change  func(*world)
		subject string
		want    string
	}{
		{"no such source topic", func(w *world) { w.source(func(s *jobspecs.KafkaSource) { s.Topics = []string{"in", "gone"} }) }, "main topics", "failed: Kafka topics cannot be read: gone"},
		{"no broker", func(w *world) {
			w.source(func(s *jobspecs.KafkaSource) { s.Brokers = []string{"127.0.0.1:1"} })
		}, "Kafka main", "failed: "},
		{"no topic", func(w *world) { w.spec.Spec.Split.Count = 3 }, "out-2", "failed: does not exist"},
		{"no subscription", func(w *world) { w.topic("out-2", false); w.spec.Spec.Split.Count = 3 }, "out-2", "failed: has neither a subscription nor retention"},
		{"no dead letters", func(w *world) { w.spec.Spec.DeadLetter.Topic = "nowhere" }, "nowhere", "failed: does not exist"},
		{"dead letters to no folder", func(w *world) {
			w.spec.Spec.DeadLetter = jobspecs.DeadLetter{File: filepath.Join(folder, "no", "file")}
		}, "no/file", "failed: cannot be made"},
		{"dead letters to a folder", func(w *world) { w.spec.Spec.DeadLetter = jobspecs.DeadLetter{File: folder} }, folder, "failed: "},
		{"dead letters to a new file", func(w *world) {
			w.spec.Spec.DeadLetter = jobspecs.DeadLetter{File: filepath.Join(folder, "new")}
		}, "new", "ok: can be made"},
		{"dead letters to a file", func(w *world) {
			w.spec.Spec.DeadLetter = jobspecs.DeadLetter{File: filepath.Join(folder, "there")}
		}, "there", "ok: can be appended to"},
		{"dead letters to Kafka", func(w *world) {
			w.spec.Spec.DeadLetter = jobspecs.DeadLetter{Kafka: jobspecs.DeadLetterKafka{KafkaCluster: w.spec.Spec.Sources["main"].KafkaCluster, Topic: "copy"}}
		}, "dead letters", "ok: copy"},
		{"dead letters to no Kafka topic", func(w *world) {
			w.spec.Spec.DeadLetter = jobspecs.DeadLetter{Kafka: jobspecs.DeadLetterKafka{KafkaCluster: w.spec.Spec.Sources["main"].KafkaCluster, Topic: "gone"}}
		}, "dead letters", "failed: cannot be found: gone"},
		{"a Kafka destination", func(w *world) {
			w.spec.Spec.Destination = jobspecs.Destination{Kind: "kafka", Kafka: w.spec.Spec.Sources["main"].KafkaCluster}
		}, "destination", "failed: cannot be found: out-0, out-1"},
		{"a registry", func(w *world) {
			w.spec.Spec.Transform.Schema.Registry = jobspecs.Registry{URL: registry.URL + "/", Username: "u", Password: jobspecs.Secret{Env: "REGISTRY_PASSWORD"}}
		}, "schema registry", "ok: " + registry.URL},
		{"a registry that refuses", func(w *world) { w.spec.Spec.Transform.Schema.Registry = jobspecs.Registry{URL: registry.URL} }, "schema registry", "failed: it refuses the credentials"},
		{"a registry elsewhere", func(w *world) { w.spec.Spec.Transform.Schema.Registry = jobspecs.Registry{URL: registry.URL + "/x"} }, "schema registry", "skipped: it answers"},
		{"no registry", func(w *world) { w.spec.Spec.Transform.Schema.Registry = jobspecs.Registry{URL: "http://127.0.0.1:1"} }, "schema registry", "failed: "},
		{"a record that cannot be tried", func(w *world) { w.produce(0, "away") }, "samples", "failed: record "},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			r := w.run(func(c *Config) { c.Wait = 2 * time.Second })
			if got := state(r, c.subject); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if failed := strings.HasPrefix(c.want, Failed); failed != (r.Verdict == NotReady) || failed != (r.ExitCode() == exit.Environment) {
				t.Errorf("%s: %s", r.Verdict, r.Reason)
			}
		})
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("the dry run left files behind: %v", left)
	}
}

func TestItIsStopped(t *testing.T) {
	w := newWorld(t)
	w.produce(0, "a")
	cfg := DefaultConfig()
	cfg.Spec, cfg.PubSub, cfg.Trier = w.spec, w.pubsub, trier{}
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress = func(int64) { cancel() }
	if r, err := Run(ctx, cfg); err == nil {
		t.Errorf("%+v", r)
	}
}
