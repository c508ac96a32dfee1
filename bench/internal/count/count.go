// Package count checks that every event id of a Kafka topic arrives exactly
// once. It keeps a bit per offset and nothing else.
package count

import (
	"fmt"
	"math/bits"
	"sync"

	"github.com/kappa-migrate/kappa/bench/internal/wire"
)

// Expect says which ids may arrive.
type Expect struct {
	Hash       uint64 // wire.TopicHash of the topic
	Partitions int
	Period     int64          // records after which the topic's records repeat; 0: none is filtered
	Filtered   map[int64]bool // offsets modulo Period that must not arrive
}

func (e *Expect) filtered(offset int64) bool {
	return e.Period > 0 && len(e.Filtered) > 0 && e.Filtered[offset%e.Period]
}

// Ledger holds what has arrived. Safe for concurrent use.
type Ledger struct {
	expect Expect
	parts  []part
}

// part is a partition. Messages come in runs of one partition, so that its
// lock is taken once for many.
type part struct {
	mu         sync.Mutex
	pages      [][]uint64 // a bit per offset
	end        int64      // highest offset that arrived, plus 1
	messages   int64
	duplicates int64
	unexpected int64 // filtered ones that arrived all the same
	examples   []string
	_          [64]byte // partitions do not share cache lines
}

const (
	pageBits = 16
	pageMask = 1<<pageBits - 1
	// maxOffset bounds the memory that a wrong id can cost: 100 MB.
	maxOffset   = 1 << 38
	maxExamples = 5
)

// NewLedger returns an empty ledger.
func NewLedger(e Expect) *Ledger { return &Ledger{expect: e, parts: make([]part, e.Partitions)} }

// Batch takes the ids of one request.
type Batch struct {
	l    *Ledger
	held *part
}

// Begin begins a batch; End must be called.
func (l *Ledger) Begin() Batch { return Batch{l: l} }

// Add notes an id; false if it is not one of the topic's.
func (b *Batch) Add(id []byte) bool {
	hash, partition, offset, ok := wire.ParseID(id)
	if !ok || hash != b.l.expect.Hash || partition >= len(b.l.parts) || offset >= maxOffset {
		return false
	}
	p := &b.l.parts[partition]
	if p != b.held {
		b.End()
		p.mu.Lock()
		b.held = p
	}
	p.messages++
	page := int(offset >> pageBits)
	for len(p.pages) <= page {
		p.pages = append(p.pages, nil)
	}
	if p.pages[page] == nil {
		p.pages[page] = make([]uint64, (pageMask+1)/64)
	}
	word, bit := &p.pages[page][offset&pageMask>>6], uint64(1)<<(offset&63)
	if *word&bit != 0 {
		p.duplicates++
		p.example("duplicate", partition, offset)
		return true
	}
	*word |= bit
	p.end = max(p.end, offset+1)
	if b.l.expect.filtered(offset) {
		p.unexpected++
		p.example("filtered", partition, offset)
	}
	return true
}

func (p *part) example(what string, partition int, offset int64) {
	if len(p.examples) < maxExamples {
		p.examples = append(p.examples, fmt.Sprintf("%s %d/%d", what, partition, offset))
	}
}

// End ends the batch.
func (b *Batch) End() {
	if b.held != nil {
		b.held.mu.Unlock()
		b.held = nil
	}
}

// Report says what arrived and what did not.
type Report struct {
	Messages   int64    `json:"messages"`
	Distinct   int64    `json:"distinct"`
	Duplicates int64    `json:"duplicates"`
	Missing    int64    `json:"missing"`
	Unexpected int64    `json:"unexpected"` // filtered, or beyond the ends
	Examples   []string `json:"examples"`   // some of them, as partition/offset
}

// Check compares what arrived with the offsets 0 to ends[p]-1 of every
// partition p; -1 stands for the highest that arrived.
func (l *Ledger) Check(ends []int64) (Report, error) {
	var r Report
	if len(ends) != len(l.parts) {
		return r, fmt.Errorf("%d ends of %d partitions", len(ends), len(l.parts))
	}
	for i := range l.parts {
		l.parts[i].check(&r, i, ends[i], &l.expect)
	}
	return r, nil
}

func (p *part) check(r *Report, partition int, end int64, e *Expect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if end < 0 {
		end = p.end
	}
	r.Messages += p.messages
	r.Duplicates += p.duplicates
	r.Unexpected += p.unexpected
	r.Examples = append(r.Examples, p.examples...)
	missing, beyond := 0, 0
	for offset := int64(0); offset < max(end, p.end); offset += 64 {
		var word uint64
		if page := int(offset >> pageBits); page < len(p.pages) && p.pages[page] != nil {
			word = p.pages[page][offset&pageMask>>6]
		}
		r.Distinct += int64(bits.OnesCount64(word))
		if word == ^uint64(0) && offset+64 <= end {
			continue
		}
		for i := range int64(64) {
			switch at, there := offset+i, word>>i&1 == 1; {
			case there && at >= end:
				r.Unexpected++
				if beyond++; beyond <= maxExamples {
					r.Examples = append(r.Examples, fmt.Sprintf("beyond the end %d/%d", partition, at))
				}
			case !there && at < end && !e.filtered(at):
				r.Missing++
				if missing++; missing <= maxExamples {
					r.Examples = append(r.Examples, fmt.Sprintf("missing %d/%d", partition, at))
				}
			}
		}
	}
}
