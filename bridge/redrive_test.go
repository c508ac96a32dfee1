package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/pubsub/pubsubtest"
)

// poison produces a good record, a bad one and a good one, all in Avro's way of
// being unlucky: the bad one is no JSON.
func poison(t testing.TB, p *kgo.Client) {
	t.Helper()
	for i, v := range []string{`{"n":0}`, `{"n":`, `{"n":2}`} {
		produce(t, p, &kgo.Record{Topic: "in", Key: []byte{0xff, byte(i)}, Value: []byte(v), Timestamp: recordTime, Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xfe}}}})
	}
}

func poisonSpec(brokers []string) *jobspecs.Bridge {
	spec := testSpec(brokers, 1)
	spec.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"n": "m"}}
	spec.Spec.Attributes = []jobspecs.Attribute{{Name: "h", Header: "h"}}
	return spec
}

// wantID is the id that a record of in/0 has.
func wantID(t testing.TB, kafka []string, offset int64) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	meta, err := kadm.NewClient(client).Metadata(context.Background(), "in")
	if err != nil {
		t.Fatal(err)
	}
	id, err := positionID(topicHash("test-cluster", meta.Topics["in"].ID), 0, offset, 0)
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

func redriven(t testing.TB, cfg Config, rc RedriveConfig) RedriveResult {
	t.Helper()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	res, err := b.Redrive(ctx, rc)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// repair writes the letters of a file with another value.
func repair(t testing.TB, from, to, value string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		var l envelope.DeadLetter
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		l.Value = []byte(value)
		if err := json.NewEncoder(&out).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkRedriven checks the message of the repaired letter.
func checkRedriven(t testing.TB, m message, id string) {
	t.Helper()
	want := map[string]string{
		envelope.AttrID: id, envelope.AttrPosition: "test-cluster/in/0/1", envelope.AttrBridge: "test/v0",
		envelope.AttrEventTime: envelope.FormatTime(recordTime), envelope.AttrSourceTime: envelope.FormatTime(recordTime),
		"h": "/g==", "h.encoding": "base64",
	}
	if diff := cmp.Diff(want, m.attrs); diff != "" || m.data != `{"m":1}` {
		t.Errorf("data %s, attributes (-want +got):\n%s", m.data, diff)
	}
}

// A poison record goes to a file; repaired, it arrives under the id of its
// position, once, however often the file is redriven.
func TestRedriveFile(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	folder := t.TempDir()
	spec := poisonSpec(kafka.ListenAddrs())
	spec.Spec.DeadLetter = jobspecs.DeadLetter{File: filepath.Join(folder, "dead.json")}
	poison(t, producer(t, kafka))
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	if n := len(f.taken("out-0")); n != 2 {
		t.Fatalf("%d messages", n)
	}
	// Unrepaired it is bad again, and stays.
	res := redriven(t, testConfig(t, spec, f), RedriveConfig{})
	if res.Read != 1 || res.Sent != 0 || res.Bad != 1 || res.Letters[0].Position != "test-cluster/in/0/1" || res.Letters[0].Reason != reasonTransform {
		t.Errorf("as it is: %+v", res)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{DryRun: true}); res.Bad != 1 || res.Sent != 0 {
		t.Errorf("dry run: %+v", res)
	}
	repaired := filepath.Join(folder, "repaired.json")
	repair(t, spec.Spec.DeadLetter.File, repaired, `{"n":1}`)
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{File: repaired, DryRun: true}); res.Sent != 1 || len(f.taken("out-0")) != 2 {
		t.Errorf("dry run of what is repaired: %+v", res)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{File: repaired, Reason: "too_large"}); res.Left != 1 || len(f.taken("out-0")) != 2 {
		t.Errorf("of another reason: %+v", res)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{File: repaired}); res.Sent != 1 || res.Bad != 0 {
		t.Errorf("repaired: %+v", res)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{File: repaired}); res.Sent != 0 || res.Read != 0 {
		t.Errorf("repaired, again: %+v", res)
	}
	out := f.taken("out-0")
	if len(out) != 3 {
		t.Fatalf("%d messages, want each once", len(out))
	}
	checkRedriven(t, out[2], wantID(t, kafka.ListenAddrs(), 1))
}

// The same with dead letters in a Kafka topic: what is bad again is written to
// it anew and committed, so that a run ends and loses nothing.
func TestRedriveKafka(t *testing.T) {
	kafka := newKafka(t, 1, "in", "graves")
	f := newFakePubSub(t, outTopics(1)...)
	folder := t.TempDir()
	spec := poisonSpec(kafka.ListenAddrs())
	spec.Spec.DeadLetter = jobspecs.DeadLetter{Kafka: jobspecs.DeadLetterKafka{KafkaCluster: jobspecs.KafkaCluster{Brokers: kafka.ListenAddrs()}, Topic: "graves"}}
	poison(t, producer(t, kafka))
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{}); res.Read != 1 || res.Bad != 1 || res.Sent != 0 {
		t.Errorf("as it is: %+v", res)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{Reason: "nothing"}); res.Read != 1 || res.Left != 1 {
		t.Errorf("of another reason: %+v", res)
	}
	letters, repaired := filepath.Join(folder, "letters.json"), filepath.Join(folder, "repaired.json")
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{Export: letters}); res.Exported != 1 {
		t.Errorf("export: %+v", res)
	}
	repair(t, letters, repaired, `{"n":1}`)
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{Repaired: repaired}); res.Read != 1 || res.Sent != 1 || res.Bad != 0 {
		t.Errorf("repaired: %+v", res)
	}
	if res := redriven(t, testConfig(t, spec, f), RedriveConfig{Repaired: repaired}); res.Read != 0 {
		t.Errorf("repaired, again: %+v", res)
	}
	out := f.taken("out-0")
	if len(out) != 3 {
		t.Fatalf("%d messages, want each once", len(out))
	}
	checkRedriven(t, out[2], wantID(t, kafka.ListenAddrs(), 1))
}

// The same with a Pub/Sub topic, end to end on the sandbox; and a letter in
// parts is put together, or named where a part is missing.
func TestRedriveSubscription(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	client, _ := pubsubtest.Start(t, testProject, outTopics(1)...)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	subscription := func(name string) string { return "projects/" + testProject + "/subscriptions/" + name }
	pull := func(topic string) (all []message) {
		for {
			wait, done := context.WithTimeout(ctx, 300*time.Millisecond)
			resp, err := client.SubscriptionAdminClient.Pull(wait, &pubsubpb.PullRequest{Subscription: subscription(topic), MaxMessages: 100})
			done()
			if err != nil || len(resp.ReceivedMessages) == 0 {
				return all
			}
			for _, m := range resp.ReceivedMessages {
				all = append(all, message{topic: topic, data: string(m.Message.Data), attrs: m.Message.Attributes})
				if err := client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: subscription(topic), AckIds: []string{m.AckId}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	spec := poisonSpec(kafka.ListenAddrs())
	cfg := testConfig(t, spec, newFakePubSub(t))
	cfg.PubSub = client
	poison(t, producer(t, kafka))
	b := start(t, cfg)
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 3 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	// A letter in two parts, out of order, and one that lacks its second.
	part := func(offset int, part, data string) {
		m := &pubsubpb.PubsubMessage{Data: []byte(data), Attributes: map[string]string{
			envelope.AttrPosition: fmt.Sprintf("test-cluster/in/0/%d", offset), envelope.AttrReason: reasonTooLarge, envelope.AttrError: "e",
			envelope.AttrBridge: "test/v0", envelope.AttrSourceTime: envelope.FormatTime(recordTime), envelope.AttrPart: part, envelope.AttrID: wantID(t, kafka.ListenAddrs(), int64(offset)),
		}}
		if _, err := client.TopicAdminClient.Publish(ctx, &pubsubpb.PublishRequest{Topic: topicName(testProject, "dead"), Messages: []*pubsubpb.PubsubMessage{m}}); err != nil {
			t.Fatal(err)
		}
	}
	part(7, "2/2", `7}`)
	part(7, "1/2", `{"n":`)
	part(8, "1/2", `{"n":`)
	if n := len(pull("out-0")); n != 2 {
		t.Fatalf("%d messages", n)
	}
	rc := RedriveConfig{Subscription: "dead", Quiet: 500 * time.Millisecond}
	folder := t.TempDir()
	rc.Export = filepath.Join(folder, "letters.json")
	if res := redriven(t, cfg, rc); res.Read != 3 || res.Exported != 2 || res.Incomplete != 1 {
		t.Fatalf("export: %+v", res)
	}
	// Only the bad one is repaired: the other one is good by now.
	text, err := os.ReadFile(rc.Export)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if strings.Contains(line, "in/0/1") {
			if err := os.WriteFile(filepath.Join(folder, "bad.json"), []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	rc.Export, rc.Repaired = "", filepath.Join(folder, "repaired.json")
	repair(t, filepath.Join(folder, "bad.json"), rc.Repaired, `{"n":1}`)
	res := redriven(t, cfg, rc)
	if res.Read != 3 || res.Sent != 2 || res.Bad != 0 || res.Incomplete != 1 || len(res.Letters) != 1 || res.Letters[0].Position != "test-cluster/in/0/8" || !strings.Contains(res.Letters[0].Error, "1 of its 2 parts") {
		t.Errorf("repaired: %+v", res)
	}
	byPosition := make(map[string]message)
	for _, m := range pull("out-0") {
		byPosition[m.position()] = m
	}
	if len(byPosition) != 2 || byPosition["test-cluster/in/0/7"].data != `{"m":7}` || byPosition["test-cluster/in/0/7"].id() != wantID(t, kafka.ListenAddrs(), 7) {
		t.Errorf("messages %v", byPosition)
	}
	checkRedriven(t, byPosition["test-cluster/in/0/1"], wantID(t, kafka.ListenAddrs(), 1))
	if left := pull("dead"); len(left) != 1 || left[0].position() != "test-cluster/in/0/8" {
		t.Errorf("dead letters that are left: %v", left)
	}
}

// invariant B2: every event of a record gets the id that it has without the
// detour; an id of an earlier hop is kept.
func TestRedrivenIDs(t *testing.T) {
	id, err := positionID(topicHash("c", [16]byte{9}), 3, 77, 0)
	if err != nil {
		t.Fatal(err)
	}
	l := &letter{DeadLetter: envelope.DeadLetter{Position: "c/t/3/77", ID: id.String(), Time: envelope.FormatTime(recordTime), Value: []byte("x")}}
	rec, from, err := l.make(&plan{})
	if err != nil || from.hash != topicHash("c", [16]byte{9}) || from.partition != 3 || from.prefix != "c/t/3/" || rec.Offset != 77 || len(rec.Headers) != 0 || !rec.Timestamp.Equal(recordTime) {
		t.Errorf("record %+v of %+v, %v", rec, from, err)
	}
	l.ID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	if rec, _, err = l.make(&plan{}); err != nil {
		t.Fatal(err)
	}
	if given, _ := header(rec, envelope.AttrID); string(given) != l.ID {
		t.Errorf("given id %q", given)
	}
	l.ID = ""
	if _, _, err = l.make(&plan{}); err == nil {
		t.Error("a letter without an id is taken where ids are made from positions")
	}
	l.Time = ""
	if _, _, err = l.make(&plan{}); err == nil {
		t.Error("a letter without a time is taken")
	}
}

func TestPartOf(t *testing.T) {
	for text, want := range map[string][3]int{"1/2": {0, 2, 1}, "2/2": {1, 2, 1}, "0/2": {}, "3/2": {}, "x": {}, "": {}, "1/1001": {}, "-1/2": {}, "1/x": {}} {
		i, n, ok := partOf(text)
		if ok != (want[2] == 1) || ok && (i != want[0] || n != want[1]) {
			t.Errorf("%q: %d of %d, %v", text, i, n, ok)
		}
	}
}
