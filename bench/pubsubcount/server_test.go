package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/bench/internal/count"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/bench/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	hash  = 0x1122334455
	delay = 30 * time.Millisecond
)

// serve starts a server and returns a client of it.
func serve(t *testing.T) (*server, pubsubpb.PublisherClient) {
	t.Helper()
	s := newServer(count.Expect{Hash: hash, Partitions: 2}, delay, true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := s.grpc()
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); <-done })
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return s, pubsubpb.NewPublisherClient(conn)
}

// message is a message of a record that is one second old.
func message(partition int, offset int64) *pubsubpb.PubsubMessage {
	return &pubsubpb.PubsubMessage{Data: []byte("12345"), Attributes: map[string]string{
		wire.AttrID:         string(wire.AppendID(nil, hash, partition, offset)),
		wire.AttrSourceTime: time.Now().Add(-time.Second).UTC().Format("2006-01-02T15:04:05.000Z"),
	}}
}

func TestPublishIsCountedAndDelayed(t *testing.T) {
	s, client := serve(t)
	begun := time.Now()
	stranger := message(0, 0)
	stranger.Attributes[wire.AttrID] = "8c1f3f0e-0000-4000-8000-000000000000"
	resp, err := client.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: "projects/p/topics/t",
		Messages: []*pubsubpb.PubsubMessage{message(0, 0), message(1, 0), message(0, 2), message(1, 0), stranger}})
	if err != nil || len(resp.MessageIds) != 5 {
		t.Fatalf("%v, %v", resp, err)
	}
	if d := time.Since(begun); d < delay {
		t.Errorf("answered after %v", d)
	}
	got := s.stats()
	if got.Messages != 4 || got.Bad != 1 || got.Requests != 1 || got.DataBytes != 25 || got.Delay.P50 < 30 || got.CPUSeconds <= 0 {
		t.Errorf("%+v", got)
	}
	if l := got.Latency; l.N != 4 || l.P50 < 1000 || l.P50 > 10_000 {
		t.Errorf("latency %+v", l)
	}

	web := httptest.NewServer(s.control())
	defer web.Close()
	want := count.Report{Messages: 4, Distinct: 3, Duplicates: 1, Missing: 1, Examples: []string{"missing 0/1", "duplicate 1/0"}}
	if diff := cmp.Diff(want, check(t, web.URL, "[3,1]")); diff != "" {
		t.Error(diff)
	}
	resp2, err := web.Client().Post(web.URL+"/check", "application/json", bytes.NewBufferString("[1]"))
	if err != nil {
		t.Fatal(err)
	}
	resp2.Body.Close()
	if resp2.StatusCode != http.StatusBadRequest {
		t.Errorf("one end of two partitions: %s", resp2.Status)
	}
}

func check(t *testing.T, url, ends string) (r count.Report) {
	t.Helper()
	resp, err := http.Post(url+"/check", "application/json", bytes.NewBufferString(ends))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDownAndReset(t *testing.T) {
	s, client := serve(t)
	web := httptest.NewServer(s.control())
	defer web.Close()
	post := func(path string) {
		resp, err := http.Post(web.URL+path, "", nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, %v", path, resp, err)
		}
		resp.Body.Close()
	}
	publish := func() error {
		_, err := client.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: "t", Messages: []*pubsubpb.PubsubMessage{message(0, 0)}})
		return err
	}
	post("/down")
	if err := publish(); status.Code(err) != codes.Unavailable {
		t.Errorf("down: %v", err)
	}
	post("/up")
	if err := publish(); err != nil {
		t.Errorf("up: %v", err)
	}
	resp, err := http.Get(web.URL + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got report.Stats
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Refused != 1 || got.Messages != 1 || got.Latency.N != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	post("/reset")
	if got := s.stats(); got.Latency.N != 0 || got.Delay.N != 0 || got.Messages != 1 {
		t.Errorf("%+v", got)
	}
}

func TestRefusals(t *testing.T) {
	_, client := serve(t)
	many := make([]*pubsubpb.PubsubMessage, maxMessages+1)
	for i := range many {
		many[i] = &pubsubpb.PubsubMessage{Data: []byte("x")}
	}
	for what, messages := range map[string][]*pubsubpb.PubsubMessage{"none": nil, "too many": many} {
		if _, err := client.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: "t", Messages: messages}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestPreflight: the bridge finds every topic, with a subscription.
func TestPreflight(t *testing.T) {
	_, client := serve(t)
	topic, err := client.GetTopic(t.Context(), &pubsubpb.GetTopicRequest{Topic: "projects/p/topics/t"})
	if err != nil || topic.Name != "projects/p/topics/t" {
		t.Errorf("%v, %v", topic, err)
	}
	subs, err := client.ListTopicSubscriptions(t.Context(), &pubsubpb.ListTopicSubscriptionsRequest{Topic: "projects/p/topics/t"})
	if err != nil || len(subs.Subscriptions) != 1 || subs.Subscriptions[0] != "projects/p/subscriptions/t" {
		t.Errorf("%v, %v", subs, err)
	}
}
