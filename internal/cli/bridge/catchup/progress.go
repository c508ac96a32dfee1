package catchup

import (
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/bridge/catchup"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/term"
)

const (
	liveEvery = 500 * time.Millisecond // on a terminal
	logEvery  = 10 * time.Second       // elsewhere
)

// progress shows how far a catch-up is: a bar on a terminal, a log line at
// intervals elsewhere.
type progress struct {
	log     *slog.Logger
	display *term.Display // nil where there is no terminal
	done    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
	whole   bool // set before done is closed
}

func newProgress(a *app.App) *progress {
	p := &progress{log: a.Log, done: make(chan struct{})}
	if app.Terminal(a.Err) {
		p.display = term.New(a.Err)
		p.log = p.display.Logger(a.Log)
	}
	return p
}

func (p *progress) start(look func() catchup.Progress) {
	p.wg.Go(func() {
		if p.display != nil {
			p.live(look)
		} else {
			p.lines(look)
		}
	})
}

// finish says that all was read.
func (p *progress) finish() {
	p.whole = true
	p.end()
}

func (p *progress) end() {
	p.once.Do(func() { close(p.done) })
	p.wg.Wait()
}

func (p *progress) stop() {
	p.end()
	if p.display != nil {
		p.display.Close()
	}
}

// mebi is the unit of the bar: bytes one by one are too many digits.
const mebi = 1 << 20

func (p *progress) live(look func() catchup.Progress) {
	s := look()
	task := p.display.Start("catching up", "MiB", max(s.Bytes/mebi, 1))
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		s = look()
		task.Set(s.Done / mebi)
		task.Note(note(s))
		select {
		case <-p.done:
			s = look()
			task.Set(s.Done / mebi)
			if p.whole {
				task.Done("all of it")
			} else {
				task.Fail(fmt.Sprintf("%d of %d splits read", s.SplitsDone, s.Splits))
			}
			return
		case <-tick.C:
		}
	}
}

// note is what a progress line says beside the bytes.
func note(s catchup.Progress) string {
	text := fmt.Sprintf("%d of %d splits", s.SplitsDone, s.Splits)
	f := s.Forecast
	if f.Inflow != nil {
		text += fmt.Sprintf(", inflow %s/s", term.Bytes(int64(f.Inflow.BytesPerSecond)))
	}
	switch {
	case f.Never:
		text += ", never catches up at this rate"
	case f.CaughtUpIn != nil:
		text += ", caught up in " + term.Span(catchup.Duration(*f.CaughtUpIn))
	}
	if s.Bridge.DeadLettered > 0 {
		text += fmt.Sprintf(", %s dead letters", term.Count(s.Bridge.DeadLettered))
	}
	if n := len(s.Bridge.Problems); n > 0 {
		text += ", " + s.Bridge.Problems[0]
	}
	return text
}

func (p *progress) lines(look func() catchup.Progress) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			p.log.Info("progress", attributes(look())...)
		}
	}
}

// attributes are what a log line of progress says.
func attributes(s catchup.Progress) []any {
	f := s.Forecast
	all := []any{"bytes_done", s.Done, "bytes", s.Bytes, "splits_done", s.SplitsDone, "splits", s.Splits,
		"published", s.Bridge.Published, "dead_lettered", s.Bridge.DeadLettered, "ready", len(s.Bridge.Problems) == 0}
	seconds := func(name string, v *float64) {
		if v != nil {
			all = append(all, name, int64(math.Ceil(*v)))
		}
	}
	if f.Rate != nil {
		all = append(all, "bytes_per_second", int64(*f.Rate))
	}
	if f.Inflow != nil {
		all = append(all, "inflow_bytes_per_second", int64(f.Inflow.BytesPerSecond))
	}
	seconds("read_in_seconds", f.ReadIn)
	if f.Never {
		return append(all, "never_catches_up", true)
	}
	seconds("caught_up_in_seconds", f.CaughtUpIn)
	return all
}
