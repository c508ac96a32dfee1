package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestConfirm(t *testing.T) {
	for line, want := range map[string]bool{"y\n": true, " Yes\r\n": true, "n\n": false, "\n": false, "yesterday\n": false, "y": false, "": false} {
		var out bytes.Buffer
		a := &App{In: strings.NewReader(line), Err: &out}
		got, err := a.Confirm(t.Context(), "Apply?")
		if err != nil || got != want {
			t.Errorf("%q: %v, error %v, want %v", line, got, err, want)
		}
		if out.String() != "Apply? [y/N] " {
			t.Errorf("asked %q", &out)
		}
		if a.Interactive() {
			t.Error("a string is taken for a terminal")
		}
	}
}

func TestConfirmEndsWithItsContext(t *testing.T) {
	in, end := io.Pipe()
	defer end.Close() // ends the read
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	yes, err := (&App{In: in, Err: io.Discard}).Confirm(ctx, "Apply?")
	if yes || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, error %v", yes, err)
	}
}
