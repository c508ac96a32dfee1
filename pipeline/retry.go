package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Backoff between attempts: doubled from the first to the most, with jitter.
const (
	firstBackoff = 100 * time.Millisecond
	mostBackoff  = 30 * time.Second
)

// retry calls fn until it succeeds, fails for good or ctx is done. It never
// gives up by itself on an error that may pass: the bundle waits, and with it
// the source.
func (rt *runtime) retry(ctx context.Context, what string, fn func() error) error {
	for wait := firstBackoff; ; wait = min(2*wait, mostBackoff) {
		err := fn()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if permanent(err) {
			return rt.fail(exit.Environmentf("%s: %w", what, err).
				WithHint("create what is missing or grant the permission (kappa deploy creates the tables), then start the job again"))
		}
		if rt.retryLog.allow(time.Now()) {
			rt.log.Warn("sink_retry", "what", what, "error", err, "backoff", wait.String())
		}
		t := time.NewTimer(wait/2 + rand.N(wait/2+1))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// permanent says whether trying again is of no use: what is asked for does not
// exist, is not allowed or not understood. All else may pass: networks,
// quotas, servers.
func permanent(err error) bool {
	var rows bigquery.PutMultiError
	if errors.As(err, &rows) {
		return true // the rows themselves are refused
	}
	var api *googleapi.Error
	if errors.As(err, &api) {
		for _, e := range api.Errors {
			switch e.Reason {
			case "rateLimitExceeded", "quotaExceeded", "backendError", "internalError":
				return false
			}
		}
		return api.Code >= 400 && api.Code < 500 &&
			api.Code != http.StatusRequestTimeout && api.Code != http.StatusTooManyRequests && api.Code != http.StatusConflict
	}
	if s, ok := status.FromError(err); ok {
		switch s.Code() {
		case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated,
			codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
			return true
		}
	}
	return false
}

// limiter lets through one call an interval, for logs.
type limiter struct {
	mu   sync.Mutex
	next time.Time
}

const logInterval = 10 * time.Second

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		return false
	}
	l.next = now.Add(logInterval)
	return true
}
