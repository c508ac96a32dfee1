package pipeline

import "github.com/kappa-migrate/kappa/internal/tables"

// zombie is a write that lands when its writer does not know of it any more.
type zombie struct {
	writer tables.Writer
	op     operation
	land   func()
}

// land does some of the late writes, in any order, some of them twice.
func (w *world) land(seed uint64, all bool) {
	w.mu.Lock()
	pending := w.limbo
	w.limbo = nil
	w.mu.Unlock()
	r := newRand(seed)
	r.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
	var left []zombie
	for _, z := range pending {
		if !all && r.IntN(2) == 0 {
			left = append(left, z)
			continue
		}
		z.land()
		if state := w.state(z.writer); z.op != opAck && state != tables.StateOpen {
			w.count("zombie write of a " + state + " writer")
			w.count("zombie write")
		}
		if r.IntN(3) == 0 {
			left = append(left, z) // and once more
		}
	}
	if all {
		for _, z := range left {
			z.land()
		}
		left = nil
	}
	w.mu.Lock()
	w.limbo = append(w.limbo, left...)
	w.mu.Unlock()
}
