package transfer

import (
	"testing"
	"time"
)

func TestSchedules(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) // a Wednesday
	later := now.Add(100 * time.Hour)
	tests := []struct {
		text  string
		start time.Time
		want  string // empty: refused; "-": not computed
	}{
		{"every 6 hours", now, "2026-03-04T11:06:07Z"},
		{"every 6 hours", now.Add(-7 * time.Hour), "2026-03-04T10:06:07Z"},
		{"every 6 hours", later, "2026-03-08T09:06:07Z"},
		{"every 30 minutes", now, "2026-03-04T05:36:07Z"},
		{"every 30 mins", now, "2026-03-04T05:36:07Z"},
		{"every day 05:07", now, "2026-03-04T05:07:00Z"},
		{"every day 05:06", now, "2026-03-05T05:06:00Z"},
		{"every day 05:06", later, "2026-03-09T05:06:00Z"},
		{"Every  Mon,thursday 00:17", now, "2026-03-05T00:17:00Z"},
		{"every sun 00:17", now, "2026-03-08T00:17:00Z"},
		{"1st,3rd monday of month 15:30", now, "-"},
		{"every wed,fri of jan,jun 13:15", now, "-"},
		{"first sunday of quarter 00:00", now, "-"},
		{"every 4 minutes", now, ""},
		{"every 99999999999999999999 hours", now, ""},
		{"every noday 04:17", now, ""},
		{"every day 24:00", now, ""},
		{"every day", now, ""},
		{"", now, ""},
	}
	for _, tt := range tests {
		s, err := parseSchedule(tt.text)
		if (err != nil) != (tt.want == "") {
			t.Errorf("%q: %v", tt.text, err)
		}
		if err != nil {
			continue
		}
		next := s.next(tt.start, now)
		got := "-"
		if !next.IsZero() {
			got = next.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%q from %s: %s, want %s", tt.text, tt.start, got, tt.want)
		}
	}
}
