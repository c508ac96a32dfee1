package demo

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

func TestValidate(t *testing.T) {
	valid := Default()
	valid.Progress = io.Discard
	valid.Finished = func(*Summary, *Paths) error { return nil }
	valid.Serving = func([]string, string) {}
	if err := valid.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for _, tc := range []struct {
		flag   string
		change func(*Config)
	}{
		{"--batch-cutoff", func(c *Config) { c.BatchCutoff = -time.Second }},
		{"--duplicates", func(c *Config) { c.Duplicates = -0.01 }},
		{"--duplicates", func(c *Config) { c.Duplicates = 1.01 }},
		{"--duplicates", func(c *Config) { c.Duplicates = math.NaN() }},
		{"--rate", func(c *Config) { c.Rate = -1 }},
		{"--rate", func(c *Config) { c.Rate = math.Inf(1) }},
		{"--out", func(c *Config) { c.Out = "" }},
	} {
		c := valid
		tc.change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), tc.flag) || exit.Of(err) != exit.Usage {
			t.Errorf("%s: got %v", tc.flag, err)
		}
	}
}
