package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Source topics and their partitions. The bridges of the main group read the
// first three, the bridge that is truncated in front of reads the last.
const (
	topicIn     = "in"
	topicKeyed  = "keyed" // compacted
	topicTx     = "tx"    // transactions
	topicCut    = "cut"   // truncated
	groupMain   = "soak"
	groupCut    = "soak-cut"
	poisonEvery = 100 // records of topicIn: about one for each publish request
)

var (
	mainTopics = map[string]int{topicIn: 8, topicKeyed: 2, topicTx: 2}
	cutTopics  = map[string]int{topicCut: 4}
	groups     = map[string]map[string]int{groupMain: mainTopics, groupCut: cutTopics}
)

// producer produces numbered records and tells the oracle what each must
// become.
type producer struct {
	oracle  *oracle
	client  *kgo.Client
	addrs   []string
	rate    int // records per second
	payload int // bytes of a record's value, about

	gate sync.RWMutex // held for writing while nothing may be produced

	mu    sync.Mutex
	dice  *rand.Rand
	n     int64
	bytes int64
	// The first record of a partition of the compacted topic has a key that
	// never comes again. Kafka's compaction never moves the start of a log, but
	// kfake's does when the first records go, and a bridge then rightly stops.
	anchored map[int]bool
}

func newProducer(o *oracle, addrs []string, rate, payload int, dice *rand.Rand) (*producer, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ClientID("soak-producer"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond), kgo.ProducerLinger(0))
	if err != nil {
		return nil, fmt.Errorf("set up the producer: %w", err)
	}
	return &producer{oracle: o, client: c, addrs: addrs, rate: rate, payload: payload, dice: dice, anchored: make(map[int]bool)}, nil
}

// draft is a record and what its message must be.
type draft struct {
	*kgo.Record
	fate    fate
	content uint64
}

const filler = "abcdefghijklmnopqrstuvwxyz0123456789"

// draft makes a record for a partition.
func (p *producer) draft(topic string, partition int) draft {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	defer func() { p.anchored[partition] = p.anchored[partition] || topic == topicKeyed }()
	at := time.Now().Truncate(time.Millisecond)
	origin := fmt.Sprintf("AP%d", p.dice.IntN(17))
	var pad strings.Builder
	for n := p.payload/2 + p.dice.IntN(p.payload); pad.Len() < n; {
		pad.WriteString(filler[p.dice.IntN(len(filler)):])
	}
	d := draft{fate: due, Record: &kgo.Record{Topic: topic, Partition: int32(partition), Timestamp: at, Key: []byte(origin)}}
	poisoned := ""
	if topic == topicIn && p.n%poisonEvery == 0 {
		poisoned, d.fate = poisonMark, poison
	}
	text := func(name string) string {
		return fmt.Sprintf(`{"n":%d,%q:%q,"pad":%q,"note":%q}`, p.n, name, origin, pad.String(), poisoned)
	}
	d.Value = []byte(text("orig"))
	published, key := d.Value, origin
	if topic != topicCut {
		published = []byte(text("origin")) // the transform of the main bridges
	}
	if topic == topicKeyed && p.anchored[partition] {
		d.Key = fmt.Appendf(nil, "k%d", p.dice.IntN(200))
		if p.dice.IntN(20) == 0 { // a tombstone has no fields: the record's key picks its topic
			d.Value, published, key = nil, nil, string(d.Key)
		}
	}
	p.bytes += int64(len(d.Key) + len(d.Value))
	when := at.UTC().Format("2006-01-02T15:04:05.000Z")
	d.content = contentOf(fmt.Sprint(topicPrefix, splitOf(key, splits)), published, when)
	if d.fate == poison {
		d.content = contentOf(deadTopic, d.Value, "")
	}
	return d
}

// recordBytes is the mean size of a record.
func (p *producer) recordBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes / max(p.n, 1)
}

// send produces records and tells the oracle.
func (p *producer) send(ctx context.Context, drafts []draft) error {
	records := make([]*kgo.Record, len(drafts))
	for i, d := range drafts {
		records[i] = d.Record
	}
	if err := p.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for _, d := range drafts {
		p.oracle.produced(tp{d.Topic, d.Partition}, d.Offset, d.fate, d.content)
	}
	return nil
}

// burst produces n records to one partition.
func (p *producer) burst(ctx context.Context, to tp, n int) error {
	for n > 0 {
		drafts := make([]draft, min(n, 500))
		for i := range drafts {
			drafts[i] = p.draft(to.topic, int(to.partition))
		}
		if err := p.send(ctx, drafts); err != nil {
			return err
		}
		n -= len(drafts)
	}
	return nil
}

func (p *producer) roll(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dice.IntN(n)
}

// run produces until stop is done; what it has begun it finishes, under ctx.
func (p *producer) run(ctx, stop context.Context) error {
	const each = 50 * time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	for {
		select {
		case <-stop.Done():
			return nil
		case <-tick.C:
		}
		p.gate.RLock()
		drafts := make([]draft, 0, p.rate/20+1)
		for len(drafts) < cap(drafts) {
			topic, n := topicIn, mainTopics[topicIn]
			switch r := p.roll(100); {
			case r < 15:
				topic, n = topicKeyed, mainTopics[topicKeyed]
			case r < 30:
				topic, n = topicCut, cutTopics[topicCut]
			}
			drafts = append(drafts, p.draft(topic, p.roll(n)))
		}
		err := p.send(ctx, drafts)
		p.gate.RUnlock()
		if err != nil {
			return err
		}
	}
}

// transact produces transactions, some of which it aborts, until stop is done.
func (p *producer) transact(ctx, stop context.Context) error {
	var c *kgo.Client
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for stop.Err() == nil {
		if c == nil {
			var err error
			c, err = kgo.NewClient(kgo.SeedBrokers(p.addrs...), kgo.ClientID("soak-transactions"), kgo.TransactionalID("soak"),
				kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond), kgo.TransactionTimeout(20*time.Second))
			if err != nil {
				return fmt.Errorf("set up the transactional producer: %w", err)
			}
		}
		p.gate.RLock()
		ok := p.transaction(ctx, stop, c)
		p.gate.RUnlock()
		if !ok {
			c.Close()
			c = nil
		}
		wait(stop, 300*time.Millisecond)
	}
	return nil
}

// transaction produces one; ok is false if the client is of no use any more.
func (p *producer) transaction(ctx, stop context.Context, c *kgo.Client) (ok bool) {
	if err := c.BeginTransaction(); err != nil {
		return false
	}
	drafts := make([]draft, 2+p.roll(20))
	records := make([]*kgo.Record, len(drafts))
	for i := range drafts {
		drafts[i] = p.draft(topicTx, p.roll(mainTopics[topicTx]))
		records[i] = drafts[i].Record
	}
	sent := c.ProduceSync(ctx, records...)
	if p.roll(20) == 0 {
		wait(stop, 3*time.Second) // readers have to wait for it
	}
	commit := kgo.TransactionEndTry(p.roll(10) < 7 && sent.FirstErr() == nil)
	// Before the end, because a reader may be past aborted records after it.
	if !commit {
		p.tell(drafts, sent, aborted)
	}
	err := c.EndTransaction(ctx, commit)
	switch {
	case err != nil && bool(commit):
		p.tell(drafts, sent, doubtful)
	case bool(commit):
		p.tell(drafts, sent, due)
	}
	return err == nil
}

// tell tells the oracle of what was produced.
func (p *producer) tell(drafts []draft, sent kgo.ProduceResults, f fate) {
	failed := make(map[*kgo.Record]bool)
	for _, r := range sent {
		failed[r.Record] = r.Err != nil
	}
	for _, d := range drafts {
		if !failed[d.Record] {
			p.oracle.produced(tp{d.Topic, d.Partition}, d.Offset, f, d.content)
		}
	}
}
