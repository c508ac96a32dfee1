package bridge

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// The hot path writes the very message that the general one does.
func TestPlainIsTheGeneralWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := testSpec([]string{"b"}, rapid.IntRange(1, 4).Draw(t, "count"))
		doc.Spec.Ordering.Buckets = rapid.IntRange(0, 3).Draw(t, "buckets")
		if rapid.Bool().Draw(t, "decoded") {
			doc.Spec.Transform = jobspecs.Transform{Decode: "json", Rename: map[string]string{"a": "b"}}
			doc.Spec.EventTime = jobspecs.EventTime{Field: "t", Unit: "milliseconds"}
		}
		p, err := newPlan("flights", "v1", &doc.Spec)
		if err != nil {
			t.Fatal(err)
		}
		budget := newBudget(64<<20, nil)
		w := newWorker(p, &publisher{plan: p, budget: budget, segments: newSegments(rapid.IntRange(1, 600).Draw(t, "segment"), budget, 1), lanes: make([]*lane, p.lanes())})
		from := &origin{prefix: rapid.SampledFrom([]string{"c/in/1/", "a-much-longer-cluster-id/and-a-topic-of-a-length-that-takes-the-entry-beyond-what-one-byte-of-length-can-say-which-is-127/11/"}).Draw(t, "prefix"), hash: 7, partition: 1}
		for range rapid.IntRange(1, 10).Draw(t, "records") {
			r := &kgo.Record{
				Offset:    rapid.Int64Range(0, maxIDOffset).Draw(t, "offset"),
				Timestamp: time.UnixMilli(rapid.Int64Range(minMilli, maxMilli).Draw(t, "time")),
				Key:       rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "key"),
				Value:     rapid.SliceOfN(rapid.Byte(), 0, 6000).Draw(t, "value"),
			}
			if p.program.Decodes() {
				r.Value = []byte(`{"a": 1, "t": ` + rapid.SampledFrom([]string{"0", "979000000123", "-1"}).Draw(t, "t") + `}`)
			}
			if n, err := w.maker.open(context.Background(), r); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			fast, slow := &event{record: r, origin: from}, &event{record: r, origin: from}
			if err := w.plain(context.Background(), fast, 0); err != nil {
				t.Fatal(err)
			}
			if err := w.describe(0, r, from); err != nil {
				t.Fatal(err)
			}
			slow.lane = w.lane
			if err := w.encode(context.Background(), slow); err != nil {
				t.Fatal(err)
			}
			var a, b wireMessage
			a.read(fast)
			b.read(slow)
			sort := func(m *wireMessage) {
				slices.SortFunc(m.attrs, func(a, b wireAttribute) int { return slices.Compare(a.name, b.name) })
			}
			sort(&a)
			sort(&b)
			same := slices.EqualFunc(a.attrs, b.attrs, func(a, b wireAttribute) bool {
				return string(a.name) == string(b.name) && string(a.value) == string(b.value)
			})
			if !same || string(a.data) != string(b.data) || string(a.ordering) != string(b.ordering) || fast.lane != slow.lane || fast.size() != slow.size() {
				t.Fatalf("the hot path writes %q, lane %d, the general one %q, lane %d", a.attrs, fast.lane, b.attrs, slow.lane)
			}
			fast.held.release(1)
			slow.held.release(1)
		}
		w.letGo()
		if used, _ := budget.used(); used != 0 {
			t.Fatalf("%d bytes are still charged", used)
		}
	})
}
