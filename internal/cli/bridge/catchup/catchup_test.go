package catchup

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/bridge/catchup"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

const spec = `apiVersion: kappa/v1
kind: Bridge
variables:
  KAFKA_BROKERS: {}
metadata: {name: test}
spec:
  environment: sandbox
  project: kappa-test
  sources: {main: {brokers: ["${KAFKA_BROKERS}"], topics: [in], group: g}}
  split: {topicPrefix: out-, count: 2}
  deadLetter: {topic: dead}
`

// world is a Kafka with records and a Pub/Sub with topics.
type world struct {
	t     *testing.T
	kafka *kfake.Cluster
	admin *kadm.Client
	file  string
}

func newWorld(t *testing.T, text string) *world {
	t.Helper()
	ctx := context.Background()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "in"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	_, addr := pubsubtest.Start(t, "kappa-test", "out-0", "out-1", "dead")
	t.Setenv(gcp.EnvPubSub, addr)
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var records []*kgo.Record
	for i := range 1000 {
		records = append(records, &kgo.Record{Topic: "in", Partition: int32(min(i%5, 1)), Value: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, kafka: kafka, admin: kadm.NewClient(client), file: filepath.Join(t.TempDir(), "bridge.yaml")}
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// run runs the command and returns what it printed.
func (w *world) run(output string, args ...string) (string, error) {
	w.t.Helper()
	out, _, err := apptest.Run(w.t, output, New, append([]string{"-f", w.file, "--set", "KAFKA_BROKERS=" + w.kafka.ListenAddrs()[0]}, args...)...)
	return out, err
}

// groups lists the groups that there are, with the sum of their offsets.
func (w *world) groups() map[string]int64 {
	w.t.Helper()
	listed, err := w.admin.ListGroups(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	found := make(map[string]int64)
	for _, name := range listed.Groups() {
		of, err := w.admin.FetchOffsets(context.Background(), name)
		if err != nil {
			w.t.Fatal(err)
		}
		found[name] = 0
		of.Each(func(o kadm.OffsetResponse) { found[name] += o.At })
	}
	return found
}

// The plan is printed and nothing is written; then the range is read, and the
// group goes on behind it.
func TestCatchup(t *testing.T) {
	w := newWorld(t, spec)
	text, err := w.run("text", "--plan", "--splits", "4", "--rate", "1MiB", "--observe", "10ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not written", "1,000 offsets, 4 splits", "main/in/1", "inflow: 0 B/s", "at 1.0 MiB/s: read in"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	text, err = w.run("json", "--plan", "--splits", "4", "--observe", "0")
	if err != nil {
		t.Fatal(err)
	}
	var v catchup.Preview
	if err := json.Unmarshal([]byte(text), &v); err != nil || v.Found || len(v.Plan.Splits) != 4 || v.Forecast.Rate != nil || v.Plan.Offsets != 1000 {
		t.Errorf("error %v, plan as JSON:\n%s", err, text)
	}
	if found := w.groups(); len(found) > 0 {
		t.Errorf("planning wrote %v", found)
	}

	text, err = w.run("json", "--splits", "4")
	if err != nil {
		t.Fatal(err)
	}
	var r catchup.Result
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Published != 1000 || r.Records != 1000 || r.Resumed || len(r.HandedOver) != 2 {
		t.Errorf("error %v, result as JSON:\n%s", err, text)
	}
	if found := w.groups(); len(found) != 1 || found["g"] != 1000 {
		t.Errorf("groups at the end: %v", found)
	}
	text, err = w.run("text")
	if err != nil || !strings.Contains(text, "0 records by this run") {
		t.Errorf("error %v, a second run:\n%s", err, text)
	}
}

// A plan that is under way is not replaced silently.
func TestCatchupUnderWay(t *testing.T) {
	w := newWorld(t, spec)
	cfg := catchup.DefaultConfig()
	cfg.Sources = []catchup.Source{{Name: "main", Spec: jobspecs.KafkaSource{
		KafkaCluster: jobspecs.KafkaCluster{Brokers: w.kafka.ListenAddrs()}, Topics: []string{"in"}, Group: "g", Start: "earliest", Isolation: "readCommitted",
	}}}
	c, err := catchup.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := c.Make(context.Background(), catchup.Request{Splits: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Save(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.run("text", "--splits", "5"); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is under way") {
		t.Errorf("another plan: %v", err)
	}
	if text, err := w.run("text", "--plan", "--observe", "0"); err != nil || !strings.Contains(text, "under way since") || !strings.Contains(text, p.ID) {
		t.Errorf("error %v, plan under way:\n%s", err, text)
	}
	if text, err := w.run("text", "--discard"); err != nil || !strings.Contains(text, "dropped a plan of 4 splits") {
		t.Errorf("error %v, discard:\n%s", err, text)
	}
	if text, err := w.run("json", "--discard"); err != nil || !strings.Contains(text, `"discardedSplits": 0`) {
		t.Errorf("error %v, nothing to discard:\n%s", err, text)
	}
	if text, err := w.run("text", "--splits", "5"); err != nil || !strings.Contains(text, "the group goes on at") {
		t.Errorf("error %v, read:\n%s", err, text)
	}
}

func TestCatchupRefuses(t *testing.T) {
	for _, c := range []struct {
		spec string
		args []string
		err  string
	}{
		{spec, []string{"--splits", "0"}, "--splits 0"},
		{spec, []string{"--parallel", "0"}, "--parallel 0"},
		{spec, []string{"--rate", "fast"}, `--rate "fast"`},
		{spec, []string{"--from", "yesterday"}, `--from "yesterday"`},
		{spec, []string{"--to", "in/7=1"}, "2 partitions, and no partition 7"},
		{strings.Replace(spec, "  deadLetter:", "  ordering: {buckets: 8}\n  deadLetter:", 1), nil, "spec.ordering.buckets"},
	} {
		w := newWorld(t, c.spec)
		_, err := w.run("text", c.args...)
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v: %v, want %q", c.args, err, c.err)
		}
		if found := w.groups(); len(found) > 0 {
			t.Errorf("%v: wrote %v", c.args, found)
		}
	}
}

func TestProgressTexts(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		s    catchup.Progress
		note string
		line string
	}{
		{catchup.Progress{Splits: 8, SplitsDone: 2, Bytes: 100, Done: 25}, "2 of 8 splits",
			"[bytes_done 25 bytes 100 splits_done 2 splits 8 published 0 dead_lettered 0 ready true]"},
		{catchup.Progress{Splits: 8, Bytes: 100, Forecast: catchup.Forecast{Rate: v(10), Inflow: &catchup.Inflow{BytesPerSecond: 2048}, ReadIn: v(10), CaughtUpIn: v(12)}},
			"0 of 8 splits, inflow 2.0 KiB/s, caught up in 12s",
			"[bytes_done 0 bytes 100 splits_done 0 splits 8 published 0 dead_lettered 0 ready true bytes_per_second 10 inflow_bytes_per_second 2048 read_in_seconds 10 caught_up_in_seconds 12]"},
		{catchup.Progress{Splits: 8, Bridge: bridge.Status{DeadLettered: 3, Problems: []string{"in/3 is stopped"}}, Forecast: catchup.Forecast{Rate: v(10), Inflow: &catchup.Inflow{BytesPerSecond: 20}, ReadIn: v(10), Never: true}},
			"0 of 8 splits, inflow 20 B/s, never catches up at this rate, 3 dead letters, in/3 is stopped",
			"[bytes_done 0 bytes 0 splits_done 0 splits 8 published 0 dead_lettered 3 ready false bytes_per_second 10 inflow_bytes_per_second 20 read_in_seconds 10 never_catches_up true]"},
	} {
		if got := note(c.s); got != c.note {
			t.Errorf("note %q, want %q", got, c.note)
		}
		if got := fmt.Sprint(attributes(c.s)); got != c.line {
			t.Errorf("line %s\nwant %s", got, c.line)
		}
	}
}
