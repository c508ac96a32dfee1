package pipeline

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(&pullFn{})
	register.Emitter2[beam.EventTime, *Messages]()
	beam.RegisterType(reflect.TypeFor[pullRestriction]())
	beam.RegisterType(reflect.TypeFor[pullTracker]())
}

// pullFn reads the job's subscriptions on runners that do not read Pub/Sub
// themselves. Each call takes what the process-wide sources have received since
// the last one and checkpoints: bundles are short, and none waits for messages.
// It ends when all sources were drained and are exhausted; its watermark is
// then at its maximum, and all windows fire.
//
// All subscriptions are one element, whose watermark is the least of theirs,
// just as that of a Flatten of reads would be: two elements of one function
// would share what Prism takes for the watermark, and the faster would close
// the slower one's windows. One read, without a Flatten, spares Prism's most
// costly stages.
type pullFn struct {
	Plan *Plan
}

const (
	pullMessages = 4000 // in a batch; a bundle has one of each subscription at most
	pullInterval = 250 * time.Millisecond
)

// pullRestriction is the subscriptions from now on, or nothing of them.
type pullRestriction struct{ Ended bool }

// CreateInitialRestriction is all of them.
func (f *pullFn) CreateInitialRestriction([]byte) pullRestriction { return pullRestriction{} }

// SplitRestriction splits nothing: parallelism comes from the jobs.
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
	emit func(beam.EventTime, *Messages)) (sdf.ProcessContinuation, error) {
	if !rt.TryClaim(false) {
		return sdf.StopProcessing(), nil
	}
	run, err := openRuntime(ctx, f.Plan)
	if err != nil {
		return nil, err
	}
	least, ended, more := int64(math.MaxInt64), true, false
	for i, name := range f.Plan.Subscriptions {
		src, err := run.source(name)
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		messages, mark, exhausted, err := src.take(pullMessages)
		if err != nil {
			return nil, run.fail(err)
		}
		if len(messages) > 0 {
			run.add(ctx, counterMessages, int64(len(messages)))
			batch := &Messages{i, messages}
			emit(eventTime(batch.least()), batch)
		}
		if !exhausted {
			least, ended = min(least, mark), false
			more = more || len(messages) == pullMessages
		}
	}
	switch {
	case ended:
		rt.TryClaim(true)
		return sdf.StopProcessing(), nil
	case least != unknownTime:
		we.UpdateWatermark(time.UnixMilli(floor(least, 1000) / 1000))
	}
	if more {
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

// IsBounded is false until the end: a subscription has none of its own.
func (t *pullTracker) IsBounded() bool { return t.Rest.Ended }
