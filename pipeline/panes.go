package pipeline

import (
	"fmt"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// paneGuard holds the runner to its word that no pane of a key and window comes
// twice, where a process sees all of them and bundles are not run again: off
// Dataflow. Readers keep one of two panes with the same index, so a second one
// would be lost without a trace; the job rather fails. Prism can give an index
// twice if it is held up between firing two panes of a window. invariant P2
type paneGuard struct {
	mu     sync.Mutex
	last   map[paneKey]int64
	newest int64 // window start
	sweep  int   // size of last at which it is swept next
}

type paneKey struct {
	aggregation int
	key         string
	start       int64
}

// leastSweep is the smallest size at which it is worth to look for what expired.
const leastSweep = 1 << 16

// claimPane says that a pane is about to be written.
func (rt *runtime) claimPane(p *Plan, aggregation int, key []byte, start, index int64) error {
	if p.Native {
		return nil
	}
	g := &rt.panes
	k := paneKey{aggregation: aggregation, key: string(key), start: start}
	g.mu.Lock()
	defer g.mu.Unlock()
	if last, ok := g.last[k]; ok && index <= last {
		agg := &p.Aggregations[aggregation]
		return rt.fail(exit.With(exit.Failed, fmt.Errorf("aggregation %s, key (%s), window of %s: the runner gave pane %d after pane %d; nothing was acknowledged",
			agg.Name, p.describeKey(agg, key), time.UnixMicro(start).UTC().Format(time.RFC3339), index, last)).
			WithHint("void this generation and start the job again"))
	}
	if g.last == nil {
		g.last, g.sweep = map[paneKey]int64{}, leastSweep
	}
	g.last[k] = index
	g.newest = max(g.newest, start)
	if len(g.last) >= g.sweep {
		g.expire(p)
		g.sweep = max(leastSweep, 2*len(g.last))
	}
	return nil
}

// expire forgets windows that get no more panes: those that ended before the
// horizon of one that has fired.
func (g *paneGuard) expire(p *Plan) {
	for k := range g.last {
		if k.start+p.Aggregations[k.aggregation].Window.Microseconds()+p.Horizon.Microseconds() < g.newest {
			delete(g.last, k)
		}
	}
}
