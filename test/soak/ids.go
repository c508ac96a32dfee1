package main

import (
	"crypto/sha256"
	"fmt"
	"math/big"

	"github.com/cespare/xxhash/v2"
)

// eventID is the id that a record's event must have, computed from its
// description in docs: 122 bits (40 of SHA-256 over cluster id, a zero byte and
// the topic id; 16 partition; 50 offset; 16 ordinal) around the version and the
// variant of a UUIDv8. Deliberately slow and plain, and nothing of the bridge's.
func eventID(cluster string, topicID [16]byte, partition int32, offset int64) string {
	sum := sha256.Sum256(append(append([]byte(cluster), 0), topicID[:]...))
	n := new(big.Int).SetBytes(sum[:5])
	add := func(bits uint, v int64) { n.Lsh(n, bits).Or(n, big.NewInt(v)) }
	add(16, int64(partition))
	add(50, offset)
	add(16, 0)

	part := func(from, bits uint) *big.Int { // of 122 bits, counted from the most significant
		v := new(big.Int).Rsh(n, 122-from-bits)
		return v.And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(1)))
	}
	u := new(big.Int).Set(part(0, 48))
	u.Lsh(u, 4).Or(u, big.NewInt(8))
	u.Lsh(u, 12).Or(u, part(48, 12))
	u.Lsh(u, 2).Or(u, big.NewInt(2))
	u.Lsh(u, 62).Or(u, part(60, 62))
	h := fmt.Sprintf("%032x", u)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// splitOf is the number of the topic for the text of an event's key.
func splitOf(text string, splits int) int {
	return int(xxhash.Sum64String(text) % uint64(splits))
}
