package compare

import (
	"time"

	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Covering is the range from the window that first is the start of, or in, to
// the end of the one of last. Both are values of a time column: time.Time of a
// TIMESTAMP, civil.DateTime and civil.Date of what a clock shows.
func Covering(spec *jobspecs.ComparisonSpec, first, last any) (Range, error) {
	w, err := newWindowing(spec)
	if err != nil {
		return Range{}, err
	}
	from, err := w.of(first)
	if err != nil {
		return Range{}, err
	}
	to, err := w.of(last)
	if err != nil {
		return Range{}, err
	}
	return Range{from, w.next(to)}, nil
}

// of is the start of the window of a value of a time column.
func (w windowing) of(v any) (time.Time, error) {
	switch v := v.(type) {
	case time.Time:
		return w.floor(v), nil
	case civil.DateTime:
		wall := v.In(time.UTC)
		if w.zone == nil {
			return w.floor(wall), nil
		}
		return w.begins(floor(wall.Add(-w.offset), day)), nil
	case civil.Date:
		if w.zone == nil {
			return w.floor(v.In(time.UTC).Add(w.offset)), nil
		}
		return w.begins(v.In(time.UTC)), nil
	}
	return time.Time{}, exit.Environmentf("the column of windows holds %T, which is no time", v)
}
