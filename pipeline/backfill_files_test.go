package pipeline

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// record is a flight as a record of a file of events.
func (f flight) record(n int) map[string]any {
	m := f.message(n)
	out := map[string]any{}
	if err := json.Unmarshal(m.GetData(), &out); err != nil {
		panic(err)
	}
	out["event_id"], out["message_id"] = m.GetAttributes()[envelope.AttrID], fmt.Sprint(n)
	out["event_time"] = m.GetAttributes()[envelope.AttrEventTime]
	return out
}

// writeEvents writes flights as files of events: lines of JSON, plain and gzipped.
func writeEvents(t *testing.T, dir string, fs []flight) {
	t.Helper()
	var plain, zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	for i, f := range fs {
		line, err := json.Marshal(f.record(i))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			fmt.Fprintf(&plain, "%s\n", line)
		} else {
			fmt.Fprintf(z, "%s\n\n", line)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*bytes.Buffer{"a.json": &plain, "b.json.gz": &zipped} {
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A batch over files of events comes to the truth, in its span alone, and a shadow
// writes no cell.
func TestBackfillFromFiles(t *testing.T) {
	s := spec(t, nil)
	fs := flights(12, 1500, 20*time.Hour, 8)
	fs = append(fs, fs[50:200]...)
	dir := t.TempDir()
	writeEvents(t, dir, fs)
	t.Setenv("BIGQUERY_EMULATOR_HOST", "") // nothing is opened
	least := fs[0].scheduled
	for _, f := range fs {
		if f.scheduled.Before(least) {
			least = f.scheduled
		}
	}
	for _, c := range []struct {
		name   string
		span   tables.Span
		shadow bool
	}{
		{name: "all"},
		{name: "a span", span: tables.Span{From: least.Truncate(time.Hour).Add(3 * time.Hour), To: least.Truncate(time.Hour).Add(9 * time.Hour)}},
		{name: "a shadow", shadow: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := NewPlan(s, "flights-backfill", 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.FindFiles(t.Context(), filepath.Join(dir, "*.json*")); err != nil {
				t.Fatal(err)
			}
			want := fs
			if !c.span.From.IsZero() {
				plan.Within(c.span)
				want = nil
				for _, f := range fs {
					if c.span.Contains(f.scheduled) {
						want = append(want, f)
					}
				}
				if len(want) == 0 || len(want) == len(fs) {
					t.Fatalf("%d of %d flights are in the span: the test shows nothing", len(want), len(fs))
				}
			}
			if c.shadow {
				plan.Table = ""
			}
			m := newMemory()
			if err := Run(t.Context(), Config{Plan: plan, Runner: Prism, Log: slog.New(slog.DiscardHandler), Rows: m, Cells: m, IDs: m}); err != nil {
				t.Fatal(err)
			}
			if got := m.count("raw_flights"); got != len(want) {
				t.Errorf("%d raw rows, want %d", got, len(want))
			}
			if c.shadow {
				if n := len(m.cells); n != 0 {
					t.Errorf("%d rows in Bigtable", n)
				}
				return
			}
			m.same(t, s.Spec.Aggregations[0], truth(want))
		})
	}
}

// What a file of events holds, in each of its forms.
func TestReadEvents(t *testing.T) {
	fields := []Field{{"origin", String}, {"delay", Int64}, {"due", Timestamp}}
	schema := avro.MustParse(`{"type":"record","name":"e","fields":[
		{"name":"event_id","type":"string"},
		{"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"origin","type":["null","string"]},
		{"name":"delay","type":["null","long"]},
		{"name":"due","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
		{"name":"job","type":"string"}]}`)
	at := time.Date(2001, 1, 8, 5, 0, 0, 250_000_000, time.UTC)
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, schema)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []map[string]any{
		{"event_id": "a", "event_time": at, "origin": "ATL", "delay": int64(7), "due": at, "job": "flights-0"},
		{"event_id": "b", "event_time": at, "origin": nil, "delay": nil, "due": nil, "job": "flights-0"},
	} {
		if err := w.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := `{"event_id":"a","event_time":"2001-01-08T05:00:00.25Z","origin":"ATL","delay":7,"due":"2001-01-08T05:00:00.25Z","job":"x"}
{"event_id":"b","event_time":"2001-01-08T06:00:00.25+01:00"}`
	for name, text := range map[string]string{"Avro": b.String(), "JSON": lines} {
		var got []*Message
		if err := readEvents(strings.NewReader(text), "f", fields, func(m *Message) { got = append(got, m) }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got) != 2 {
			t.Fatalf("%s: %d events", name, len(got))
		}
		r := newFieldReader(fields)
		want := [][]Value{{{Valid: true, Str: "ATL"}, {Valid: true, Int: 7}, {Valid: true, Int: at.UnixMicro()}}, make([]Value, 3)}
		for i, m := range got {
			values := make([]Value, 3)
			if err := r.read(m.Data, values); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want[i], values); diff != "" {
				t.Errorf("%s: event %d (-want +got)\n%s", name, i, diff)
			}
			place := fmt.Sprintf("f:%d", i+1)
			if m.Time != at.UnixMicro() || m.Publish != m.Time || m.Source != unknownTime || m.Watermark != unknownTime || m.ID != place || m.EventID != string("ab"[i]) {
				t.Errorf("%s: event %d is %+v", name, i, m)
			}
		}
	}
}

// A file that is none ends the batch, and says where: a history that is read in
// part would be a wrong one.
func TestReadEventsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"{\"event_id\":\"a\",\"event_time\":\"2001-01-08T05:00:00Z\"}\nhello":          "line 2: not a JSON object",
		`{"event_time":"2001-01-08T05:00:00Z"}`:                                        "line 1: the record has no event_id",
		`{"event_id":"a"}`:                                                             "line 1: the record has no event_time",
		`{"event_id":"a","event_time":"yesterday"}`:                                    `line 1: event_time "yesterday" is not`,
		`{"event_id":"a","event_time":"2001-01-08T05:00:00Z","source_time":"2001-01"}`: "line 1: source_time",
		`{"event_id":"a","event_time":"1969-01-08T05:00:00Z"}`:                         "line 1: event_time is before 1970",
		"Obj\x01nonsense":  "not an Avro file",
		"\x1f\x8bnonsense": "gzip",
		otherSchema(t):     "record 1: the record has no event_id",
	} {
		err := readEvents(strings.NewReader(text), "f", nil, func(*Message) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestDays(t *testing.T) {
	day := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	h := func(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }
	for _, c := range []struct{ want []tables.Span }{
		{[]tables.Span{{From: h(3), To: h(5)}}},
		{[]tables.Span{{From: h(0), To: h(24)}}},
		{[]tables.Span{{From: h(20), To: h(24)}, {From: h(24), To: h(48)}, {From: h(48), To: h(49)}}},
	} {
		whole := tables.Span{From: c.want[0].From, To: c.want[len(c.want)-1].To}
		if diff := cmp.Diff(c.want, days(whole)); diff != "" {
			t.Errorf("%v (-want +got)\n%s", whole, diff)
		}
	}
}

func TestFindTable(t *testing.T) {
	plan, err := NewPlan(spec(t, nil), "b", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.FindTable("kappa.raw", nil, 0); err == nil || !strings.Contains(err.Error(), "needs --from and --to") {
		t.Errorf("without a span: %v", err)
	}
	plan.Within(tables.Span{From: time.Unix(0, 0), To: time.Unix(90_000, 0)})
	for _, table := range []string{"raw", ".raw", "kappa.", "ka`ppa.raw"} {
		if err := plan.FindTable(table, nil, 0); err == nil || !strings.Contains(err.Error(), "is not DATASET.TABLE") {
			t.Errorf("%q: %v", table, err)
		}
	}
	if err := plan.FindTable("kappa.raw", []string{"j@1"}, 7); err != nil || len(plan.Batch.Slices) != 2 || !strings.HasSuffix(plan.Batch.Table, ".kappa.raw") || !plan.Batch.Given() {
		t.Errorf("%+v, %v", plan.Batch, err)
	}
}
