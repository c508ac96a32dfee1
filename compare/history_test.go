package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// historyWorld is a world of three settled days with a history; one key of the
// second day is missing on the stream side.
func historyWorld(t *testing.T) *world {
	w := newWorld(t)
	w.load(0, 72)
	for h := range 72 {
		w.both("ORD", h, 2)
	}
	w.batch("ATL", 30, 1, 1, 1)
	w.spec.Spec.Gate = jobspecs.Gate{Days: 3}
	w.spec.Spec.History.Dataset = w.spec.Spec.Dataset + "_history"
	w.create()
	if err := client.Dataset(w.spec.Spec.History.Dataset).Create(ctxBackground, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// at is a run that begins at an hour.
func (w *world) at(hour float64, r Range) *Result {
	w.t.Helper()
	cfg := w.config()
	cfg.Range, cfg.Now = r, func() time.Time { return hours(hour) }
	res, err := Run(ctxBackground, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// rows reads a table of the history.
func (w *world) history(sql string) []map[string]bigquery.Value {
	w.t.Helper()
	it, err := client.Query(strings.ReplaceAll(sql, "history.", w.spec.Spec.History.Dataset+".")).Read(ctxBackground)
	if err != nil {
		w.t.Fatal(err)
	}
	var rows []map[string]bigquery.Value
	for {
		row := map[string]bigquery.Value{}
		err := it.Next(&row)
		if err == iterator.Done {
			return rows
		}
		if err != nil {
			w.t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

const allRuns = "SELECT * FROM history.compare_runs ORDER BY segment, range_from, range_to"

func TestHistory(t *testing.T) {
	w := historyWorld(t)
	first := w.at(200, Range{})
	if first.Verdict.Verdict != Hold || len(first.Days) != 3 || first.Days[1].Unexplained != 1 || first.Last != nil || first.Passes != 0 || len(first.Trend) != 1 {
		t.Errorf("the first run: %s by %s, days %+v, trend %+v", first.Verdict.Verdict, first.Verdict.Rule, first.Days, first.Trend)
	}
	rows := w.history(allRuns)
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r["segment"], " ", date(r["range_from"].(time.Time)), " ", r["windows"], " ", r["keys"], " ", r["missing"], " ", r["unexplained"], " ", r["batch_rows"], " ", r["verdict"], " ", r["source"]))
	}
	want := []string{" 2001-01-08 72 73 1 1 73 HOLD cli", "day 2001-01-08 24 24 0 0 <nil> <nil> cli", "day 2001-01-09 24 25 1 1 <nil> <nil> cli", "day 2001-01-10 24 24 0 0 <nil> <nil> cli"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("compare_runs (-want +got):\n%s", diff)
	}
	if got := rows[2]["metrics"]; got != `[{"name":"flights","batch":null,"stream":null,"difference":"-1","absolute":"1","weight":"49","agree":"48"},{"name":"delay_sum","batch":null,"stream":null,"difference":"-1","absolute":"1","weight":"241","agree":"240"},{"name":"distance_sum","batch":null,"stream":null,"difference":"-1","absolute":"1","weight":"4801","agree":"4800"}]` {
		t.Errorf("metrics of a day: %s", got)
	}
	keys := w.history("SELECT run_id, window_start, key, class, cause, status FROM history.compare_keys")
	wantKeys := []map[string]bigquery.Value{{"run_id": runID(first), "window_start": hours(30), "key": `["ATL"]`, "class": ClassMissing, "cause": Unexplained, "status": Unexplained}}
	if diff := cmp.Diff(wantKeys, keys); diff != "" {
		t.Errorf("compare_keys (-want +got):\n%s", diff)
	}

	// The same run again writes the same rows once.
	again := w.at(200, Range{})
	if diff := cmp.Diff(rows, w.history(allRuns), cmp.FilterPath(func(p cmp.Path) bool { return strings.Contains(p.GoString(), "job_id") }, cmp.Ignore())); diff != "" {
		t.Errorf("the run that was repeated changed the history (-then +now):\n%s", diff)
	}
	if again.Last != nil || len(again.Trend) != 1 {
		t.Errorf("a run is its own last run: %+v, trend %+v", again.Last, again.Trend)
	}

	// The key is there now, and another one is not.
	w.insert("stream_flights", w.pane("flights-0@1", 0, "ATL", 30, 1, 1, 1))
	w.insert("batch_flights", aggregate("DEN", 5, 1, 1, 1))
	next := w.at(201, span(0, 72))
	if diff := cmp.Diff([]Transition{{ClassExact, ClassMissing, 1}, {ClassMissing, ClassExact, 1}}, next.Transitions); diff != "" {
		t.Errorf("transitions (-want +got):\n%s", diff)
	}
	if next.Last == nil || next.Last.ID != runID(first) || next.Last.Verdict != Hold || len(w.history(allRuns)) != 4 || len(w.history("SELECT * FROM history.compare_keys")) != 1 {
		t.Errorf("last run %+v", next.Last)
	}
	left, err := client.Dataset(w.spec.Spec.History.Dataset).Tables(ctxBackground).Next()
	for ; err == nil; left, err = nil, iterator.Done {
		if left.TableID != tables.CompareKeys && left.TableID != tables.CompareRuns {
			t.Errorf("a scratch table is left: %s", left.TableID)
		}
	}
}

// insert writes a row once the world is made.
func (w *world) insert(table string, r record) {
	w.t.Helper()
	if err := client.Dataset(w.spec.Spec.Dataset).Table(table).Inserter().Put(ctxBackground, r); err != nil {
		w.t.Fatal(err)
	}
}

// Days that earlier runs have compared count for the gate.
func TestDaysOfEarlierRunsCount(t *testing.T) {
	w := historyWorld(t)
	w.insert("stream_flights", w.pane("flights-0@1", 0, "ATL", 30, 1, 1, 1))
	if r := w.at(200, span(0, 24)); r.Verdict.Verdict != NoData {
		t.Fatalf("%s by %s", r.Verdict.Verdict, r.Verdict.Rule)
	}
	if r := w.at(201, span(24, 48)); r.Verdict.Verdict != NoData || len(r.Days) != 2 || r.Days[0].Run == "" || r.Days[1].Run != "" {
		t.Fatalf("%s by %s, days %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Days)
	}
	r := w.at(202, span(48, 72))
	if r.Verdict.Verdict != Go || r.Passes != 1 || len(r.Trend) != 3 {
		t.Fatalf("%s by %s, trend %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Trend)
	}
	d, err := DecideByHistory(ctxBackground, w.config(), 0)
	if err != nil || d.Verdict.Verdict != Go || len(d.Days) != 3 || !d.Newest.Equal(hours(202)) {
		t.Errorf("by the history: %+v, %v", d, err)
	}
	// Another spec has other days.
	w.spec.Spec.Gate.MinExactPercent = "1"
	if d, err := DecideByHistory(ctxBackground, w.config(), 0); err != nil || d.Verdict.Verdict != NoData {
		t.Errorf("by the history of another spec: %+v, %v", d, err)
	}
	if r := w.at(203, span(48, 72)); r.Verdict.Verdict != NoData || len(r.Days) != 1 {
		t.Errorf("%s by %s", r.Verdict.Verdict, r.Verdict.Rule)
	}
	w.spec.Spec.Gate.Days = 0
	if r := w.at(204, span(48, 72)); r.Verdict.Verdict != Go || r.Passes != 1 {
		t.Errorf("%s by %s, %d passes in %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Passes, r.Trend)
	}
	if d, err := DecideByHistory(ctxBackground, w.config(), 0); err != nil || d.Verdict.Verdict != Go || !strings.HasPrefix(d.Verdict.Rule, "the newest run, of 2001-01-10") {
		t.Errorf("by the newest run: %+v, %v", d, err)
	}
}

// Windows that were not settled are looked at again by the next run.
func TestSecondLookAtWindows(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 1, 2)
	w.batch("ORD", 9, 1, 1, 1)
	w.spec.Spec.History.Dataset = w.spec.Spec.Dataset
	w.create()
	w.at(200, span(0, 12)) // eight hours are loaded
	w.insert(tables.BatchLoads, record{"load": "flights", "target": "batch_flights", "range_start": hours(8), "range_end": hours(10), "row_count": 1, "source": "gs://b/", "job_id": "j", "loaded_at": hours(100)})
	r := w.at(201, span(4, 12))
	if diff := cmp.Diff(&SecondLook{Windows: 4, Compared: 2, Differing: 1, StillOpen: []Range{span(10, 12)}}, r.SecondLook); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Transition{{classUnknown, ClassMissing, 1}}, r.Transitions); diff != "" {
		t.Errorf("transitions (-want +got):\n%s", diff)
	}
}

// recorder counts what is asked of BigQuery.
type recorder struct {
	base   http.RoundTripper
	writes []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		var body []byte
		if req.Body != nil {
			body, _ = io.ReadAll(req.Body)
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		var job struct {
			Configuration struct{ Query struct{ Query string } }
			Query         string
		}
		_ = json.Unmarshal(body, &job)
		sql := strings.TrimSpace(job.Query + job.Configuration.Query.Query)
		if !strings.HasPrefix(sql, "SELECT") && !strings.HasPrefix(sql, "WITH") {
			r.writes = append(r.writes, req.Method+" "+req.URL.Path+" "+sql)
		}
	}
	return r.base.RoundTrip(req)
}

// Without a history, or where it is only read, nothing is written.
func TestRunsWithoutHistoryWriteNothing(t *testing.T) {
	w := historyWorld(t)
	dataset := w.spec.Spec.History.Dataset
	run := func(history string, readOnly bool) []string {
		t.Helper()
		rec := &recorder{base: http.DefaultTransport}
		recording, err := bigquery.NewClient(ctxBackground, "kappa-demo", option.WithEndpoint(endpoint), option.WithHTTPClient(&http.Client{Transport: rec}))
		if err != nil {
			t.Fatal(err)
		}
		defer recording.Close()
		w.spec.Spec.History.Dataset = history
		cfg := w.config()
		cfg.Client, cfg.ReadOnly = recording, readOnly
		if _, err := Run(ctxBackground, cfg); err != nil {
			t.Fatal(err)
		}
		return rec.writes
	}
	if writes := run("", false); len(writes) > 0 {
		t.Errorf("a run without a history has written: %q", writes)
	}
	if writes := run(dataset, true); len(writes) > 0 {
		t.Errorf("a run that only reads the history has written: %q", writes)
	}
	writes := run(dataset, false)
	merges := slices.DeleteFunc(slices.Clone(writes), func(s string) bool { return !strings.Contains(s, " MERGE ") })
	if len(merges) != 2 { // one for the keys, one for all rows of the run
		t.Errorf("a run with a history: %q", writes)
	}
}

func TestHistoryThatIsNotThere(t *testing.T) {
	w := newWorld(t)
	w.both("ORD", 0, 2)
	w.spec.Spec.History.Dataset = "nowhere"
	w.create()
	read := false
	cfg := w.config()
	cfg.Progress = func(p Progress) { read = read || p.Phase == "reconcile" }
	if _, err := Run(ctxBackground, cfg); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), "kappa-demo.nowhere, does not exist") || read {
		t.Errorf("error %v, both sides read: %v", err, read)
	}
	w.spec.Spec.History.Dataset = ""
	if _, err := DecideByHistory(ctxBackground, w.config(), 0); exit.Of(err) != exit.Usage {
		t.Errorf("error %v", err)
	}
}

// A damaged row ends the run: days must not vanish from the gate.
func TestDamagedHistory(t *testing.T) {
	for _, row := range []tables.CompareRun{{Metrics: "{"}, {Metrics: "[]", Unexplained: intCell(1), UnexplainedWeights: stringCell("[")}} {
		if _, err := historyDay(row); err == nil {
			t.Errorf("%+v was read", row)
		}
	}
}

// What a schedule writes has no causes: nothing that differs is explained.
func TestRowsOfASchedule(t *testing.T) {
	d, err := historyDay(tables.CompareRun{Segment: tables.SegmentDay, RangeFrom: hours(0), RangeTo: hours(24), Keys: 5, Exact: 3, Extra: 2, Source: tables.SourceSchedule,
		Metrics: `[{"name":"flights","batch":null,"stream":null,"difference":"1","absolute":"3","weight":"10","agree":"7.5"}]`})
	want := Day{Start: hours(0), End: hours(24), Counts: Counts{Total: 5, Exact: 3, Extra: 2}, Unexplained: 2, Run: tables.SourceSchedule, Metrics: []DayMetric{{"flights", "10", "7.5", "2.5", "1", "3"}}}
	if diff := cmp.Diff(want, d); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if v := decideDays(Gate{Days: 1}, []Day{d}, Day{}); v.Verdict != Hold {
		t.Errorf("%s by %s", v.Verdict, v.Rule)
	}
}

func TestRunsAreCancelledWhileTheyAreRecorded(t *testing.T) {
	w := historyWorld(t)
	ctx, cancel := context.WithCancel(ctxBackground)
	cfg := w.config()
	cfg.Progress = func(p Progress) {
		if p.Phase == "history" {
			cancel()
		}
	}
	if _, err := Run(ctx, cfg); exit.Of(err) != exit.Interrupted {
		t.Errorf("error %v, code %d", err, exit.Of(err))
	}
}

// A day whose batch was loaded again counts no more: what the earlier run has found
// is of numbers that are gone.
func TestDaysThatWereLoadedAgainDoNotCount(t *testing.T) {
	w := historyWorld(t)
	w.insert("stream_flights", w.pane("flights-0@1", 0, "ATL", 30, 1, 1, 1))
	if r := w.at(200, span(0, 48)); r.Verdict.Verdict != NoData || len(r.Days) != 2 {
		t.Fatalf("%s by %s", r.Verdict.Verdict, r.Verdict.Rule)
	}
	load := func(from, to, at float64) {
		w.insert(tables.BatchLoads, record{"load": "flights", "target": "batch_flights", "range_start": hours(from), "range_end": hours(to), "row_count": 1, "source": "gs://b/", "job_id": "j", "loaded_at": hours(at)})
	}
	load(0, 24, 199) // before the run
	load(30, 31, 200.5)
	r := w.at(201, span(48, 72))
	if r.Verdict.Verdict != NoData || len(r.Days) != 1 || !strings.Contains(strings.Join(r.Warnings, "; "), "1 day that an earlier run has compared") {
		t.Errorf("%s by %s, days %+v, warnings %q", r.Verdict.Verdict, r.Verdict.Rule, r.Days, r.Warnings)
	}
	d, err := DecideByHistory(ctxBackground, w.config(), 0)
	if err != nil || d.Verdict.Verdict != NoData || len(d.Days) != 1 || !strings.HasSuffix(d.Verdict.Rule, "; 1 day restated by a batch load since") {
		t.Errorf("by the history: %+v, %v", d, err)
	}
	if r := w.at(202, span(24, 72)); r.Verdict.Verdict != Go || len(r.Days) != 3 {
		t.Errorf("compared again: %s by %s, days %+v", r.Verdict.Verdict, r.Verdict.Rule, r.Days)
	}
	if d, err := DecideByHistory(ctxBackground, w.config(), 0); err != nil || d.Verdict.Verdict != Go {
		t.Errorf("by the history, compared again: %+v, %v", d, err)
	}
}
