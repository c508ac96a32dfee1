package bridge

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// invariant B4: a fetch of what compresses well, or of tiny records, takes no
// more memory than one of what does not compress.
func TestFetchSizer(t *testing.T) {
	const target = 16 << 20
	s := newFetchSizer(target, 500)
	asked := s.applied
	s.apply = func(fetch, partition int32) {
		asked = fetch
		if partition > fetch || partition > 8<<20 {
			t.Errorf("partition %d of %d", partition, fetch)
		}
	}
	if asked > target/firstGrowth {
		t.Errorf("the first fetch asks for %d", asked)
	}
	plain := kgo.FetchBatchMetrics{NumRecords: 100, UncompressedBytes: 1 << 20, CompressedBytes: 1 << 20}
	for range 2000 {
		s.observe(plain)
	}
	if asked < target*3/4 || asked > target {
		t.Errorf("asks for %d of what does not grow", asked)
	}
	dense := kgo.FetchBatchMetrics{NumRecords: 100, UncompressedBytes: 1 << 20, CompressedBytes: 50 << 10}
	s.observe(dense)
	if memory := int64(asked) * 1 << 20 / (50 << 10); memory > target {
		t.Errorf("asks for %d bytes, %d in memory", asked, memory)
	}
	tiny := kgo.FetchBatchMetrics{NumRecords: 10_000, UncompressedBytes: 100_000, CompressedBytes: 100_000}
	s.growth = 1
	s.observe(tiny)
	if memory := int64(asked) / 10 * 510; memory > target*9/8 {
		t.Errorf("asks for %d bytes, %d in memory", asked, memory)
	}
	s.observe(kgo.FetchBatchMetrics{})
	s.observe(kgo.FetchBatchMetrics{UncompressedBytes: 1 << 30, CompressedBytes: 1})
	if asked != minFetch {
		t.Errorf("asks for %d, want the least", asked)
	}
}
