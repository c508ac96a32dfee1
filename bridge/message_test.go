package bridge

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// built is a message that was made.
type built struct {
	wireMessage
	lane int
}

// build makes the message of a record at cluster/in/1, of a spec that edit changes.
func build(t testing.TB, r *kgo.Record, edit func(*jobspecs.BridgeSpec)) (built, bool, error) {
	t.Helper()
	doc := testSpec([]string{"b"}, 4)
	if edit != nil {
		edit(&doc.Spec)
	}
	p, err := newPlan("flights", "v1", &doc.Spec)
	if err != nil {
		t.Fatal(err)
	}
	budget := newBudget(64<<20, nil)
	pub := &publisher{plan: p, budget: budget, segments: newSegments(1024, budget, 1), lanes: make([]*lane, p.lanes())}
	w := newWorker(p, pub)
	e := &event{record: r, origin: &origin{prefix: "cluster/in/1/", hash: 1, partition: 1}}
	n, err := w.maker.open(context.Background(), r)
	if n != 1 || err != nil {
		return built{}, false, err
	}
	if err := w.event(context.Background(), e, 0); err != nil {
		return built{}, true, err
	}
	b := built{lane: e.lane}
	b.read(e)
	return b, true, nil
}

func attrs(b built) map[string]string {
	m := make(map[string]string)
	for _, a := range b.attrs {
		m[string(a.name)] = string(a.value)
	}
	return m
}

var recordTime = time.Date(2001, 1, 8, 0, 4, 0, 0, time.UTC)

func TestMessage(t *testing.T) {
	r := &kgo.Record{
		Offset: 7, Timestamp: recordTime, Key: []byte("ATL"),
		Value: []byte(`{"event_id":17,"scheduled":"2001-01-08T00:01:00Z","origin":"ATL","big":12345678901234567890.10,"none":null}`),
		Headers: []kgo.RecordHeader{
			{Key: "trace", Value: []byte("old")}, {Key: "trace", Value: []byte("new")}, {Key: "bin", Value: []byte{0xff, 0}}, {Key: "nil", Value: nil},
		},
	}
	e, keep, err := build(t, r, func(s *jobspecs.BridgeSpec) {
		s.Transform.Decode = "json"
		s.EventTime.Field = "scheduled"
		s.IDs = jobspecs.IDs{From: "fields", Fields: []string{"event_id"}, Namespace: "flights"}
		s.Split.Key = []string{"origin"}
		s.Attributes = []jobspecs.Attribute{
			{Name: "origin", Field: "origin"}, {Name: "big", Field: "big"}, {Name: "none", Field: "none"}, {Name: "gone", Field: "gone"},
			{Name: "trace", Header: "trace"}, {Name: "bin", Header: "bin"}, {Name: "nil", Header: "nil"}, {Name: "absent", Header: "absent"},
		}
	})
	if err != nil || !keep {
		t.Fatal(keep, err)
	}
	id := uuidV5(uuidV5(kappaNamespace, []byte("flights")), []byte("17")).String()
	want := map[string]string{
		"kappa-id": id, "kappa-event-time": "2001-01-08T00:01:00.000Z", "kappa-source-time": "2001-01-08T00:04:00.000Z",
		"kappa-position": "cluster/in/1/7", "kappa-bridge": "flights/v1",
		"origin": "ATL", "big": "12345678901234567890.10", "trace": "new", "bin": "/wA=", "bin.encoding": "base64",
	}
	if diff := cmp.Diff(want, attrs(e)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if string(e.data) != string(r.Value) {
		t.Errorf("data %s", e.data)
	}
	if want := splitOf([]byte("ATL"), 4); e.lane != want {
		t.Errorf("lane %d, want %d", e.lane, want)
	}
	if _, err := envelope.ParsePosition(attrs(e)[envelope.AttrPosition]); err != nil {
		t.Error(err)
	}
}

func TestMessageTombstonesAndEmptyValues(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		edit  func(*jobspecs.BridgeSpec)
		null  string
		want  string // reason; "" for a message
	}{
		{"empty", []byte{}, nil, "", ""},
		{"tombstone", nil, nil, "true", ""},
		{"tombstone with a transform", nil, func(s *jobspecs.BridgeSpec) {
			s.Transform = jobspecs.Transform{Decode: "json", Filter: "record.a > 1", Drop: []string{"b"}}
		}, "true", ""},
		{"empty with a transform", []byte{}, func(s *jobspecs.BridgeSpec) { s.Transform = jobspecs.Transform{Decode: "json", Drop: []string{"b"}} }, "", reasonTransform},
		{"tombstone without its key fields", nil, func(s *jobspecs.BridgeSpec) {
			s.Transform.Decode, s.IDs = "json", jobspecs.IDs{From: "fields", Fields: []string{"a"}}
		}, "", reasonID},
		{"tombstone without its event time", nil, func(s *jobspecs.BridgeSpec) { s.Transform.Decode, s.EventTime.Field = "json", "a" }, "", reasonTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, _, err := build(t, &kgo.Record{Key: []byte("k"), Value: c.value, Timestamp: recordTime}, c.edit)
			var why *badRecord
			if errors.As(err, &why); c.want != "" {
				if why == nil || why.reason != c.want {
					t.Fatalf("error %v, want %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(e.data) != 0 || attrs(e)[envelope.AttrNull] != c.null {
				t.Errorf("data %q, kappa-null %q", e.data, attrs(e)[envelope.AttrNull])
			}
		})
	}
}

// invariant B2: an id given by an earlier hop is kept; one that is no UUID is
// not replaced in silence.
func TestMessageKeepsGivenID(t *testing.T) {
	given := "01890a5d-ac96-774b-bcce-b302099a8057"
	r := &kgo.Record{Timestamp: recordTime, Headers: []kgo.RecordHeader{{Key: "kappa-id", Value: []byte(strings.ToUpper(given))}}}
	for _, from := range []string{"position", "fields"} {
		e, _, err := build(t, r, func(s *jobspecs.BridgeSpec) {
			s.Transform.Decode, s.IDs = "json", jobspecs.IDs{From: from, Fields: []string{"a"}}
		})
		if err != nil || attrs(e)["kappa-id"] != given {
			t.Errorf("ids from %s: %v, %v", from, attrs(e), err)
		}
	}
	r.Headers[0].Value = []byte("17")
	var why *badRecord
	if _, _, err := build(t, r, nil); !errors.As(err, &why) || why.reason != reasonID {
		t.Errorf("error %v, want %s", err, reasonID)
	}
}

func TestMessageSplit(t *testing.T) {
	lane := func(r *kgo.Record, edit func(*jobspecs.BridgeSpec)) int {
		t.Helper()
		r.Timestamp = recordTime
		e, _, err := build(t, r, edit)
		if err != nil {
			t.Fatal(err)
		}
		return e.lane
	}
	if got, want := lane(&kgo.Record{Key: []byte{0xff, 0x00}}, nil), splitOf([]byte{0xff, 0x00}, 4); got != want {
		t.Errorf("by a binary key: %d, want %d", got, want)
	}
	if got, want := lane(&kgo.Record{Key: []byte{}}, nil), splitOf(nil, 4); got != want {
		t.Errorf("by an empty key: %d, want %d", got, want)
	}
	if got := lane(&kgo.Record{Key: []byte("x")}, func(s *jobspecs.BridgeSpec) { s.Split.Count = 1 }); got != 0 {
		t.Errorf("of one: %d", got)
	}
	seen := make(map[int]bool)
	for offset := range int64(200) { // without a key, by id: spread, and the same again
		a, b := lane(&kgo.Record{Offset: offset}, nil), lane(&kgo.Record{Offset: offset}, nil)
		if a != b {
			t.Fatalf("offset %d went to %d and to %d", offset, a, b)
		}
		seen[a] = true
	}
	if len(seen) != 4 {
		t.Errorf("records without keys went to %d of 4 topics", len(seen))
	}
}

func TestMessageLimits(t *testing.T) {
	long := strings.Repeat("x", maxAttributeValue+1)
	for _, c := range []struct {
		name string
		r    *kgo.Record
		edit func(*jobspecs.BridgeSpec)
		want string
	}{
		{"largest attribute", &kgo.Record{Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(long[1:])}}}, headerAttribute, ""},
		{"attribute too long", &kgo.Record{Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(long)}}}, headerAttribute, reasonAttribute},
		{"attribute too long in base64", &kgo.Record{Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(strings.Repeat("\xff", 800))}}}, headerAttribute, reasonAttribute},
		{"value too large", &kgo.Record{Value: make([]byte, maxRequestBytes)}, nil, reasonTooLarge},
		{"offset too large", &kgo.Record{Offset: maxIDOffset + 1}, nil, reasonID},
		{"no year 10000", &kgo.Record{Timestamp: time.UnixMilli(maxMilli + 1)}, nil, reasonTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.r.Timestamp.IsZero() {
				c.r.Timestamp = recordTime
			}
			_, _, err := build(t, c.r, c.edit)
			var why *badRecord
			errors.As(err, &why)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (why == nil || why.reason != c.want):
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func headerAttribute(s *jobspecs.BridgeSpec) {
	s.Attributes = []jobspecs.Attribute{{Name: "a", Header: "h"}}
}

func TestPlanRefusesSpecs(t *testing.T) {
	for _, c := range []struct {
		want string
		edit func(*jobspecs.BridgeSpec)
	}{
		{"either a field, a header or the key", func(s *jobspecs.BridgeSpec) { s.Attributes = []jobspecs.Attribute{{Name: "a"}} }},
		{"either a field, a header or the key", func(s *jobspecs.BridgeSpec) {
			s.Attributes = []jobspecs.Attribute{{Name: "a", Field: "f", Header: "h"}}
		}},
		{"reserved prefix", func(s *jobspecs.BridgeSpec) { s.Attributes = []jobspecs.Attribute{{Name: "goog-x", Header: "h"}} }},
		{"reserved prefix", func(s *jobspecs.BridgeSpec) { s.Attributes = []jobspecs.Attribute{{Name: "kappa-id", Header: "h"}} }},
		{"1 to 247 bytes", func(s *jobspecs.BridgeSpec) {
			s.Attributes = []jobspecs.Attribute{{Name: strings.Repeat("x", 248), Header: "h"}}
		}},
		{"comes twice", func(s *jobspecs.BridgeSpec) {
			s.Attributes = []jobspecs.Attribute{{Name: "a", Header: "h"}, {Name: "a", Header: "i"}}
		}},
		{"comes twice", func(s *jobspecs.BridgeSpec) {
			s.Attributes = []jobspecs.Attribute{{Name: "a", Header: "h"}, {Name: "a.encoding", Header: "i"}}
		}},
		{"at least one field", func(s *jobspecs.BridgeSpec) { s.IDs.From = "fields" }},
		{"need the record's fields", func(s *jobspecs.BridgeSpec) { s.Split.Key = []string{"a"} }},
		{"need the record's fields", func(s *jobspecs.BridgeSpec) { s.Attributes = []jobspecs.Attribute{{Name: "a", Field: "f"}} }},
	} {
		doc := testSpec([]string{"b"}, 2)
		c.edit(&doc.Spec)
		if _, err := newPlan("n", "v", &doc.Spec); err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Usage {
			t.Errorf("error %v, want %q and exit code 2", err, c.want)
		}
	}
}

// What goes over the wire is what the library would have encoded, in the size
// that limits are checked by, and reads back.
func TestRequestOnTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topic := rapid.StringN(1, 200, 400).Draw(t, "topic")
		want := &pubsubpb.PublishRequest{Topic: topic}
		budget := newBudget(64<<20, nil)
		segments := newSegments(rapid.IntRange(1, 4096).Draw(t, "segment"), budget, 2)
		w := &worker{maker: &maker{plan: &plan{maxMessage: maxRequestBytes}}, publisher: &publisher{budget: budget, segments: segments}, open: make([]*segment, 1)}
		var batch []*event
		size := requestSize(len(topic))
		for range rapid.IntRange(1, 12).Draw(t, "messages") {
			data := rapid.SliceOfN(rapid.Byte(), 0, 20000).Draw(t, "data")
			m := &pubsubpb.PubsubMessage{Data: data, Attributes: make(map[string]string)}
			d := &w.draft
			d.reset()
			d.data = data
			for k, v := range rapid.MapOfN(rapid.StringN(0, 80, 250), rapid.StringN(0, 300, 1000), 0, 5).Draw(t, "attributes") {
				m.Attributes[k] = v
				d.add(k, v)
			}
			if rapid.Bool().Draw(t, "ordered") {
				m.OrderingKey = "b0001"
				d.ordering = []byte(m.OrderingKey)
			}
			w.asIs = rapid.Bool().Draw(t, "as it is")
			e := &event{}
			if err := w.encode(context.Background(), e); err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "in this batch") || len(batch) == 0 {
				want.Messages = append(want.Messages, m)
				batch = append(batch, e)
				size += e.size()
				var read wireMessage
				read.read(e)
				if !bytes.Equal(read.data, data) || len(read.attrs) != len(m.Attributes) || string(read.ordering) != m.OrderingKey {
					t.Fatal("a message does not read back")
				}
				for _, a := range read.attrs {
					if m.Attributes[string(a.name)] != string(a.value) {
						t.Fatalf("attribute %q reads back as %q", a.name, a.value)
					}
				}
			}
		}
		req := request(newLane(topic, 0, 1<<20, 1000, new(atomic.Bool)), batch)
		text := req.Materialize()
		if len(text) != size || proto.Size(want) != size {
			t.Fatalf("%d bytes, counted %d, the library has %d", len(text), size, proto.Size(want))
		}
		got := &pubsubpb.PublishRequest{}
		if err := proto.Unmarshal(text, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreEmptyMessages()); diff != "" {
			t.Fatal(diff)
		}
		// What was held is given back, all of it.
		w.letGo()
		for _, e := range batch {
			e.held.release(1)
		}
	})
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aé", 2, "a"}, {"aé", 3, "aé"}, {"a\xffb", 9, "a\uFFFDb"}, {"😀😀", 7, "😀"}} {
		if got := cut(c.in, c.n); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func BenchmarkMessage(b *testing.B) {
	doc := testSpec([]string{"b"}, 6)
	p, err := newPlan("flights", "v1", &doc.Spec)
	if err != nil {
		b.Fatal(err)
	}
	budget := newBudget(64<<20, nil)
	w := newWorker(p, &publisher{plan: p, budget: budget, segments: newSegments(256<<10, budget, 4), lanes: make([]*lane, 6)})
	r := &kgo.Record{Timestamp: recordTime, Key: []byte("ATL"), Value: make([]byte, 1000)}
	from := &origin{prefix: "cluster/in/1/", hash: 1, partition: 1}
	b.SetBytes(1000)
	b.ReportAllocs()
	for i := range b.N {
		r.Offset = int64(i)
		e := event{record: r, origin: from}
		if err := w.event(context.Background(), &e, 0); err != nil {
			b.Fatal(err)
		}
		e.held.release(1)
	}
}
