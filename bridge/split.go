package bridge

import "github.com/cespare/xxhash/v2"

// splitOf returns the number of the topic for a text, below count. One hash
// for ever: a duplicate must reach the topic, and so the job, that the first
// one reached.
func splitOf(text []byte, count int) int {
	if count == 1 {
		return 0
	}
	return int(xxhash.Sum64(text) % uint64(count))
}
