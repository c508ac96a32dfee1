// Package progress shows how a run of the bridge is doing while it goes on:
// live on a terminal, a log line at intervals elsewhere.
//
// Flow: New before the run is made, for it takes the Reporter's log; Start when
// there is something to look at; End when that is over. Callers own calling
// Stop, after which the terminal is as it was before.
package progress

import (
	"log/slog"
	"sync"
	"time"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/term"
)

const (
	liveEvery = 500 * time.Millisecond // on a terminal
	logEvery  = 10 * time.Second       // elsewhere
)

// View looks at a run. Its methods are called from one goroutine, between Start
// and the return of End: either those that are live or Attributes.
type View interface {
	// Live begins what a terminal shows. It is updated by update at intervals,
	// and ended by end.
	Live(d *term.Display) (update, end func())
	// Attributes are what a log line says of the run at now.
	Attributes(now time.Time) []any
}

// Reporter shows a view at intervals.
type Reporter struct {
	Log *slog.Logger // for the run: it leaves what is shown whole

	display *term.Display // nil where there is no terminal
	done    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
}

// New returns a reporter on the app's Err. Stop it.
func New(a *app.App) *Reporter {
	r := &Reporter{Log: a.Log, done: make(chan struct{})}
	if app.Terminal(a.Err) {
		r.display = term.New(a.Err)
		r.Log = r.display.Logger(a.Log)
	}
	return r
}

// Start shows v until End. It is called once at most, and before End.
func (r *Reporter) Start(v View) {
	r.wg.Go(func() {
		if r.display != nil {
			r.live(v)
		} else {
			r.lines(v)
		}
	})
}

// End shows the view for the last time. It may be called more than once.
func (r *Reporter) End() {
	r.once.Do(func() { close(r.done) })
	r.wg.Wait()
}

// Stop ends the view, if that is still to do, and gives the terminal back.
func (r *Reporter) Stop() {
	r.End()
	if r.display != nil {
		r.display.Close()
	}
}

func (r *Reporter) live(v View) {
	update, end := v.Live(r.display)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		update()
		select {
		case <-r.done:
			end()
			return
		case <-tick.C:
		}
	}
}

func (r *Reporter) lines(v View) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.done:
			return
		case now := <-tick.C:
			r.Log.Info("progress", v.Attributes(now)...)
		}
	}
}
