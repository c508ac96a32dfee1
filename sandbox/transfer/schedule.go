package transfer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// schedule is a recurrence as scheduled queries take it: an interval, or a time of
// the day on days of the week. The further forms of the format are taken, and not
// computed.
type schedule struct {
	every  time.Duration // of an interval; 0: at a time of the day
	days   []time.Weekday
	at     time.Duration // since midnight
	opaque bool
}

var (
	intervalPattern = regexp.MustCompile(`^every (\d+) (minutes|mins|hours)$`)
	daysPattern     = regexp.MustCompile(`^every ([a-z,]+) ([01]\d|2[0-3]):([0-5]\d)$`)
	opaquePattern   = regexp.MustCompile(`^((every )?[0-9a-z,]+ )?[0-9a-z,]+ of [a-z,]+ ([01]\d|2[0-3]):[0-5]\d$`)

	weekdays = map[string]time.Weekday{}
)

func init() {
	for d := time.Sunday; d <= time.Saturday; d++ {
		name := strings.ToLower(d.String())
		weekdays[name], weekdays[name[:3]] = d, d
	}
}

// leastInterval is that of scheduled queries.
const leastInterval = 5 * time.Minute

// parseSchedule reads a schedule.
func parseSchedule(text string) (schedule, error) {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	if m := intervalPattern.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		unit := time.Minute
		if m[2] == "hours" {
			unit = time.Hour
		}
		if err != nil || n > 10000 || time.Duration(n)*unit < leastInterval {
			return schedule{}, invalid("Schedule %q: the interval must be at least 5 minutes.", text)
		}
		return schedule{every: time.Duration(n) * unit}, nil
	}
	if m := daysPattern.FindStringSubmatch(text); m != nil {
		s := schedule{at: clock(m[2], m[3])}
		for name := range strings.SplitSeq(m[1], ",") {
			d, ok := weekdays[name]
			switch {
			case name == "day":
				s.days = []time.Weekday{0, 1, 2, 3, 4, 5, 6}
			case !ok:
				return schedule{}, invalid("Schedule %q: %q is no day of the week.", text, name)
			default:
				s.days = append(s.days, d)
			}
		}
		return s, nil
	}
	if opaquePattern.MatchString(text) {
		return schedule{opaque: true}, nil
	}
	return schedule{}, invalid("Schedule %q is not in the format of schedules.", text)
}

func clock(hour, minute string) time.Duration {
	h, _ := strconv.Atoi(hour) // digits, by the pattern
	m, _ := strconv.Atoi(minute)
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
}

// next is the first time after now, and not before start; zero: not computed.
func (s schedule) next(start, now time.Time) time.Time {
	switch {
	case s.opaque:
		return time.Time{}
	case s.every > 0:
		if start.After(now) {
			return start
		}
		return start.Add((now.Sub(start)/s.every + 1) * s.every)
	}
	if start.After(now) {
		now = start.Add(-time.Nanosecond)
	}
	t := now.Truncate(24 * time.Hour).Add(s.at)
	for !t.After(now) || !slices.Contains(s.days, t.Weekday()) {
		t = t.AddDate(0, 0, 1)
	}
	return t
}
