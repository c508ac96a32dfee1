//go:build kafka

package kafka

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
)

// TestTransactions: what was aborted is not published, what is open waits and
// holds back what follows it, and the gaps that their markers leave are
// committed over.
func TestTransactions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	tx := r.producer(kgo.TransactionalID(r.name))
	transaction := func(records []*kgo.Record, end *kgo.TransactionEndTry, marker int64) {
		t.Helper()
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r.produce(tx, records...)
		if end == nil {
			return
		}
		if err := tx.EndTransaction(r.ctx, *end); err != nil {
			t.Fatal(err)
		}
		r.ended(marker)
	}
	commit, abort := kgo.TryCommit, kgo.TryAbort
	plain := r.producer()
	first, second, third, between, last := numbered("first", 3), numbered("second", 2), numbered("open", 2), numbered("between", 2), numbered("last", 1)
	transaction(first, &commit, 3)                 // 0 to 2
	transaction(numbered("aborted", 3), &abort, 7) // 4 to 6
	transaction(second, &commit, 10)               // 8 and 9
	r.produce(plain, between...)                   // 11 and 12
	transaction(third, nil, 0)                     // 13 and 14
	r.produce(plain, last...)                      // 15
	b := r.run()
	r.committed(r.name, 0, 13)
	r.taken(values(first, second, between))
	if err := tx.EndTransaction(r.ctx, commit); err != nil {
		t.Fatal(err)
	}
	r.ended(16)
	r.committed(r.name, 0, 17)
	r.taken(values(third, last))

	transaction(numbered("aborted", 2), &abort, 19) // 17 and 18
	r.produce(plain, last...)                       // 20
	r.committed(r.name, 0, 21)
	b.stop()
	r.run()
	r.produce(plain, between...)
	r.committed(r.name, 0, 23)
	r.taken(values(last, between))
}

// ended waits until a transaction's marker is in the log: it is written after
// the end is confirmed.
func (r *rig) ended(marker int64) {
	r.Helper()
	r.until(fmt.Sprintf("the marker at %d is written", marker), func() string {
		if end := r.ends(r.name)[0]; end <= marker {
			return fmt.Sprintf("the log ends at %d", end)
		}
		return ""
	})
}

func TestReadUncommitted(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.source["isolation"] = "readUncommitted"
	tx := r.producer(kgo.TransactionalID(r.name))
	open := numbered("open", 3)
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r.produce(tx, open...)
	r.run()
	r.committed(r.name, 0, 3)
	r.taken(values(open))
	if err := tx.EndTransaction(r.ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

// TestCompaction: a topic with holes where records were compacted away is read
// to its end, and the holes are committed over.
func TestCompaction(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, "cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.01", "delete.retention.ms=600000", "max.compaction.lag.ms=200")
	plain := r.producer()
	const n, keys = 300, 7
	var latest []string
	for i := range n {
		rec := &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%keys), Value: fmt.Appendf(nil, "v%d", i)}
		r.produce(plain, rec)
	}
	// The active segment is never compacted: roll it.
	r.until("the log is compacted", func() string {
		r.produce(plain, &kgo.Record{Key: []byte("roll"), Value: []byte("roll")})
		latest = r.readAll()
		if len(latest) > n/2 {
			return fmt.Sprintf("%d records are left", len(latest))
		}
		return ""
	})
	r.run()
	r.allCommitted(r.name)
	got := make(map[string]bool)
	for _, m := range r.take(r.name + "-0") {
		if m.data != "roll" {
			got[m.data] = true
		}
	}
	for i := n - keys; i < n; i++ {
		if v := fmt.Sprintf("v%d", i); !got[v] {
			t.Errorf("the latest value %s of its key is missing", v)
		}
	}
	if len(got) >= n {
		t.Error("nothing was compacted away before the bridge read")
	}
}

// readAll reads what is in partition 0 now.
func (r *rig) readAll() []string {
	r.Helper()
	end := r.ends(r.name)[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addrs(apachekafka.Plaintext)...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.name: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		r.Fatal(err)
	}
	defer client.Close()
	var all []string
	for next := int64(0); next < end; {
		fetches := client.PollFetches(r.ctx)
		if err := fetches.Err(); err != nil {
			r.Fatal(err)
		}
		fetches.EachRecord(func(rec *kgo.Record) { all, next = append(all, string(rec.Value)), rec.Offset+1 })
	}
	return all
}

func TestEveryCompression(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	var all []string
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		records := numbered(strings.Repeat(name, 50), 200)
		r.produce(r.producer(kgo.ProducerBatchCompression(codec)), records...)
		all = append(all, values(records)...)
	}
	r.run()
	r.allCommitted(r.name)
	r.taken(all)
}

// TestUnusualRecords: what Kafka takes and Pub/Sub has no word for.
func TestUnusualRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, "max.message.bytes=2000000")
	r.spec["attributes"] = []map[string]any{{"name": "key", "key": true}, {"name": "h", "header": "h"}}
	binary := []byte{0, 0xff, 0xfe, '\n', 0x80}
	large := bytes.Repeat([]byte("large "), 200_000)
	r.produce(r.producer(kgo.ProducerBatchMaxBytes(2_000_000)),
		&kgo.Record{Key: []byte("tombstone")},
		&kgo.Record{Key: []byte("empty"), Value: []byte{}},
		&kgo.Record{Key: binary, Value: binary},
		&kgo.Record{Value: []byte("no key")},
		&kgo.Record{Key: []byte{}, Value: []byte("empty key")},
		&kgo.Record{Key: []byte("large"), Value: large},
		&kgo.Record{Key: []byte("headers"), Value: []byte("h"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("first")}, {Key: "h", Value: binary}, {Key: "", Value: nil}}},
	)
	r.run()
	r.allCommitted(r.name)
	encoded := base64.StdEncoding.EncodeToString(binary)
	want := []struct {
		data       string
		attributes map[string]string
	}{
		{"", map[string]string{"key": "tombstone", "kappa-null": "true"}},
		{"", map[string]string{"key": "empty"}},
		{string(binary), map[string]string{"key": encoded, "key.encoding": "base64"}},
		{"no key", map[string]string{}},
		{"empty key", map[string]string{"key": ""}},
		{string(large), map[string]string{"key": "large"}},
		{"h", map[string]string{"key": "headers", "h": encoded, "h.encoding": "base64"}},
	}
	all := r.take(r.name + "-0")
	slices.SortFunc(all, func(a, b message) int { return int(a.position.Offset - b.position.Offset) })
	if len(all) != len(want) {
		t.Fatalf("%d messages, want %d", len(all), len(want))
	}
	for i, m := range all {
		maps.DeleteFunc(m.attributes, func(name, _ string) bool { return strings.HasPrefix(name, "kappa-") && name != "kappa-null" })
		if diff := cmp.Diff(want[i].attributes, m.attributes); m.data != want[i].data || diff != "" {
			t.Errorf("record %d: %d bytes of data, want %d; attributes (-want +got):\n%s", i, len(m.data), len(want[i].data), diff)
		}
	}
}

// TestStarts: where a partition without a committed offset begins.
func TestStarts(t *testing.T) {
	t.Parallel()
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	for name, c := range map[string]struct {
		source map[string]any
		want   []string
	}{
		"earliest": {map[string]any{}, []string{"v0", "v1", "v2", "v3", "later"}},
		"latest":   {map[string]any{"start": "latest"}, []string{"later"}},
		"time":     {map[string]any{"start": base.Add(1500 * time.Millisecond).Format(time.RFC3339Nano)}, []string{"v2", "v3", "later"}},
		"after":    {map[string]any{"start": time.Now().Add(time.Hour).Format(time.RFC3339)}, []string{"later"}},
		"offset":   {map[string]any{"start": "latest", "startOffsets": map[string]string{}}, []string{"v3", "later"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			plain := r.producer()
			records := numbered("v", 4)
			for i, rec := range records {
				rec.Timestamp = base.Add(time.Duration(i) * time.Second)
			}
			r.produce(plain, records...)
			maps.Copy(r.source, c.source)
			if offsets, ok := r.source["startOffsets"].(map[string]string); ok {
				offsets[r.name+"/0"] = "3"
			}
			r.run()
			r.committed(r.name, 0, 4) // where it starts, or what it has read
			r.produce(plain, kgo.StringRecord("later"))
			r.committed(r.name, 0, 5)
			r.taken(c.want)
		})
	}
}

// ready says why a bridge is not ready.
func (b *bridge) ready() string {
	if text := b.get("/readyz"); strings.TrimSpace(text) != "ok" {
		return text
	}
	return ""
}

// TestPattern: by pattern the topics are read that match as a whole, and those
// that appear later from their beginning.
func TestPattern(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.source["topicPattern"] = `t-testpattern(\.eu|\.us)?`
	r.source["start"] = "latest"
	r.create(r.name+".eu", 1)
	r.create(r.name+".asia", 1)
	r.run()
	r.committed(r.name, 0, 0)
	r.committed(r.name+".eu", 0, 0)
	plain := r.producer()
	r.produce(plain, kgo.StringRecord("one"), &kgo.Record{Topic: r.name + ".eu", Value: []byte("two")}, &kgo.Record{Topic: r.name + ".asia", Value: []byte("other")})
	r.create(r.name+".us", 1)
	r.produce(r.producer(), &kgo.Record{Topic: r.name + ".us", Value: []byte("three")})
	for _, topic := range []string{r.name, r.name + ".eu", r.name + ".us"} {
		r.committed(topic, 0, 1)
	}
	r.taken([]string{"one", "two", "three"})
}
