//go:build kafka

package kafka

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
	"github.com/kappa-migrate/kappa/internal/child"
	"github.com/kappa-migrate/kappa/internal/envelope"
)

const project = "kappa-test"

// patience bounds every wait: far more than a busy machine needs.
const patience = 60 * time.Second

// rig is one test's topic, destination and bridges.
type rig struct {
	*testing.T
	name string // of the topic, the group, and the destination
	ctx  context.Context

	// source and spec are merged into the spec.
	source map[string]any
	spec   map[string]any
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// newRig makes a topic, with configs of the form name=value, and a destination
// of one Pub/Sub topic.
func newRig(t *testing.T, partitions int32, configs ...string) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	r := &rig{T: t, ctx: ctx, name: "t-" + strings.Trim(notName.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-"), source: map[string]any{}, spec: map[string]any{}}
	r.create(r.name, partitions, configs...)
	r.destination()
	return r
}

func (r *rig) create(topic string, partitions int32, configs ...string) {
	r.Helper()
	set := make(map[string]*string)
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		set[name] = &value
	}
	if _, err := admin.CreateTopic(r.ctx, partitions, 3, set, topic); err != nil {
		r.Fatal(err)
	}
	r.known(topic)
}

// known waits until every broker knows a topic and the leaders of it: they learn
// of it one after the other.
func (r *rig) known(topic string) {
	r.Helper()
	r.until("all brokers know the topic "+topic, func() string {
		for n := 1; n <= cluster.Size(); n++ {
			req := kmsg.NewPtrMetadataRequest()
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = &topic
			req.Topics = append(req.Topics, t)
			resp, err := client.Broker(n).Request(r.ctx, req)
			if err != nil {
				return err.Error()
			}
			found := resp.(*kmsg.MetadataResponse).Topics[0]
			if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
				return fmt.Sprintf("broker %d: %v", n, err)
			}
			for _, p := range found.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Sprintf("broker %d: partition %d: %v", n, p.Partition, err)
				}
			}
		}
		return ""
	})
}

// destination makes the Pub/Sub topics, with a subscription each.
func (r *rig) destination() {
	r.Helper()
	for _, name := range []string{r.name + "-0", r.name + "-dead"} {
		topic := &pubsubpb.Topic{Name: "projects/" + project + "/topics/" + name}
		if _, err := dest.TopicAdminClient.CreateTopic(r.ctx, topic); err != nil {
			r.Fatal(err)
		}
		sub := &pubsubpb.Subscription{Name: "projects/" + project + "/subscriptions/" + name, Topic: topic.Name, AckDeadlineSeconds: 600}
		if _, err := dest.SubscriptionAdminClient.CreateSubscription(r.ctx, sub); err != nil {
			r.Fatal(err)
		}
	}
}

// producer makes a client that chooses no partition itself.
func (r *rig) producer(opts ...kgo.Opt) *kgo.Client {
	r.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(cluster.Addrs(apachekafka.Plaintext)...), kgo.DefaultProduceTopic(r.name),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(client.Close)
	return client
}

// produce writes records and waits for them.
func (r *rig) produce(client *kgo.Client, records ...*kgo.Record) {
	r.Helper()
	if err := client.ProduceSync(r.ctx, records...).FirstErr(); err != nil {
		r.Fatal(err)
	}
}

// numbered makes n records of partition 0 with values PREFIX0, PREFIX1, ….
func numbered(prefix string, n int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	for i := range records {
		records[i] = kgo.StringRecord(prefix + strconv.Itoa(i))
	}
	return records
}

// bridge is a running bridge.
type bridge struct {
	*rig
	process *child.Process
	url     string

	mu   sync.Mutex
	said bytes.Buffer
}

// document writes the spec of a bridge and returns its path.
func (r *rig) document() string {
	r.Helper()
	source := map[string]any{"brokers": cluster.Addrs(apachekafka.Plaintext), "topics": []string{r.name}, "group": r.name}
	maps.Copy(source, r.source)
	if source["topicPattern"] != nil {
		delete(source, "topics")
	}
	spec := map[string]any{
		"environment": "sandbox", "project": project, "sources": map[string]any{"main": source},
		"split": map[string]any{"topicPrefix": r.name + "-", "count": 1}, "deadLetter": map[string]any{"topic": r.name + "-dead"},
	}
	maps.Copy(spec, r.spec)
	text, err := yaml.Marshal(map[string]any{"apiVersion": "kappa/v1", "kind": "Bridge", "metadata": map[string]any{"name": "test"}, "spec": spec})
	if err != nil {
		r.Fatal(err)
	}
	path := filepath.Join(r.TempDir(), "bridge.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// run starts a bridge; its end is awaited, and its words searched for the
// password, when the test ends.
func (r *rig) run(args ...string) *bridge {
	r.Helper()
	b := &bridge{rig: r}
	address := make(chan string, 1)
	say := func(line []byte) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said.Write(append(line, '\n'))
		if m := listening.FindSubmatch(line); m != nil {
			address <- string(m[1])
		}
	}
	p, err := child.Start(child.Config{
		Path: kappa, Args: append([]string{"bridge", "run", "-f", r.document(), "--exit-with-parent"}, args...),
		Env: []string{"PUBSUB_EMULATOR_HOST=" + destAddr}, Stdout: say, Stderr: say,
	})
	if err != nil {
		r.Fatal(err)
	}
	b.process = p
	r.Cleanup(func() {
		p.Kill()
		if strings.Contains(b.words(), password) {
			r.Errorf("the password is in what the bridge said:\n%s", b.words())
		}
		if r.Failed() {
			r.Logf("the bridge said:\n%s", b.words())
		}
	})
	select {
	case b.url = <-address:
	case <-p.Done():
		r.Fatalf("the bridge ended: %v\n%s", p.Err(), b.words())
	case <-time.After(patience):
		r.Fatalf("the bridge does not listen:\n%s", b.words())
	}
	return b
}

// accept accepts what is gone of a partition, as an operator does.
func (r *rig) accept(partition string) string {
	r.Helper()
	cmd := exec.CommandContext(r.ctx, kappa, "bridge", "accept", "-f", r.document(), "--partition", partition, "--by", "ada", "--reason", "a test", "--yes")
	cmd.Env = append(os.Environ(), "PUBSUB_EMULATOR_HOST="+destAddr)
	text, err := cmd.CombinedOutput()
	if err != nil {
		r.Fatalf("accept: %v\n%s", err, text)
	}
	return string(text)
}

func (b *bridge) words() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said.String()
}

// stop ends a bridge in order.
func (b *bridge) stop() {
	b.Helper()
	if err := b.process.Stop(patience); err != nil {
		b.Fatalf("the bridge ended with %v\n%s", err, b.words())
	}
}

// get returns the body of one of the bridge's pages.
func (b *bridge) get(path string) string {
	resp, err := http.Get(b.url + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// until polls until done gives no complaint.
func (r *rig) until(what string, done func() (complaint string)) {
	r.Helper()
	deadline := time.Now().Add(patience)
	for {
		complaint := done()
		if complaint == "" {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%s: %s", what, complaint)
		}
		select {
		case <-time.After(20 * time.Millisecond): // between two looks, with a deadline
		case <-r.ctx.Done():
			r.Fatal(r.ctx.Err())
		}
	}
}

// committed waits until the group has committed offset at of a partition.
func (r *rig) committed(topic string, partition int32, at int64) {
	r.Helper()
	r.until(fmt.Sprintf("the group commits offset %d of %s/%d", at, topic, partition), func() string {
		offsets, err := admin.FetchOffsets(r.ctx, r.name)
		if err != nil {
			return err.Error()
		}
		if o, ok := offsets.Lookup(topic, partition); !ok || o.At != at {
			return fmt.Sprintf("it has committed %d", o.At)
		}
		return ""
	})
}

// ends is the offset of the next record by partition.
func (r *rig) ends(topic string) map[int32]int64 {
	r.Helper()
	listed, err := admin.ListEndOffsets(r.ctx, topic)
	if err != nil {
		r.Fatal(err)
	}
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends
}

// allCommitted waits until everything in the topic is committed, so that it has
// been published.
func (r *rig) allCommitted(topic string) {
	r.Helper()
	for n, end := range r.ends(topic) {
		if end > 0 {
			r.committed(topic, n, end)
		}
	}
}

// message is a message of the destination.
type message struct {
	data       string
	attributes map[string]string
	position   envelope.Position
}

// take takes all messages out of a subscription: all that were published before
// take was called, because a message that take publishes comes last.
func (r *rig) take(subscription string) []message {
	r.Helper()
	name := "projects/" + project + "/subscriptions/" + subscription
	last := &pubsubpb.PubsubMessage{Attributes: map[string]string{"last": "true"}}
	if _, err := dest.TopicAdminClient.Publish(r.ctx, &pubsubpb.PublishRequest{
		Topic: "projects/" + project + "/topics/" + subscription, Messages: []*pubsubpb.PubsubMessage{last},
	}); err != nil {
		r.Fatal(err)
	}
	var all []message
	for {
		resp, err := dest.SubscriptionAdminClient.Pull(r.ctx, &pubsubpb.PullRequest{Subscription: name, MaxMessages: 1000})
		if err != nil {
			r.Fatal(err)
		}
		var acks []string
		done := false
		for _, m := range resp.ReceivedMessages {
			acks = append(acks, m.AckId)
			if m.Message.Attributes["last"] != "" {
				done = true
				continue
			}
			position, err := envelope.ParsePosition(m.Message.Attributes[envelope.AttrPosition])
			if err != nil {
				r.Error(err)
			}
			all = append(all, message{string(m.Message.Data), m.Message.Attributes, position})
		}
		if len(acks) > 0 {
			if err := dest.SubscriptionAdminClient.Acknowledge(r.ctx, &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: acks}); err != nil {
				r.Fatal(err)
			}
		}
		if done {
			return all
		}
	}
}

// taken checks that the destination has exactly the data, each once, and no
// dead letters.
func (r *rig) taken(want []string) []message {
	r.Helper()
	all := r.take(r.name + "-0")
	var got []string
	ids := make(map[string]bool)
	for _, m := range all {
		got = append(got, m.data)
		if id := m.attributes[envelope.AttrID]; ids[id] || id == "" {
			r.Errorf("id %q of %s comes twice", id, m.position)
		} else {
			ids[id] = true
		}
	}
	want = slices.Clone(want)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("published (-want +got):\n%s", diff)
	}
	for _, m := range r.take(r.name + "-dead") {
		r.Errorf("dead letter of %s: %v", m.position, m.attributes)
	}
	return all
}

func values(records ...[]*kgo.Record) []string {
	var v []string
	for _, list := range records {
		for _, rec := range list {
			v = append(v, string(rec.Value))
		}
	}
	return v
}
