package codec

import (
	"math/bits"
	"sync"
)

// Pool holds buffers for requests and answers.
var Pool pool

// pool is a pool of buffers by power of two. Unlike gRPC's own it takes requests
// of more than 1 MiB, and does not clear what is overwritten anyway.
type pool struct{ tiers [bits.UintSize]sync.Pool }

// Get returns a buffer of n bytes with any content.
func (p *pool) Get(n int) *[]byte {
	tier := bits.Len(uint(max(n, 1) - 1)) // 2^tier is at least n
	if b, ok := p.tiers[tier].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<tier)
	return &b
}

// Put takes a buffer back.
func (p *pool) Put(b *[]byte) {
	if c := cap(*b); c > 0 {
		p.tiers[bits.Len(uint(c))-1].Put(b) // 2^tier is at most c
	}
}
