package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(&decodeFn{})
	register.Emitter1[*Events]()
}

// decodeFn turns messages into events. Every delivery goes to the raw output,
// and then, unless it is bad, to one of the other two: late, or fresh.
type decodeFn struct {
	Plan *Plan

	rt     *runtime
	reader *fieldReader
}

// Setup finds the run.
func (f *decodeFn) Setup(ctx context.Context) (err error) {
	f.reader = newFieldReader(f.Plan.Fields)
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// ProcessElement decodes messages.
func (f *decodeFn) ProcessElement(ctx context.Context, ms *Messages, raw, late, fresh func(*Events)) error {
	var all, tardy, timely, bad []*Event
	for _, m := range ms.List {
		e, err := f.decode(m)
		all = append(all, e)
		switch {
		case err != nil:
			bad = append(bad, e)
			if f.rt.badLog.allow(time.Now()) {
				f.rt.log.Warn("event_not_aggregated", "position", m.Position, "event_id", m.EventID, "message_id", m.ID, "error", err)
			}
		case tooLate(e, f.Plan.Horizon):
			tardy = append(tardy, e)
		case f.Plan.replaced(e):
			tardy = append(tardy, e)
		default:
			timely = append(timely, e)
		}
	}
	f.rt.add(ctx, counterBad, int64(len(bad)))
	f.rt.add(ctx, counterEvents, int64(len(timely)+len(tardy)))
	raw(&Events{ms.Subscription, all})
	if len(tardy) > 0 {
		late(&Events{ms.Subscription, tardy})
	}
	if len(timely) > 0 {
		fresh(&Events{ms.Subscription, timely})
	}
	return nil
}

// tooLate is the rule of the late table: the event is behind the watermark of
// its source by more than the horizon. invariant P4
//
// An event for which it is false was read at a watermark of at most its time
// plus the horizon, and holds the watermark there until it is grouped; so its
// window, which ends after it, is not past the allowed lateness.
func tooLate(e *Event, horizon time.Duration) bool {
	return e.Watermark != unknownTime && e.Time+horizon.Microseconds() < e.Watermark
}

// replaced reports whether the event's windows are those of a backfill, which
// nothing adds to any more: such an event is too late, whatever the watermark
// of a generation that has only begun. It then is behind the time at which
// those windows are closed. invariant P4
func (p *Plan) replaced(e *Event) bool {
	for _, r := range p.Replaced {
		if r[0] <= e.Time && e.Time < r[1] {
			e.Watermark = max(e.Watermark, r[1]+p.Horizon.Microseconds())
			return true
		}
	}
	return false
}

// decode makes the event of a message. If it cannot be aggregated it says why;
// the event then holds what the raw table can have.
func (f *decodeFn) decode(m *Message) (*Event, error) {
	e := &Event{
		ID: m.EventID, MessageID: m.ID, Position: m.Position, Time: m.Time, Source: m.Source, Publish: m.Publish,
		Watermark: m.Watermark, Values: make([]Value, len(f.Plan.Fields)),
	}
	err := f.reader.read(m.Data, e.Values)
	if e.Source == unknownTime {
		e.Source = m.Publish
	}
	switch {
	case e.ID == "":
		err = errors.Join(errNoID, err)
	case e.Time == unknownTime:
		err = errors.Join(errNoTime, err)
	case e.Time < 0: // Beam's fixed windows are wrong before the epoch
		err = errors.Join(fmt.Errorf("the event time is before 1970"), err)
	}
	if e.Time == unknownTime {
		e.Time = m.Publish
	}
	return e, err
}

var (
	errNoID   = errors.New("the message has no event id (attribute kappa-id)")
	errNoTime = errors.New("the message has no event time (attribute kappa-event-time, RFC 3339)")
)
