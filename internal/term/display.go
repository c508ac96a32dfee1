package term

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	xterm "golang.org/x/term"
)

// Options say how a display writes.
type Options struct {
	Live  bool              // redraw a region; else plain lines
	Color bool              // colour finished phases
	Size  func() (w, h int) // of the terminal, in columns and lines
	Every time.Duration     // between redraws of a live region, or plain lines
	Now   func() time.Time  // clock
	Tick  <-chan time.Time  // drives redraws in tests; nil: a ticker of Every
}

// Detect returns the options that suit w: live on a terminal that can move its
// cursor, plain elsewhere; colours unless NO_COLOR is set.
func Detect(w io.Writer) Options {
	o := Options{Every: 5 * time.Second, Now: time.Now, Size: func() (int, int) { return 80, 24 }}
	f, ok := w.(*os.File)
	if !ok || !xterm.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return o
	}
	o.Live, o.Every = true, 100*time.Millisecond
	o.Color = os.Getenv("NO_COLOR") == ""
	o.Size = func() (int, int) {
		if w, h, err := xterm.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
		return 80, 24
	}
	return o
}

// Display shows a State on a writer. All methods may be called from any goroutine.
type Display struct {
	w    io.Writer
	opts Options

	mu     sync.Mutex
	tasks  []*Task
	gauges []Gauge
	drawn  int // lines of the live region that stand on the terminal
	frame  int
	closed bool

	stop chan struct{}
	done chan struct{}
}

// New returns a display on w, as Detect would have it. Close it.
func New(w io.Writer) *Display { return NewWith(w, Detect(w)) }

// NewWith returns a display with options of the caller's. Close it.
func NewWith(w io.Writer, opts Options) *Display {
	d := &Display{w: w, opts: opts, stop: make(chan struct{}), done: make(chan struct{})}
	go d.loop()
	return d
}

func (d *Display) loop() {
	defer close(d.done)
	tick := d.opts.Tick
	if tick == nil {
		t := time.NewTicker(d.opts.Every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-d.stop:
			return
		case <-tick:
			d.mu.Lock()
			d.frame++
			if d.opts.Live {
				d.redraw(nil)
			} else {
				d.heartbeat()
			}
			d.mu.Unlock()
		}
	}
}

// Task is a phase that is under way. The zero Unit counts nothing.
type Task struct {
	d       *Display
	phase   Phase
	started time.Time
	meter   meter
}

// Start begins a phase. Unit names what is counted, in the plural; total may
// be zero, for unknown.
func (d *Display) Start(name, unit string, total int64) *Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &Task{d: d, phase: Phase{Name: name, Unit: unit, Total: total}, started: d.opts.Now()}
	d.tasks = append(d.tasks, t)
	d.changed(t)
	return t
}

// Set sets the count.
func (t *Task) Set(n int64) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.phase.Count = n
	t.phase.Rate = t.meter.rate(t.d.opts.Now(), n)
}

// SetTotal sets how many there are, where that was not known at the start.
func (t *Task) SetTotal(n int64) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.phase.Total = n
}

// Note sets the free text at the end of the line.
func (t *Task) Note(s string) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.phase.Note = s
}

// Done ends the phase well.
func (t *Task) Done(note string) { t.end(Done, note) }

// Fail ends the phase badly.
func (t *Task) Fail(note string) { t.end(Failed, note) }

func (t *Task) end(s Status, note string) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if t.phase.Status != Running {
		return // the first word stands
	}
	t.phase.Status, t.phase.Note = s, note
	t.phase.Elapsed = t.d.opts.Now().Sub(t.started)
	t.d.changed(t)
}

// Gauge sets a named value; the empty value removes it.
func (d *Display) Gauge(name, value string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.gauges, func(g Gauge) bool { return g.Name == name })
	switch {
	case value == "" && i >= 0:
		d.gauges = slices.Delete(d.gauges, i, i+1)
	case value == "":
	case i >= 0:
		d.gauges[i].Value = value
	default:
		d.gauges = append(d.gauges, Gauge{name, value})
	}
}

// ClearGauges removes all gauges.
func (d *Display) ClearGauges() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gauges = nil
}

// Print writes a line that stays, above the live region.
func (d *Display) Print(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opts.Live && !d.closed {
		d.redraw([]string{line})
		return
	}
	d.write([]byte(line + "\n"))
}

// Write prints lines that stay; p must end with a line break, as a log
// handler's writes do.
func (d *Display) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		d.Print(strings.TrimSuffix(line, "\n"))
	}
	return len(p), nil
}

// Logger returns the logger to use while the display is open: l itself where
// plain lines are written; on a terminal one that prints warnings and errors
// above the live region, which takes the place of what is less than that.
func (d *Display) Logger(l *slog.Logger) *slog.Logger {
	if !d.opts.Live {
		return l
	}
	return slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Close draws the last state and ends the display; it may be called twice.
func (d *Display) Close() {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return
	}
	d.closed = true
	d.gauges = nil
	if d.opts.Live {
		d.redraw(nil)
	}
	d.mu.Unlock()
	close(d.stop)
	<-d.done
}

// changed is called when a phase begins or ends.
func (d *Display) changed(t *Task) {
	switch {
	case d.closed:
	case d.opts.Live:
		d.redraw(nil)
	default:
		d.write([]byte(Plain(t.phase, nil) + "\n"))
	}
}

// heartbeat writes a plain line for every phase that runs.
func (d *Display) heartbeat() {
	for _, t := range d.tasks {
		if t.phase.Status == Running {
			d.write([]byte(Plain(t.phase, d.gauges) + "\n"))
		}
	}
}

// redraw replaces the live region, in one write: flicker comes from a region
// that is erased in one write and drawn in the next.
func (d *Display) redraw(above []string) {
	w, h := d.opts.Size()
	s := State{Gauges: d.gauges}
	for _, t := range d.tasks {
		s.Phases = append(s.Phases, t.phase)
	}
	// One line less each way: a full last line or column makes terminals scroll or wrap.
	lines := Live(s, w-1, h-1, d.frame, d.opts.Color)
	var b bytes.Buffer
	if d.drawn > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(d.drawn) + "F") // to the start of the region's first line
	}
	for _, l := range append(above, lines...) {
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J") // what was below
	d.drawn = len(lines)
	d.write(b.Bytes())
}

// write ignores errors: a display that cannot write must not end the work.
func (d *Display) write(p []byte) { _, _ = d.w.Write(p) }
