package deploy

import (
	"context"
	"sync"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
)

// Pause is for how long nobody has read what the jobs of a group read.
type Pause struct {
	Jobs       int     `json:"jobs"`        // whose pause is known
	MaxSeconds float64 `json:"max_seconds"` // the longest of a job
	SumSeconds float64 `json:"sum_seconds"`
}

// pauses measures for how long nobody reads what a job reads, by the job's place
// in the plan: from when the old generation was asked to end, or, where the
// service was seen to say that it reads nothing more, from then on.
type pauses struct {
	mu   sync.Mutex
	from map[int]time.Time
	seen map[int]bool // the service has said so
}

func newPauses() *pauses { return &pauses{from: map[int]time.Time{}, seen: map[int]bool{}} }

// ask says that a job is asked to end now.
func (p *pauses) ask(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from[i] = time.Now()
}

// open reports whether it is still to be seen when a job stops reading.
func (p *pauses) open(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.seen[i]
}

// stop says that the service was seen to say that a job reads nothing more, since
// a time.
func (p *pauses) stop(i int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from[i], p.seen[i] = at, true
}

// end is for how long nobody has read what a job reads, now that its next
// generation runs; nil: nothing was stopped by this Apply.
func (p *pauses) end(i int) *float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, ok := p.from[i]
	if !ok {
		return nil
	}
	s := max(time.Since(from).Seconds(), 0)
	return &s
}

// stopping looks whether a job that was asked to drain reads nothing more. That
// costs a call until it does; where the call fails, the time of the request stands.
func (t *take) stopping(ctx context.Context, i int, g Drains) {
	if !t.pauses.open(i) {
		return
	}
	j, err := t.cfg.Jobs.Get(ctx, g.DataflowID)
	if err != nil || j.GetCurrentState() != pb.JobState_JOB_STATE_DRAINING {
		return
	}
	at := time.Now()
	if since := j.GetCurrentStateTime(); g.State == dataflowapi.StateName(j.GetCurrentState()) && since.IsValid() {
		at = since.AsTime() // it drained before this Apply began
	}
	t.pauses.stop(i, at)
}

// pauseOf sums up the pauses of jobs; nil: none is known.
func pauseOf(jobs []JobResult) *Pause {
	var p Pause
	for _, j := range jobs {
		if j.PauseSeconds != nil {
			p.Jobs++
			p.SumSeconds += *j.PauseSeconds
			p.MaxSeconds = max(p.MaxSeconds, *j.PauseSeconds)
		}
	}
	if p.Jobs == 0 {
		return nil
	}
	return &p
}
