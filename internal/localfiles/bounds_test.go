package localfiles

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Who stops the reading of files is told that, and not that a file is bad.
func TestStopped(t *testing.T) {
	row := map[string]string{CSV: "2001-01-08,ORD,1\n", JSON: `{"window_start": "2001-01-08", "origin": "ORD", "flights": 1}` + "\n"}
	for format, line := range row {
		text := strings.Repeat(line, 40_000) // more than a reader holds at once
		if format == CSV {
			text = "window_start,origin,flights\n" + text
		}
		dir := folder(t, map[string]string{"a." + format: text})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := scanText(ctx, source(dir), []string{filepath.Join(dir, "a."+format)}, format, func(int) { cancel() })
		if !errors.Is(err, context.Canceled) || exit.Of(err) != exit.Interrupted {
			t.Errorf("%s: %v, code %d", format, err, exit.Of(err))
		}
	}
}

// However large a file is, little of it is in memory.
func TestLittleIsHeld(t *testing.T) {
	const most = 3 << 20
	dir := t.TempDir()
	for _, format := range []string{CSV, JSON} {
		path := filepath.Join(dir, "a."+format)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(file)
		if format == CSV {
			fmt.Fprintln(w, "window_start,origin,flights,note")
		}
		for i := range 75_000 {
			if format == CSV {
				fmt.Fprintf(w, "2001-01-08T%02d:00:00Z,K%d,%d,n%099d\n", i%24, i, i, i)
			} else {
				fmt.Fprintf(w, `{"window_start": "2001-01-08T%02d:00:00Z", "origin": "K%d", "flights": %d, "note": "n%099d"}`+"\n", i%24, i, i, i)
			}
		}
		if err := errors.Join(w.Flush(), file.Close()); err != nil {
			t.Fatal(err)
		}
		size, _ := os.Stat(path)
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		held, reads := uint64(0), 0
		step := func(int) {
			if reads++; reads%10 == 0 {
				runtime.GC() // what is left is held
				runtime.ReadMemStats(&now)
				held = max(held, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
			}
		}
		sc, err := scanText(t.Context(), source(dir), []string{path}, format, step)
		if err != nil {
			t.Fatal(err)
		}
		l := &loader{source: source(dir), format: format, step: func(int64, int64) { step(0) }}
		if err := l.write(t.Context(), sc, []string{path}, io.Discard); err != nil {
			t.Fatal(err)
		}
		if held > most || size.Size() < 3*most || reads < 50 {
			t.Errorf("%s: of %d bytes %d are held after %d reads, at most %d are right", format, size.Size(), held, reads, most)
		}
		runtime.KeepAlive(sc)
	}
}

// What would have to be held in memory as a whole is refused where it begins.
func TestRowsAreBounded(t *testing.T) {
	var names strings.Builder
	for i := range maxColumns + 1 {
		fmt.Fprintf(&names, `{"window_start": "2001-01-08", "origin": "ORD", "flights": 1, "k%d": 1}`+"\n", i)
	}
	long := strings.Repeat("2001-01-08,ORD,1\n", maxLine/16)
	for name, tt := range map[string]struct{ format, text, want string }{
		"a quote that is not closed": {CSV, "window_start,origin,flights\n2001-01-08,ORD,1\n2001-01-08,\"ORD,1\n" + long, ":3: the row is longer than 16 MiB; a quote"},
		"no header at all":           {CSV, "\"" + long, ":1: the row is longer than 16 MiB"},
		"one line":                   {JSON, `{"window_start": "` + strings.ReplaceAll(long, "\n", ""), ":1: the line is longer than 16 MiB"},
		"names that are values":      {JSON, names.String(), `there are more than 10000 columns`},
	} {
		dir := folder(t, map[string]string{"a." + tt.format: tt.text})
		_, err := scanText(t.Context(), source(dir), []string{filepath.Join(dir, "a."+tt.format)}, tt.format, func(int) {})
		if exit.Of(err) != exit.Environment || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}
