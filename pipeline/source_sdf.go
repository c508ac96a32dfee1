package pipeline

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(&pullFn{})
	register.Emitter2[beam.EventTime, *Message]()
	beam.RegisterType(reflect.TypeFor[pullRestriction]())
	beam.RegisterType(reflect.TypeFor[pullTracker]())
}

// pullFn reads one subscription on runners that do not read Pub/Sub
// themselves. Each call takes what the process-wide source has received since
// the last one and checkpoints: bundles are short, and none waits for messages.
// It ends when the source was drained and is exhausted; its watermark is then
// at its maximum, and all windows fire.
type pullFn struct {
	Plan         *Plan
	Subscription string
}

const (
	pullMessages = 4000 // in a bundle
	pullInterval = 200 * time.Millisecond
)

// pullRestriction is a subscription from now on, or nothing of it.
type pullRestriction struct{ Ended bool }

// CreateInitialRestriction is the whole subscription.
func (f *pullFn) CreateInitialRestriction([]byte) pullRestriction { return pullRestriction{} }

// SplitRestriction splits nothing: parallelism comes from the subscriptions.
func (f *pullFn) SplitRestriction(_ []byte, r pullRestriction) []pullRestriction {
	return []pullRestriction{r}
}

// RestrictionSize has no unit.
func (f *pullFn) RestrictionSize(_ []byte, r pullRestriction) float64 {
	if r.Ended {
		return 0
	}
	return 1
}

// CreateTracker makes the tracker of a restriction.
func (f *pullFn) CreateTracker(r pullRestriction) *sdf.LockRTracker {
	return sdf.NewLockRTracker(&pullTracker{Rest: r})
}

// TruncateRestriction ends reading when a runner drains by itself.
func (f *pullFn) TruncateRestriction(*sdf.LockRTracker, []byte) pullRestriction {
	return pullRestriction{Ended: true}
}

// InitialWatermarkEstimatorState is the unknown watermark, in milliseconds.
func (f *pullFn) InitialWatermarkEstimatorState(beam.EventTime, pullRestriction, []byte) int64 {
	return unknownTime
}

// CreateWatermarkEstimator resumes an estimator.
func (f *pullFn) CreateWatermarkEstimator(state int64) *sdf.ManualWatermarkEstimator {
	return &sdf.ManualWatermarkEstimator{State: watermarkTime(state)}
}

// WatermarkEstimatorState is what the estimator resumes from.
func (f *pullFn) WatermarkEstimatorState(e *sdf.ManualWatermarkEstimator) int64 {
	return e.State.UnixMilli()
}

// watermarkTime keeps a watermark within what Beam's time can hold.
func watermarkTime(millis int64) time.Time {
	const least = -9223372036854775 // Beam's minimum
	return time.UnixMilli(max(millis, least))
}

// ProcessElement hands on the messages at hand.
func (f *pullFn) ProcessElement(ctx context.Context, we *sdf.ManualWatermarkEstimator, rt *sdf.LockRTracker, _ []byte,
	emit func(beam.EventTime, *Message)) (sdf.ProcessContinuation, error) {
	if !rt.TryClaim(false) {
		return sdf.StopProcessing(), nil
	}
	run, err := openRuntime(ctx, f.Plan)
	if err != nil {
		return nil, err
	}
	src, err := run.source(f.Subscription)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	messages, after, exhausted, err := src.take(pullMessages)
	if err != nil {
		return nil, run.fail(err)
	}
	for _, m := range messages {
		at := m.Time
		if at == unknownTime {
			at = m.Publish
		}
		emit(eventTime(at), m)
	}
	run.add(ctx, counterMessages, int64(len(messages)))
	if exhausted {
		rt.TryClaim(true)
		return sdf.StopProcessing(), nil
	}
	if after != unknownTime {
		we.UpdateWatermark(time.UnixMilli(floor(after, 1000) / 1000))
	}
	if len(messages) == pullMessages {
		return sdf.ResumeProcessingIn(0), nil
	}
	return sdf.ResumeProcessingIn(f.Plan.Interval), nil
}

// pullTracker tracks a restriction. TryClaim takes whether the end is reached.
type pullTracker struct{ Rest pullRestriction }

// TryClaim claims the next messages, or the end.
func (t *pullTracker) TryClaim(end any) bool {
	if t.Rest.Ended {
		return false
	}
	t.Rest.Ended = end.(bool)
	return true
}

// GetError returns nil: claiming cannot fail.
func (t *pullTracker) GetError() error { return nil }

// TrySplit leaves all that is still to come to the residual.
func (t *pullTracker) TrySplit(fraction float64) (primary, residual any, err error) {
	if t.Rest.Ended || fraction != 0 {
		return t.Rest, nil, nil
	}
	t.Rest.Ended = true
	return t.Rest, pullRestriction{}, nil
}

// GetProgress has no unit.
func (t *pullTracker) GetProgress() (done, remaining float64) {
	if t.Rest.Ended {
		return 1, 0
	}
	return 0, 1
}

// IsDone says whether the end was claimed.
func (t *pullTracker) IsDone() bool { return t.Rest.Ended }

// GetRestriction returns the restriction.
func (t *pullTracker) GetRestriction() any { return t.Rest }

// IsBounded is false: a subscription has no end of its own.
func (t *pullTracker) IsBounded() bool { return t.Rest.Ended }
