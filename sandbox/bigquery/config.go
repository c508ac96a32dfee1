package bigquery

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
)

// DefaultMemoryLimit bounds DuckDB's memory unless the configuration says
// otherwise; what does not fit is spilled to a temporary folder.
const DefaultMemoryLimit = "512MB"

// Config is what a Server needs.
type Config struct {
	// Log takes the server's log; it must not be nil.
	Log *slog.Logger
	// StorageEndpoint is the host:port of the Cloud Storage emulator that load
	// jobs read from. Without it, load jobs from gs:// fail.
	StorageEndpoint string
	// MemoryLimit bounds DuckDB's memory, such as 512MB; the default is
	// DefaultMemoryLimit.
	MemoryLimit string
	// Listen is the address to listen on; the default is a free loopback port.
	Listen string
}

var memoryLimit = regexp.MustCompile(`^[1-9][0-9]{0,6}(MB|GB|MiB|GiB)$`)

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	if c.Log == nil {
		return errors.New("bigquery sandbox: Log is nil")
	}
	if c.MemoryLimit != "" && !memoryLimit.MatchString(c.MemoryLimit) {
		return fmt.Errorf("bigquery sandbox: memory limit %q is not a size such as 512MB", c.MemoryLimit)
	}
	for _, addr := range []string{c.StorageEndpoint, c.Listen} {
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("bigquery sandbox: %w", err)
		}
	}
	return nil
}
