// Package profile writes CPU profiles.
package profile

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// Start starts a CPU profile into file; the returned function ends it. An
// empty file name does nothing.
func Start(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("start the CPU profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
