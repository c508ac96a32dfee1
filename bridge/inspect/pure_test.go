package inspect

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
)

func TestPieces(t *testing.T) {
	for _, c := range []struct {
		start, end int64
		n          int
		want       []piece
	}{
		{5, 5, 30, nil},
		{5, 9, 0, nil},
		{5, 20, 30, []piece{{5, 20, 30}}},
		{0, 1000, 30, []piece{{0, 10, 10}, {500, 510, 10}, {990, 1000, 10}}},
		{0, 31, 30, []piece{{0, 10, 10}, {11, 21, 10}, {21, 31, 10}}},
		{100, 1000, 1, []piece{{100, 100, 0}, {999, 1000, 1}}},
		{100, 1000, 2, []piece{{100, 101, 1}, {999, 1000, 1}}},
	} {
		if diff := cmp.Diff(c.want, pieces(c.start, c.end, c.n), cmp.AllowUnexported(piece{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("pieces(%d, %d, %d) (-want +got):\n%s", c.start, c.end, c.n, diff)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 1e12).Draw(t, "start")
		end := start + rapid.Int64Range(0, 5000).Draw(t, "length")
		n := rapid.IntRange(0, 200).Draw(t, "n")
		at, sum := start, int64(0)
		for _, p := range pieces(start, end, n) {
			if p.from < at || p.to < p.from || p.to > end || int64(p.n) < p.to-p.from {
				t.Fatalf("piece %+v after %d of [%d, %d)", p, at, start, end)
			}
			at = p.to
			sum += p.to - p.from
		}
		if want := min(int64(n), end-start); sum != want {
			t.Fatalf("%d records, want %d", sum, want)
		}
	})
}

func TestSkew(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts []Part
		want  float64
		share float64 // of the first
	}{
		{"none", nil, 0, 0},
		{"empty", []Part{{}, {}}, 0, 0},
		{"even", []Part{{Bytes: 5}, {Bytes: 5}}, 1, 0.5},
		{"by bytes, not records", []Part{{Bytes: 30, Records: 1}, {Bytes: 10, Records: 99}}, 1.5, 0.75},
		{"by records", []Part{{Records: 1}, {Records: 3}}, 1.5, 0.25},
		{"all in one", []Part{{}, {}, {}, {Bytes: 9}}, 4, 0},
	} {
		s := skewOf(c.parts)
		if s.MaxOverMean != c.want || len(c.parts) > 0 && s.Parts[0].Share != c.share {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestSizes(t *testing.T) {
	var sizes []int
	for i := range 101 {
		sizes = append(sizes, 200-i)
	}
	if got, want := sizesOf(sizes), (Sizes{Least: 100, Mean: 150, Median: 150, P99: 199, Greatest: 200}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := sizesOf(nil); got != (Sizes{}) {
		t.Errorf("%+v", got)
	}
}

func TestDecide(t *testing.T) {
	failed := []Check{{State: Passed}, {State: Failed}}
	for _, c := range []struct {
		r    Result
		want string
		code exit.Code
	}{
		{Result{Checks: []Check{{State: Warned}, {State: Skipped}}}, Ready, exit.OK},
		{Result{Sample: Sample{Records: 5}}, Ready, exit.OK},
		{Result{Sample: Sample{Records: 5, Refused: 1}}, Refuses, exit.GateNotMet},
		{Result{Checks: failed, Sample: Sample{Records: 5, Refused: 1}}, NotReady, exit.Environment},
		{Result{Checks: failed}, NotReady, exit.Environment},
	} {
		if c.r.decide(); c.r.Verdict != c.want || c.r.ExitCode() != c.code || c.r.Reason == "" {
			t.Errorf("%+v: %s (%s), code %d; want %s, code %d", c.r, c.r.Verdict, c.r.Reason, c.r.ExitCode(), c.want, c.code)
		}
	}
}

func TestViews(t *testing.T) {
	tally := newTally([]string{"out-0", "out-1"})
	for i := range 20 {
		x := Trial{Messages: []Message{{"out-0", 100 + i}, {"out-1", 50}}}
		switch {
		case i == 7:
			x = Trial{Reason: "transform", Detail: "field \"at\": not an RFC 3339 time"}
		case i > 15:
			x = Trial{Dropped: 2}
		}
		tally.add("main", &kgo.Record{Topic: "in", Key: []byte("k"), Value: make([]byte, 99)}, "c/in/0/"+string(rune('a'+i)), &x)
	}
	r := Result{
		Version: ResultVersion, Bridge: "flights", Started: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), Seconds: 1.5,
		Checks: []Check{{"Kafka main", Passed, "cluster c, 3 brokers, PLAIN, TLS", ""}, {"topic out-0", Failed, "does not exist", "create the topic, and a subscription to it"}},
		Sample: tally.sample(), Split: tally.split(),
		Topics: []Topic{{Source: "main", Topic: "in", Partitions: 2, Records: 3_000_000, Bytes: 3 << 30, Backlog: 1000, PerSecond: 1234.5,
			Skew: skewOf([]Part{{Name: "0", Records: 1_000_000, Bytes: 2 << 30}, {Name: "1", Records: 2_000_000, Bytes: 1 << 30}})}},
	}
	r.Throughput = forecast(r.Topics, tally.sources)
	r.decide()
	var text, js bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&js); err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, "testdata/result.txt", text.Bytes())
	goldentest.Check(t, "testdata/result.json", js.Bytes())
}
