package bridge

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of a fetch, in bytes on the wire.
const (
	minFetch = 64 << 10
	maxFetch = 32 << 20
	// firstGrowth is how much a fetch is taken to grow in memory before the
	// first one has shown how much it does.
	firstGrowth = 8
)

// fetchSizer chooses how many bytes to ask the brokers for (invariant B4). A
// broker counts compressed bytes; what counts here is the memory that they
// take once decompressed, so the size follows how much batches grow.
type fetchSizer struct {
	target int64 // memory for one fetch
	record int64 // memory of a record beside its bytes

	mu      sync.Mutex
	growth  float64
	applied int32
	apply   func(fetch, partition int32)
}

func newFetchSizer(target, record int64) *fetchSizer {
	s := &fetchSizer{target: target, record: record, growth: firstGrowth}
	s.applied = s.size()
	return s
}

// size is how many bytes to ask for.
func (s *fetchSizer) size() int32 {
	return int32(min(max(float64(s.target)/s.growth, minFetch), maxFetch))
}

// partitionSize is how many bytes to ask for of one partition.
func partitionSize(fetch int32) int32 { return min(fetch, 8<<20) }

// observe notes how a batch grew. The size shrinks at once and recovers slowly.
func (s *fetchSizer) observe(m kgo.FetchBatchMetrics) {
	if m.CompressedBytes <= 0 {
		return
	}
	growth := float64(int64(m.UncompressedBytes)+int64(m.NumRecords)*s.record) / float64(m.CompressedBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if growth >= s.growth {
		s.growth = growth
	} else {
		s.growth += (growth - s.growth) / 64
	}
	size := s.size()
	if d := size - s.applied; d > s.applied/8 || d < -s.applied/8 {
		s.applied = size
		s.apply(size, partitionSize(size))
	}
}
