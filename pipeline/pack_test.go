package pipeline

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func drawValue(t *rapid.T, k Kind) Value {
	switch {
	case rapid.IntRange(0, 4).Draw(t, "null") == 0:
		return Value{}
	case k == String:
		return Value{Valid: true, Str: rapid.String().Draw(t, "string")}
	default:
		return Value{Valid: true, Int: rapid.Int64().Draw(t, "int")}
	}
}

// What is packed is read back, whatever the values; what is cut off is an
// error, never a wrong event.
func TestPackRoundTrip(t *testing.T) {
	p := &Plan{Fields: []Field{{"a", String}, {"b", Int64}, {"unused", String}, {"c", Timestamp}}, Used: []int{3, 0, 1}}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		var want []packed
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			e := &Event{ID: rapid.String().Draw(t, "id"), Time: rapid.Int64().Draw(t, "time")}
			for _, f := range p.Fields {
				e.Values = append(e.Values, drawValue(t, f.Kind))
			}
			data = p.appendPacked(data, idBytes(e.ID), e)
			want = append(want, packed{id: idBytes(e.ID), time: e.Time, values: []Value{e.Values[3], e.Values[0], e.Values[1]}})
		}
		rest, whole := data, 0
		for _, w := range want {
			var got packed
			var err error
			if rest, err = p.readPacked(rest, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w, got, cmp.AllowUnexported(packed{})); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
			if len(rest) > 0 {
				whole = len(data) - len(rest)
			}
		}
		if len(rest) > 0 {
			t.Fatalf("%d bytes are left", len(rest))
		}
		cut := rapid.IntRange(whole, len(data)-1).Draw(t, "cut")
		var e packed
		for rest, err := data[:cut], error(nil); err == nil; {
			if len(rest) == 0 {
				if cut != whole {
					t.Fatalf("cut at %d of %d: no error", cut, len(data))
				}
				break
			}
			rest, err = p.readPacked(rest, &e)
		}
	})
}

func TestIDBytes(t *testing.T) {
	a := idBytes("00112233-4455-6677-8899-aabbccddeeff")
	if want := [16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}; a != want {
		t.Errorf("got %x", a)
	}
	seen := map[[16]byte]string{a: "the UUID"}
	for _, s := range []string{"", "x", "00112233-4455-6677-8899-aabbccddeefg", "00112233x4455-6677-8899-aabbccddeeff", "00112233445566778899aabbccddeeff"} {
		id := idBytes(s)
		if other, dup := seen[id]; dup {
			t.Errorf("%q and %q are one id", s, other)
		}
		seen[id] = s
	}
}

func TestFloor(t *testing.T) {
	for _, test := range [][3]int64{{0, 10, 0}, {9, 10, 0}, {10, 10, 10}, {-1, 10, -10}, {-10, 10, -10}, {-11, 10, -20}} {
		if got := floor(test[0], test[1]); got != test[2] {
			t.Errorf("floor(%d, %d) = %d, want %d", test[0], test[1], got, test[2])
		}
	}
}

// Ids that count up, as those made from positions do, spread over all shards.
func TestShards(t *testing.T) {
	counts := make([]int, localShards)
	for i := range 16000 {
		counts[shardOf(idBytes(fmt.Sprintf("00000000-0000-8000-8000-%012x", i<<16)), localShards)]++
	}
	for i, n := range counts {
		if n < 1600 || n > 2400 {
			t.Errorf("shard %d has %d of 16000 ids", i, n)
		}
	}
}

func TestMergePartials(t *testing.T) {
	val := func(v int64) partial { return partial{true, v} }
	for _, test := range []struct {
		op         Op
		a, b, want partial
		overflow   bool
	}{
		{Sum, val(1), val(2), val(3), false},
		{Sum, partial{}, val(2), val(2), false},
		{Sum, val(1), partial{}, val(1), false},
		{Sum, partial{}, partial{}, partial{}, false},
		{Sum, val(math.MaxInt64 - 1), val(1), val(math.MaxInt64), false},
		{Sum, val(math.MaxInt64), val(1), val(math.MaxInt64), true},
		{Sum, val(math.MinInt64 + 1), val(-1), val(math.MinInt64), false},
		{Sum, val(math.MinInt64), val(-1), val(math.MinInt64), true},
		{Sum, val(math.MaxInt64), val(math.MinInt64), val(-1), false},
		{Count, val(math.MaxInt64), val(1), val(math.MaxInt64), true},
		{Min, val(1), val(-2), val(-2), false},
		{Min, val(-2), val(1), val(-2), false},
		{Min, partial{}, val(5), val(5), false},
		{Max, val(1), val(-2), val(1), false},
		{Max, val(-5), partial{}, val(-5), false},
	} {
		got := test.a
		err := got.merge(test.op, test.b)
		if (err != nil) != test.overflow || got != test.want {
			t.Errorf("op %d: %v and %v: %v, %v; want %v", test.op, test.a, test.b, got, err, test.want)
		}
	}
}

func TestPaneRowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := paneRow{start: rapid.Int64().Draw(t, "start"), pane: rapid.Int64Min(0).Draw(t, "pane"), timing: 2, key: []byte(rapid.String().Draw(t, "key"))}
		for range 3 {
			v := drawValue(t, Int64)
			want.partials = append(want.partials, partial{v.Valid, v.Int})
		}
		data := want.append(nil)
		got, err := readPaneRow(data, 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(paneRow{}, partial{})); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if _, err := readPaneRow(data[:rapid.IntRange(0, len(data)-1).Draw(t, "cut")], 3); err == nil {
			t.Fatal("a row that is cut off is read")
		}
	})
}

func TestTooLate(t *testing.T) {
	const horizon = time.Hour
	hour := horizon.Microseconds()
	for _, test := range []struct {
		time, watermark int64
		want            bool
	}{
		{0, unknownTime, false},
		{0, hour, false},
		{0, hour + 1, true},
		{5, hour + 5, false},
		{5, 0, false},
	} {
		if got := tooLate(&Event{Time: test.time, Watermark: test.watermark}, horizon); got != test.want {
			t.Errorf("time %d, watermark %d: %v", test.time, test.watermark, got)
		}
	}
}

func TestPlan(t *testing.T) {
	p, err := NewPlan(spec(t, func(s *jobspecs.StreamJobSpec) { s.Jobs, s.Sources.Count = 3, 7 }), "flights-1", 4)
	if err != nil {
		t.Fatal(err)
	}
	s := spec(t, func(s *jobspecs.StreamJobSpec) { s.Jobs, s.Sources.Count = 3, 7 })
	if err := p.Streams(s, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"projects/kappa-demo/subscriptions/flights-1", "projects/kappa-demo/subscriptions/flights-4"}, p.Subscriptions); diff != "" {
		t.Errorf("subscriptions (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]Aggregation{{Name: "flights_by_origin", Table: "stream_flights", Window: time.Hour, Dims: []int{0},
		Measures: []Measure{{Name: "flights", Op: Count, Field: -1}, {Name: "delay_sum", Op: Sum, Field: 1}, {Name: "distance_sum", Op: Sum, Field: 2}}}}, p.Aggregations); diff != "" {
		t.Errorf("aggregations (-want +got)\n%s", diff)
	}
	for name, bad := range map[string]func(*jobspecs.StreamJobSpec){
		"dimension":   func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Dimensions = []string{"nope"} },
		"measure":     func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Measures[1].Field = "origin" },
		"operation":   func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Measures[1].Type = "avg" },
		"window":      func(s *jobspecs.StreamJobSpec) { s.Aggregations[0].Window = jobspecs.Duration(1500 * time.Millisecond) },
		"field type":  func(s *jobspecs.StreamJobSpec) { s.Event.Fields[0].Type = "FLOAT64" },
		"aggregation": func(s *jobspecs.StreamJobSpec) { s.Aggregations = nil },
	} {
		if _, err := NewPlan(spec(t, bad), "flights-0", 1); err == nil {
			t.Errorf("bad %s: no error", name)
		}
	}
	if _, err := NewPlan(s, "flights-0", 0); err == nil {
		t.Error("generation 0: no error")
	}
	p.Job = "flights-3"
	if err := p.Streams(s, false); err == nil {
		t.Error("job flights-3 of 3: no error")
	}
}
