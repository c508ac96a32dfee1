package progress

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/term"
)

// calls is a view that counts how often it is asked.
type calls struct{ updates, ends, lines int }

func (c *calls) Live(*term.Display) (update, end func()) {
	return func() { c.updates++ }, func() { c.ends++ }
}

func (c *calls) Attributes(time.Time) []any {
	c.lines++
	return []any{"line", c.lines}
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs bytes.Buffer
		r := New(&app.App{Err: &errs, Log: slog.New(slog.NewTextHandler(&errs, nil))})
		var c calls
		r.Start(&c)
		time.Sleep(2*logEvery + time.Second)
		r.End()
		r.Stop()
		if want := (calls{lines: 2}); c != want {
			t.Errorf("%+v, want %+v", c, want)
		}
		if got := errs.String(); strings.Count(got, "msg=progress") != 2 || !strings.Contains(got, "line=2") {
			t.Errorf("logged:\n%s", got)
		}
	})
}

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(&app.App{Err: io.Discard, Log: slog.New(slog.DiscardHandler)})
		r.display = term.New(io.Discard)
		var c calls
		r.Start(&c)
		time.Sleep(2*liveEvery + liveEvery/2)
		r.End()
		r.Stop()
		if want := (calls{updates: 3, ends: 1}); c != want {
			t.Errorf("%+v, want %+v", c, want)
		}
	})
}

func TestStopWithoutStart(t *testing.T) {
	r := New(&app.App{Err: io.Discard, Log: slog.New(slog.DiscardHandler)})
	r.Stop()
	r.Stop()
}
