package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// TestSpecsAreValid: what the benchmark asks the bridge to do loads.
func TestSpecsAreValid(t *testing.T) {
	dir := t.TempDir()
	for _, transform := range transforms {
		for _, size := range sizes {
			s := bridgeSpec{brokers: []string{"localhost:1", "localhost:2"}, topic: "in", group: "g", transform: transform, size: size, memory: "256MiB"}
			if transform == avroRemap {
				s.schema = filepath.Join(dir, "schema.avsc")
				if err := os.WriteFile(s.schema, []byte(event.Schema(size)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			set, err := jobspecs.Parse(filepath.Join(dir, "bridge.yaml"), []byte(s.text()), jobspecs.Vars{})
			if err != nil {
				t.Fatalf("%s, %d bytes: %v\n%s", transform, size, err, s.text())
			}
			if len(set.Bridges) != 1 {
				t.Fatalf("%d bridges", len(set.Bridges))
			}
		}
	}
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		runs []float64
		want figure
	}{
		{nil, figure{}},
		{[]float64{3}, figure{3, 3, 3, []float64{3}}},
		{[]float64{9, 1, 2}, figure{2, 1, 9, []float64{9, 1, 2}}},
		{[]float64{4, 1, 2, 9}, figure{3, 1, 9, []float64{4, 1, 2, 9}}},
	} {
		if diff := cmp.Diff(c.want, figureOf(c.runs)); diff != "" {
			t.Errorf("%v: %s", c.runs, diff)
		}
	}
}

func TestOnly(t *testing.T) {
	s, err := scales()["default"].only("json-10k-zstd")
	if err != nil {
		t.Fatal(err)
	}
	want := []group{{10_000, "zstd", []string{passthrough, jsonRemap}}}
	if diff := cmp.Diff(want, s.groups, cmp.AllowUnexported(group{})); diff != "" || s.latency != 0 || s.outage != 0 {
		t.Errorf("%s; latency %v, outage %v", diff, s.latency, s.outage)
	}
	if s, err = s.only("passthrough-100-none"); err != nil || len(s.groups[0].transforms) != 1 {
		t.Errorf("%v, %v", s.groups, err)
	}
	if _, err := s.only("passthrough-2k-none"); err == nil || !strings.Contains(err.Error(), "passthrough-1k-none") {
		t.Errorf("no such case: %v", err)
	}
}

func TestFiltered(t *testing.T) {
	if diff := cmp.Diff([]int64{7, 23}, filtered(jsonRemap, 39)); diff != "" {
		t.Error(diff)
	}
	if got := filtered(passthrough, 39); got != nil {
		t.Errorf("pass-through filters %v", got)
	}
}

// sampleResult is a run in which some targets are met and some are not.
func sampleResult() *result {
	cpu := func(v float64) rawResult { return rawResult{CPU: figureOf([]float64{v})} }
	g := groupResult{RecordBytes: 1000, Compression: "none", Fetch: cpu(0.7), Publish: cpu(0.8)}
	for transform, v := range map[string]float64{passthrough: 1.8, jsonRemap: 7.5, avroRemap: 5} {
		g.Cases = append(g.Cases, caseResult{Name: transform, Transform: transform, rawResult: cpu(v)})
	}
	g.compare()
	r := &result{Groups: []groupResult{g, {RecordBytes: 100, Compression: "none", Cases: []caseResult{{Transform: passthrough, ToRaw: 9}}}}}
	r.Latency = &latencyResult{AddedP99: figureOf([]float64{14, 16, 12})}
	r.Outage = &memoryResult{PeakBefore: 300 << 20, PeakOutage: 410 << 20, PeakAfter: 390 << 20}
	r.Catchup = &catchupResult{Ratio: 0.95, Even: catchupTopic{PlannedSpread: figureOf([]float64{0.002})}}
	r.judge()
	return r
}

func TestJudge(t *testing.T) {
	met := map[string]bool{}
	for _, target := range sampleResult().Targets {
		met[strings.Fields(target.Name)[0]] = target.Met
	}
	want := map[string]bool{"pass-through": true, "JSON": false, "Avro": true, "added": true, "peak": false, "catch-up": true, "planned": false}
	if diff := cmp.Diff(want, met); diff != "" {
		t.Error(diff)
	}
	nothing := &result{Groups: []groupResult{{RecordBytes: 1000, Compression: "none", Cases: []caseResult{{Transform: passthrough}}}}}
	nothing.judge()
	if len(nothing.Targets) > 0 {
		t.Errorf("what was not measured is judged: %v", nothing.Targets)
	}
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	if err := sampleResult().print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.20", "4.17", "2.78", "NOT met", "peak 300 MiB before, 410 MiB at its end, 390 MiB after"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}

func TestCatchupEnds(t *testing.T) {
	even, skewed := catchupEnds(1_000_000)
	sum := func(ends []int64) (n int64) {
		for _, e := range ends {
			n += e
		}
		return n
	}
	if len(even) != catchupPartitions || len(skewed) != catchupPartitions || sum(even) < 990_000 || sum(skewed) < 990_000 {
		t.Fatalf("%v, %v", even, skewed)
	}
	if share := float64(skewed[2]) / float64(sum(skewed)); share < 0.79 || share > 0.81 {
		t.Errorf("%v: %.3f in one", skewed, share)
	}
}

// TestSpreads: a plan is held against the sizes of the records.
func TestSpreads(t *testing.T) {
	topic := records{partitions: 1, size: 1000, format: event.JSON, vary: true}
	events, err := topic.events()
	if err != nil {
		t.Fatal(err)
	}
	n := len(events)
	text := fmt.Sprintf(`{"plan": {"splits": [
		{"bytes": 1000, "ranges": [{"partition": 0, "from": 0, "to": %d}]},
		{"bytes": 1001, "ranges": [{"partition": 0, "from": %[1]d, "to": %d}]},
		{"bytes": 7, "ranges": [{"partition": 0, "from": %[2]d, "to": %d}]}]}}`, n, 3*n, 3*n+1)
	planned, actual, err := spreads([]byte(text), topic)
	if err != nil {
		t.Fatal(err)
	}
	if planned < 0.00099 || planned > 0.00101 || actual < 0.66 || actual > 0.67 { // the second has twice the bytes of the first
		t.Errorf("planned %v, actual %v", planned, actual)
	}
	for _, bad := range []string{"", "{}", `{"splits": [{}, {}, {}]}`} {
		if _, _, err := spreads([]byte(bad), topic); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
