package bridge

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// pacer bounds how much is read per second, of all sources together.
type pacer struct {
	records, bytes *rate.Limiter // nil: no limit
}

func newPacer(l jobspecs.BridgeLimit) *pacer {
	limiter := func(perSecond int) *rate.Limiter {
		if perSecond <= 0 {
			return nil
		}
		return rate.NewLimiter(rate.Limit(perSecond), perSecond)
	}
	return &pacer{records: limiter(l.RecordsPerSecond), bytes: limiter(int(l.BytesPerSecond))}
}

// wait waits until what was read is within the limits.
func (p *pacer) wait(ctx context.Context, records, bytes int) error {
	for _, w := range []struct {
		l *rate.Limiter
		n int
	}{{p.records, records}, {p.bytes, bytes}} {
		for w.l != nil && w.n > 0 { // in pieces: a poll may bring more than a second may
			n := min(w.n, w.l.Burst())
			if err := w.l.WaitN(ctx, n); err != nil {
				return err
			}
			w.n -= n
		}
	}
	return nil
}
