package sandbox

import (
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox/bigquery"
)

func (s *Sandbox) startBigQuery() error {
	bq, err := bigquery.New(bigquery.Config{
		Log:             s.cfg.Log,
		Listen:          loopback(s.cfg.Ports.BigQuery),
		StorageEndpoint: s.env[gcp.EnvStorage],
		MemoryLimit:     s.cfg.BigQueryMemory,
	})
	if err != nil {
		return err
	}
	s.started("BigQuery", gcp.EnvBigQuery, bq.Addr(), func() {
		if err := bq.Close(); err != nil {
			s.cfg.Log.Error("bigquery did not stop cleanly", "error", err)
		}
	})
	return nil
}
