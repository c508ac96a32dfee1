package bridge

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/bridge"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/term"
)

const (
	liveEvery = 500 * time.Millisecond // on a terminal
	logEvery  = 10 * time.Second       // elsewhere
)

// progress shows how a bridge is doing: a live line on a terminal, a log line
// at intervals elsewhere.
type progress struct {
	log     *slog.Logger
	display *term.Display // nil where there is no terminal
	done    chan struct{}
	wg      sync.WaitGroup
}

func newProgress(a *app.App) *progress {
	p := &progress{log: a.Log, done: make(chan struct{})}
	if app.Terminal(a.Err) {
		p.display = term.New(a.Err)
		p.log = p.display.Logger(a.Log)
	}
	return p
}

func (p *progress) start(status func() bridge.Status) {
	p.wg.Go(func() {
		if p.display != nil {
			p.live(status)
		} else {
			p.lines(status)
		}
	})
}

func (p *progress) stop() {
	close(p.done)
	p.wg.Wait()
	if p.display != nil {
		p.display.Close()
	}
}

func (p *progress) live(status func() bridge.Status) {
	task := p.display.Start("publishing", "messages", 0)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		s := status()
		task.Set(s.Published)
		note := fmt.Sprintf("%s in flight", term.Count(s.InFlight))
		if s.Lag >= 0 {
			note += fmt.Sprintf(", %s behind", term.Count(s.Lag))
		}
		if s.DeadLettered > 0 {
			note += fmt.Sprintf(", %s dead letters", term.Count(s.DeadLettered))
		}
		if len(s.Problems) > 0 {
			note += ", not ready"
		}
		task.Note(note)
		select {
		case <-p.done:
			task.Set(status().Published)
			task.Done("stopped")
			return
		case <-tick.C:
		}
	}
}

func (p *progress) lines(status func() bridge.Status) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	last, at := status(), time.Now()
	for {
		select {
		case <-p.done:
			return
		case now := <-tick.C:
			s := status()
			rate := float64(s.Published-last.Published) / now.Sub(at).Seconds()
			p.log.Info("progress", "messages_per_second", int64(rate+0.5), "published", s.Published, "in_flight", s.InFlight,
				"lag", s.Lag, "filtered", s.Filtered, "dead_lettered", s.DeadLettered, "memory_used", s.Memory, "ready", len(s.Problems) == 0)
			last, at = s, now
		}
	}
}
