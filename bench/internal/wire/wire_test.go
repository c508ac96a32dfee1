package wire

import (
	"strconv"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestIDsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash := rapid.Uint64Range(0, 1<<40-1).Draw(t, "hash")
		partition := rapid.IntRange(0, 1<<16-1).Draw(t, "partition")
		offset := rapid.Int64Range(0, 1<<50-1).Draw(t, "offset")
		text := AppendID(nil, hash, partition, offset)
		h, p, o, ok := ParseID(text)
		if !ok || h != hash || p != partition || o != offset {
			t.Fatalf("%s of %d/%d/%d is read as %d/%d/%d, %v", text, hash, partition, offset, h, p, o, ok)
		}
	})
}

func TestIDGolden(t *testing.T) {
	// 40 bits of hash, 16 of partition, 50 of offset, 16 of ordinal, and 8 and
	// 10 (binary) in the places of version and variant.
	const want = "01020304-0506-8070-8000-000000080000"
	if got := string(AppendID(nil, 0x0102030405, 0x0607, 8)); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	for _, bad := range []string{
		"", "01020304-0506-8070-8000-00000008000", "01020304-0506-8070-8000_000000080000",
		"01020304-0506-7070-8000-000000080000", // version 7
		"01020304-0506-8070-4000-000000080000", // another variant
		"01020304-0506-8070-8000-000000080001", // ordinal 1
		"0102030x-0506-8070-8000-000000080000",
	} {
		if _, _, _, ok := ParseID([]byte(bad)); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestRequestIsProtobuf: what is encoded by hand is what the generated code
// reads, and what the generated code writes is read by hand.
func TestRequestIsProtobuf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &pubsubpb.PublishRequest{Topic: "projects/p/topics/t"}
		at := &Position{Hash: 5, Partition: 3, Prefix: "c/t/3/", Time: "2026-01-02T03:04:05.678Z", Bridge: "raw/v0"}
		r := Begin(nil, want.Topic)
		n := rapid.IntRange(0, 5).Draw(t, "messages")
		var data [][]byte
		for range n {
			d := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "data")
			offset := rapid.Int64Range(0, 1<<50-1).Draw(t, "offset")
			r.Add(at, offset, d)
			data = append(data, d)
			want.Messages = append(want.Messages, &pubsubpb.PubsubMessage{Data: d, Attributes: map[string]string{
				AttrID: string(AppendID(nil, 5, 3, offset)), AttrEventTime: at.Time, AttrSourceTime: at.Time, AttrBridge: at.Bridge,
				AttrPosition: "c/t/3/" + strconv.FormatInt(offset, 10),
			}})
		}
		var got pubsubpb.PublishRequest
		if err := proto.Unmarshal(r.Bytes, &got); err != nil {
			t.Fatal(err)
		}
		if r.Messages != n || !proto.Equal(want, &got) {
			t.Fatalf("got %v, want %v", &got, want)
		}
		theirs, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{r.Bytes, theirs} {
			i := 0
			topic, err := Scan(b, func(m Message) {
				attrs := want.Messages[i].Attributes
				if string(m.ID) != attrs[AttrID] || string(m.SourceTime) != attrs[AttrSourceTime] || m.Data != len(data[i]) {
					t.Fatalf("message %d is read as %v", i, m)
				}
				i++
			})
			if err != nil || string(topic) != want.Topic || i != n {
				t.Fatalf("topic %q, %d messages, %v", topic, i, err)
			}
		}
	})
}

func TestResponseIsProtobuf(t *testing.T) {
	var got pubsubpb.PublishResponse
	if err := proto.Unmarshal(Response(5)[:ResponseSize(3)], &got); err != nil {
		t.Fatal(err)
	}
	const id = "1234567890123456"
	if diff := cmp.Diff([]string{id, id, id}, got.MessageIds); diff != "" {
		t.Fatal(diff)
	}
}

// FuzzScan: whatever arrives, the scanner agrees with the generated code on
// what is a publish request, and never fails otherwise.
func FuzzScan(f *testing.F) {
	r := Begin(nil, "projects/p/topics/t")
	r.Add(&Position{Prefix: "c/t/0/"}, 1, []byte("data"))
	f.Add(r.Bytes)
	f.Add([]byte{tagMessages, 200})
	f.Add([]byte{tagMessages, 2, tagAttrs, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if _, err := Scan(b, func(Message) { n++ }); err != nil {
			return
		}
		var m pubsubpb.PublishRequest
		if err := proto.Unmarshal(b, &m); err == nil && len(m.Messages) != n {
			t.Fatalf("%d messages, generated code reads %d", n, len(m.Messages))
		}
	})
}
