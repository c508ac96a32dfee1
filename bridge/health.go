package bridge

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// health collects what keeps the bridge from being ready.
type health struct {
	mu       sync.Mutex
	problems map[string]string // what by whose
	stalls   map[string]string
}

func newHealth() *health {
	return &health{problems: make(map[string]string), stalls: make(map[string]string)}
}

// stalled notes that a part makes no progress though nothing is known to be
// wrong, and reports whether it did before.
func (h *health) stalled(part, what string) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, had := h.stalls[part]
	h.stalls[part] = what
	return !had
}

// moving notes that a part makes progress.
func (h *health) moving(part string) {
	h.mu.Lock()
	delete(h.stalls, part)
	h.mu.Unlock()
}

// stuck returns what makes no progress, in a stable order; none means alive.
func (h *health) stuck() []string { return h.sorted(h.stalls) }

// hasOtherThan reports whether there is a problem of a part without a prefix.
func (h *health) hasOtherThan(prefix string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for part := range h.problems {
		if !strings.HasPrefix(part, prefix) {
			return true
		}
	}
	return false
}

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
func (h *health) list() []string { return h.sorted(h.problems) }

func (h *health) sorted(of map[string]string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]string, 0, len(of))
	for _, part := range slices.Sorted(maps.Keys(of)) {
		all = append(all, of[part])
	}
	return all
}
