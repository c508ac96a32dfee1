package compare

import (
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const day = 24 * time.Hour

// windowing says where windows begin: at multiples of their size since the Unix
// epoch, or, with a zone, at a time of day there. Windows follow each other
// without a gap, and each is known by its start.
type windowing struct {
	size   time.Duration
	offset time.Duration  // how much later they begin; of calendar days: on the clock
	zone   *time.Location // of calendar days; nil: windows have one length, in UTC
}

// newWindowing is the windowing of a spec.
func newWindowing(spec *jobspecs.ComparisonSpec) (windowing, error) {
	w := windowing{size: spec.Window.D(), offset: spec.Alignment.Offset.D()}
	switch {
	case w.size.Microseconds() <= 0 || w.size%time.Microsecond != 0:
		return w, exit.Usagef("spec.window is %s: windows must have a size, in whole microseconds", spec.Window)
	case w.offset < 0 || w.offset >= w.size || w.offset%time.Microsecond != 0:
		return w, exit.Usagef("spec.alignment.offset is %s: it must be at least 0s and less than the window, %s", spec.Alignment.Offset, spec.Window)
	case spec.Alignment.TimeZone == "":
		return w, nil
	case w.size != day:
		return w, exit.Usagef("spec.alignment.timeZone is for windows of a day, not of %s", spec.Window).
			WithHint("say window: 24h, or leave the time zone out: shorter windows begin at multiples of their size in every zone of whole hours")
	}
	zone, err := time.LoadLocation(spec.Alignment.TimeZone)
	if err != nil || spec.Alignment.TimeZone == "Local" {
		return w, exit.Usagef("spec.alignment.timeZone %q is not known", spec.Alignment.TimeZone).
			WithHint("name it as the IANA database does, such as Europe/Berlin")
	}
	w.zone = zone
	return w, nil
}

// floor is the start of the window that t is in.
func (w windowing) floor(t time.Time) time.Time {
	if w.zone != nil {
		return w.begins(w.dayOf(t))
	}
	return floor(t.Add(-w.offset), w.size).Add(w.offset)
}

// ceil is the first start of a window that is not before t.
func (w windowing) ceil(t time.Time) time.Time {
	if f := w.floor(t); !f.Equal(t) {
		return w.next(f)
	}
	return t.UTC()
}

// next is the end of the window that begins at start: where the next one begins.
func (w windowing) next(start time.Time) time.Time {
	if w.zone == nil {
		return start.UTC().Add(w.size)
	}
	d := w.dayOf(start)
	for {
		d = d.Add(day)
		if next := w.begins(d); next.After(start) { // a zone can skip a day
			return next
		}
	}
}

// count is the number of windows in spans whose bounds are starts of windows.
func (w windowing) count(spans []Range) int64 {
	var n int64
	for _, s := range spans {
		if w.zone == nil {
			n += int64(s.To.Sub(s.From) / w.size)
			continue
		}
		for t := s.From; t.Before(s.To); t = w.next(t) {
			n++
		}
	}
	return n
}

// day is the start of the day that the window beginning at start belongs to.
// Windows of a day and longer are days themselves; shorter ones belong to the
// UTC day in which they begin.
func (w windowing) day(start time.Time) time.Time {
	if w.size >= day {
		return w.floor(start)
	}
	return floor(start, day)
}

// nextDay is the start of the day after the one that begins at d.
func (w windowing) nextDay(d time.Time) time.Time {
	if w.size >= day {
		return w.next(d)
	}
	return d.Add(day)
}

// dayOf is the calendar day that t is in, as midnight UTC of its date.
func (w windowing) dayOf(t time.Time) time.Time {
	d := floor(asUTC(t.In(w.zone)).Add(-w.offset), day)
	// Where clocks go back over the start of a day, the clock alone does not say.
	for !w.begins(d.Add(day)).After(t) {
		d = d.Add(day)
	}
	for w.begins(d).After(t) {
		d = d.Add(-day)
	}
	return d
}

// begins is when a calendar day begins. A time that the zone's clock skips or
// shows twice is read with the offset from before the change, as BigQuery's
// TIMESTAMP(DATETIME, zone) reads it.
func (w windowing) begins(d time.Time) time.Time {
	wall := d.Add(w.offset)
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), w.zone)
	changed, _ := t.ZoneBounds()
	if !changed.IsZero() {
		before := wall.Add(-offsetOf(changed.Add(-time.Nanosecond).In(w.zone)))
		if before.Before(changed) || asUTC(t).After(wall) {
			return before.UTC()
		}
	}
	return wall.Add(-offsetOf(t)).UTC()
}

// asUTC is the time that a clock shows, as if it were in UTC.
func asUTC(t time.Time) time.Time { return t.UTC().Add(offsetOf(t)) }

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// clock is what a clock shows at the start of a window, as if it were in UTC:
// what a DATETIME column holds.
func (w windowing) clock(start time.Time) time.Time {
	if w.zone == nil {
		return start.UTC()
	}
	return w.dayOf(start).Add(w.offset)
}

// date is midnight UTC of the date on which a window begins, or, with an offset,
// that it is named after: what a DATE column holds.
func (w windowing) date(start time.Time) time.Time {
	return w.clock(start).Add(-w.offset)
}

// shift is how far the starts of windows are from what a clock shows: constant
// until the next change of clocks.
type shift struct {
	until time.Time // what the clock shows at the first start that it is no longer true of; zero: the last one
	by    time.Duration
}

// shifts are those of the windows in a range, one for each change of clocks.
func (w windowing) shifts(r Range) []shift {
	if w.zone == nil {
		return []shift{{}}
	}
	var out []shift
	for t := w.floor(r.From); t.Before(r.To); t = w.next(t) {
		clock := w.clock(t)
		by := t.Sub(clock)
		if n := len(out); n > 0 && out[n-1].by == by {
			continue
		} else if n > 0 {
			out[n-1].until = clock
		}
		out = append(out, shift{by: by})
	}
	if out == nil {
		out = []shift{{}}
	}
	return out
}
