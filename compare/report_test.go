package compare

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/goldentest"
)

func text(s string) *string { return &s }

// fixture is a result like that of the flights week, with texts in it that
// must be escaped.
func fixture() *Result {
	watermark, seen, replaced := hours(170), hours(171), span(40, 42)
	covered, loaded := hours(168), hours(172)
	r := &Result{
		Version: ResultVersion, Comparison: "flights", Description: "May the hourly flights per origin <airport> be served from the stream?",
		Environment: "sandbox", SpecHash: strings.Repeat("5e", 32), Started: hours(173), Seconds: 2.5,
		Gate: Gate{"95", 0},
		Scope: Scope{Project: "kappa-demo", Dataset: "kappa", BatchTable: "batch_flights", StreamTable: "stream_flights", Keys: []string{"origin"},
			Range: span(0, 172), Default: true, WindowSize: "1h", Settled: []Range{span(0, 168)}, Windows: 168,
			LeftOut: []LeftOut{{LeftOutStreamOpen, "the stream's watermark, 2001-01-15T02:00:00Z, is not past their end by 2h", 4, []Range{span(168, 172)}}}},
		Batch: BatchFreshness{Loads: 43, CoveredTo: &covered, LastLoaded: &loaded, Rows: 16372},
		Stream: StreamFreshness{SettledTo: &watermark, Rows: 18000, Copies: 3,
			Jobs: []JobState{{Job: "flights-0", Generation: 2, Watermark: &watermark, ObservedAt: &seen}, {Job: "flights-1", Generation: 1, AtMaximum: true, ObservedAt: &seen}},
			Generations: []Writer{
				{Job: "fill", Generation: 1, Kind: "backfill", State: "drained", Counts: true, Within: &replaced},
				{Job: "flights-0", Generation: 1, Kind: "stream", State: "void", Reason: "void", Ignored: 120},
				{Job: "flights-0", Generation: 2, Kind: "stream", State: "open", Counts: true, Except: []ReplacedRange{{replaced, "fill@1"}}, Ignored: 7},
				{Job: "flights-1", Generation: 1, Kind: "stream", State: "drained", Counts: true, Except: []ReplacedRange{{replaced, "fill@1"}}}}},
		Warnings: []string{"3 rows of ghost@1 do not count: the writer is not in the generations table"},
		Cost: Cost{Estimated: 1_700_000, Accuracy: "PRECISE", Processed: 1_700_000, Billed: 20 << 20, LowerBound: 20 << 20, Evidence: 9_000_000,
			Jobs: []QueryJob{{"reconcile", "job_abc", 1_700_000, 20 << 20}, {"evidence", "job_def", 9_000_000, 20 << 20}}},
	}
	for h := range 168 {
		w := WindowResult{Start: hours(float64(h)), Counts: Counts{Total: 98}, Metrics: []MetricDelta{{"flights", "0", "0"}, {"delay_sum", "0", "0"}}}
		if h%24 >= 15 {
			w.Counts.Mismatch, w.Counts.Extra = int64(h%7)+3, int64(h%3)
			w.Metrics[0] = MetricDelta{"flights", "12", "12"}
			w.Metrics[1] = MetricDelta{"delay_sum", "-9007199254740993", "9007199254740993"}
		}
		w.Counts.Exact = w.Counts.Total - w.Counts.Differing()
		r.Windows = append(r.Windows, w)
		r.Counts.Total += w.Counts.Total
		r.Counts.Exact += w.Counts.Exact
		r.Counts.Mismatch += w.Counts.Mismatch
		r.Counts.Extra += w.Counts.Extra
	}
	r.Exact = NewRatio(r.Counts.Exact, r.Counts.Total)
	r.Metrics = []Metric{
		{"flights", "count", "114000", "115245", "1245", "1245", map[string]string{ClassExact: "110000", ClassMismatch: "5000", ClassExtra: "245", ClassTolerated: "0", ClassMissing: "0", ClassNonunique: "0"}, Ratio{"110000", "115245"}},
		{"delay_sum", "sum", "9007199254740993", "-5", "-9007199254740998", "9007199254740998", map[string]string{ClassExact: "0", ClassMismatch: "9007199254740993", ClassExtra: "0", ClassTolerated: "0", ClassMissing: "0", ClassNonunique: "0"}, Ratio{"0", "9007199254740993"}},
	}
	n := r.Counts.Differing()
	r.Causes = Causes{Differing: n, Unexplained: 2, Explained: NewRatio(n-2, n), EvidenceRead: true, Entries: []Cause{
		{Unexplained, Unexplained, 2, NewRatio(2, n)},
		{"late_dropped_by_batch", Proven, n - 7, NewRatio(n-7, n)},
		{"duplicates_in_batch or late_dropped_by_batch", Likely, 5, NewRatio(5, n)}}}
	r.Segments = []SegmentResult{{Column: "origin", Truncated: true, Worst: []SegmentValue{
		{text("ORD"), Counts{Total: 168, Exact: 120, Mismatch: 48}, []MetricDelta{{"flights", "90", "90"}, {"delay_sum", "1200", "1200"}}},
		{nil, Counts{Total: 9, Exact: 8, Extra: 1}, []MetricDelta{{"flights", "1", "1"}, {"delay_sum", "0", "0"}}}}}}
	q, err := newQueries(&flightsSpec().Spec)
	if err != nil {
		panic(err)
	}
	sample := func(class, cause, status, origin string, batch, stream *string) Sample {
		sql := q.sampleSQL(&difference{window: hours(17), keys: []bigquery.Value{origin}})
		return Sample{Class: class, Key: []KeyValue{{"origin", &origin}}, Window: hours(17), BatchRows: 1, StreamRows: 2, Cause: cause, Status: status, SQL: sql,
			Metrics: []SampleMetric{{"flights", batch, stream, "1"}, {"delay_sum", nil, text("9007199254740993"), "9007199254740993"}}}
	}
	r.Samples = []Sample{
		sample(ClassMismatch, Unexplained, Unexplained, `<script>alert("x")</script>`, text("3"), text("4")),
		sample(ClassMismatch, "late_dropped_by_batch", Proven, "O'Hare\x1b[31m\n`", text("3"), text("4")),
		sample(ClassExtra, "duplicates_in_batch or late_dropped_by_batch", Likely, "ORD", nil, text("1")),
	}
	r.Samples[2].Key[0].Value = nil
	r.Verdict = decide(flightsSpec().Spec.Gate, r)
	return r
}

func nothingToJudge() *Result {
	r := fixture()
	r.Counts, r.Exact, r.Metrics, r.Windows, r.Segments, r.Samples = Counts{}, NewRatio(0, 0), []Metric{}, []WindowResult{}, []SegmentResult{}, []Sample{}
	r.Scope.Settled, r.Scope.Windows, r.Scope.Range = []Range{}, 0, Range{}
	r.Scope.LeftOut = []LeftOut{{LeftOutNotLoaded, "the table batch_loads lists no load of batch_flights", 0, []Range{}}}
	r.Batch, r.Stream, r.Warnings, r.Cost = BatchFreshness{}, StreamFreshness{Jobs: []JobState{{Job: "flights-0", Problem: "it is not in the generations table"}}}, []string{}, Cost{}
	r.Causes = summarize(nil, 0, 0)
	r.Verdict = decide(flightsSpec().Spec.Gate, r)
	return r
}

func views(r *Result) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{
		"txt": func(w io.Writer) error { return r.WriteText(w, 100, false) }, "color.txt": func(w io.Writer) error { return r.WriteText(w, 60, true) },
		"json": r.WriteJSON, "html": r.WriteHTML, "md": r.WriteMarkdown, "junit.xml": r.WriteJUnit,
	}
}

func render(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGoldenReports(t *testing.T) {
	for name, r := range map[string]*Result{"hold": fixture(), "nodata": nothingToJudge()} {
		for ext, write := range views(r) {
			t.Run(name+"."+ext, func(t *testing.T) {
				goldentest.Check(t, filepath.Join("testdata", name+"."+ext), render(t, write))
			})
		}
	}
}

func TestTextKeepsToTheWidthAndTheTerminal(t *testing.T) {
	r := fixture()
	for _, width := range []int{40, 80, 132} {
		got := render(t, func(w io.Writer) error { return r.WriteText(w, width, false) })
		report, _, _ := strings.Cut(got, "\nSQL of the first sample")
		for l := range strings.Lines(report) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > width {
				t.Errorf("width %d: line of %d columns: %q", width, n, l)
			}
		}
		if strings.ContainsAny(got, "\x1b\x00") {
			t.Errorf("width %d: control characters from the data reach the terminal", width)
		}
	}
}

func TestHTMLIsSelfContainedAndEscaped(t *testing.T) {
	got := render(t, fixture().WriteHTML)
	for _, bad := range []string{`<script>alert`, "\x1b"} {
		if strings.Contains(got, bad) {
			t.Errorf("the page holds %q unescaped", bad)
		}
	}
	if loads := regexp.MustCompile(`(?i)(src|href|url|@import|https?:)\s*[=(/]`).FindAllString(got, -1); loads != nil {
		t.Errorf("the page would load something: %q", loads)
	}
	for _, want := range []string{`<html lang="en">`, `prefers-color-scheme:dark`, `role="img"`, `default-src 'none'`, `id="h-time"`, `id="h-heat"`, `id="h-diff0"`, `<h1>flights</h1>`} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	// Every id that is pointed at exists, once.
	for _, m := range regexp.MustCompile(`aria-(?:labelledby|describedby)="([^"]+)"`).FindAllStringSubmatch(got, -1) {
		if n := strings.Count(got, `id="`+m[1]+`"`); n != 1 {
			t.Errorf("id %s exists %d times", m[1], n)
		}
	}
}

func TestJSONReadsBack(t *testing.T) {
	want := fixture()
	var got Result
	if err := json.Unmarshal([]byte(render(t, want.WriteJSON)), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestJUnitIsXML(t *testing.T) {
	for _, r := range []*Result{fixture(), nothingToJudge()} {
		var suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
		}
		if err := xml.Unmarshal([]byte(render(t, r.WriteJUnit)), &suite); err != nil {
			t.Fatal(err)
		}
		if suite.Tests == 0 || suite.Failures+suite.Errors == 0 {
			t.Errorf("verdict %s passes as %+v", r.Verdict.Verdict, suite)
		}
	}
}

func TestWriteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 { // the second time replaces
		if err := fixture().WriteFiles(dir); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(Files) {
		t.Errorf("%d files, want %d: nothing may be left behind", len(entries), len(Files))
	}
	for _, f := range Files {
		if st, err := os.Stat(filepath.Join(dir, f)); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestChartsGroupLongRanges(t *testing.T) {
	r := fixture()
	for h := 168; h < 24*400; h++ {
		r.Windows = append(r.Windows, WindowResult{Start: hours(float64(h)), Counts: Counts{Total: 1, Exact: 1}, Metrics: r.Windows[0].Metrics})
	}
	bs, size := buckets(r)
	if len(bs) > maxBars || size%day != 0 {
		t.Errorf("%d bars of %s", len(bs), size)
	}
	var total int64
	for _, b := range bs {
		total += b.counts.Total
	}
	if want := r.Counts.Total + 24*400 - 168; total != want {
		t.Errorf("bars hold %d keys, want %d", total, want)
	}
	if h := heatMap(r); !strings.Contains(h.Description, "last 62 days") {
		t.Errorf("heat map: %s", h.Description)
	}
	r.Scope.WindowSize = (6 * time.Hour).String()
	if heatMap(r) != nil {
		t.Error("a heat map by hour of windows longer than an hour")
	}
}

func TestStringLiteral(t *testing.T) {
	tests := map[string]string{"ORD": `'ORD'`, `O'Hare`: `'O\'Hare'`, "a\\b\nc\x00": `'a\\b\nc\x00'`, "é\u2028": `'é\u2028'`}
	for in, want := range tests {
		if got := stringLiteral(in); got != want {
			t.Errorf("stringLiteral(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestIdentifiersAreRefused(t *testing.T) {
	for _, bad := range []string{"a`b", `a\b`, "a b", "a\nb", "", "1a", "ä", strings.Repeat("a", 301)} {
		spec := flightsSpec()
		spec.Spec.Keys[0].Name = bad
		if _, err := newQueries(&spec.Spec); err == nil {
			t.Errorf("column %q is let through", bad)
		}
	}
	for _, bad := range []string{"a`b", "a.b", "a\x00", ""} {
		spec := flightsSpec()
		spec.Spec.Stream.Table = bad
		if _, err := newQueries(&spec.Spec); err == nil {
			t.Errorf("table %q is let through", bad)
		}
	}
}
