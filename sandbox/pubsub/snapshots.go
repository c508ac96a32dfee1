package pubsub

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// snapshot holds the messages that a subscription had not acknowledged, and
// those that were published to its topic since. What it holds never changes,
// except that it grows.
type snapshot struct {
	proto   *pb.Snapshot // replaced, never changed; guarded by the server's mutex
	topic   *topic
	unacked []message // in the order of publishing
	bytes   int64     // of them
	after   *link     // of the topic's record: the rest follows it
	expiry  *time.Timer
}

// messages returns all that the snapshot holds, in the order of publishing; the
// caller holds the server's mutex for writing.
func (s *snapshot) messages() []message {
	n := len(s.unacked)
	for l := s.after.next; l != nil; l = l.next {
		n += len(l.messages)
	}
	out := append(make([]message, 0, n), s.unacked...)
	for l := s.after.next; l != nil; l = l.next {
		out = append(out, l.messages...)
	}
	sortMessages(out) // requests that came together may be in another order than their ids
	return out
}

// dropSnapshot lets go of a snapshot, if that was not done yet; the caller holds
// s.mu for writing.
func (s *Server) dropSnapshot(snap *snapshot) {
	if s.snapshots[snap.proto.Name] != snap {
		return
	}
	delete(s.snapshots, snap.proto.Name)
	snap.expiry.Stop()
	t := snap.topic
	t.snapshots = slices.DeleteFunc(slices.Clone(t.snapshots), func(o *snapshot) bool { return o == snap })
	var marks []*link
	for _, o := range t.snapshots {
		marks = append(marks, o.after)
	}
	s.retained.Add(-snap.bytes - t.record.trim(marks))
	// The runtime may keep a timer that was stopped, and with it the snapshot,
	// until its time would have come.
	snap.unacked, snap.after = nil, nil
}

func (s *service) CreateSnapshot(_ context.Context, req *pb.CreateSnapshotRequest) (*pb.Snapshot, error) {
	if req.Name != "" {
		if err := checkName("snapshots", req.Name); err != nil {
			return nil, err
		}
	}
	if len(req.Tags) > 0 {
		return nil, unsupported("tags of snapshots")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshots[req.Name] != nil {
		return nil, alreadyExists(req.Name)
	}
	sub := s.subs[req.Subscription]
	if sub == nil {
		return nil, notFound(req.Subscription)
	}
	name := req.Name
	if name == "" { // the service makes one up, in the project of the subscription
		name = "projects/" + strings.Split(sub.name, "/")[1] + "/snapshots/snapshot-" + formatID(s.lastID.Add(1))
	}
	now := time.Now()
	unacked, err := sub.unacknowledged(now)
	if err != nil {
		return nil, err
	}
	life := maxSnapshotLife
	if len(unacked) > 0 {
		life -= time.Duration(now.UnixNano() - unacked[0].published)
	}
	if life < minSnapshotLife {
		return nil, status.Errorf(codes.FailedPrecondition, "The oldest unacknowledged message of the subscription %s is too old: a snapshot would expire in less than 1 hour.", sub.name)
	}
	snap := &snapshot{topic: sub.topic, unacked: unacked, after: sub.topic.record.mark(), proto: &pb.Snapshot{
		Name: name, Topic: sub.proto.Topic, ExpireTime: timestamppb.New(now.Add(life)), Labels: req.Labels,
	}}
	for _, m := range unacked {
		snap.bytes += int64(len(m.encoded))
	}
	snap.expiry = time.AfterFunc(life, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dropSnapshot(snap)
	})
	s.retained.Add(snap.bytes)
	s.snapshots[name] = snap
	snap.topic.snapshots = append(slices.Clip(snap.topic.snapshots), snap)
	return snap.proto, nil
}

func (s *service) GetSnapshot(_ context.Context, req *pb.GetSnapshotRequest) (*pb.Snapshot, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if snap := s.snapshots[req.Snapshot]; snap != nil {
		return snap.proto, nil
	}
	return nil, notFound(req.Snapshot)
}

func (s *service) UpdateSnapshot(_ context.Context, req *pb.UpdateSnapshotRequest) (*pb.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.snapshots[req.GetSnapshot().GetName()]
	if snap == nil {
		return nil, notFound(req.GetSnapshot().GetName())
	}
	if len(req.GetUpdateMask().GetPaths()) == 0 {
		return nil, invalid("The update_mask in the UpdateSnapshotRequest must be set, and must contain a non-empty paths list.")
	}
	next := proto.CloneOf(snap.proto)
	for _, path := range req.UpdateMask.Paths {
		switch path {
		case "labels":
			next.Labels = req.Snapshot.Labels
		case "name", "topic":
			return nil, invalid("Invalid update_mask provided in the UpdateSnapshotRequest: the field %s cannot be changed.", path)
		default:
			return nil, unsupported("updating the field " + path + " of snapshots")
		}
	}
	snap.proto = next
	return next, nil
}

func (s *service) ListSnapshots(_ context.Context, req *pb.ListSnapshotsRequest) (*pb.ListSnapshotsResponse, error) {
	if err := checkProject(req.Project); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names, next, err := page(maps.Keys(s.snapshots), req.Project+"/", req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	resp := &pb.ListSnapshotsResponse{NextPageToken: next}
	for _, name := range names {
		resp.Snapshots = append(resp.Snapshots, s.snapshots[name].proto)
	}
	return resp, nil
}

func (s *service) ListTopicSnapshots(_ context.Context, req *pb.ListTopicSnapshotsRequest) (*pb.ListTopicSnapshotsResponse, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.topics[req.Topic]
	if t == nil {
		return nil, notFound(req.Topic)
	}
	names, next, err := page(func(yield func(string) bool) {
		for _, snap := range t.snapshots {
			if !yield(snap.proto.Name) {
				return
			}
		}
	}, "", req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	return &pb.ListTopicSnapshotsResponse{Snapshots: names, NextPageToken: next}, nil
}

func (s *service) DeleteSnapshot(_ context.Context, req *pb.DeleteSnapshotRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.snapshots[req.Snapshot]
	if snap == nil {
		return nil, notFound(req.Snapshot)
	}
	s.dropSnapshot(snap)
	return &emptypb.Empty{}, nil
}

func (s *service) Seek(_ context.Context, req *pb.SeekRequest) (*pb.SeekResponse, error) {
	// For writing, also when it is to a time: what is being published is either
	// seen by the seek or published after it.
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs[req.Subscription]
	if sub == nil {
		return nil, notFound(req.Subscription)
	}
	switch target := req.Target.(type) {
	case *pb.SeekRequest_Time:
		if err := target.Time.CheckValid(); err != nil {
			return nil, invalid("You have passed an invalid argument to the service (argument=time): %v.", err)
		}
		return &pb.SeekResponse{}, sub.seek(time.Now(), seekTime(sinceEpoch(target.Time.AsTime())))
	case *pb.SeekRequest_Snapshot:
		snap := s.snapshots[target.Snapshot]
		if snap == nil {
			return nil, notFound(target.Snapshot)
		}
		if snap.topic != sub.topic {
			return nil, invalid("The snapshot %s is of the topic %s, but the subscription %s is of %s.", target.Snapshot, snap.proto.Topic, sub.name, sub.proto.Topic)
		}
		return &pb.SeekResponse{}, sub.seek(time.Now(), seekSnapshot(snap.messages()))
	default:
		return nil, invalid("You have passed an invalid argument to the service (argument=target): neither a time nor a snapshot.")
	}
}

// sinceEpoch returns a time in nanoseconds since the epoch. Times that are too
// far away for that, as may be given to purge or to replay all, become the
// farthest that is not.
func sinceEpoch(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}
