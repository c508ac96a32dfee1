package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/storage"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// findings collects what preflight finds, into the plan: all of it, so that
// one look mends everything (rule A1).
type findings struct {
	plan           *Plan
	historyMissing bool // the generations table does not exist
}

func (f *findings) error(what, text, mend string) {
	f.plan.Problems = append(f.plan.Problems, Problem{Severity: Error, What: what, Text: text, Mend: mend})
}

func (f *findings) warning(what, text, mend string) {
	f.plan.Problems = append(f.plan.Problems, Problem{Severity: Warning, What: what, Text: text, Mend: mend})
}

func (f *findings) create(kind, name, note string) {
	f.plan.Create = append(f.plan.Create, Resource{Kind: kind, Name: name, Note: note})
}

// preflight looks at everything that the jobs need.
func (d *Deployer) preflight(ctx context.Context, f *findings) {
	d.checkLabels(f)
	checks := []func(context.Context, *findings){d.checkSubscriptions, d.checkBigQuery, d.checkBigtable, d.checkTemplate, d.checkStorage, d.checkPermissions, d.checkLateness}
	found := make([]findings, len(checks))
	_ = each(ctx, len(checks), func(ctx context.Context, i int) error { // what fails is a finding
		p := *f.plan
		p.Create, p.Problems = nil, nil
		found[i].plan = &p
		checks[i](ctx, &found[i])
		return nil
	})
	for _, o := range found {
		f.plan.Problems = append(f.plan.Problems, o.plan.Problems...)
		f.plan.Create = append(f.plan.Create, o.plan.Create...)
		f.historyMissing = f.historyMissing || o.historyMissing
	}
}

var (
	labelKey   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValue = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
)

// ownLabels is the prefix of the labels that deploy itself sets.
const ownLabels = "kappa-"

// checkLabels checks the labels that people give. (The names of jobs are right
// by the pattern of metadata.name.)
func (d *Deployer) checkLabels(f *findings) {
	labels := d.cfg.Job.Metadata.Labels
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		switch {
		case strings.HasPrefix(k, ownLabels):
			f.error("label "+k, "labels that begin with "+ownLabels+" are set by kappa itself", "rename it in metadata.labels")
		case !labelKey.MatchString(k), !labelValue.MatchString(labels[k]):
			f.error("label "+k, fmt.Sprintf("Dataflow takes no label %q with value %q", k, labels[k]),
				"use lower-case letters, digits, _ and -, up to 63 characters, with a letter first")
		}
	}
}

// defaultExpiration is after how long without a reader Pub/Sub deletes a
// subscription, unless told otherwise.
const defaultExpiration = 31 * 24 * time.Hour

// shortAckDeadline is below what a worker may pause for, in seconds: garbage
// collection, a checkpoint, a move to another machine.
const shortAckDeadline = 60

// deletedTopic is what Pub/Sub says in place of a topic that is gone.
const deletedTopic = "_deleted-topic_"

// checkSubscriptions checks that every message of every subscription reaches
// one job.
func (d *Deployer) checkSubscriptions(ctx context.Context, f *findings) {
	names := d.cfg.Job.Spec.Sources.Names()
	subscriptions, errs := make([]*pubsubpb.Subscription, len(names)), make([]error, len(names))
	_ = each(ctx, len(names), func(ctx context.Context, i int) error { // which tells no error of one: all are findings
		subscriptions[i], errs[i] = d.cfg.Clients.PubSub.SubscriptionAdminClient.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{
			Subscription: subscription(d.cfg.Job.Spec.Project, names[i]),
		})
		return nil
	})
	readers := map[string]string{} // subscription by topic
	for i, name := range names {
		what := "subscription " + name
		s, err := subscriptions[i], errs[i]
		if status.Code(err) == codes.NotFound {
			f.error(what, "does not exist", "create it on the topic that the bridge publishes this split to")
			continue
		}
		if err != nil {
			f.error(what, "cannot be read: "+err.Error(), "")
			continue
		}
		checkSubscription(f, what, s)
		checkRetention(f, what, retentionOf(s), &d.cfg.Job.Spec)
		if s.GetTopic() == deletedTopic {
			continue
		}
		if other, twice := readers[s.GetTopic()]; twice {
			// Two jobs would count each event: ids are dropped within a job only.
			f.error(what, fmt.Sprintf("reads the same topic as %s, %s: every event would be counted twice", other, s.GetTopic()), "give each split a topic and a subscription of its own")
		}
		readers[s.GetTopic()] = name
	}
}

func checkSubscription(f *findings, what string, s *pubsubpb.Subscription) {
	if s.GetTopic() == deletedTopic {
		f.error(what, "its topic was deleted, so nothing can reach it", "create the topic and the subscription anew")
	}
	if s.GetDetached() {
		f.error(what, "is detached from its topic, so nothing can reach it", "create it anew")
	}
	if s.GetPushConfig().GetPushEndpoint() != "" || s.GetBigqueryConfig().GetTable() != "" || s.GetCloudStorageConfig().GetBucket() != "" {
		f.error(what, "delivers by push or export, so a job cannot pull from it", "make it a pull subscription")
	}
	if s.GetFilter() != "" {
		f.error(what, fmt.Sprintf("has the filter %q: events that do not match would be lost without a trace", s.GetFilter()), "create it without a filter; the bridge has filters that count")
	}
	if s.GetDeadLetterPolicy().GetDeadLetterTopic() != "" {
		f.warning(what, "has a dead-letter policy: messages that a job reads again after a failure may be taken away", "")
	}
	if ttl := s.GetExpirationPolicy().GetTtl(); ttl != nil && ttl.AsDuration() > 0 && ttl.AsDuration() < defaultExpiration {
		f.warning(what, fmt.Sprintf("expires, with its messages, after %s without a reader", ttl.AsDuration()), "set its expiration to never")
	}
	if n := s.GetAckDeadlineSeconds(); n > 0 && n < shortAckDeadline {
		f.warning(what, fmt.Sprintf("has an acknowledgement deadline of %d s: a worker that pauses for longer gets its messages again (they are dropped by event id, but cost)", n), "set it to 60 s or more")
	}
	if s.GetEnableExactlyOnceDelivery() {
		f.warning(what, "has exactly-once delivery, which slows Dataflow down and which deduplication by event id makes needless", "switch it off")
	}
}

// checkStorage checks the staging folder.
func (d *Deployer) checkStorage(ctx context.Context, f *findings) {
	bucket, object := d.specFile()
	b := d.cfg.Clients.Storage.Bucket(bucket)
	if _, err := b.Attrs(ctx); errors.Is(err, storage.ErrBucketNotExist) {
		f.error("staging bucket gs://"+bucket, "does not exist", "create it, or name another in spec.staging")
		return
	} else if err != nil {
		f.error("staging bucket gs://"+bucket, "cannot be read: "+err.Error(), "")
		return
	}
	if _, err := b.Object(object).Attrs(ctx); errors.Is(err, storage.ErrObjectNotExist) {
		f.create(kindFile, "gs://"+bucket+"/"+object, "resolved spec")
	} else if err != nil {
		f.error("file gs://"+bucket+"/"+object, "cannot be read: "+err.Error(), "")
	}
}
