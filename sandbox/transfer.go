package sandbox

import (
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox/transfer"
)

func (s *Sandbox) startTransfer() error {
	t, err := transfer.New(transfer.Config{Log: s.cfg.Log, Listen: loopback(s.cfg.Ports.Transfer), BigQuery: s.env[gcp.EnvBigQuery]})
	if err != nil {
		return err
	}
	s.started("Data Transfer", gcp.EnvTransfer, t.Addr(), func() {
		if err := t.Close(); err != nil {
			s.cfg.Log.Error("data transfer did not stop cleanly", "error", err)
		}
	})
	return nil
}
