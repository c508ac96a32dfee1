package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// Interactive reports whether there is somebody to ask: In and Err are
// terminals. Elsewhere a question would wait for nobody.
func (a *App) Interactive() bool {
	in, ok := a.In.(io.Writer)
	return ok && Terminal(in) && Terminal(a.Err)
}

// Confirm asks a question on Err and reports whether the line that comes from
// In says yes; what is neither y nor yes is a no, and so is the end of In. It
// returns ctx's error if ctx ends first.
func (a *App) Confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(a.Err, question+" [y/N] ")
	answer := make(chan string, 1)
	go func() { // not waited for: a read of a terminal cannot be interrupted
		line, err := bufio.NewReader(a.In).ReadString('\n')
		if err != nil {
			line = ""
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		return text == "y" || text == "yes", nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
