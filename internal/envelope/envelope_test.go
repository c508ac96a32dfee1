package envelope

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPositionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Position{
			Cluster:   rapid.StringMatching(`[A-Za-z0-9_-]{1,22}`).Draw(t, "cluster"),
			Topic:     rapid.StringMatching(`[A-Za-z0-9._-]{1,40}`).Draw(t, "topic"),
			Partition: rapid.Int32Min(0).Draw(t, "partition"),
			Offset:    rapid.Int64Min(0).Draw(t, "offset"),
		}
		got, err := ParsePosition(want.String())
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestParsePositionRefuses(t *testing.T) {
	for _, bad := range []string{"", "c/t/1", "c/t/x/1", "c/t/-1/1", "c/t/1/-1", "c/t/1/x", "c/t/4294967296/1", "a/b/c/d/e"} {
		if p, err := ParsePosition(bad); err == nil {
			t.Errorf("ParsePosition(%q) = %+v, no error", bad, p)
		}
	}
}

func TestTimeIsMillisecondsInUTC(t *testing.T) {
	in := time.Date(2001, 1, 8, 1, 2, 3, 456_789_000, time.FixedZone("", 3600))
	if got := FormatTime(in); got != "2001-01-08T00:02:03.456Z" {
		t.Errorf("FormatTime = %s", got)
	}
	got, err := ParseTime("2001-01-08T01:02:03.456+01:00")
	if err != nil || !got.Equal(in.Truncate(time.Millisecond)) || got.Location() != time.UTC {
		t.Errorf("ParseTime = %v, %v", got, err)
	}
	if _, err := ParseTime("2001-01-08"); err == nil {
		t.Error("a date was read as a time")
	}
}
