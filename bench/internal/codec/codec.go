// Package codec lets gRPC pass Pub/Sub messages as bytes.
package codec

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Bytes is a request or a response as it is on the wire.
type Bytes struct {
	Out mem.BufferSlice // to send; gRPC frees it
	In  mem.Buffer      // received; whoever has it frees it
}

// Codec passes *Bytes as they are and leaves the rest to protocol buffers.
type Codec struct{}

var protoCodec = encoding.GetCodecV2(proto.Name)

// Name is the name of the content type.
func (Codec) Name() string { return proto.Name }

// Marshal returns the bytes to send.
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(*Bytes); ok {
		return b.Out, nil
	}
	return protoCodec.Marshal(v)
}

// Unmarshal keeps the bytes that were received.
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if b, ok := v.(*Bytes); ok {
		b.In = data.MaterializeToBuffer(&Pool)
		return nil
	}
	return protoCodec.Unmarshal(data, v)
}
