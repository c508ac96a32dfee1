package googlesql

import (
	"strings"
	"testing"
)

// Conversions between what a clock shows and what time it is, in other zones.
func TestTimeZones(t *testing.T) {
	db := openTest(t)
	for _, tc := range []struct{ expr, want string }{
		{`TIMESTAMP(DATE '2001-01-08', 'Europe/Berlin')`, "2001-01-07 23:00:00"},
		{`TIMESTAMP(DATE '2001-07-08', 'Europe/Berlin')`, "2001-07-07 22:00:00"},
		{`TIMESTAMP(DATETIME '2001-03-25 03:00:00', 'Europe/Berlin')`, "2001-03-25 01:00:00"}, // after the hour that was skipped
		{`DATE(TIMESTAMP '2001-03-24 23:30:00+00', 'Europe/Berlin')`, "2001-03-25"},
		{`DATE(TIMESTAMP '2001-01-08 03:00:00+00', 'America/New_York')`, "2001-01-07"},
		{`DATETIME(TIMESTAMP '2001-03-25 00:59:59.999999+00', 'Europe/Berlin')`, "2001-03-25 01:59:59.999999"},
		{`DATETIME(TIMESTAMP '2001-03-25 01:00:00+00', 'Europe/Berlin')`, "2001-03-25 03:00:00"},
		{`DATETIME(TIMESTAMP '2001-10-28 00:30:00+00', 'Europe/Berlin')`, "2001-10-28 02:30:00"},
		{`DATETIME(TIMESTAMP '2001-10-28 01:30:00+00', 'Europe/Berlin')`, "2001-10-28 02:30:00"},
		{`DATE(TIMESTAMP(DATE '2001-03-25', 'Asia/Tokyo'), 'Asia/Tokyo')`, "2001-03-25"},
		{`TIMESTAMP(CAST(NULL AS DATE), 'Europe/Berlin')`, "NULL"},
		{`TIMESTAMP(DATE '2001-01-08', 'UTC')`, "2001-01-08 00:00:00"},
		{`NORMALIZE('e\u0301') = '\u00e9'`, "true"},
		{`BYTE_LENGTH(NORMALIZE('Zu\u0308rich'))`, "7"},
	} {
		got, _, err := evaluate(db, "SELECT "+tc.expr+" AS x", options())
		if err != nil || strings.Join(got, "") != tc.want {
			t.Errorf("%s = %v, %v; want %s", tc.expr, got, err, tc.want)
		}
	}
	for _, expr := range []string{`TIMESTAMP(DATE '2001-01-08', 'Europe/Nowhere')`, `DATE(ts, 'it''s')`, `DATE(ts, "a'b/c")`, `DATE(ts, s)`, `DATETIME(ts, '+01:00')`, `TIMESTAMP('2001-01-08', 'Europe/Berlin')`} {
		if _, err := Translate("SELECT "+expr+" FROM d.t", options()); err == nil {
			t.Errorf("%s was translated", expr)
		}
	}
}
