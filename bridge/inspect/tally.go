package inspect

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Trier puts a record through everything that the bridge does to it but
// publishing. It is used by one goroutine.
type Trier interface {
	// Try says what would become of a record. An error means that this cannot
	// be found out now (a registry that is away). cluster is the id of the
	// record's cluster, topicID that of its topic.
	Try(ctx context.Context, cluster string, topicID [16]byte, r *kgo.Record) (Trial, error)
}

// Trial is what would become of a record. If it has no messages and no reason,
// the filter drops it.
type Trial struct {
	Messages []Message // valid until the next call
	Dropped  int       // events that the filter drops
	Reason   string    // why it would be refused: the short code that its dead letter has; empty: it would not
	Detail   string    // what exactly is wrong; never holds the record's values
}

// Message is a message that would be published.
type Message struct {
	Topic string // short name
	Bytes int    // in a publish request
}

const examplesPerReason = 5

// tally adds up what becomes of samples.
type tally struct {
	s        Sample
	sizes    []int
	topics   map[string]*Part
	refusals map[string]*Refusal
	// Of each source topic: the records that were sampled, their bytes and the
	// bytes and number of their messages.
	sources map[topicKey]*sampled
}

type topicKey struct{ source, topic string }

type sampled struct{ records, bytes, messages, messageBytes int64 }

func newTally(topics []string) *tally {
	t := &tally{topics: map[string]*Part{}, refusals: map[string]*Refusal{}, sources: map[topicKey]*sampled{}}
	for _, name := range topics {
		t.topics[name] = &Part{Name: name}
	}
	return t
}

// add enters a record that stands at a position.
func (t *tally) add(source string, r *kgo.Record, position string, x *Trial) {
	size := int64(len(r.Key) + len(r.Value))
	t.s.Records++
	t.s.Bytes += size
	if r.Value == nil {
		t.s.Tombstones++
	}
	from := t.sources[topicKey{source, r.Topic}]
	if from == nil {
		from = &sampled{}
		t.sources[topicKey{source, r.Topic}] = from
	}
	from.records++
	from.bytes += size
	t.s.Dropped += int64(x.Dropped)
	switch {
	case x.Reason != "":
		t.refuse(position, x)
		return
	case len(x.Messages) == 0:
		t.s.Filtered++
	}
	for _, m := range x.Messages {
		t.s.Events++
		t.sizes = append(t.sizes, m.Bytes)
		from.messages++
		from.messageBytes += int64(m.Bytes)
		p := t.topics[m.Topic]
		if p == nil {
			p = &Part{Name: m.Topic}
			t.topics[m.Topic] = p
		}
		p.Records++
		p.Bytes += int64(m.Bytes)
	}
}

func (t *tally) refuse(position string, x *Trial) {
	t.s.Refused++
	r := t.refusals[x.Reason]
	if r == nil {
		r = &Refusal{Reason: x.Reason, Examples: []Example{}}
		t.refusals[x.Reason] = r
	}
	if r.Records++; len(r.Examples) < examplesPerReason {
		r.Examples = append(r.Examples, Example{position, x.Detail})
	}
}

// sample returns what was added up.
func (t *tally) sample() Sample {
	s := t.s
	s.Messages = sizesOf(t.sizes)
	s.Refusals = []Refusal{}
	for _, r := range t.refusals {
		s.Refusals = append(s.Refusals, *r)
	}
	slices.SortFunc(s.Refusals, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), cmp.Compare(a.Reason, b.Reason))
	})
	return s
}

// split is how even the topics of the destination are.
func (t *tally) split() Skew {
	var parts []Part
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		parts = append(parts, *t.topics[name])
	}
	return skewOf(parts)
}

func sizesOf(sizes []int) Sizes {
	n := len(sizes)
	if n == 0 {
		return Sizes{}
	}
	slices.Sort(sizes)
	sum := int64(0)
	for _, s := range sizes {
		sum += int64(s)
	}
	return Sizes{
		Least: int64(sizes[0]), Mean: sum / int64(n), Median: int64(sizes[(n-1)/2]), P99: int64(sizes[(n-1)*99/100]), Greatest: int64(sizes[n-1]),
	}
}
