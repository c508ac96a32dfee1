package demo

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/demo/flights"
)

const testTopic = "flights"

// kafka starts a Kafka with the topic and returns its address.
func kafka(t *testing.T) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, testTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func testFlights(n int) []flights.Flight {
	out := make([]flights.Flight, n)
	for i := range out {
		out[i] = flights.Flight{
			Scheduled: time.Date(2001, 1, 8, 0, i, 0, 0, time.UTC).UnixMicro(), Delay: int32(i%7) - 3, Distance: int32(i),
			Origin: []string{"ATL", "LAS", "ORD", "SFO", "JFK"}[i%5], Destination: "DEN",
		}
	}
	return out
}

func newClient(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What the producer sends can be read back, whole and in order, with the
// arrival as the record's timestamp; the ledger knows every position.
func TestProduceAndReadBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	brokers := kafka(t)
	in := testFlights(500)
	p := &producer{client: newClient(t, kgo.SeedBrokers(brokers...)), topic: testTopic, flights: in, order: sendOrder(in, 0.1), rate: 5000}
	began := time.Now()
	if err := p.run(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 90*time.Millisecond {
		t.Errorf("550 records at 5,000 a second took %s", took)
	}
	if got := p.acked.Load(); got != 550 {
		t.Errorf("%d records acknowledged, want 550", got)
	}

	ends, err := kadm.NewClient(p.client).ListEndOffsets(ctx, testTopic)
	if err != nil {
		t.Fatal(err)
	}
	last := map[int32]int64{}
	for part, o := range ends[testTopic] {
		last[part] = o.Offset
	}
	sent := map[int64]int{}
	byOrigin := map[string]int32{}
	err = readBack(ctx, brokers, testTopic, last, func(r *kgo.Record) error {
		var rep report
		if err := json.Unmarshal(r.Value, &rep); err != nil {
			return err
		}
		f := in[rep.EventID-1]
		if d := cmp.Diff(reportOf(int32(rep.EventID-1), f), rep); d != "" {
			t.Error(d)
		}
		if string(r.Key) != f.Origin || !r.Timestamp.Equal(f.ArrivesAt()) {
			t.Errorf("flight %d: key %q at %s, want %q at %s", rep.EventID, r.Key, r.Timestamp, f.Origin, f.ArrivesAt())
		}
		if part, seen := byOrigin[f.Origin]; seen && part != r.Partition {
			t.Errorf("origin %s is in partitions %d and %d", f.Origin, part, r.Partition)
		}
		byOrigin[f.Origin] = r.Partition
		if at, ok := p.sent.get(r.Partition, r.Offset); !ok || at.Before(began) || at.After(time.Now()) {
			t.Errorf("the ledger says %s, %t of record %d/%d", at, ok, r.Partition, r.Offset)
		}
		sent[rep.EventID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	twice := 0
	for id := int64(1); id <= 500; id++ {
		if sent[id] == 2 {
			twice++
		} else if sent[id] != 1 {
			t.Errorf("flight %d was sent %d times", id, sent[id])
		}
	}
	if twice != 50 {
		t.Errorf("%d flights were sent twice, want 50", twice)
	}
	positions := 0
	p.sent.each(func(int32, int64) bool { positions++; return true })
	if positions != 550 {
		t.Errorf("the ledger has %d positions, want 550", positions)
	}
	if _, ok := p.sent.get(0, 1<<40); ok {
		t.Error("the ledger knows a position that was never written")
	}
}

// A producer that is stopped ends soon, and says why.
func TestProduceStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in := testFlights(100)
	p := &producer{client: newClient(t, kgo.SeedBrokers(kafka(t)...)), topic: testTopic, flights: in, order: sendOrder(in, 0), rate: 1}
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("still producing")
	}
}

// A record that Kafka refuses ends the producer with its reason.
func TestProduceFails(t *testing.T) {
	in := testFlights(3)
	p := &producer{
		client: newClient(t, kgo.SeedBrokers(kafka(t)...), kgo.ProducerBatchMaxBytes(1<<10), kgo.MaxBufferedRecords(10)),
		topic:  "not there", flights: in, order: sendOrder(in, 0), rate: 1000,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := p.run(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("got %v", err)
	}
}
