package compare

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestParseKey(t *testing.T) {
	one := flightsSpec().Spec
	all := flightsSpec().Spec
	all.Keys = []jobspecs.CompareKey{{Name: "origin", Type: "STRING"}, {Name: "gate", Type: "INT64"}, {Name: "slot", Type: "TIMESTAMP"}, {Name: "day", Type: "DATE"}, {Name: "late", Type: "BOOL"}}
	rest := ",slot=2001-01-08T06:00:00+01:00,day=2001-01-08,late=TRUE"
	values := func(origin, gate bigquery.Value) []bigquery.Value {
		return []bigquery.Value{origin, gate, time.Date(2001, 1, 8, 5, 0, 0, 0, time.UTC), civil.Date{Year: 2001, Month: 1, Day: 8}, true}
	}
	tests := []struct {
		spec jobspecs.ComparisonSpec
		text string
		want []bigquery.Value
		err  string
	}{
		{one, "ORD", []bigquery.Value{"ORD"}, ""},
		{one, "origin=ORD", []bigquery.Value{"ORD"}, ""},
		{one, "", []bigquery.Value{""}, ""},
		{one, "NULL", []bigquery.Value{nil}, ""},
		{one, `"NULL"`, []bigquery.Value{"NULL"}, ""},
		{one, "a,b=c", []bigquery.Value{"a,b=c"}, ""}, // of one key all is its value
		{one, `origin="a,\"b"`, []bigquery.Value{`a,"b`}, ""},
		{one, `"open`, nil, "in quotes"},
		{all, "origin=ORD,gate=7" + rest, values("ORD", int64(7)), ""},
		{all, "gate=NULL,origin=NULL" + rest, values(nil, nil), ""},
		{all, `gate=-7,origin="x,gate=8"` + rest, values("x,gate=8", int64(-7)), ""},
		{all, "origin=ORD,gates=7" + rest, nil, `"gates=7" names no key`},
		{all, "ORD", nil, `"ORD" names no key`},
		{all, "origin=ORD" + rest, nil, "the key gate is missing"},
		{all, "origin=ORD,origin=ATL,gate=7" + rest, nil, "given twice"},
		{all, "origin=ORD,gate=seven" + rest, nil, `"seven" is not a value of the key gate, which is INT64`},
		{all, "origin=ORD,gate=1,slot=noon,day=2001-01-08,late=TRUE", nil, "TIMESTAMP"},
		{all, "origin=ORD,gate=1,slot=2001-01-08T06:00:00Z,day=8,late=TRUE", nil, "DATE"},
		{all, "origin=ORD,gate=1,slot=2001-01-08T06:00:00Z,day=2001-01-08,late=maybe", nil, "BOOL"},
	}
	for _, tt := range tests {
		got, err := queries{spec: &tt.spec}.parseKey(tt.text)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || exit.Of(err) != exit.Usage {
				t.Errorf("parseKey(%s): %v, want %q", tt.text, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("parseKey(%s): %v (-want +got):\n%s", tt.text, err, diff)
		}
	}
}

func (w *world) why(key string, hour int, limit int) *Why {
	w.t.Helper()
	y, err := Explain(ctxBackground, w.config(), key, hours(float64(hour)), limit)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, width := range []int{0, 60, 120} {
		text, _, _ := strings.Cut(Text(y, width), "\nSELECT ")
		for _, l := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(l); n > max(width, 40) {
				w.t.Errorf("a line of %d characters, %d allowed: %s", n, width, l)
			}
		}
	}
	return y
}

// Line by line both numbers come out as they are stored, whatever went wrong, and by
// another way than that by which causes are attributed.
func TestWhyRebuildsBothNumbers(t *testing.T) {
	w := newWorld(t)
	w.deadLetters()
	w.reload(10, 2.5, 50)
	w.generation("old-flights", 1, "stream", "cancelled", "")
	for _, o := range []string{"AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH", "III", "JJJ"} {
		w.both(o, 1, 2)
	}
	early := -time.Minute
	event := func(origin string, v int64, arrives time.Duration, late bool, by string) {
		w.event(flight{origin: origin, hour: 1, delay: v, distance: v, arrives: arrives, late: late, by: by})
	}
	row := func(origin string, batch, stream []int64) {
		if batch != nil {
			w.batch(origin, 1, batch[0], batch[1], batch[1])
		}
		if stream != nil {
			w.pane("flights-0@1", 0, origin, 1, stream[0], stream[1], stream[1])
			w.rows["stream_flights"] = append(w.rows["stream_flights"], w.rows["stream_flights"][len(w.rows["stream_flights"])-1]) // written twice
		}
	}
	event("late", 1, 45*time.Minute, false, "") // before the cut-off, after the first load
	event("late", 2, 3*time.Hour, false, "")
	event("late", 4, early, true, "")
	row("late", []int64{2, 5}, []int64{2, 3})
	w.deliver("twice", flight{origin: "copies", hour: 1, delay: 3, distance: 3, arrives: early}, 2)
	w.deliver("twice", flight{origin: "copies", hour: 1, delay: 3, distance: 3, arrives: early}, 1)
	row("copies", []int64{2, 6}, []int64{3, 9})
	event("dead", 1, early, false, "")
	event("dead", 2, early, false, "")
	w.undelivered()
	row("dead", []int64{2, 3}, []int64{1, 1})
	event("cut", 1, early, false, "")
	event("cut", 2, early, false, "old-flights@1")
	row("cut", []int64{2, 3}, []int64{1, 1})
	event("restated", 1, early, false, "")
	event("restated", 2, 45*time.Minute, false, "")
	event("restated", 4, 3*time.Hour, false, "")
	row("restated", []int64{1, 1}, []int64{3, 7})
	event("form", 1, early, false, "")
	row("FORM ", []int64{1, 1}, nil)
	row("form", nil, []int64{1, 1})
	event("odd", 1, early, false, "")
	row("odd", []int64{1, 2}, []int64{1, 1})
	event("agreed", 1, early, false, "")
	event("agreed", 2, 3*time.Hour, true, "")
	row("agreed", []int64{1, 1}, []int64{1, 1})
	w.pane("ghost@1", 3, "odd", 1, 9, 9, 9)
	w.create()
	tests := []struct {
		key, class, cause, status string
		batch, stream             bool
		events                    int
	}{
		{"late", ClassMismatch, "late_dropped_by_batch + late_dropped_by_stream", Proven, true, true, 3},
		{"copies", ClassMismatch, "duplicates_in_batch + duplicates_in_stream", Proven, true, true, 3},
		{"dead", ClassMismatch, "dropped_by_bridge", Proven, true, true, 2},
		{"cut", ClassMismatch, "window_cut_by_drain", Proven, true, true, 2},
		{"restated", ClassMismatch, "batch_restated", Proven, true, true, 3},
		{"FORM ", ClassMissing, "key_form", Proven, true, true, 1},
		{"form", ClassExtra, "key_form", Proven, true, true, 1},
		{"odd", ClassMismatch, Unexplained, Unexplained, false, true, 1},
		{"agreed", ClassExact, "", "", true, true, 2},
		{"AAA", ClassExact, "", "", true, true, 2},
	}
	for _, tt := range tests {
		y := w.why(tt.key, 1, 50)
		got := fmt.Sprint(y.Class, " ", y.Cause, " ", y.Status, " ", y.Batch.Meets, " ", y.Stream.Meets, " ", len(y.Events))
		if want := fmt.Sprint(tt.class, " ", tt.cause, " ", tt.status, " ", tt.batch, " ", tt.stream, " ", tt.events); got != want {
			t.Errorf("%s: %s\nwant %s\nbatch %s, stream %s", tt.key, got, want, y.Batch.How, y.Stream.How)
		}
	}

	text := Text(w.why("late", 1, 50), 200)
	for _, want := range []string{"origin = late in the window from 2001-01-08T01:00:00Z to 2001-01-08T02:00:00Z: mismatch",
		"- flights 1, delay_sum 1, distance_sum 1 (arrived after 2001-01-08T04:00:00Z)", "(in the late table)", "flights-0@1 pane 0: flights 2, delay_sum 3, distance_sum 3 (a copy of the row before)",
		"batch   rebuilt and stored meet: every event", "SELECT * FROM `kappa-demo`"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}

	// What is not listed is counted.
	y := w.why("late", 1, 1)
	if len(y.Events) != 1 || y.LeftOut != 2 || y.Stream.More != 1 || !y.Batch.Meets || *y.Metrics[0].BatchRebuilt != "2" {
		t.Errorf("%d events, %d left out, %d rows more, %+v", len(y.Events), y.LeftOut, y.Stream.More, y.Metrics[0])
	}

	w.spec.Spec.Sensitive = []string{"origin"}
	y = w.why("late", 1, 50)
	if text := fmt.Sprintf("%+v %s %s", y, *y.Key[0].Value, y.SQL); strings.Contains(text, "late'") || !strings.HasPrefix(*y.Key[0].Value, "#") {
		t.Errorf("the sensitive key is shown: %s", text)
	}
	w.spec.Spec.Sensitive = nil

	errs := []struct {
		key    string
		window time.Time
		code   exit.Code
		want   string
	}{
		{"late", hours(1).Add(time.Minute), exit.Usage, "no window starts at 2001-01-08T01:01:00Z"},
		{"nobody", hours(1), exit.Usage, "no such key"},
		{"late", hours(20), exit.NoData, "is not settled: no batch load covers"},
		{"gate=ORD,origin=late", hours(1), exit.Usage, "no such key"}, // the value of the one key
	}
	for _, tt := range errs {
		_, err := Explain(ctxBackground, w.config(), tt.key, tt.window, 50)
		if err == nil || exit.Of(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (exit %d), want %q (exit %d)", tt.key, err, exit.Of(err), tt.want, tt.code)
		}
		var e *exit.Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: the error has no hint: %v", tt.key, err)
		}
	}
}

// The shifted window's events are those of the batch side.
func TestWhyOfShift(t *testing.T) {
	w := newWorld(t)
	delete(w.rows, tables.BatchLoads)
	w.load(0, 24)
	for h := range 24 {
		w.event(flight{origin: "ORD", hour: h, delay: int64(h*h + 1), distance: 1, arrives: -time.Minute})
		raw := w.rows["raw_flights"]
		raw[len(raw)-1]["event_time"] = hours(float64(h)).Add(time.Duration(7*h) % 60 * time.Minute)
		w.pane("flights-0@1", 0, "ORD", h, 1, int64(h*h+1), 1)
		if h >= 3 {
			w.batch("ORD", h-3, 1, int64(h*h+1), 1)
		}
	}
	w.create()
	y := w.why("ORD", 5, 50)
	if y.Cause != "time_shift_in_batch" || y.Status != Proven || !y.Batch.Meets || !y.Stream.Meets || len(y.Events) != 2 || y.Events[0].Batch.Counted || !y.Events[1].Batch.Counted {
		t.Errorf("%s %s, batch %+v, stream %+v, %d events", y.Cause, y.Status, y.Batch, y.Stream, len(y.Events))
	}
}

// Rows of a writer that does not count in a window are shown, and why they do not.
func TestWhyRowsDoNotCount(t *testing.T) {
	writer := func(job string) tables.Generation { return tables.Generation{Job: job, Generation: 1} }
	span := tables.Span{From: hours(1), To: hours(2)}
	y := &whyRun{prepared: &prepared{standings: []tables.Standing{
		{Generation: writer("void"), Reason: "void"},
		{Generation: writer("fill"), Counts: true, Within: &span},
		{Generation: writer("live"), Counts: true, Except: []tables.Replaced{{Span: span, By: writer("fill").Writer()}}},
	}}}
	for _, tt := range []struct {
		writer string
		hour   float64
		counts bool
		why    string
	}{
		{"void@1", 1, false, "void"}, {"fill@1", 1, true, ""}, {"fill@1", 2, false, "not in its span of windows"},
		{"live@1", 1, false, "replaced by fill@1"}, {"live@1", 2, true, ""}, {"live@2", 2, false, "not in the generations table"},
	} {
		if counts, why := y.standing(tt.writer, hours(tt.hour)); counts != tt.counts || why != tt.why {
			t.Errorf("%s in hour %v: %v %q, want %v %q", tt.writer, tt.hour, counts, why, tt.counts, tt.why)
		}
	}
}
