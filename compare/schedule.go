package compare

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, when a scheduled comparison runs and whether one
// can be scheduled.

// Recurrence is when a schedule fires: never on the hour, for then BigQuery's
// scheduler has been seen to fire twice.
type Recurrence struct {
	Text     string        // as the Data Transfer API takes it, in UTC
	Interval time.Duration // of an interval; 0: the text names the time of the day
	Minute   int           // of the hour, 1 to 59
	Cron     string        // the same for cron; "": it cannot be said so
}

// Bounds of intervals.
const (
	leastEvery = time.Hour
	mostEvery  = 7 * 24 * time.Hour
)

var (
	hoursText   = regexp.MustCompile(`^every ([0-9]{1,3}) hours?$`)
	minutesText = regexp.MustCompile(`^every [0-9]+ min(ute)?s?$`)
	timeOfDay   = regexp.MustCompile(`^(.+) ([01][0-9]|2[0-3]):([0-5][0-9])$`)
	everyDays   = regexp.MustCompile(`^every ([a-z]+(?:,[a-z]+)*)$`)
)

// minuteOf is the minute of the hour at which a comparison runs: from its name, so
// that it stays, and many comparisons are spread over the hour; never 0.
func minuteOf(name string) int {
	h := fnv.New32a()
	h.Write([]byte(name))
	return 1 + int(h.Sum32()%59)
}

// ParseRecurrence reads --every: an interval of whole hours (24h), or a schedule as
// the Data Transfer API takes it (every day 04:17, 1st monday of month 05:20).
func ParseRecurrence(every, name string) (Recurrence, error) {
	text := strings.ToLower(strings.Join(strings.Fields(every), " "))
	wrong := func(format string, args ...any) (Recurrence, error) {
		return Recurrence{}, exit.Usagef("--every %q: "+format, append([]any{every}, args...)...).
			WithHint(`give an interval of whole hours, such as 24h, or a time of the day in UTC, such as "every day 04:%02d"`, minuteOf(name))
	}
	interval, err := time.ParseDuration(text)
	if m := hoursText.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // three digits
		interval, err = time.Duration(n)*time.Hour, nil
	}
	switch {
	case err == nil && (interval < leastEvery || interval > mostEvery || interval%time.Hour != 0):
		return wrong("an interval is of 1 to 168 whole hours")
	case err == nil:
		n, minute := int(interval/time.Hour), minuteOf(name)
		return Recurrence{Text: fmt.Sprintf("every %d hours", n), Interval: interval, Minute: minute, Cron: cronOf(n, minute)}, nil
	case minutesText.MatchString(text):
		return wrong("it would fire on the hour, and such schedules can fire twice")
	}
	m := timeOfDay.FindStringSubmatch(text)
	if m == nil {
		return wrong("it is neither an interval nor a schedule with a time of the day")
	}
	hour, _ := strconv.Atoi(m[2]) // two digits
	minute, _ := strconv.Atoi(m[3])
	if minute == 0 {
		return wrong("it fires on the hour, and such schedules can fire twice")
	}
	r := Recurrence{Text: text, Minute: minute}
	if days := everyDays.FindStringSubmatch(m[1]); days != nil {
		week, err := cronDays(days[1])
		if err != nil {
			return wrong("%w", err)
		}
		r.Cron = fmt.Sprintf("%d %d * * %s", minute, hour, week)
	} else if !strings.Contains(m[1], " of ") {
		return wrong("it is neither an interval nor a schedule with a time of the day")
	}
	return r, nil
}

// cronOf is an interval for cron, which starts anew every day: so only the divisors
// of a day, and whole days of a week, can be said.
func cronOf(n, minute int) string {
	switch {
	case n == 1:
		return fmt.Sprintf("%d * * * *", minute)
	case n < 24 && 24%n == 0:
		return fmt.Sprintf("%d */%d * * *", minute, n)
	case n == 24:
		return fmt.Sprintf("%d 4 * * *", minute)
	case n == 7*24:
		return fmt.Sprintf("%d 4 * * 1", minute)
	}
	return ""
}

// cronDays are days of the week for cron.
func cronDays(list string) (string, error) {
	if list == "day" {
		return "*", nil
	}
	var days []string
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for d := time.Sunday; d <= time.Saturday; d++ {
			if full := strings.ToLower(d.String()); name == full || name == full[:3] {
				days, found = append(days, strconv.Itoa(int(d))), true
			}
		}
		if !found {
			return "", fmt.Errorf("%q is no day of the week", name)
		}
	}
	return strings.Join(days, ","), nil
}

// start is when the first run of an interval is due: the next time at its minute.
func (r Recurrence) start(now time.Time) time.Time {
	t := now.UTC().Truncate(time.Hour).Add(time.Duration(r.Minute) * time.Minute)
	for !t.After(now) {
		t = t.Add(time.Hour)
	}
	return t
}

// CheckSchedulable refuses comparisons that one scheduled statement cannot say.
func CheckSchedulable(spec *jobspecs.ComparisonSpec) error {
	const cron = "run it by `kappa compare run`: --print cronjob and --print github-action write the files for that"
	switch {
	case len(spec.Batch.Files)+len(spec.Stream.Files) > 0:
		return exit.Usagef("a comparison of local files cannot be a scheduled query: BigQuery does not see them").WithHint(cron)
	case spec.History.Dataset == "":
		return exit.Usagef("a scheduled query has nowhere to write its results: the spec names no history.dataset").
			WithHint("set history.dataset to a dataset in which compare_runs may be made")
	case spec.Range.Last.D() < spec.Window.D():
		return exit.Usagef("a scheduled query does not know which windows to compare: range.last is %s, and less than a window", spec.Range.Last).
			WithHint("set range.last to how far back a run looks, at least as long as windows take to settle: 168h for a week")
	case spec.Alignment.TimeZone != "":
		return exit.Usagef("windows that are days of %s cannot be compared by a scheduled query", spec.Alignment.TimeZone).WithHint(cron)
	}
	for _, m := range spec.Metrics {
		// Sums of floating point depend on the order in which BigQuery adds.
		if m.Value == "FLOAT64" {
			return exit.Usagef("metric %s is floating point: a scheduled query and a run would not write the same sums of it", m.Name).WithHint(cron)
		}
	}
	return nil
}
