package pubsub

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// pullWait is how long a unary pull waits for a first message.
const pullWait = 10 * time.Second

// errClosed ends a stream whose client has closed its sending half.
var errClosed = errors.New("closed by the client")

// StreamingPull sends messages while its receiving half, a goroutine of its
// own, applies acknowledgements and deadlines.
func (s *service) StreamingPull(stream pb.Subscriber_StreamingPullServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if err := checkAckDeadline(first.StreamAckDeadlineSeconds); err != nil {
		return err
	}
	sub, err := s.subscription(first.Subscription)
	if err != nil {
		return err
	}
	p := &puller{wake: make(chan struct{}, 1), deadline: seconds(first.StreamAckDeadlineSeconds)}
	p.maxMessages, p.maxBytes = max(0, first.MaxOutstandingMessages), max(0, first.MaxOutstandingBytes)
	if err := sub.join(p); err != nil {
		return err
	}
	defer sub.leave(p)

	var beats atomic.Bool // the client asked for a sign of life
	ctx, end := context.WithCancelCause(stream.Context())
	defer end(nil)
	// It ends when this handler does, for that ends the stream.
	s.serving.Go(func() {
		end(sub.receive(first, stream, p, &beats))
	})
	return sub.send(ctx, stream, p, &beats)
}

// receive applies what the client sends, starting with its first request,
// until the stream ends; it returns why.
func (s *subscription) receive(req *pb.StreamingPullRequest, stream pb.Subscriber_StreamingPullServer, p *puller, beats *atomic.Bool) error {
	version := req.ProtocolVersion
	for first := true; ; first = false {
		if !first && req.Subscription != "" {
			return invalid("The subscription must be set in the first request of a stream only.")
		}
		if err := s.request(req, p); err != nil {
			return err
		}
		if !first && version >= 1 {
			beats.Store(true)
			p.signal()
		}
		var err error
		if req, err = stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return errClosed
			}
			return err
		}
	}
}

// request applies one request of a stream.
func (s *subscription) request(req *pb.StreamingPullRequest, p *puller) error {
	if len(req.ModifyDeadlineAckIds) != len(req.ModifyDeadlineSeconds) {
		return invalid("The lengths of modify_deadline_ack_ids and modify_deadline_seconds differ: %d and %d.", len(req.ModifyDeadlineAckIds), len(req.ModifyDeadlineSeconds))
	}
	if err := checkAckIDs(len(req.AckIds) + len(req.ModifyDeadlineAckIds)); err != nil {
		return err
	}
	changes, err := s.changes(nil, req.AckIds, true, nil)
	if err != nil {
		return err
	}
	for _, d := range req.ModifyDeadlineSeconds {
		if err := checkModifiedDeadline(d); err != nil {
			return err
		}
	}
	changes, err = s.changes(changes, req.ModifyDeadlineAckIds, false, func(i int) time.Duration { return seconds(req.ModifyDeadlineSeconds[i]) })
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		s.apply(changes)
	}
	if d := req.StreamAckDeadlineSeconds; d != 0 {
		if err := checkAckDeadline(d); err != nil {
			return err
		}
		s.mu.Lock()
		p.deadline = seconds(d)
		s.mu.Unlock()
	}
	return nil
}

// send sends messages to the client until ctx ends or the subscription does.
func (s *subscription) send(ctx context.Context, stream pb.Subscriber_StreamingPullServer, p *puller, beats *atomic.Bool) error {
	var response []byte
	for {
		if ctx.Err() != nil {
			break
		}
		var n int
		var err error
		response, n, err = s.take(p, maxPull, response[:0])
		if err != nil {
			return err
		}
		if n == 0 && !beats.Swap(false) {
			select {
			case <-p.wake:
			case <-ctx.Done():
			}
			continue
		}
		if s.ordered {
			response = append(response, orderedProperties...)
		}
		if err := stream.SendMsg(&frame{response: response}); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); !errors.Is(err, errClosed) {
		return err
	}
	return nil
}

// orderedProperties is the subscription_properties field of a response of a
// subscription with message ordering.
var orderedProperties = func() []byte {
	b, err := proto.Marshal(&pb.StreamingPullResponse{
		SubscriptionProperties: &pb.StreamingPullResponse_SubscriptionProperties{MessageOrderingEnabled: true},
	})
	if err != nil {
		panic(err) // a constant message
	}
	return b
}()

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func (s *service) Pull(ctx context.Context, req *pb.PullRequest) (*pb.PullResponse, error) {
	if req.MaxMessages <= 0 {
		return nil, invalid("You have passed an invalid argument to the service (argument=max_messages).")
	}
	s.mu.RLock()
	sub := s.subs[req.Subscription]
	var ackDeadline int32
	if sub != nil {
		ackDeadline = sub.proto.AckDeadlineSeconds
	}
	s.mu.RUnlock()
	if sub == nil {
		return nil, notFound(req.Subscription)
	}
	p := &puller{wake: make(chan struct{}, 1), deadline: seconds(ackDeadline)}
	if err := sub.join(p); err != nil {
		return nil, err
	}
	defer sub.leave(p)
	limit := time.NewTimer(pullWait)
	defer limit.Stop()
	for {
		response, n, err := sub.take(p, int(min(req.MaxMessages, maxPull)), nil)
		if err != nil {
			return nil, err
		}
		//lint:ignore SA1019 deprecated, and still sent by clients
		if n > 0 || req.ReturnImmediately {
			resp := &pb.PullResponse{}
			return resp, proto.Unmarshal(response, resp)
		}
		select {
		case <-p.wake:
		case <-limit.C:
			return &pb.PullResponse{}, nil
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (s *service) Acknowledge(_ context.Context, req *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	sub, err := s.subscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	if len(req.AckIds) == 0 {
		return nil, invalid("No ack ids specified.")
	}
	if err := checkAckIDs(len(req.AckIds)); err != nil {
		return nil, err
	}
	changes, err := sub.changes(nil, req.AckIds, true, nil)
	if err != nil {
		return nil, err
	}
	sub.apply(changes)
	return &emptypb.Empty{}, nil
}

func (s *service) ModifyAckDeadline(_ context.Context, req *pb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	sub, err := s.subscription(req.Subscription)
	if err != nil {
		return nil, err
	}
	if len(req.AckIds) == 0 {
		return nil, invalid("No ack ids specified.")
	}
	if err := checkAckIDs(len(req.AckIds)); err != nil {
		return nil, err
	}
	if err := checkModifiedDeadline(req.AckDeadlineSeconds); err != nil {
		return nil, err
	}
	d := seconds(req.AckDeadlineSeconds)
	changes, err := sub.changes(nil, req.AckIds, false, func(int) time.Duration { return d })
	if err != nil {
		return nil, err
	}
	sub.apply(changes)
	return &emptypb.Empty{}, nil
}

func checkModifiedDeadline(d int32) error {
	if d < 0 || d > maxAckDeadline {
		return status.Errorf(codes.InvalidArgument, "Invalid ack deadline given: %d seconds. It must be between 0 and %d seconds.", d, maxAckDeadline)
	}
	return nil
}
