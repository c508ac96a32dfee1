package pubsub

import (
	"context"
	"maps"
	"slices"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// checkSubscription refuses what a subscription may not be or have here, and
// fills in the service's defaults.
func checkSubscription(sub *pb.Subscription) error {
	switch {
	case sub.GetPushConfig().GetPushEndpoint() != "":
		return unsupported("push subscriptions")
	case sub.BigqueryConfig != nil:
		return unsupported("BigQuery subscriptions")
	case sub.CloudStorageConfig != nil:
		return unsupported("Cloud Storage subscriptions")
	case sub.BigtableConfig != nil:
		return unsupported("Bigtable subscriptions")
	case sub.Filter != "":
		return unsupported("filters of subscriptions")
	case sub.EnableExactlyOnceDelivery:
		return unsupported("exactly-once delivery")
	case sub.RetryPolicy != nil:
		return unsupported("retry_policy of subscriptions")
	case len(sub.MessageTransforms) > 0:
		return unsupported("message_transforms of subscriptions")
	case len(sub.Tags) > 0:
		return unsupported("tags of subscriptions")
	}
	if sub.AckDeadlineSeconds == 0 {
		sub.AckDeadlineSeconds = defaultAckDeadline
	}
	if err := checkAckDeadline(sub.AckDeadlineSeconds); err != nil {
		return err
	}
	if sub.MessageRetentionDuration == nil {
		sub.MessageRetentionDuration = durationpb.New(defaultRetention)
	}
	if err := checkRetention(sub.MessageRetentionDuration); err != nil {
		return err
	}
	if sub.ExpirationPolicy == nil {
		sub.ExpirationPolicy = &pb.ExpirationPolicy{Ttl: durationpb.New(defaultExpiry)}
	}
	if ttl := sub.ExpirationPolicy.Ttl; ttl != nil && ttl.AsDuration() < minExpiry {
		return invalid("Invalid expiration policy given: a ttl of %v. It must be at least 1 day.", ttl.AsDuration())
	}
	return checkDeadLetterPolicy(sub.DeadLetterPolicy)
}

func checkDeadLetterPolicy(p *pb.DeadLetterPolicy) error {
	if p == nil {
		return nil
	}
	if p.MaxDeliveryAttempts == 0 {
		p.MaxDeliveryAttempts = defaultDeliveryAttempts
	}
	if n := p.MaxDeliveryAttempts; n < minDeliveryAttempts || n > maxDeliveryAttempts {
		return invalid("Invalid max_delivery_attempts given: %d. It must be between %d and %d.", n, minDeliveryAttempts, maxDeliveryAttempts)
	}
	return checkName("topics", p.DeadLetterTopic)
}

func (s *service) CreateSubscription(_ context.Context, req *pb.Subscription) (*pb.Subscription, error) {
	if err := checkName("subscriptions", req.Name); err != nil {
		return nil, err
	}
	if err := checkName("topics", req.Topic); err != nil {
		return nil, err
	}
	next := proto.CloneOf(req)
	if err := checkSubscription(next); err != nil {
		return nil, err
	}
	next.Detached, next.AnalyticsHubSubscriptionInfo = false, nil // set by the service alone
	next.PushConfig = &pb.PushConfig{}
	next.State = pb.Subscription_ACTIVE
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[next.Name] != nil {
		return nil, alreadyExists(next.Name)
	}
	t := s.topics[next.Topic]
	if t == nil {
		return nil, notFound(next.Topic)
	}
	next.TopicMessageRetentionDuration = t.proto.MessageRetentionDuration
	sub := newSubscription(s.Server, t, next)
	s.subs[next.Name] = sub
	t.subs = append(slices.Clip(t.subs), sub)
	return next, nil
}

func (s *service) GetSubscription(_ context.Context, req *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if sub := s.subs[req.Subscription]; sub != nil {
		return sub.proto, nil
	}
	return nil, notFound(req.Subscription)
}

func (s *service) UpdateSubscription(_ context.Context, req *pb.UpdateSubscriptionRequest) (*pb.Subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs[req.GetSubscription().GetName()]
	if sub == nil {
		return nil, notFound(req.GetSubscription().GetName())
	}
	if len(req.GetUpdateMask().GetPaths()) == 0 {
		return nil, invalid("The update_mask in the UpdateSubscriptionRequest must be set, and must contain a non-empty paths list.")
	}
	next, from := proto.CloneOf(sub.proto), proto.CloneOf(req.Subscription)
	for _, path := range req.UpdateMask.Paths {
		switch path {
		case "ack_deadline_seconds":
			next.AckDeadlineSeconds = from.AckDeadlineSeconds
		case "labels":
			next.Labels = from.Labels
		case "retain_acked_messages":
			next.RetainAckedMessages = from.RetainAckedMessages
		case "message_retention_duration":
			next.MessageRetentionDuration = from.MessageRetentionDuration
		case "expiration_policy":
			next.ExpirationPolicy = from.ExpirationPolicy
		case "dead_letter_policy":
			next.DeadLetterPolicy = from.DeadLetterPolicy
		case "name", "topic", "filter", "enable_message_ordering":
			return nil, invalid("Invalid update_mask provided in the UpdateSubscriptionRequest: the field %s cannot be changed.", path)
		default:
			return nil, unsupported("updating the field " + path + " of subscriptions")
		}
	}
	if err := checkSubscription(next); err != nil {
		return nil, err
	}
	sub.proto = next
	sub.configure(next)
	return next, nil
}

func (s *service) ListSubscriptions(_ context.Context, req *pb.ListSubscriptionsRequest) (*pb.ListSubscriptionsResponse, error) {
	if err := checkProject(req.Project); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names, next, err := page(maps.Keys(s.subs), req.Project+"/", req.PageSize, req.PageToken)
	if err != nil {
		return nil, err
	}
	resp := &pb.ListSubscriptionsResponse{NextPageToken: next}
	for _, name := range names {
		resp.Subscriptions = append(resp.Subscriptions, s.subs[name].proto)
	}
	return resp, nil
}

func (s *service) DeleteSubscription(_ context.Context, req *pb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	sub := s.subs[req.Subscription]
	if sub == nil {
		s.mu.Unlock()
		return nil, notFound(req.Subscription)
	}
	delete(s.subs, req.Subscription)
	s.unsubscribe(sub)
	s.mu.Unlock()
	sub.end(notFound(req.Subscription))
	return &emptypb.Empty{}, nil
}

func (s *service) ModifyPushConfig(context.Context, *pb.ModifyPushConfigRequest) (*emptypb.Empty, error) {
	return nil, unsupported("push subscriptions (ModifyPushConfig)")
}
