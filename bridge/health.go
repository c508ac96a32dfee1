package bridge

import (
	"maps"
	"slices"
	"sync"
)

// health collects what keeps the bridge from being ready.
type health struct {
	mu       sync.Mutex
	problems map[string]string // what by whose
}

func newHealth() *health { return &health{problems: make(map[string]string)} }

// problem notes the problem of one part and reports whether it had none before.
func (h *health) problem(part, what string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, had := h.problems[part]
	h.problems[part] = what
	return !had
}

// solved forgets the problem of a part.
func (h *health) solved(part string) {
	h.mu.Lock()
	delete(h.problems, part)
	h.mu.Unlock()
}

// list returns all problems in a stable order; none means ready.
func (h *health) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]string, 0, len(h.problems))
	for _, part := range slices.Sorted(maps.Keys(h.problems)) {
		all = append(all, h.problems[part])
	}
	return all
}
