package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func attributes(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("a%d", i)] = "v"
	}
	return out
}

func request(messages ...*pb.PubsubMessage) *pb.PublishRequest {
	return &pb.PublishRequest{Topic: testTopic, Messages: messages}
}

func TestPublishLimits(t *testing.T) {
	many := func(n int) []*pb.PubsubMessage {
		out := make([]*pb.PubsubMessage, n)
		for i := range out {
			out[i] = &pb.PubsubMessage{Data: []byte("x")}
		}
		return out
	}
	attribute := func(key, value string) *pb.PubsubMessage {
		return &pb.PubsubMessage{Attributes: map[string]string{key: value}}
	}
	// A request of exactly the greatest size: the rest of it is 31 bytes.
	full := request(&pb.PubsubMessage{Data: make([]byte, maxRequestBytes-40)})
	full.Messages[0].Data = append(full.Messages[0].Data, make([]byte, maxRequestBytes-proto.Size(full))...)
	over := proto.CloneOf(full)
	over.Messages[0].Data = append(over.Messages[0].Data, 0)

	for _, tt := range []struct {
		name string
		req  *pb.PublishRequest
		want string // part of the error; empty: none
	}{
		{"one", request(many(1)...), ""},
		{"1,000 messages", request(many(1000)...), ""},
		{"1,001 messages", request(many(1001)...), "The value for message_count is too large. You passed 1001 in the request, but the maximum value is 1000."},
		{"no message", request(), "The value for message_count is too small."},
		{"10,000,000 bytes", full, ""},
		{"10,000,001 bytes", over, "The value for request_size is too large. You passed 10000001 in the request, but the maximum value is 10000000."},
		{"empty message", request(&pb.PubsubMessage{}), "either non-empty data, or at least one attribute"},
		{"only an ordering key", request(&pb.PubsubMessage{OrderingKey: "k"}), "either non-empty data, or at least one attribute"},
		{"only an attribute", request(attribute("a", "")), ""},
		{"100 attributes", request(&pb.PubsubMessage{Attributes: attributes(100)}), ""},
		{"101 attributes", request(&pb.PubsubMessage{Attributes: attributes(101)}), "too many attributes"},
		{"key of 256 bytes", request(attribute(strings.Repeat("ä", 128), "v")), ""},
		{"key of 257 bytes", request(attribute(strings.Repeat("k", 257), "v")), "has a key that is too long. The length is 257"},
		{"empty key", request(attribute("", "v")), "empty key"},
		{"value of 1,024 bytes", request(attribute("a", strings.Repeat("ä", 512))), ""},
		{"value of 1,025 bytes", request(attribute("a", strings.Repeat("v", 1025))), `The attribute "a" in the request has a value that is too long. The length is 1025`},
		{"reserved key", request(attribute("googclient_x", "v")), "reserved prefix"},
		{"ordering key of 1,024 bytes", request(&pb.PubsubMessage{Data: []byte("x"), OrderingKey: strings.Repeat("k", 1024)}), ""},
		{"ordering key of 1,025 bytes", request(&pb.PubsubMessage{Data: []byte("x"), OrderingKey: strings.Repeat("k", 1025)}), "ordering key in the request is too long"},
		{"two ordering keys", request(&pb.PubsubMessage{Data: []byte("x"), OrderingKey: "a"}, &pb.PubsubMessage{Data: []byte("x"), OrderingKey: "b"}), "same ordering key"},
		{"the last message is bad", request(append(many(5), &pb.PubsubMessage{})...), "either non-empty data"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := scanPublish(encode(t, tt.req))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want INVALID_ARGUMENT with %q", err, tt.want)
			}
		})
	}
}

// TestNotUTF8 needs requests that no client library would send.
func TestNotUTF8(t *testing.T) {
	const bad = "\xff"
	entry := func(key, value string) []byte {
		b := protowire.AppendTag(nil, fieldEntryKey, protowire.BytesType)
		b = protowire.AppendString(b, key)
		b = protowire.AppendTag(b, fieldEntryValue, protowire.BytesType)
		return protowire.AppendString(b, value)
	}
	field := func(num protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
	}
	for name, body := range map[string][]byte{
		"key":          field(fieldAttributes, entry(bad, "v")),
		"value":        field(fieldAttributes, entry("k", bad)),
		"ordering key": append(field(fieldData, []byte("x")), field(fieldOrderingKey, []byte(bad))...),
	} {
		if _, err := scanMessage(body); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%s: got %v, want INVALID_ARGUMENT about UTF-8", name, err)
		}
	}
	if _, err := scanMessage(field(fieldData, []byte(bad))); err != nil {
		t.Errorf("data that is not UTF-8 was refused: %v", err)
	}
}

// TestStampReplacesWhatThePublisherSet shows that neither an id nor a publish
// time can be smuggled in.
func TestStampReplacesWhatThePublisherSet(t *testing.T) {
	now := time.Unix(1_700_000_000, 0) // no nanoseconds: a smuggled field would survive merging
	m, err := scanMessage(encode(t, &pb.PubsubMessage{
		Data: []byte("x"), Attributes: map[string]string{"a": "b"}, OrderingKey: "k",
		MessageId: "mine", PublishTime: &timestamppb.Timestamp{Seconds: 1, Nanos: 5},
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got pb.PubsubMessage
	if err := proto.Unmarshal(m.stamp("7", now), &got); err != nil {
		t.Fatal(err)
	}
	want := &pb.PubsubMessage{
		Data: []byte("x"), Attributes: map[string]string{"a": "b"}, OrderingKey: "k",
		MessageId: "7", PublishTime: timestamppb.New(now),
	}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

// FuzzScanPublish holds the scanner against the proto library: what it accepts
// means the same to both, and nothing makes it panic.
func FuzzScanPublish(f *testing.F) {
	f.Add(encode(f, request(&pb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{"a": "b"}, OrderingKey: "k"})))
	f.Add(encode(f, request(&pb.PubsubMessage{Data: []byte("x"), MessageId: "1", PublishTime: timestamppb.Now()})))
	f.Add(encode(f, request()))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		req, err := scanPublish(b)
		if err != nil {
			if !errors.Is(err, errMalformed) && status.Code(err) != codes.InvalidArgument {
				t.Fatalf("error of an unknown kind: %v", err)
			}
			return
		}
		var want pb.PublishRequest
		if err := proto.Unmarshal(b, &want); err != nil {
			// The scanner does not look into what it throws away.
			return
		}
		if req.topic != want.Topic || len(req.messages) != len(want.Messages) {
			t.Fatalf("read %q with %d messages, want %q with %d", req.topic, len(req.messages), want.Topic, len(want.Messages))
		}
		now := time.Unix(1_700_000_000, 123)
		for i, m := range req.messages {
			got := &pb.PubsubMessage{}
			if err := proto.Unmarshal(m.stamp("42", now), got); err != nil {
				t.Fatalf("message %d does not decode: %v", i, err)
			}
			w := &pb.PubsubMessage{
				Data: want.Messages[i].Data, Attributes: want.Messages[i].Attributes, OrderingKey: want.Messages[i].OrderingKey,
				MessageId: "42", PublishTime: timestamppb.New(now),
			}
			if diff := cmp.Diff(w, got, protocmp.Transform()); diff != "" {
				t.Fatalf("message %d:\n%s", i, diff)
			}
			if string(m.orderingKey) != w.OrderingKey {
				t.Fatalf("message %d: ordering key %q, want %q", i, m.orderingKey, w.OrderingKey)
			}
		}
	})
}

func TestAppendReceived(t *testing.T) {
	message := encode(t, &pb.PubsubMessage{Data: []byte("x"), MessageId: "1"})
	b := appendReceived(nil, []byte("ack-1"), message, 0)
	b = appendReceived(b, []byte("ack-2"), message, 300)
	var got pb.PullResponse
	if err := proto.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	m := &pb.PubsubMessage{Data: []byte("x"), MessageId: "1"}
	want := &pb.PullResponse{ReceivedMessages: []*pb.ReceivedMessage{{AckId: "ack-1", Message: m}, {AckId: "ack-2", Message: m, DeliveryAttempt: 300}}}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestAckIDs(t *testing.T) {
	for _, tt := range []struct{ sub, lease uint64 }{{1, 1}, {0, 0}, {1<<64 - 1, 1<<64 - 1}} {
		id := string(appendAckID(nil, tt.sub, tt.lease))
		if sub, lease, ok := parseAckID(id); sub != tt.sub || lease != tt.lease || !ok {
			t.Errorf("%q reads as %d, %d, %v, want %v", id, sub, lease, ok, tt)
		}
	}
	for _, id := range []string{"", "-", "1", "1-", "-1", "1-1-1", "x y-1", "1- 1"} {
		if _, _, ok := parseAckID(id); ok {
			t.Errorf("%q was taken for an ack id", id)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"projects/p/topics/abc":                         true,
		"projects/example.com:p/topics/a.b_c~d+e%20-f":  true,
		"projects/p/topics/" + strings.Repeat("a", 255): true,
		"projects/p/topics/" + strings.Repeat("a", 256): false,
		"projects/p/topics/ab":                          false,
		"projects/p/topics/1abc":                        false,
		"projects/p/topics/googabc":                     false,
		"projects/p/topics/a b c":                       false,
		"projects/p/topics/":                            false,
		"projects//topics/abc":                          false,
		"projects/p/subscriptions/abc":                  false,
		"topics/abc":                                    false,
		"projects/p/topics/abc/x":                       false,
		"":                                              false,
	} {
		if err := checkName("topics", name); (err == nil) != want {
			t.Errorf("%q: %v, want ok %v", name, err, want)
		}
	}
}
