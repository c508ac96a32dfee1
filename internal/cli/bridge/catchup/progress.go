package catchup

import (
	"fmt"
	"math"
	"time"

	"github.com/kappa-migrate/kappa/bridge/catchup"
	"github.com/kappa-migrate/kappa/internal/term"
)

// mebi is the unit of the bar: bytes one by one are too many digits.
const mebi = 1 << 20

// view is what is shown of a catch-up: a bar of what is read, with the forecast.
type view struct {
	look  func() catchup.Progress
	whole bool // all was read; set before the view ends
}

func (v *view) Live(d *term.Display) (update, end func()) {
	task := d.Start("catching up", "MiB", max(v.look().Bytes/mebi, 1))
	update = func() {
		s := v.look()
		task.Set(s.Done / mebi)
		task.Note(note(s))
	}
	end = func() {
		s := v.look()
		task.Set(s.Done / mebi)
		if v.whole {
			task.Done("all of it")
		} else {
			task.Fail(fmt.Sprintf("%d of %d splits read", s.SplitsDone, s.Splits))
		}
	}
	return update, end
}

func (v *view) Attributes(time.Time) []any { return attributes(v.look()) }

// note is what a progress line says beside the bytes.
func note(s catchup.Progress) string {
	text := fmt.Sprintf("%d of %d splits", s.SplitsDone, s.Splits)
	f := s.Forecast
	if f.Inflow != nil {
		text += fmt.Sprintf(", inflow %s/s", term.Bytes(int64(f.Inflow.BytesPerSecond)))
	}
	switch {
	case f.Never:
		text += ", never catches up at this rate"
	case f.CaughtUpIn != nil:
		text += ", caught up in " + term.Span(catchup.Duration(*f.CaughtUpIn))
	}
	if s.Bridge.DeadLettered > 0 {
		text += fmt.Sprintf(", %s dead letters", term.Count(s.Bridge.DeadLettered))
	}
	if n := len(s.Bridge.Problems); n > 0 {
		text += ", " + s.Bridge.Problems[0]
	}
	return text
}

// attributes are what a log line of progress says.
func attributes(s catchup.Progress) []any {
	f := s.Forecast
	all := []any{"bytes_done", s.Done, "bytes", s.Bytes, "splits_done", s.SplitsDone, "splits", s.Splits,
		"published", s.Bridge.Published, "dead_lettered", s.Bridge.DeadLettered, "ready", len(s.Bridge.Problems) == 0}
	seconds := func(name string, v *float64) {
		if v != nil {
			all = append(all, name, int64(math.Ceil(*v)))
		}
	}
	if f.Rate != nil {
		all = append(all, "bytes_per_second", int64(*f.Rate))
	}
	if f.Inflow != nil {
		all = append(all, "inflow_bytes_per_second", int64(f.Inflow.BytesPerSecond))
	}
	seconds("read_in_seconds", f.ReadIn)
	if f.Never {
		return append(all, "never_catches_up", true)
	}
	seconds("caught_up_in_seconds", f.CaughtUpIn)
	return all
}
