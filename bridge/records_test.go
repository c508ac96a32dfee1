package bridge

import (
	"context"
	"encoding/base64"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// Every way in which a record can be written arrives as it is.
func TestRecordShapes(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	at := 0
	want := make(map[string]string)
	add := func(p *kgo.Client, note string, r *kgo.Record, expect map[string]string, data string) {
		t.Helper()
		r.Topic, r.Timestamp = "in", recordTime
		produce(t, p, r)
		want[fmt.Sprintf("test-cluster/in/0/%d", at)] = fmt.Sprint(note, " ", data, " ", expect)
		at++
	}
	notes := make(map[string]string)
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p := producer(t, kafka, kgo.ProducerBatchCompression(codec))
		for _, c := range []struct {
			note   string
			record *kgo.Record
			data   string
			attrs  map[string]string
		}{
			{"text", &kgo.Record{Key: []byte("k"), Value: []byte("v")}, "v", nil},
			{"binary", &kgo.Record{Key: []byte{0xff, 0xfe}, Value: []byte{0, 0xff}}, "\x00\xff", nil},
			{"no key", &kgo.Record{Value: []byte("v")}, "v", nil},
			{"tombstone", &kgo.Record{Key: []byte("k")}, "", map[string]string{"kappa-null": "true"}},
			{"empty", &kgo.Record{Key: []byte("k"), Value: []byte{}}, "", nil},
			{"headers", &kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("é")}}}, "v", map[string]string{"h": "é"}},
			{"binary header", &kgo.Record{Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xff}}}}, "v",
				map[string]string{"h": base64.StdEncoding.EncodeToString([]byte{0xff}), "h.encoding": "base64"}},
		} {
			notes[fmt.Sprintf("test-cluster/in/0/%d", at)] = c.note
			add(p, c.note, c.record, c.attrs, c.data)
		}
	}
	spec := testSpec(kafka.ListenAddrs(), 1)
	spec.Spec.Attributes = []jobspecs.Attribute{{Name: "h", Header: "h"}}
	b := start(t, testConfig(t, spec, f))
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == int64(at) })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, m := range f.taken("out-0") {
		extra := make(map[string]string)
		for _, name := range []string{"h", "h.encoding", "kappa-null"} {
			if v, ok := m.attrs[name]; ok {
				extra[name] = v
			}
		}
		if len(extra) == 0 {
			extra = nil
		}
		got[m.position()] = fmt.Sprint(notes[m.position()], " ", m.data, " ", extra)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// A transaction ends under another leader than that of its records, and the
// leader changes again: nothing was cut back, though a reader that forgot the
// marker's leader epoch would take it for that (invariant B3).
func TestMarkerOfAnotherLeader(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
	p := producer(t, kafka, kgo.TransactionalID("tx"))
	var asked atomic.Int64
	kafka.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		asked.Add(1)
		return nil, nil, false
	})
	move := func() {
		t.Helper()
		if err := kafka.MoveTopicPartition("in", 0, 0); err != nil { // a new epoch, though on the same broker
			t.Fatal(err)
		}
	}
	const rounds = 3
	for round := range rounds {
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, p, &kgo.Record{Topic: "in", Timestamp: recordTime, Value: fmt.Append(nil, round)})
		move()
		if err := p.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == int64(2*round+2) })
		before := asked.Load()
		move()
		eventually(t, "the bridge to ask where the epoch ended", func() bool { return asked.Load() > before })
	}
	eventually(t, "all records", func() bool { return f.total() == rounds })
	if problems := b.health.list(); len(problems) > 0 {
		t.Errorf("not ready: %v", problems)
	}
}

// Aborted transactions are not published, and neither they nor the markers
// between the records hold the commit back or let it run ahead (invariant B1);
// markers at the end are committed over, so that no lag is left.
func TestTransactions(t *testing.T) {
	kafka := newKafka(t, 1, "in")
	f := newFakePubSub(t, outTopics(1)...)
	p := producer(t, kafka, kgo.TransactionalID("tx"))
	ctx := context.Background()
	value := 0
	transaction := func(n int, end kgo.TransactionEndTry) {
		t.Helper()
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range n {
			produce(t, p, &kgo.Record{Topic: "in", Timestamp: recordTime, Value: fmt.Append(nil, value)})
			value++
		}
		if err := p.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	transaction(3, kgo.TryCommit) // offsets 0–2, marker 3
	transaction(4, kgo.TryAbort)  // offsets 4–7, marker 8
	transaction(2, kgo.TryCommit) // offsets 9–10, marker 11
	b := start(t, testConfig(t, testSpec(kafka.ListenAddrs(), 1), f))
	eventually(t, "the committed records", func() bool { return f.total() >= 5 })
	eventually(t, "the commit", func() bool { return committed(t, kafka)[0] == 12 })
	if err := b.halt(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range f.taken("") {
		got = append(got, m.data)
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "7", "8"}, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}
