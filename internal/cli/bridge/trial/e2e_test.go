package trial_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
	bridgeverify "github.com/kappa-migrate/kappa/bridge/verify"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/check"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/locate"
	"github.com/kappa-migrate/kappa/internal/cli/bridge/verify"
	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

const project = "kappa-test"

const spec = `apiVersion: kappa/v1
kind: Bridge
variables:
  KAFKA_BROKERS: {}
metadata: {name: test}
spec:
  environment: sandbox
  project: kappa-test
  sources: {main: {brokers: ["${KAFKA_BROKERS}"], topics: [in], group: g}}
  transform: {decode: json, filter: record.n != 3%s}
  split: {topicPrefix: out-, count: 2, key: [n]}
  sensitive: [user]
  deadLetter: {topic: dead}
%s`

// world is a bridge that has published 40 records of two partitions: one is
// filtered, one is a dead letter.
type world struct {
	t      *testing.T
	args   []string // -f and --set
	pubsub *pubsub.Client
	admin  *kadm.Client
	id     string // of the cluster
}

func newWorld(t *testing.T, transform, rest string) *world {
	t.Helper()
	w := &world{t: t}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in"))
	w.must(err)
	t.Cleanup(fake.Close)
	var addr string
	w.pubsub, addr = pubsubtest.Start(t, project)
	t.Setenv(gcp.EnvPubSub, addr)
	for _, name := range []string{"out-0", "out-1", "dead"} {
		topic := "projects/" + project + "/topics/" + name
		_, err := w.pubsub.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic})
		w.must(err)
		for sub, labels := range map[string]map[string]string{"read-" + name: nil, "verify-" + name: {bridgeverify.Label: "true"}} {
			_, err = w.pubsub.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{
				Name: "projects/" + project + "/subscriptions/" + sub, Topic: topic, AckDeadlineSeconds: 10, Labels: labels})
			w.must(err)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.must(err)
	t.Cleanup(client.Close)
	w.admin = kadm.NewClient(client)
	meta, err := w.admin.Metadata(t.Context(), "in")
	w.must(err)
	w.id = meta.Cluster
	for i := range 40 {
		value := fmt.Sprintf(`{"n":%d,"user":"TOP"}`, i)
		if i == 4 {
			value = "no JSON"
		}
		w.must(client.ProduceSync(t.Context(), &kgo.Record{Topic: "in", Partition: int32(i % 2), Key: []byte(fmt.Sprint(i)), Value: []byte(value),
			Timestamp: time.Date(2026, 11, 21, 10, 0, i, 0, time.UTC)}).FirstErr())
	}
	file := filepath.Join(t.TempDir(), "bridge.yaml")
	w.must(os.WriteFile(file, fmt.Appendf(nil, spec, transform, rest), 0o600))
	w.args = []string{"-f", file, "--set", "KAFKA_BROKERS=" + strings.Join(fake.ListenAddrs(), ",")}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// bridge runs the bridge until it has committed everything.
func (w *world) bridge() {
	w.t.Helper()
	set, err := jobspecs.Load([]string{w.args[1]}, jobspecs.Vars{Set: map[string]string{"KAFKA_BROKERS": strings.TrimPrefix(w.args[3], "KAFKA_BROKERS=")}})
	w.must(err)
	cfg := bridge.DefaultConfig()
	cfg.Spec, cfg.PubSub, cfg.Version, cfg.CommitEvery = set.Bridges[0], w.pubsub, "v1", 50*time.Millisecond
	b, err := bridge.New(cfg)
	w.must(err)
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, func(string) {}) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		offsets, err := w.admin.FetchOffsets(ctx, "g")
		sum := int64(0)
		offsets.Each(func(o kadm.OffsetResponse) { sum += o.At })
		if err == nil && sum == 40 {
			break
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("the bridge has committed %d of 40: %v", sum, err)
		case err := <-ended:
			w.t.Fatalf("the bridge has ended: %v", err)
		case <-tick.C:
		}
	}
	cancel()
	<-ended
}

// run runs a command; it returns what it printed.
func (w *world) run(output string, cmd func(*app.App) *cobra.Command, args ...string) (string, error) {
	w.t.Helper()
	out, _, err := apptest.Run(w.t, output, cmd, append(args, w.args...)...)
	return out, err
}

// pull takes n messages of a subscription and acknowledges those that f says.
func (w *world) pull(sub string, f func(*pubsubpb.PubsubMessage) (ack bool)) {
	w.t.Helper()
	name := "projects/" + project + "/subscriptions/" + sub
	resp, err := w.pubsub.SubscriptionAdminClient.Pull(w.t.Context(), &pubsubpb.PullRequest{Subscription: name, MaxMessages: 1000})
	w.must(err)
	for _, m := range resp.ReceivedMessages {
		if f(m.Message) {
			w.must(w.pubsub.SubscriptionAdminClient.Acknowledge(w.t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: []string{m.AckId}}))
		} else {
			w.must(w.pubsub.SubscriptionAdminClient.ModifyAckDeadline(w.t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: name, AckIds: []string{m.AckId}}))
		}
	}
}

func (w *world) position(partition, offset int) string {
	return envelope.Position{Cluster: w.id, Topic: "in", Partition: int32(partition), Offset: int64(offset)}.String()
}

var bySubscription = []string{"--subscription", "verify-out-0", "--subscription", "verify-out-1"}

func parse(t *testing.T, text string) bridgeverify.Result {
	t.Helper()
	var r bridgeverify.Result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r
}

// TestVerifyBySubscription: what a bridge published is complete; then a message
// is lost and another comes twice, and both are named.
func TestVerifyBySubscription(t *testing.T) {
	for _, c := range []struct{ name, rest, quiet, verdict string }{
		{"messages", "", "11s", bridgeverify.Incomplete},
		{"bundles", "  bundle: {maxEvents: 5}\n", "2s", bridgeverify.Inconclusive}, // less than the ack deadline
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "", c.rest)
			w.bridge()
			out, err := w.run("text", verify.New, append([]string{"--dead-letters", "verify-dead"}, bySubscription...)...)
			if err != nil || !strings.HasPrefix(out, "COMPLETE  test: all 38 events arrived\n") || !strings.Contains(out, "1 of them filtered") || !strings.Contains(out, "dead letters (transform 1), of which 1 were found") {
				t.Fatalf("%v\n%s", err, out)
			}
			lost, twice := 0, ""
			for _, sub := range []string{"verify-out-0", "verify-out-1"} {
				w.pull(sub, func(m *pubsubpb.PubsubMessage) bool {
					switch {
					case lost == 0:
						lost = count(t, m)
						return true
					case twice == "" && count(t, m) == 1:
						twice = positionOf(m)
						_, err := w.pubsub.TopicAdminClient.Publish(t.Context(), &pubsubpb.PublishRequest{
							Topic: "projects/" + project + "/topics/" + strings.TrimPrefix(sub, "verify-"), Messages: []*pubsubpb.PubsubMessage{m}})
						w.must(err)
					}
					return false
				})
			}
			file := filepath.Join(t.TempDir(), "missing")
			out, err = w.run("json", verify.New, append([]string{"--quiet", c.quiet, "--missing-file", file}, bySubscription...)...)
			r := parse(t, out)
			if exit.Of(err) != r.ExitCode() || r.Verdict != c.verdict || r.Totals.Missing != int64(lost) || r.Totals.Arrived != int64(38-lost) || r.Totals.WrongIDs+r.Totals.Conflicts+r.Totals.Unheld != 0 {
				t.Errorf("%s: %+v; %d were lost", r.Verdict, r.Totals, lost)
			}
			missing, err := os.ReadFile(file)
			w.must(err)
			if n := strings.Count(string(missing), "\n"); n != lost {
				t.Errorf("%d lines, want %d: %q", n, lost, missing)
			}
			if twice != "" {
				found := false
				for _, p := range r.Partitions {
					for _, d := range p.Duplicated {
						found = found || fmt.Sprintf("%s/%d", p.Partition, d.First) == twice && d.Count == 1
					}
				}
				if !found || r.Totals.Duplicates != 1 {
					t.Errorf("%s came twice: %+v", twice, r.Partitions)
				}
			}
		})
	}
}

func count(t *testing.T, m *pubsubpb.PubsubMessage) int {
	t.Helper()
	how, ok := m.Attributes[envelope.AttrBundle]
	if !ok {
		return 1
	}
	list, err := envelope.Unbundle(how, m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// positionOf is the position of a message's first event.
func positionOf(m *pubsubpb.PubsubMessage) string {
	if p := m.Attributes[envelope.AttrPosition]; p != "" {
		return p
	}
	list, _ := envelope.Unbundle(m.Attributes[envelope.AttrBundle], m.Data)
	return list[0].Position
}

// TestVerifyByTheRawTable: a row that is not there is named, and one that is
// there twice.
func TestVerifyByTheRawTable(t *testing.T) {
	w := newWorld(t, "", "")
	bq, addr := bigquerytest.Start(t, project, "d")
	t.Setenv(gcp.EnvBigQuery, addr)
	raw := tables.Raw("raw", jobspecs.Event{Fields: []jobspecs.Field{{Name: "n", Type: "INT64"}}})
	w.must(bq.Dataset("d").Table("raw").Create(t.Context(), raw.Metadata()))
	w.bridge()
	var rows []*bigquery.ValuesSaver
	for _, sub := range []string{"read-out-0", "read-out-1"} {
		w.pull(sub, func(m *pubsubpb.PubsubMessage) bool {
			at := m.Attributes
			var event struct{ N int64 }
			w.must(json.Unmarshal(m.Data, &event))
			row := &bigquery.ValuesSaver{Schema: raw.Schema, Row: []bigquery.Value{at[envelope.AttrID], m.MessageId, at[envelope.AttrEventTime],
				at[envelope.AttrSourceTime], m.PublishTime.AsTime(), time.Now(), at[envelope.AttrPosition], "job", 1, event.N}}
			switch at[envelope.AttrPosition] {
			case w.position(0, 7): // lost
				return true
			case w.position(1, 8):
				again := *row
				again.Row = append([]bigquery.Value{}, row.Row...)
				again.Row[1] = "another message"
				rows = append(rows, &again)
			}
			rows = append(rows, row)
			return true
		})
	}
	w.must(bq.Dataset("d").Table("raw").Inserter().Put(t.Context(), rows))

	out, err := w.run("json", verify.New, "--table", "d.raw")
	if exit.Of(err) != exit.GateNotMet {
		t.Fatalf("%v\n%s", err, out)
	}
	r := parse(t, out)
	want := bridgeverify.Counts{Records: 40, Filtered: 1, DeadLettered: 1, Dropped: 1, Expected: 38, Arrived: 37, Missing: 1, Duplicated: 1, Duplicates: 1}
	if diff := cmp.Diff(want, r.Totals); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bridgeverify.Offsets{{First: 7, Last: 7, Count: 1}}, r.Partitions[0].Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bridgeverify.Offsets{{First: 8, Last: 8, Count: 1}}, r.Partitions[1].Duplicated); diff != "" {
		t.Errorf("duplicated (-want +got):\n%s", diff)
	}
	// The rest of the range, and a part of it.
	for _, args := range [][]string{{"--offsets", "in/0:8-20"}, {"--to", "2026-11-21T10:00:14Z"}, {"--offsets", "main/in/0:0-7", "--offsets", "in/1:0-"}} {
		if out, err := w.run("text", verify.New, append(args, "--table", project+".d.raw")...); err != nil || !strings.HasPrefix(out, "COMPLETE") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if out, err := w.run("text", verify.New, "--table", "d.raw", "--max-bytes-billed", "0", "--from", "2030-01-01"); exit.Of(err) != exit.NoData || !strings.HasPrefix(out, "NO DATA") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestVerifyFromWhereTheBridgeBegan: what was there before a bridge began is
// not missing.
func TestVerifyFromWhereTheBridgeBegan(t *testing.T) {
	w := newWorld(t, "", "")
	edit := func(from, to string) {
		file, err := os.ReadFile(w.args[1])
		w.must(err)
		w.must(os.WriteFile(w.args[1], []byte(strings.Replace(string(file), from, to, 1)), 0o600))
	}
	edit("group: g}", `group: g, start: "2026-11-21T10:00:20Z"}`)
	w.bridge()
	out, err := w.run("text", verify.New, bySubscription...)
	if err != nil || !strings.HasPrefix(out, "COMPLETE  test: all 20 events arrived\n") {
		t.Errorf("%v\n%s", err, out)
	}
	edit(`"2026-11-21T10:00:20Z"`, "latest")
	if _, err := w.run("text", verify.New, bySubscription...); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "starts at latest") {
		t.Error(err)
	}
	if out, err := w.run("text", verify.New, append([]string{"--from", "2026-11-21T10:00:20Z"}, bySubscription...)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestVerifyRefuses(t *testing.T) {
	w := newWorld(t, "", "")
	for _, c := range []struct {
		args []string
		want string
		code exit.Code
	}{
		{nil, "the raw table is not known", exit.Usage},
		{[]string{"--table", "raw"}, "is not [PROJECT.]DATASET.TABLE", exit.Usage},
		{[]string{"--table", "d.raw", "--subscription", "s"}, "both given", exit.Usage},
		{[]string{"--table", "d.raw", "--ack"}, "no --subscription is given", exit.Usage},
		{[]string{"--table", "d.raw", "--offsets", "x"}, "is no range of offsets", exit.Usage},
		{[]string{"--table", "d.raw", "--offsets", "in/0:1-2", "--from", "2026-01-01"}, "bound the range twice", exit.Usage},
		{[]string{"--table", "d.raw", "--from", "yesterday"}, "is not a time", exit.Usage},
		{[]string{"--table", "d.raw", "--memory", "x"}, "--memory", exit.Usage},
		{[]string{"--table", "d.raw"}, "BIGQUERY_EMULATOR_HOST is not set", exit.Environment},
		{[]string{"--subscription", "read-out-0", "--subscription", "verify-out-1"}, "does not have the label", exit.Environment},
		{[]string{"--subscription", "verify-out-0"}, "no subscription is given for topic out-1", exit.Usage},
	} {
		_, err := w.run("text", verify.New, c.args...)
		if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != c.code {
			t.Errorf("%v: %v (code %d), want %q (code %d)", c.args, err, exit.Of(err), c.want, c.code)
		}
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t, "", "")
	out, err := w.run("text", check.New)
	if exit.Of(err) != exit.GateNotMet || !strings.HasPrefix(out, "REFUSES  test: 1 of 40 sampled records would go to the dead letters") ||
		!strings.Contains(out, "refused for transform: 1 record\n  "+w.position(0, 2)+"  ") || strings.Contains(out, "TOP") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := w.run("json", check.New, "--samples", "0"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("%v\n%s", err, out)
	}
	missing := newWorld(t, "", "  route: {header: h, topics: {a: gone}}\n")
	file, err := os.ReadFile(missing.args[1])
	missing.must(err)
	missing.must(os.WriteFile(missing.args[1], []byte(strings.Replace(string(file), "split: {topicPrefix: out-, count: 2, key: [n]}", "", 1)), 0o600))
	if out, err := missing.run("text", check.New); exit.Of(err) != exit.Environment || !strings.HasPrefix(out, "NOT READY") || !strings.Contains(out, "does not exist") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLocate(t *testing.T) {
	w := newWorld(t, "", "")
	w.bridge()
	id, position := "", ""
	w.pull("read-out-1", func(m *pubsubpb.PubsubMessage) bool {
		id, position = m.Attributes[envelope.AttrID], m.Attributes[envelope.AttrPosition]
		return false
	})
	out, err := w.run("text", locate.New, id)
	if err != nil || !strings.HasPrefix(out, position+"\n") || strings.Contains(out, "value") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = w.run("text", locate.New, id, "--show")
	if err != nil || !strings.Contains(out, "  value      ") || strings.Contains(out, "user") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = w.run("json", locate.New, id, "--value")
	if err != nil || !json.Valid([]byte(out)) || !strings.Contains(out, "sha256:") || strings.Contains(out, "TOP") || !strings.Contains(out, `"position": "`+position+`"`) {
		t.Errorf("%v\n%s", err, out)
	}
	for text, want := range map[string]string{
		"x":                                    "is not a UUID",
		"00000000-0000-5000-8000-000000000000": "made from fields",
		"00000000-0000-8000-8000-000000000000": "none of the 1 topics of main",
	} {
		if _, err := w.run("text", locate.New, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
