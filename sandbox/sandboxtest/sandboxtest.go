// Package sandboxtest starts a sandbox for the time of a test.
package sandboxtest

import (
	"log/slog"
	"testing"

	"github.com/kappa-migrate/kappa/sandbox"
)

// Start starts a sandbox that ends with the test, and sets the environment
// variables by which clients find it; so the test cannot be parallel. A change
// may alter the configuration first.
func Start(t testing.TB, change ...func(*sandbox.Config)) *sandbox.Sandbox {
	t.Helper()
	cfg := sandbox.Config{Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, fn := range change {
		fn(&cfg)
	}
	s, err := sandbox.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for name, value := range s.Environment() {
		t.Setenv(name, value)
	}
	return s
}

// testWriter writes to a test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}
