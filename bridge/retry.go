package bridge

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// verdict is what a failed publish request means.
type verdict int

const (
	// accepted: Pub/Sub has all messages.
	accepted verdict = iota
	// transient: try again soon; it mends itself.
	transient
	// blocked: somebody has to mend it (topic, permission, credentials); try
	// again now and then.
	blocked
	// refused: at least one message of the request can never be taken.
	refused
)

func (v verdict) String() string {
	return [...]string{"accepted", "transient", "blocked", "refused"}[v]
}

// judge classes the result of a publish request. Whatever is not known to be
// the data's fault is tried again (invariant B6).
func judge(err error) (verdict, codes.Code) {
	if err == nil {
		return accepted, codes.OK
	}
	code := status.Code(err)
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	switch code {
	case codes.InvalidArgument:
		return refused, code
	case codes.NotFound, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.Unimplemented:
		return blocked, code
	default:
		return transient, code
	}
}

// Backoff says how long to wait between attempts to publish.
type Backoff struct {
	First   time.Duration // after the first transient error
	Max     time.Duration // longest wait after a transient error
	Blocked time.Duration // after the first error that somebody has to mend
	Longest time.Duration // longest wait after such an error
	Timeout time.Duration // of one attempt
}

// DefaultBackoff returns the waits that suit Pub/Sub.
func DefaultBackoff() Backoff {
	return Backoff{
		First: 100 * time.Millisecond, Max: 30 * time.Second,
		Blocked: 5 * time.Second, Longest: time.Minute,
		Timeout: 30 * time.Second,
	}
}

// wait returns how long to wait after attempt failures in a row: doubling,
// with the upper half left to chance, so that senders spread out.
func (b Backoff) wait(v verdict, attempt int) time.Duration {
	d, limit := b.First, b.Max
	if v == blocked {
		d, limit = b.Blocked, b.Longest
	}
	for ; attempt > 1 && d < limit; attempt-- {
		d *= 2
	}
	d = min(d, limit)
	return d/2 + rand.N(d/2+1)
}
