package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// pubsubTransport sends publish requests that are encoded already, over the
// connections of the client library, which has the credentials: nothing is
// copied but into the connection.
type pubsubTransport struct {
	client *pubsub.Client
}

const publishMethod = "/google.pubsub.v1.Publisher/Publish"

func (t pubsubTransport) publish(ctx context.Context, l *lane, events []*event) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-goog-request-params", l.params)
	req := request(l, events)
	var resp publishResponse
	//lint:ignore SA1019 the pool hands out one of its connections, which is what is wanted here
	conn := t.client.TopicAdminClient.Connection()
	if err := conn.Invoke(ctx, publishMethod, &req, &resp, grpc.ForceCodecV2(requestCodec{})); err != nil {
		return err
	}
	if resp.ids != len(events) {
		return fmt.Errorf("publish to %s: %d messages were sent, %d acknowledged", l.topic, len(events), resp.ids)
	}
	return nil
}

func (pubsubTransport) judge(err error) (verdict, string) {
	v, code := judge(err)
	return v, code.String()
}

// requestParams is the header by which Google's front ends route a request.
func requestParams(topic string) string { return "topic=" + url.QueryEscape(topic) }

// request makes the request of a batch: the topic, then the entries, those that
// stand side by side as one piece.
func request(l *lane, events []*event) mem.BufferSlice {
	req := make(mem.BufferSlice, 1, 1+2*len(events))
	req[0] = mem.SliceBuffer(l.head)
	var held *segment
	var from, to int
	for _, e := range events {
		if e.held != held || e.at != to {
			if held != nil {
				req = append(req, mem.SliceBuffer(held.all[from:to]))
			}
			held, from = e.held, e.at
		}
		if e.cut > 0 {
			req = append(req, mem.SliceBuffer(held.all[from:e.at+e.cut]), mem.SliceBuffer(e.data))
			from = e.at + e.cut
		}
		to = e.at + len(e.entry)
	}
	return append(req, mem.SliceBuffer(held.all[from:to]))
}

// requestCodec passes bytes through, and counts the ids of the answer.
type requestCodec struct{}

// Name is that of the encoding on the wire.
func (requestCodec) Name() string { return "proto" }

// Marshal returns the bytes of a request.
func (requestCodec) Marshal(v any) (mem.BufferSlice, error) {
	req, ok := v.(*mem.BufferSlice)
	if !ok {
		return nil, fmt.Errorf("a request of type %T", v)
	}
	return *req, nil
}

// Unmarshal counts the ids of an answer.
func (requestCodec) Unmarshal(data mem.BufferSlice, v any) error {
	resp, ok := v.(*publishResponse)
	if !ok {
		return fmt.Errorf("an answer of type %T", v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return resp.count(buf.ReadOnlyData())
}

// publishResponse is the answer to a publish request.
type publishResponse struct{ ids int }

// count counts message_ids, the only field of a PublishResponse.
func (r *publishResponse) count(b []byte) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errAnswer
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, typ, b); n < 0 {
			return errAnswer
		}
		if number == 1 && typ == protowire.BytesType {
			r.ids++
		}
		b = b[n:]
	}
	return nil
}

var errAnswer = errors.New("the answer to a publish request is malformed")
