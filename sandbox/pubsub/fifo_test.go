package pubsub

import (
	"testing"

	"pgregory.net/rapid"
)

func TestFIFOAgainstSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q fifo[int]
		var want []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"push back": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					q.pushBack(next)
					want = append(want, next)
					next++
				}
			},
			"push front": func(*rapid.T) {
				q.pushFront(next)
				want = append([]int{next}, want...)
				next++
			},
			"pop front": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "n") {
					if len(want) == 0 {
						break
					}
					if got := q.popFront(); got != want[0] {
						t.Fatalf("popped %d, want %d", got, want[0])
					}
					want = want[1:]
				}
			},
			"pop back": func(t *rapid.T) {
				if len(want) == 0 {
					t.Skip("empty")
				}
				if got := q.popBack(); got != want[len(want)-1] {
					t.Fatalf("popped %d, want %d", got, want[len(want)-1])
				}
				want = want[:len(want)-1]
			},
			"": func(t *rapid.T) {
				if q.len() != len(want) {
					t.Fatalf("length %d, want %d", q.len(), len(want))
				}
				for i := range want {
					if *q.at(i) != want[i] {
						t.Fatalf("element %d is %d, want %d", i, *q.at(i), want[i])
					}
				}
			},
		})
	})
}
