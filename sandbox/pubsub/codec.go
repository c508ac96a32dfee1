package pubsub

import (
	"context"
	"slices"
	"strconv"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// frame is a request or a response as bytes. Publish requests and pull
// responses carry nearly all the traffic and are never turned into structs.
type frame struct {
	request  mem.Buffer // set by Unmarshal; whoever got the frame frees it
	response []byte     // copied by Marshal
}

// codec passes frames as they are and leaves the rest to the proto codec.
type codec struct{}

var protoCodec = encoding.GetCodecV2(proto.Name)

func (codec) Name() string { return proto.Name }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		// The transport writes after SendMsg has returned, so it needs its own copy.
		return mem.BufferSlice{mem.Copy(f.response, mem.DefaultBufferPool())}, nil
	}
	return protoCodec.Marshal(v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.request = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return protoCodec.Unmarshal(data, v)
}

// publisherDesc is the Publisher service with Publish taking the request as
// bytes.
func publisherDesc() *grpc.ServiceDesc {
	desc := pb.Publisher_ServiceDesc
	desc.Methods = slices.Clone(desc.Methods)
	for i := range desc.Methods {
		if desc.Methods[i].MethodName == "Publish" {
			desc.Methods[i].Handler = publishHandler
		}
	}
	return &desc
}

func publishHandler(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var f frame
	if err := decode(&f); err != nil {
		return nil, err
	}
	defer f.request.Free()
	return srv.(*service).publish(ctx, f.request.ReadOnlyData())
}

func formatID(n uint64) string { return strconv.FormatUint(n, 10) }

// Ack ids are the number of the subscription and the number of the lease.
const ackIDBase = 36

func appendAckID(b []byte, sub, lease uint64) []byte {
	b = strconv.AppendUint(b, sub, ackIDBase)
	b = append(b, '-')
	return strconv.AppendUint(b, lease, ackIDBase)
}

// parseAckID reads an ack id; false if the server cannot have made it.
func parseAckID(id string) (sub, lease uint64, ok bool) {
	for i := range len(id) {
		if id[i] != '-' {
			continue
		}
		sub, err1 := strconv.ParseUint(id[:i], ackIDBase, 64)
		lease, err2 := strconv.ParseUint(id[i+1:], ackIDBase, 64)
		return sub, lease, err1 == nil && err2 == nil
	}
	return 0, 0, false
}
