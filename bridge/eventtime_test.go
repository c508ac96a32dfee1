package bridge

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

func TestParseEventTime(t *testing.T) {
	for _, c := range []struct {
		text, unit, want string // want "" for an error
	}{
		{`"2001-01-08T00:01:00Z"`, "rfc3339", "2001-01-08T00:01:00.000Z"},
		{`"2001-01-08T00:01:00.123999-05:00"`, "rfc3339", "2001-01-08T05:01:00.123Z"},
		{`"2001-01-08\u005400:01:00Z"`, "rfc3339", "2001-01-08T00:01:00.000Z"},
		{`"yesterday"`, "rfc3339", ""},
		{`979000000`, "rfc3339", ""},
		{`null`, "rfc3339", ""},
		{``, "rfc3339", ""},
		{`979000000`, "seconds", "2001-01-09T00:26:40.000Z"},
		{`"979000000"`, "seconds", "2001-01-09T00:26:40.000Z"},
		{`979000000.1239`, "seconds", "2001-01-09T00:26:40.123Z"},
		{`9.79e8`, "seconds", "2001-01-09T00:26:40.000Z"},
		{`979000000123`, "milliseconds", "2001-01-09T00:26:40.123Z"},
		{`979000000123999`, "microseconds", "2001-01-09T00:26:40.123Z"},
		{`-1`, "milliseconds", "1969-12-31T23:59:59.999Z"},
		{`-1`, "microseconds", "1969-12-31T23:59:59.999Z"},
		{`-0.0001`, "seconds", "1969-12-31T23:59:59.999Z"},
		{`253402300799`, "seconds", "9999-12-31T23:59:59.000Z"},
		{`253402300800`, "seconds", ""},
		{`253402300800000`, "milliseconds", ""},
		{`-62135596801`, "seconds", ""},
		{`9223372036854775807`, "seconds", ""},
		{`1e999999999`, "seconds", ""},
		{`true`, "seconds", ""},
		{`{}`, "milliseconds", ""},
		{`"1/2"`, "seconds", ""},
	} {
		plain := c.text
		isText := json.Unmarshal([]byte(c.text), &plain) == nil
		milli, err := parseEventTime([]byte(plain), isText, c.unit)
		got := ""
		if err == nil {
			got = string(appendTime(nil, milli))
		}
		if got != c.want {
			t.Errorf("parseEventTime(%s, %s) = %q, %v, want %q", c.text, c.unit, got, err, c.want)
		}
	}
}

// The attribute is written as the contract has it.
func TestAppendTime(t *testing.T) {
	now := time.Date(2001, 1, 8, 1, 2, 3, 4_999_999, time.FixedZone("", 3600))
	var c clock
	for _, d := range []time.Duration{0, time.Millisecond, 56 * time.Second, 57 * time.Second, -time.Hour, -40 * 365 * 24 * time.Hour, -1} {
		at := now.Add(d)
		if got, want := string(c.append([]byte("x"), at.UnixMilli())), "x"+envelope.FormatTime(at); got != want {
			t.Errorf("the clock writes %s, want %s", got, want)
		}
	}
	if got, want := string(appendTime(nil, now.UnixMilli())), envelope.FormatTime(now); got != want {
		t.Errorf("appendTime = %s, envelope has %s", got, want)
	}
}
