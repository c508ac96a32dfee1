package bridge

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// TestDryMakesWhatTheBridgeMakes: id, topic, time and size are those of the
// message that a worker makes.
func TestDryMakesWhatTheBridgeMakes(t *testing.T) {
	decode := func(s *jobspecs.BridgeSpec) {
		s.Transform = jobspecs.Transform{Decode: "json", Encode: "same", Filter: "record.n != 0", Drop: []string{"x"}}
		s.EventTime = jobspecs.EventTime{Field: "at", Unit: "rfc3339"}
		s.Split.Key = []string{"n"}
	}
	fields := func(s *jobspecs.BridgeSpec) {
		decode(s)
		s.IDs = jobspecs.IDs{From: "fields", Fields: []string{"n"}, Namespace: "test"}
	}
	ordered := func(s *jobspecs.BridgeSpec) { decode(s); s.Ordering.Buckets = 7 }
	good := `{"at":"2026-01-31T10:00:00Z","n":5,"x":1}`
	for _, c := range []struct {
		name   string
		edit   func(*jobspecs.BridgeSpec)
		record kgo.Record
	}{
		{"as it is", nil, kgo.Record{Key: []byte("k"), Value: []byte("v")}},
		{"a tombstone", nil, kgo.Record{Key: []byte("k")}},
		{"without a key", nil, kgo.Record{Value: []byte("v")}},
		{"an id of an earlier hop", nil, kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: envelope.AttrID, Value: []byte("019b2a4f-0000-7000-8000-000000000001")}}}},
		{"no id at all", nil, kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: envelope.AttrID, Value: []byte("x")}}}},
		{"remapped", decode, kgo.Record{Value: []byte(good)}},
		{"by fields", fields, kgo.Record{Value: []byte(good)}},
		{"ordered", ordered, kgo.Record{Value: []byte(good)}},
		{"filtered", decode, kgo.Record{Value: []byte(`{"n":0}`)}},
		{"no time", decode, kgo.Record{Value: []byte(`{"n":1}`)}},
		{"no JSON", decode, kgo.Record{Value: []byte(`{`)}},
		{"too large", nil, kgo.Record{Value: make([]byte, maxRequestBytes)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.record.Topic, c.record.Partition, c.record.Offset, c.record.Timestamp = "in", 1, 42, time.UnixMilli(1_700_000_000_000)
			doc := testSpec([]string{"b"}, 4)
			doc.Metadata.Name = "flights"
			if c.edit != nil {
				c.edit(&doc.Spec)
			}
			dry, err := NewDry(doc, "v1")
			if err != nil {
				t.Fatal(err)
			}
			// build's origin has a hash of its own.
			dry.origins[dryKey{cluster: "cluster", topic: "in", partition: 1}] = &origin{prefix: "cluster/in/1/", hash: 1, partition: 1}
			got, err := dry.Make(context.Background(), "cluster", [16]byte{}, &c.record)
			if err != nil {
				t.Fatal(err)
			}
			made, kept, err := build(t, &c.record, c.edit)
			var why *badRecord
			switch {
			case !kept && err == nil:
				if len(got.Events) != 0 || got.Reason != "" || got.Dropped != 1 {
					t.Errorf("filtered, and %+v", got)
				}
				return
			case errors.As(err, &why):
				if got.Reason != why.reason || got.Detail != why.err.Error() || len(got.Events) != 0 {
					t.Errorf("%+v, want %v", got, why)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			id, err := parseUUID(made.attr(envelope.AttrID))
			if err != nil {
				t.Fatal(err)
			}
			when, err := envelope.ParseTime(string(made.attr(envelope.AttrEventTime)))
			if err != nil {
				t.Fatal(err)
			}
			topic := doc.Spec.Topics()[made.lane/max(1, doc.Spec.Ordering.Buckets)]
			want := Dried{Events: []DriedEvent{{ID: id, Time: when.UnixMilli(), Topic: topic, Bytes: got.Events[0].Bytes}}}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestDryEventsOfAList: events have the ordinals of their items, and one bad
// item makes the whole record a dead letter.
func TestDryEventsOfAList(t *testing.T) {
	for _, bundle := range []int{0, 10} {
		doc := testSpec([]string{"b"}, 1)
		doc.Spec.Transform = jobspecs.Transform{Decode: "json", Encode: "same", Events: "list", Filter: "record.n != 2"}
		doc.Spec.EventTime = jobspecs.EventTime{Field: "at", Unit: "milliseconds"}
		doc.Spec.Bundle = jobspecs.Bundle{MaxEvents: bundle, MaxBytes: 1 << 20}
		dry, err := NewDry(doc, "v1")
		if err != nil {
			t.Fatal(err)
		}
		try := func(value string) Dried {
			d, err := dry.Make(context.Background(), "c", [16]byte{1}, &kgo.Record{Topic: "in", Partition: 3, Offset: 7, Value: []byte(value)})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		d := try(`{"list":[{"n":1,"at":10},{"n":2,"at":20},{"n":3,"at":30}]}`)
		if len(d.Events) != 2 || d.Dropped != 1 {
			t.Fatalf("%+v", d)
		}
		for i, want := range []struct {
			ordinal uint16
			time    int64
		}{{0, 10}, {2, 30}} {
			e := d.Events[i]
			hash, partition, offset, ordinal, ok := Locate(e.ID)
			if !ok || hash != TopicHash("c", [16]byte{1}) || partition != 3 || offset != 7 || ordinal != want.ordinal || e.Ordinal != ordinal || e.Time != want.time || e.Bytes == 0 {
				t.Errorf("event %d: %+v", i, e)
			}
		}
		if d := try(`{"list":[{"n":1,"at":10},{"n":3}]}`); len(d.Events) != 0 || d.Reason != reasonTime || strings.Contains(d.Detail, "3}") {
			t.Errorf("%+v", d)
		}
		if d := try(`{"list":[{"n":2}]}`); len(d.Events) != 0 || d.Reason != "" || d.Dropped != 1 {
			t.Errorf("%+v", d)
		}
	}
}

func TestDryRefusesPartitionsThatIDsCannotHold(t *testing.T) {
	dry, err := NewDry(testSpec([]string{"b"}, 1), "v1")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dry.Make(context.Background(), "c", [16]byte{}, &kgo.Record{Topic: "in", Partition: 1 << 16, Value: []byte("v")})
	if err != nil || d.Reason != reasonID {
		t.Errorf("%+v, %v", d, err)
	}
}
