package compare

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestParseRecurrence(t *testing.T) {
	m := minuteOf("flights") // 35
	tests := []struct {
		every string
		want  Recurrence
		err   string
	}{
		{every: "24h", want: Recurrence{Text: "every 24 hours", Interval: 24 * time.Hour, Minute: m, Cron: "35 4 * * *"}},
		{every: "1h", want: Recurrence{Text: "every 1 hours", Interval: time.Hour, Minute: m, Cron: "35 * * * *"}},
		{every: "Every  6 Hours", want: Recurrence{Text: "every 6 hours", Interval: 6 * time.Hour, Minute: m, Cron: "35 */6 * * *"}},
		{every: "168h", want: Recurrence{Text: "every 168 hours", Interval: 168 * time.Hour, Minute: m, Cron: "35 4 * * 1"}},
		{every: "5h", want: Recurrence{Text: "every 5 hours", Interval: 5 * time.Hour, Minute: m}},
		{every: "every day 04:17", want: Recurrence{Text: "every day 04:17", Minute: 17, Cron: "17 4 * * *"}},
		{every: "every mon,thursday 23:59", want: Recurrence{Text: "every mon,thursday 23:59", Minute: 59, Cron: "59 23 * * 1,4"}},
		{every: "1st,3rd monday of month 15:30", want: Recurrence{Text: "1st,3rd monday of month 15:30", Minute: 30}},

		{every: "every day 04:00", err: "can fire twice"},
		{every: "1st monday of month 15:00", err: "can fire twice"},
		{every: "every 30 minutes", err: "can fire twice"},
		{every: "30m", err: "1 to 168 whole hours"},
		{every: "90m", err: "1 to 168 whole hours"},
		{every: "169h", err: "1 to 168 whole hours"},
		{every: "0h", err: "1 to 168 whole hours"},
		{every: "-24h", err: "1 to 168 whole hours"},
		{every: "every 0 hours", err: "1 to 168 whole hours"},
		{every: "every foo 04:17", err: `"foo" is no day of the week`},
		{every: "daily 04:17", err: "neither an interval"},
		{every: "every day 24:17", err: "neither an interval"},
		{every: "", err: "neither an interval"},
	}
	for _, tt := range tests {
		got, err := ParseRecurrence(tt.every, "flights")
		if tt.err != "" {
			if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: error %v, want one that says %q", tt.every, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.every, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.every, diff)
		}
	}
}

// No schedule fires on the hour, whatever the comparison is called.
func TestNeverOnTheHour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		r, err := ParseRecurrence("24h", name)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), 0)
		start := r.start(now)
		if r.Minute < 1 || r.Minute > 59 || start.Minute() != r.Minute || start.Second() != 0 || !start.After(now) || start.Sub(now) > time.Hour {
			t.Fatalf("%+v starts at %s, now is %s", r, start, now)
		}
	})
}

func TestCheckSchedulable(t *testing.T) {
	tests := map[string]struct {
		change func(*jobspecs.ComparisonSpec)
		want   string
	}{
		"all is there":          {func(*jobspecs.ComparisonSpec) {}, ""},
		"keys are sensitive":    {func(s *jobspecs.ComparisonSpec) { s.Sensitive = []string{"origin"} }, ""},
		"files":                 {func(s *jobspecs.ComparisonSpec) { s.Batch.Files = []string{"a.csv"} }, "local files"},
		"files of the stream":   {func(s *jobspecs.ComparisonSpec) { s.Stream.Files = []string{"a.csv"} }, "local files"},
		"no history":            {func(s *jobspecs.ComparisonSpec) { s.History.Dataset = "" }, "history.dataset"},
		"no range":              {func(s *jobspecs.ComparisonSpec) { s.Range.Last = 0 }, "range.last"},
		"a range of no windows": {func(s *jobspecs.ComparisonSpec) { s.Range.Last = jobspecs.Duration(59 * time.Minute) }, "range.last"},
		"calendar days":         {func(s *jobspecs.ComparisonSpec) { s.Alignment.TimeZone = "Europe/Berlin" }, "Europe/Berlin"},
		"floating point":        {func(s *jobspecs.ComparisonSpec) { s.Metrics[0].Value = "FLOAT64" }, "floating point"},
	}
	for name, tt := range tests {
		spec := flightsSpec().Spec
		spec.History.Dataset, spec.Range.Last = "history", jobspecs.Duration(8*time.Hour)
		tt.change(&spec)
		err := CheckSchedulable(&spec)
		if tt.want == "" && err != nil || tt.want != "" && (exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
