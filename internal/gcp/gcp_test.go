package gcp

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func clearEnvironment(t *testing.T) {
	for _, v := range emulatorVariables {
		t.Setenv(v, "")
	}
}

// TestEmulatorIsRefusedInProduction is rule A4: with a forgotten variable
// production offsets would go to an emulator.
func TestEmulatorIsRefusedInProduction(t *testing.T) {
	for _, v := range emulatorVariables {
		t.Run(v, func(t *testing.T) {
			clearEnvironment(t)
			t.Setenv(v, "127.0.0.1:1")
			_, err := Open(jobspecs.Platform{Environment: "production", Project: "p"})
			if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), v) {
				t.Errorf("error %v; want one of code %d that names %s", err, exit.Environment, v)
			}
		})
	}
}

func TestSandboxNeedsItsAddresses(t *testing.T) {
	clearEnvironment(t)
	p, err := Open(jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for v, open := range map[string]func() error{
		EnvPubSub:   func() error { _, err := p.PubSub(ctx); return err },
		EnvBigQuery: func() error { _, err := p.BigQuery(ctx); return err },
		EnvBigtable: func() error { _, err := p.Bigtable(ctx, "i"); return err },
		EnvStorage:  func() error { _, err := p.Storage(ctx); return err },
		EnvDataflow: func() error { _, err := p.Dataflow(ctx); return err },
		EnvTransfer: func() error { _, err := p.DataTransfer(ctx); return err },
	} {
		if err := open(); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), v) {
			t.Errorf("without %s: %v; want an error of code %d that names it", v, err, exit.Environment)
		}
	}
}

// A sandbox that is gone is said to be gone, rather than waited for.
func TestReachable(t *testing.T) {
	clearEnvironment(t)
	p, err := Open(jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvStorage, "http://"+l.Addr().String())
	if err := p.Reachable(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Reachable(t.Context()); exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), EnvStorage) {
		t.Errorf("error %v; want one of code %d that names %s", err, exit.Environment, EnvStorage)
	}
}
