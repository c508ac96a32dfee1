package term

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writes keeps what is written, write by write.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func (w *writes) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.all, "")
}

// wait waits until there have been n writes.
func (w *writes) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		w.mu.Lock()
		have := len(w.all)
		w.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%d writes, want %d", have, n)
		case <-time.After(time.Millisecond):
		}
	}
}

// testOptions are options whose clock and ticks the test makes.
func testOptions(live bool, tick <-chan time.Time) Options {
	now := time.Unix(0, 0)
	return Options{
		Live: live, Tick: tick, Every: time.Hour,
		Size: func() (int, int) { return 80, 10 },
		Now:  func() time.Time { now = now.Add(time.Second); return now },
	}
}

func TestPlainDisplay(t *testing.T) {
	tick := make(chan time.Time)
	var w writes
	d := NewWith(&w, testOptions(false, tick))
	task := d.Start("Produce", "records", 10)
	task.Set(4)
	d.Gauge("watermark", "12:00")
	tick <- time.Time{}
	w.wait(t, 2)
	d.Print("a line")
	task.Done("well")
	task.Fail("too late to fail")
	d.Close()
	d.Close()
	want := []string{
		"Produce: …, 0/10 records\n",
		"Produce: …, 4/10 records, watermark 12:00\n",
		"a line\n",
		"Produce: done, 4 records, well, 2.0s\n",
	}
	if d := cmp.Diff(want, w.all); d != "" {
		t.Error(d)
	}
}

// screen plays a terminal: it knows the few sequences that a display writes.
func screen(text string) []string {
	var lines []string
	at := 0
	for len(text) > 0 {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexAny(rest, "FKJm")
			arg, code := rest[:end], rest[end]
			text = rest[end+1:]
			switch code {
			case 'F':
				n := 0
				for _, c := range arg {
					n = n*10 + int(c-'0')
				}
				at -= n
			case 'J':
				lines = lines[:min(at, len(lines))]
			}
			continue
		}
		line, rest, _ := strings.Cut(text, "\n")
		line = strings.TrimSuffix(line, "\x1b[K")
		for len(lines) <= at {
			lines = append(lines, "")
		}
		lines[at] = line
		at++
		text = rest
	}
	return lines
}

func TestLiveDisplay(t *testing.T) {
	var w writes
	d := NewWith(&w, testOptions(true, make(chan time.Time)))
	first := d.Start("Start", "", 0)
	first.Done("six services")
	d.Print("a line that stays")
	task := d.Start("Produce", "records", 10)
	task.Set(4)
	d.Gauge("watermark", "12:00")
	d.Gauge("watermark", "13:00")
	d.Gauge("gone", "x")
	d.Gauge("gone", "")
	d.Print("another")
	if got, want := strings.Join(screen(w.text()), "\n"), "a line that stays\nanother\n  ✓ Start"; !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s…", got, want)
	}
	if !strings.Contains(w.text(), "watermark  13:00") || strings.Contains(w.text(), "gone") {
		t.Errorf("gauges are wrong: %q", w.text())
	}
	slog.New(slog.NewTextHandler(d, nil)).Info("through the logger")
	task.Done("")
	d.Close()
	got := screen(w.text())
	if len(got) != 5 || !strings.Contains(got[2], "through the logger") {
		t.Fatalf("screen %q", got)
	}
	want := []string{"a line that stays", "another", got[2],
		"  ✓ Start                   six services  1.0s", "  ✓ Produce                 4 records  2.0s"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// One write for each redraw: anything else flickers.
	for _, one := range w.all {
		if !strings.HasSuffix(one, "\x1b[J") {
			t.Errorf("a write that is no whole redraw: %q", one)
		}
	}
}

func TestLogger(t *testing.T) {
	plain := slog.New(slog.NewTextHandler(io.Discard, nil))
	d := NewWith(io.Discard, testOptions(false, make(chan time.Time)))
	if d.Logger(plain) != plain {
		t.Error("a plain display replaced the logger")
	}
	d.Close()
	var w writes
	d = NewWith(&w, testOptions(true, make(chan time.Time)))
	d.Logger(plain).Info("quiet")
	d.Logger(plain).Warn("loud")
	d.Close()
	if text := w.text(); strings.Contains(text, "quiet") || !strings.Contains(text, "loud") {
		t.Errorf("wrote %q", text)
	}
}

// A file that is no terminal gets plain lines without escape sequences.
func TestDetect(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := New(f)
	d.Start("Work", "", 0).Done("")
	d.Close()
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "\x1b") || !strings.HasPrefix(string(text), "Work: …\nWork: done") {
		t.Errorf("wrote %q", text)
	}
}
