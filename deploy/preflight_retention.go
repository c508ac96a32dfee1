package deploy

import (
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// defaultRetention is how long Pub/Sub keeps a message that nobody has
// acknowledged, unless told otherwise.
const defaultRetention = 7 * 24 * time.Hour

// retentionOf is how long a subscription keeps what nobody has acknowledged.
func retentionOf(s *pubsubpb.Subscription) time.Duration {
	if r := s.GetMessageRetentionDuration(); r != nil && r.AsDuration() > 0 {
		return r.AsDuration()
	}
	return defaultRetention
}

// checkRetention checks that a subscription keeps what is published while a job
// is replaced, and what would still be counted.
func checkRetention(f *findings, what string, retention time.Duration, spec *jobspecs.StreamJobSpec) {
	away := spec.Update.DrainTimeout.D() + spec.Update.StartTimeout.D()
	switch {
	case retention < spec.Update.DrainTimeout.D():
		f.error(what, fmt.Sprintf("keeps messages for %s, but a drain may take %s (spec.update.drainTimeout), and nobody reads it meanwhile: they would be gone",
			jobspecs.Duration(retention), spec.Update.DrainTimeout), retainFor(max(away, spec.Horizon.D())))
	case retention < away:
		f.warning(what, fmt.Sprintf("keeps messages for %s, but a drain and a start may take %s: messages could be gone before they are read",
			jobspecs.Duration(retention), jobspecs.Duration(away)), retainFor(max(away, spec.Horizon.D())))
	case retention < spec.Horizon.D() && retention < defaultRetention:
		f.warning(what, fmt.Sprintf("keeps messages for %s, and spec.horizon is %s: after an outage, events are gone that would have been counted",
			jobspecs.Duration(retention), spec.Horizon), retainFor(max(away, spec.Horizon.D())))
	}
}

// retainFor says how a retention is set: to no less than Pub/Sub's default.
func retainFor(d time.Duration) string {
	return fmt.Sprintf("keep them for longer: gcloud pubsub subscriptions update NAME --message-retention-duration=%ds", int64(max(d, defaultRetention).Seconds()))
}
