package history

import (
	"context"
	"net/http"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// OpenJob is the Dataflow id of a job's latest generation, if it is open: a job
// that was adopted may run under another name. Empty: it is not, or there is none.
func (s *Store) OpenJob(ctx context.Context, job string) (string, error) {
	g, ok, err := s.Latest(ctx, job)
	if hasStatus(err, http.StatusNotFound) {
		return "", nil // nothing was ever deployed
	}
	if err != nil || !ok || g.State != tables.StateOpen {
		return "", err
	}
	return g.DataflowJobID.StringVal, nil
}
