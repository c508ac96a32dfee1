package pubsub

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// deletedTopic stands in a subscription for a topic that was deleted.
const deletedTopic = "_deleted-topic_"

// checkTopic refuses what a topic may not be or have here.
func checkTopic(t *pb.Topic) error {
	switch {
	case t.KmsKeyName != "":
		return unsupported("kms_key_name of topics")
	case t.SchemaSettings != nil:
		return unsupported("schema_settings of topics")
	case t.IngestionDataSourceSettings != nil:
		return unsupported("ingestion_data_source_settings of topics")
	case len(t.MessageTransforms) > 0:
		return unsupported("message_transforms of topics")
	case len(t.Tags) > 0:
		return unsupported("tags of topics")
	}
	return checkRetention(t.MessageRetentionDuration)
}

func (s *service) CreateTopic(_ context.Context, req *pb.Topic) (*pb.Topic, error) {
	if err := checkName("topics", req.Name); err != nil {
		return nil, err
	}
	if err := checkTopic(req); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[req.Name] != nil {
		return nil, alreadyExists(req.Name)
	}
	t := proto.CloneOf(req)
	t.SatisfiesPzs = false
	t.State = pb.Topic_ACTIVE
	s.topics[req.Name] = &topic{proto: t}
	return t, nil
}

func (s *service) GetTopic(_ context.Context, req *pb.GetTopicRequest) (*pb.Topic, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.topics[req.Topic]; t != nil {
		return t.proto, nil
	}
	return nil, notFound(req.Topic)
}

func (s *service) UpdateTopic(_ context.Context, req *pb.UpdateTopicRequest) (*pb.Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[req.GetTopic().GetName()]
	if t == nil {
		return nil, notFound(req.GetTopic().GetName())
	}
	if len(req.GetUpdateMask().GetPaths()) == 0 {
		return nil, invalid("The update_mask in the UpdateTopicRequest must be set, and must contain a non-empty paths list.")
	}
	next := proto.CloneOf(t.proto)
	for _, path := range req.UpdateMask.Paths {
		switch path {
		case "labels":
			next.Labels = req.Topic.Labels
		case "message_retention_duration":
			next.MessageRetentionDuration = req.Topic.MessageRetentionDuration
		case "message_storage_policy":
			next.MessageStoragePolicy = req.Topic.MessageStoragePolicy
		case "name":
			return nil, invalid("Invalid update_mask provided in the UpdateTopicRequest: the field %s cannot be changed.", path)
		default:
			return nil, unsupported("updating the field " + path + " of topics")
		}
	}
	if err := checkTopic(next); err != nil {
		return nil, err
	}
	t.proto = next
	for _, sub := range t.subs { // they show the topic's retention
		sub.proto = proto.CloneOf(sub.proto)
		sub.proto.TopicMessageRetentionDuration = next.MessageRetentionDuration
	}
	return next, nil
}

func (s *service) ListTopics(_ context.Context, req *pb.ListTopicsRequest) (*pb.ListTopicsResponse, error) {
	if err := checkProject(req.Project); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names, next, err := page(maps.Keys(s.topics), req.Project+"/", req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	resp := &pb.ListTopicsResponse{NextPageToken: next}
	for _, name := range names {
		resp.Topics = append(resp.Topics, s.topics[name].proto)
	}
	return resp, nil
}

func (s *service) ListTopicSubscriptions(_ context.Context, req *pb.ListTopicSubscriptionsRequest) (*pb.ListTopicSubscriptionsResponse, error) {
	t, err := s.topic(req.Topic)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	subs := t.subs
	s.mu.RUnlock()
	names, next, err := page(func(yield func(string) bool) {
		for _, sub := range subs {
			if !yield(sub.name) {
				return
			}
		}
	}, "", req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	return &pb.ListTopicSubscriptionsResponse{Subscriptions: names, NextPageToken: next}, nil
}

func (s *service) DeleteTopic(_ context.Context, req *pb.DeleteTopicRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[req.Topic]
	if t == nil {
		return nil, notFound(req.Topic)
	}
	delete(s.topics, req.Topic)
	for _, sub := range t.subs { // they keep what they hold
		sub.proto = proto.CloneOf(sub.proto)
		sub.proto.Topic = deletedTopic
	}
	for _, snap := range t.snapshots { // so do they
		snap.proto = proto.CloneOf(snap.proto)
		snap.proto.Topic = deletedTopic
	}
	return &emptypb.Empty{}, nil
}

func (s *service) DetachSubscription(_ context.Context, req *pb.DetachSubscriptionRequest) (*pb.DetachSubscriptionResponse, error) {
	s.mu.Lock()
	sub := s.subs[req.Subscription]
	if sub == nil {
		s.mu.Unlock()
		return nil, notFound(req.Subscription)
	}
	sub.proto = proto.CloneOf(sub.proto)
	sub.proto.Detached = true
	s.unsubscribe(sub)
	s.mu.Unlock()
	sub.end(status.Errorf(codes.FailedPrecondition, "Subscription %s is detached.", req.Subscription))
	return &pb.DetachSubscriptionResponse{}, nil
}

// unsubscribe takes sub from its topic; the caller holds s.mu.
func (s *Server) unsubscribe(sub *subscription) {
	if t := s.topics[sub.proto.Topic]; t != nil {
		t.subs = slices.DeleteFunc(slices.Clone(t.subs), func(o *subscription) bool { return o == sub })
	}
}

// Sizes of pages, where the request leaves them out, and at most.
const (
	defaultPageSize = 100
	maxPageSize     = 1000
)

// page returns the names with a prefix that come after those that the token
// stands for, in order, and the token of the next page.
func page(names func(yield func(string) bool), prefix string, size int32, token string) (out []string, next string, err error) {
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || size < 0 {
		return nil, "", invalid("You have passed an invalid argument to the service (argument=page_token or page_size).")
	}
	if size == 0 {
		size = defaultPageSize
	}
	for name := range names {
		if strings.HasPrefix(name, prefix) && name > string(after) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	if n := int(min(size, maxPageSize)); len(out) > n {
		out = out[:n]
		next = base64.RawURLEncoding.EncodeToString([]byte(out[n-1]))
	}
	return out, next, nil
}
