package compare

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestWindowingOfDays(t *testing.T) {
	tests := []struct {
		zone   string
		offset time.Duration
		at     string // a time
		start  string // of its window
		end    string
	}{
		{"Europe/Berlin", 0, "2001-03-24T12:00:00Z", "2001-03-23T23:00:00Z", "2001-03-24T23:00:00Z"},
		{"Europe/Berlin", 0, "2001-03-25T21:59:59Z", "2001-03-24T23:00:00Z", "2001-03-25T22:00:00Z"}, // 23 hours
		{"Europe/Berlin", 0, "2001-10-28T12:00:00Z", "2001-10-27T22:00:00Z", "2001-10-28T23:00:00Z"}, // 25 hours
		{"Europe/Berlin", 6 * time.Hour, "2001-03-25T03:59:00Z", "2001-03-24T05:00:00Z", "2001-03-25T04:00:00Z"},
		{"Europe/Berlin", 150 * time.Minute, "2001-03-25T12:00:00Z", "2001-03-25T01:30:00Z", "2001-03-26T00:30:00Z"}, // 02:30 was skipped
		{"Europe/Berlin", 150 * time.Minute, "2001-10-28T12:00:00Z", "2001-10-28T00:30:00Z", "2001-10-29T01:30:00Z"}, // 02:30 came twice
		{"America/Sao_Paulo", 0, "2001-10-14T12:00:00Z", "2001-10-14T03:00:00Z", "2001-10-15T02:00:00Z"},             // midnight was skipped
		{"America/Sao_Paulo", 0, "2001-02-18T02:30:00Z", "2001-02-17T02:00:00Z", "2001-02-18T03:00:00Z"},             // 23:00 came twice
		{"Pacific/Apia", 0, "2011-12-30T09:00:00Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"Pacific/Apia", 0, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"}, // the 30th was skipped
		{"Asia/Kathmandu", 0, "2020-02-29T12:00:00Z", "2020-02-28T18:15:00Z", "2020-02-29T18:15:00Z"},
	}
	for _, tt := range tests {
		w := windowing{size: day, offset: tt.offset, zone: zone(t, tt.zone)}
		at, _ := time.Parse(time.RFC3339, tt.at)
		start := w.floor(at)
		if got, want := start.Format(time.RFC3339)+" "+w.next(start).Format(time.RFC3339), tt.start+" "+tt.end; got != want {
			t.Errorf("%s +%s, window of %s: %s, want %s", tt.zone, tt.offset, tt.at, got, want)
		}
	}
}

func TestWindowingWithoutAZone(t *testing.T) {
	at := time.Date(1969, 12, 31, 22, 30, 0, 0, time.UTC)
	if got := hourly.floor(at); !got.Equal(at.Add(-30 * time.Minute)) {
		t.Errorf("floor before the epoch = %s", got)
	}
	if got := hourly.ceil(at); !got.Equal(at.Add(30 * time.Minute)) {
		t.Errorf("ceil before the epoch = %s", got)
	}
	leap := time.Date(2004, 2, 29, 5, 0, 0, 0, time.UTC)
	daily := windowing{size: day, offset: 6 * time.Hour}
	if got := stamp(daily.floor(leap)); got != "2004-02-28T06:00:00Z" {
		t.Errorf("window of 29 February, 5:00 = %s", got)
	}
	if got := stamp(daily.date(daily.next(daily.floor(leap)))); got != "2004-02-29T00:00:00Z" {
		t.Errorf("date of the window after it = %s", got)
	}
	if got := stamp(hourly.day(leap)); got != "2004-02-29T00:00:00Z" || stamp(hourly.nextDay(hourly.day(leap))) != "2004-03-01T00:00:00Z" {
		t.Errorf("day of an hour = %s", got)
	}
}

// Windows follow each other without a gap or an overlap, in every zone.
func TestWindowsAreAPartition(t *testing.T) {
	zones := []string{"", "UTC", "Europe/Berlin", "America/Sao_Paulo", "America/St_Johns", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia", "Africa/Casablanca", "Asia/Tehran"}
	rapid.Check(t, func(t *rapid.T) {
		w := windowing{size: time.Duration(rapid.IntRange(1, 300).Draw(t, "minutes")) * time.Minute}
		if name := rapid.SampledFrom(zones).Draw(t, "zone"); name != "" {
			var err error
			if w.zone, err = time.LoadLocation(name); err != nil {
				t.Fatal(err)
			}
			w.size = day
		}
		w.offset = time.Duration(rapid.Int64Range(0, int64(w.size/time.Second)-1).Draw(t, "offset")) * time.Second
		at := time.Unix(rapid.Int64Range(-1e9, 2e9).Draw(t, "at"), rapid.Int64Range(0, 999_999).Draw(t, "micros")*1000).UTC()
		start := w.floor(at)
		end := w.next(start)
		switch {
		case start.After(at) || !end.After(at):
			t.Fatalf("%s is not in its window, %s to %s", at, start, end)
		case !w.floor(start).Equal(start) || !w.floor(end).Equal(end) || !w.floor(end.Add(-time.Microsecond)).Equal(start):
			t.Fatalf("the window %s to %s is not that of its bounds", start, end)
		case !w.ceil(start).Equal(start) || !start.Equal(at) && !w.ceil(at).Equal(end):
			t.Fatalf("ceil of %s is not %s", at, end)
		case w.zone == nil && end.Sub(start) != w.size:
			t.Fatalf("the window %s to %s has another size than %s", start, end, w.size)
		case w.day(start).After(start) || !w.nextDay(w.day(start)).After(start):
			t.Fatalf("the window %s is not in its day, %s", start, w.day(start))
		}
		n := rapid.Int64Range(1, 40).Draw(t, "windows")
		to := start
		for range n {
			to = w.next(to)
		}
		if got := w.count([]Range{{start, to}}); got != n {
			t.Fatalf("%d windows from %s to %s, counted %d", n, start, to, got)
		}
		// What a clock shows, and the shifts, lead back to every start.
		shifts := w.shifts(Range{start, to})
		for s := start; s.Before(to); s = w.next(s) {
			clock := w.clock(s)
			i := 0
			for !shifts[i].until.IsZero() && !clock.Before(shifts[i].until) {
				i++
			}
			if got := clock.Add(shifts[i].by); !got.Equal(s) {
				t.Fatalf("the clock shows %s at %s; shifted back it is %s", clock, s, got)
			}
		}
	})
}

func TestNewWindowing(t *testing.T) {
	tests := []struct {
		window, offset time.Duration
		zone, wrong    string
	}{
		{time.Hour, 15 * time.Minute, "", ""},
		{day, 0, "Europe/Berlin", ""},
		{0, 0, "", "must have a size"},
		{time.Nanosecond, 0, "", "must have a size"},
		{time.Hour, time.Hour, "", "less than the window"},
		{time.Hour, -time.Minute, "", "less than the window"},
		{time.Hour, 0, "Europe/Berlin", "for windows of a day"},
		{day, 0, "Europe/Bonn", "is not known"},
		{day, 0, "Local", "is not known"},
	}
	for _, tt := range tests {
		_, err := newWindowing(&jobspecs.ComparisonSpec{Window: jobspecs.Duration(tt.window),
			Alignment: jobspecs.Alignment{Offset: jobspecs.Duration(tt.offset), TimeZone: tt.zone}})
		if tt.wrong == "" && err != nil || tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)) {
			t.Errorf("%s +%s %s: %v, want %q", tt.window, tt.offset, tt.zone, err, tt.wrong)
		}
	}
}
