package demo

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro/ocf"
)

func minutes(n int) time.Time { return time.Date(2001, 1, 8, 0, n, 0, 0, time.UTC) }

func rep(id int64, scheduled int, origin string) report {
	return report{EventID: id, Scheduled: minutes(scheduled).Format(time.RFC3339), Delay: 1, Distance: 100, Origin: origin}
}

func TestBatchLayer(t *testing.T) {
	b := newBatchLayer(time.Hour, 2*time.Hour, 4*time.Hour)
	for _, e := range []struct {
		r       report
		arrived int // minutes
	}{
		{rep(1, 0, "ATL"), 5},
		{rep(2, 59, "ATL"), 180},        // at the cut-off: in
		{rep(3, 59, "ATL"), 181},        // a minute later: dropped
		{rep(3, 59, "ATL"), 10},         // a copy of a dropped event stays dropped
		{rep(2, 59, "ATL"), 180},        // a copy
		{rep(4, 60, "ATL"), 50},         // early, in the next window
		{rep(5, 3*60, "LAS"), 3*60 + 1}, // same batch
		{rep(6, 9*60, "LAS"), 13 * 60},  // dropped, alone in its batch
		{rep(7, -1, "LAS"), 0},          // the day before
		{report{7, minutes(-1).Format(time.RFC3339Nano), 1, 100, "LAS", ""}, 0}, // again
	} {
		if err := b.add(e.r, minutes(e.arrived)); err != nil {
			t.Fatal(err)
		}
	}
	start := func(h int) int64 { return minutes(60 * h).UnixMicro() }
	want := []batchFile{
		{minutes(-4 * 60), []batchRow{{"LAS", start(-1), 1, 1, 100}}},
		{minutes(0), []batchRow{{"ATL", start(0), 2, 2, 200}, {"ATL", start(1), 1, 1, 100}, {"LAS", start(3), 1, 1, 100}}},
		{minutes(8 * 60), nil},
	}
	if d := cmp.Diff(want, b.files(), cmp.AllowUnexported(batchFile{})); d != "" {
		t.Error(d)
	}
	if b.dropped != 2 {
		t.Errorf("%d dropped, want 2", b.dropped)
	}
	if err := b.add(report{EventID: 99, Scheduled: "yesterday"}, minutes(0)); err == nil {
		t.Error("a bad time is taken")
	}
}

func TestBatchFile(t *testing.T) {
	for _, rows := range [][]batchRow{nil, {{"ATL", 978912000_000000, 2, -3, 4}, {"Zürich", 1, 0, 0, 0}}} {
		data, err := batchFile{rows: rows}.encode()
		if err != nil {
			t.Fatal(err)
		}
		r, err := ocf.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		var got []batchRow
		for {
			var row batchRow
			err := r.Decode(&row)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, row)
		}
		if d := cmp.Diff(rows, got); d != "" {
			t.Error(d)
		}
	}
}
