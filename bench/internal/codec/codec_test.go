package codec

import (
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestPoolGivesEnough(t *testing.T) {
	var p pool
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1<<20).Draw(t, "bytes")
		b := p.Get(n)
		if len(*b) != n || cap(*b) > 4*max(n, 100) {
			t.Fatalf("%d bytes of %d for %d", len(*b), cap(*b), n)
		}
		*b = append(*b, make([]byte, rapid.IntRange(0, 100).Draw(t, "grown"))...)
		p.Put(b)
	})
}

// TestCodec: bytes pass as they are, other messages as protocol buffers.
func TestCodec(t *testing.T) {
	var c Codec
	want := &pubsubpb.PublishResponse{MessageIds: []string{"1", "2"}}
	encoded, err := c.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var b Bytes
	if err := c.Unmarshal(encoded, &b); err != nil {
		t.Fatal(err)
	}
	out, err := c.Marshal(&Bytes{Out: mem.BufferSlice{b.In}})
	if err != nil {
		t.Fatal(err)
	}
	var got pubsubpb.PublishResponse
	if err := c.Unmarshal(out, &got); err != nil || !proto.Equal(want, &got) {
		t.Fatalf("%v, %v", &got, err)
	}
}
