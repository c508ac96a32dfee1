package compare

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// monitorOf is a monitor of a world's tables.
func monitorOf(w *world) *jobspecs.DuplicateMonitor {
	m := &jobspecs.DuplicateMonitor{Metadata: jobspecs.Metadata{Name: "flights"}}
	m.Spec = jobspecs.DuplicateMonitorSpec{
		Platform: w.spec.Spec.Platform, Dataset: w.spec.Spec.Dataset, Raw: "raw_flights", Late: "late_flights", Keys: []string{"origin"},
		Counts: jobspecs.DuplicateCounts{Job: "flights", Table: "stream_flights", Measure: "flights", Window: jobspecs.Duration(time.Hour)},
		Range:  jobspecs.DuplicateRange{Last: jobspecs.Duration(4 * time.Hour), Past: jobspecs.Duration(4 * time.Hour)},
		Alert:  jobspecs.DuplicateAlert{MaxPercentBefore: "20", MaxPercentAfter: "0", MaxIncrease: "10"},
		Top:    5, Limits: jobspecs.DuplicateLimits{MaxBytesBilled: 1 << 30, MaxBytesExact: 1 << 30, JobTimeout: jobspecs.Duration(time.Minute)},
	}
	return m
}

// lookFor runs the monitor over hours 4 to 8 of a world.
func (w *world) lookFor(change func(*DuplicatesConfig)) *Duplicates {
	w.t.Helper()
	cfg := DuplicatesConfig{Spec: monitorOf(w), Client: client, Range: Range{To: hours(8)}, Now: func() time.Time { return hours(200) }}
	if change != nil {
		change(&cfg)
	}
	res, err := RunDuplicates(ctxBackground, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if text := Text(res, 0); !strings.Contains(text, res.Verdict) || !strings.Contains(text, res.Rule) {
		w.t.Errorf("the text does not say the verdict:\n%s", text)
	}
	return res
}

// steady is a world with ten flights of each of two origins in every hour, one of
// which was delivered twice.
func steady(t *testing.T) *world {
	w := newWorld(t)
	for hour := range 8 {
		for _, origin := range []string{"SFO", "JFK"} {
			for range 9 {
				w.event(flight{origin: origin, hour: hour, arrives: -time.Minute})
			}
			w.deliver(fmt.Sprintf("twice-%s-%d", origin, hour), flight{origin: origin, hour: hour, arrives: -time.Minute}, 2)
			w.pane("flights-0@1", 0, origin, hour, 10, 0, 0)
		}
	}
	return w
}

func TestDuplicatesAreCheapFirst(t *testing.T) {
	w := steady(t)
	w.create()
	res := w.lookFor(nil)
	if res.Verdict != DuplicatesOK || res.ExitCode() != exit.OK || res.Exact || res.After != nil || len(res.Keys) > 0 {
		t.Errorf("got %+v", res)
	}
	if d := cmp.Diff(NewRatio(8, 80), res.Before); d != "" {
		t.Error(d)
	}
	if res.Change == nil || *res.Change != "0.0000" || len(res.Windows) != 4 {
		t.Errorf("change %v, windows %+v", res.Change, res.Windows)
	}
	var purposes []string
	for _, j := range res.Jobs {
		purposes = append(purposes, j.Purpose)
	}
	if d := cmp.Diff([]string{"generations", "watermarks", "duplicates"}, purposes); d != "" {
		t.Errorf("one query counts: %s", d)
	}
	// The first query must not read what is dear: ids, messages and positions.
	m, err := newMonitor(DuplicatesConfig{Spec: monitorOf(w), Client: client})
	if err != nil {
		t.Fatal(err)
	}
	for _, dear := range []string{"event_id", "message_id", "position"} {
		if strings.Contains(m.countSQL(), dear) {
			t.Errorf("the first query reads %s:\n%s", dear, m.countSQL())
		}
	}
}

func TestDuplicatesExact(t *testing.T) {
	w := steady(t)
	// In hour 5: a record that was published twice, one that the source has twice, one
	// that is delivered again after the horizon, and one that was too late.
	again := flight{origin: "SFO", hour: 5, arrives: -time.Minute}
	w.deliver("republished", again, 2)
	w.deliver("recorded", again, 1)
	w.deliver("recorded", again, 1)
	w.deliver("late-again", again, 1)
	again.late = true
	w.deliver("late-again", again, 1)
	w.deliver("late", again, 1)
	redelivered := record{}
	for k, v := range w.rows["raw_flights"][len(w.rows["raw_flights"])-1] { // "late", once more
		redelivered[k] = v
	}
	redelivered["message_id"] = "m-late-2"
	w.add("raw_flights", redelivered)
	late := record{"watermark": hours(99)}
	for k, v := range redelivered {
		late[k] = v
	}
	w.add("late_flights", late)
	for _, r := range w.rows["raw_flights"] { // one message of those of "republished", once more
		if r["event_id"] == "republished" {
			w.add("raw_flights", r)
			break
		}
	}
	w.pane("flights-0@1", 1, "SFO", 5, 3, 0, 0)
	w.create()
	res := w.lookFor(func(c *DuplicatesConfig) { c.Exact = true })
	want := DistinctCounts{Events: 84, TooLate: 1, Redelivered: 1, Republished: 10, Recorded: 2, Twice: 0, Missing: 0}
	if d := cmp.Diff(&want, res.Counts.DistinctCounts); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if res.Counts.Deliveries != 97 || res.Counts.Late != 3 || res.Counts.Counted != 83 {
		t.Errorf("counts %+v", res.Counts)
	}
	if d := cmp.Diff(NewRatio(13, 84), res.Before); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(NewRatio(0, 83), *res.After); d != "" {
		t.Error(d)
	}
	if res.Why != "asked for" || len(res.Windows) != 4 || !res.Windows[0].Start.Equal(hours(5)) || res.Windows[0].Duplicates != 7 {
		t.Errorf("why %q, windows %+v", res.Why, res.Windows)
	}
	if len(res.Keys) != 2 || *res.Keys[0].Values[0] != "SFO" || res.Keys[0].Duplicates != 9 || res.Keys[1].Duplicates != 4 {
		t.Errorf("keys %+v", res.Keys)
	}
	if len(res.Positions) != 1 || *res.Positions[0].Values[0] != "c/flights/0" || res.Positions[0].Duplicates != 13 {
		t.Errorf("positions %+v", res.Positions)
	}
	if res.Verdict != DuplicatesOK {
		t.Errorf("verdict %s: %s", res.Verdict, res.Rule)
	}
}

// What deduplication lets through shows as fewer duplicates by the counts.
func TestDuplicatesThatAreCounted(t *testing.T) {
	w := steady(t)
	for hour := 4; hour < 8; hour++ {
		w.pane("flights-0@1", 1, "SFO", hour, 1, 0, 0)
		w.pane("flights-0@1", 1, "JFK", hour, 1, 0, 0)
	}
	w.create()
	res := w.lookFor(func(c *DuplicatesConfig) { c.Spec.Spec.Alert.MaxIncrease = "5" })
	if res.Verdict != DuplicatesAlert || res.ExitCode() != exit.GateNotMet || !strings.Contains(res.Why, "fallen") || res.Counts.Twice != 8 {
		t.Errorf("verdict %s (%s), why %q, counts %+v", res.Verdict, res.Rule, res.Why, res.Counts)
	}
	if d := cmp.Diff(NewRatio(8, 80), *res.After); d != "" {
		t.Error(d)
	}
}

// What is missing in one window does not make up for what is too much in another.
func TestDuplicatesDoNotCancel(t *testing.T) {
	w := steady(t)
	for hour := 4; hour < 6; hour++ {
		for range 5 {
			w.event(flight{origin: "SFO", hour: hour, arrives: -time.Minute}) // never counted
		}
	}
	w.pane("flights-0@1", 1, "SFO", 6, 10, 0, 0)
	w.create()
	res := w.lookFor(func(c *DuplicatesConfig) { c.Exact = true })
	if res.Counts.Twice != 10 || res.Counts.Missing != 10 || res.Verdict != DuplicatesAlert || !strings.Contains(res.Rule, "maxPercentAfter") {
		t.Errorf("verdict %s (%s), counts %+v", res.Verdict, res.Rule, res.Counts.DistinctCounts)
	}
}

// Rows count as their writers do: those of a void generation are no deliveries.
func TestDuplicatesOfWritersThatCount(t *testing.T) {
	w := steady(t)
	w.generation("flights-1", 1, "stream", "void", "")
	w.generation("flights-1", 2, "stream", "drained", "")
	w.watermark("flights-1", 2, time.Time{}, true)
	for range 50 {
		w.event(flight{origin: "SFO", hour: 6, arrives: -time.Minute, by: "flights-1@1"})
	}
	w.pane("flights-1@1", 0, "SFO", 6, 50, 0, 0)
	// A sink that sent a pane twice has written it once.
	w.pane("flights-0@1", 0, "SFO", 6, 10, 0, 0)
	w.create()
	res := w.lookFor(func(c *DuplicatesConfig) { c.Exact = true })
	if res.Counts.Deliveries != 88 || res.Counts.Counted != 80 || res.Counts.Events != 80 || res.Verdict != DuplicatesOK {
		t.Errorf("verdict %s, counts %+v %+v", res.Verdict, res.Counts, res.Counts.DistinctCounts)
	}
}

// With rollups an event is in several sets; one of them is counted.
func TestDuplicatesWithRollups(t *testing.T) {
	w := newWorld(t)
	w.dimensions, w.rollups = []string{"origin", "gate"}, [][]string{{"origin"}, {}}
	for hour := range 8 {
		for range 10 {
			w.event(flight{origin: "SFO", hour: hour, arrives: -time.Minute})
		}
		for _, set := range []string{"origin,gate", "origin", ""} {
			r := w.pane("flights-0@1", 0, "SFO", hour, 10, 0, 0)
			r[jobspecs.RollupColumn] = set
		}
	}
	w.create()
	res := w.lookFor(nil)
	if res.Counts.Counted != 40 || res.Exact || res.Verdict != DuplicatesOK {
		t.Errorf("verdict %s, counts %+v", res.Verdict, res.Counts)
	}
}

func TestDuplicatesNoData(t *testing.T) {
	w := newWorld(t)
	w.create()
	res := w.lookFor(nil)
	if res.Verdict != DuplicatesNoData || res.ExitCode() != exit.NoData || !strings.Contains(res.Rule, "nothing was delivered") {
		t.Errorf("got %s: %s", res.Verdict, res.Rule)
	}
	// A job without a watermark has nothing settled.
	open := newWorld(t)
	open.rows[tables.Watermarks] = nil
	open.create()
	res = open.lookFor(nil)
	if res.Verdict != DuplicatesNoData || res.Range != nil || !strings.Contains(res.Rule, "no watermark") {
		t.Errorf("got %s: %s", res.Verdict, res.Rule)
	}
	counted := newWorld(t)
	counted.pane("flights-0@1", 0, "SFO", 6, 10, 0, 0)
	counted.create()
	res = counted.lookFor(nil)
	if res.Verdict != DuplicatesNoData || !strings.Contains(res.Rule, "no delivery") {
		t.Errorf("got %s: %s", res.Verdict, res.Rule)
	}
}

func TestDuplicatesAreBounded(t *testing.T) {
	w := steady(t)
	w.create()
	for name, change := range map[string]struct {
		do   func(*DuplicatesConfig)
		code exit.Code
		want string
	}{
		"the first query": {func(c *DuplicatesConfig) { c.Spec.Spec.Limits.MaxBytesBilled = 10 }, exit.Usage, "limits.maxBytesBilled"},
		"the second":      {func(c *DuplicatesConfig) { c.Exact, c.Spec.Spec.Limits.MaxBytesExact = true, 10 }, exit.Usage, "limits.maxBytesExact"},
		"no table":        {func(c *DuplicatesConfig) { c.Spec.Spec.Raw = "raw_fligths" }, exit.Environment, "raw_fligths"},
		"no measure":      {func(c *DuplicatesConfig) { c.Spec.Spec.Counts.Measure = "fligths" }, exit.Environment, "has no column fligths"},
		"a name":          {func(c *DuplicatesConfig) { c.Spec.Spec.Raw = "raw`" }, exit.Usage, "quoted safely"},
		"the range":       {func(c *DuplicatesConfig) { c.Range.From = hours(9) }, exit.Usage, "is empty"},
		"windows":         {func(c *DuplicatesConfig) { c.Spec.Spec.Range.Past = jobspecs.Duration(200_000 * time.Hour) }, exit.Usage, "one run takes 100,000"},
	} {
		cfg := DuplicatesConfig{Spec: monitorOf(w), Client: client, Range: Range{To: hours(8)}, Now: func() time.Time { return hours(200) }}
		change.do(&cfg)
		_, err := RunDuplicates(ctxBackground, cfg)
		if err == nil || exit.Of(err) != change.code || !strings.Contains(fmt.Sprintf("%+v", err), change.want) {
			t.Errorf("%s: %v (code %d)", name, err, exit.Of(err))
		}
	}
}

func TestDuplicatesHideSensitiveKeys(t *testing.T) {
	w := steady(t)
	w.create()
	res := w.lookFor(func(c *DuplicatesConfig) { c.Exact, c.Spec.Spec.Sensitive = true, []string{"origin"} })
	data, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Keys) != 2 || strings.Contains(string(data), "SFO") || !strings.HasPrefix(*res.Keys[0].Values[0], "#") {
		t.Errorf("keys %+v", res.Keys)
	}
}
