//go:build kafka

package verify

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
)

// TestARealBroker: the same logs as the fake's, and one that was compacted.
func TestARealBroker(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := apachekafka.Start(ctx, apachekafka.Config{Brokers: 1, Properties: map[string]string{"log.cleaner.backoff.ms": "100"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	addr := c.Addrs(apachekafka.Plaintext)[0]
	t.Run("gaps", func(t *testing.T) {
		forever := "-1" // the records are old
		realTopic(t, addr, map[string]*string{"retention.ms": &forever})
		worldOf(t, addr).gaps()
	})
	t.Run("compacted", func(t *testing.T) {
		value := func(s string) *string { return &s }
		realTopic(t, addr, map[string]*string{"cleanup.policy": value("compact"), "segment.ms": value("100"), "segment.bytes": value("1048576"),
			"min.cleanable.dirty.ratio": value("0.001"), "max.compaction.lag.ms": value("100")})
		w := worldOf(t, addr)
		for i := range 300 {
			r := w.record(0, fmt.Sprint(i), 0)
			r.Key, r.Timestamp = []byte{byte(i % 3)}, time.Now()
			w.produce(r)
		}
		// Segments roll with what is written next; then the cleaner takes what has a later record of its key.
		left := int64(300)
		for n := int64(300); left > 200; n++ {
			if ctx.Err() != nil {
				t.Fatalf("%d of 300 records are left after compaction", left)
			}
			r := w.record(0, "later", 0)
			r.Key, r.Timestamp = []byte{9}, time.Now()
			w.produce(r)
			cfg := w.config(everything{w: w})
			cfg.Range.Offsets = []OffsetRange{{Topic: "t", From: 0, To: 300}}
			res := w.verify(cfg)
			if res.Verdict != Complete || res.Totals.Gaps != 300-res.Totals.Records || res.Totals.Unheld != res.Totals.Gaps {
				t.Fatalf("%s: %+v", res.Verdict, res.Totals)
			}
			left = res.Totals.Records
		}
	})
}

// realTopic makes the topic, anew if it is there, and waits until the brokers
// know it by its new id.
func realTopic(t *testing.T, addr string, configs map[string]*string) {
	t.Helper()
	w := &world{t: t}
	w.client = w.connect(addr)
	admin := kadm.NewClient(w.client)
	_, _ = admin.DeleteTopics(t.Context(), "t")
	var id kadm.TopicID
	until(t, func() error {
		made, err := admin.CreateTopic(t.Context(), 1, 1, configs, "t")
		id = made.ID
		return err
	})
	until(t, func() error {
		meta, err := admin.Metadata(kadm.WithAuthorizedOps(t.Context()), "t")
		if err == nil && meta.Topics["t"].ID != id {
			err = errors.New("the topic has its old id")
		}
		return err
	})
}

func until(t *testing.T, try func() error) {
	t.Helper()
	tick, deadline := time.NewTicker(100*time.Millisecond), time.Now().Add(30*time.Second)
	defer tick.Stop()
	for err := try(); err != nil; err = try() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-tick.C
	}
}
