package bridge

import (
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/term"
)

// view is what is shown of a bridge: what it publishes, and how far it is
// behind.
type view struct {
	status func() bridge.Status
	last   bridge.Status // as of the last log line, which the rate is counted from
	at     time.Time
}

func newView(status func() bridge.Status) *view {
	return &view{status: status, last: status(), at: time.Now()}
}

func (v *view) Live(d *term.Display) (update, end func()) {
	task := d.Start("publishing", "messages", 0)
	update = func() {
		s := v.status()
		task.Set(s.Published)
		note := fmt.Sprintf("%s in flight", term.Count(s.InFlight))
		if s.Lag >= 0 {
			note += fmt.Sprintf(", %s behind", term.Count(s.Lag))
		}
		if s.DeadLettered > 0 {
			note += fmt.Sprintf(", %s dead letters", term.Count(s.DeadLettered))
		}
		if len(s.Problems) > 0 {
			note += ", not ready"
		}
		task.Note(note)
	}
	end = func() {
		task.Set(v.status().Published)
		task.Done("stopped")
	}
	return update, end
}

func (v *view) Attributes(now time.Time) []any {
	s := v.status()
	rate := float64(s.Published-v.last.Published) / now.Sub(v.at).Seconds()
	v.last, v.at = s, now
	return []any{"messages_per_second", int64(rate + 0.5), "published", s.Published, "in_flight", s.InFlight,
		"lag", s.Lag, "filtered", s.Filtered, "dead_lettered", s.DeadLettered, "memory_used", s.Memory, "ready", len(s.Problems) == 0}
}
