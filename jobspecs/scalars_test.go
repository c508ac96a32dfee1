package jobspecs

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"20ms", 20 * time.Millisecond}, {"90m", 90 * time.Minute}, {"2d", 48 * time.Hour}, {"1d12h", 36 * time.Hour},
		{"0", 0}, {"0s", 0}, {"1.5h", 90 * time.Minute}, {" 4h ", 4 * time.Hour},
	} {
		if got, err := ParseDuration(c.text); err != nil || got.D() != c.want {
			t.Errorf("%q: got %s, %v; want %s", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "d", "1", "-1h", "1d-2h", "1 h", "1w", "99999d", "1.5d", "soon", "9999999h", "65535d2562000h"} {
		if got, err := ParseDuration(bad); err == nil {
			t.Errorf("%q: read as %s", bad, got)
		}
	}
}

func TestDurationString(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"48h", "2d"}, {"60m", "1h"}, {"90m", "1h30m"}, {"90s", "1m30s"}, {"120s", "2m"}, {"0s", "0s"}, {"20ms", "20ms"}, {"36h", "36h"}, {"10m", "10m"}, {"10s", "10s"},
	} {
		d, err := ParseDuration(c.text)
		if err != nil || d.String() != c.want {
			t.Errorf("%s: got %s, want %s (%v)", c.text, d, c.want, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Duration(rapid.Int64Range(0, 1<<62).Draw(t, "nanoseconds"))
		if got, err := ParseDuration(want.String()); err != nil || got != want {
			t.Fatalf("%d is written %s and read %d, %v", want, want, got, err)
		}
	})
}

func TestParseBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		want Bytes
	}{
		{"0", 0}, {"1000", 1000}, {"10B", 10}, {"64KiB", 64 << 10}, {"10MB", 10e6}, {"1 GiB", 1 << 30}, {"2TB", 2e12},
	} {
		if got, err := ParseBytes(c.text); err != nil || got != c.want {
			t.Errorf("%q: got %d, %v; want %d", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "B", "-1", "1.5MB", "1mb", "1 0", "99999999999999999999", "99999999TiB"} {
		if got, err := ParseBytes(bad); err == nil {
			t.Errorf("%q: read as %d", bad, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Bytes(rapid.Int64Range(0, 1<<62).Draw(t, "bytes"))
		if got, err := ParseBytes(want.String()); err != nil || got != want {
			t.Fatalf("%d is written %s and read %d, %v", want, want, got, err)
		}
	})
}

func TestParseDecimal(t *testing.T) {
	for _, good := range []string{"0", "95", "99.95", "-1", "100.000", "12345678901234567890123456789012345678"} {
		if got, err := ParseDecimal(good); err != nil || string(got) != good {
			t.Errorf("%q: got %s, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", ".5", "5.", "1e3", "+1", "1,5", "NaN", "0x1"} {
		if _, err := ParseDecimal(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if a, b := Decimal("0.1").Rat(), Decimal("0.10").Rat(); a.Cmp(b) != 0 {
		t.Error("0.1 is not 0.10")
	}
	if Decimal("").Rat().Sign() != 0 {
		t.Error("an empty decimal is not zero")
	}
}
