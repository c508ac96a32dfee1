package history

import (
	"context"
	"fmt"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// RecordVoid records that a Dataflow job has ended without a drain: what its
// generation has written does not count (rule P5). The writer is found as
// RecordDrained finds it. False if that was on record before; a generation that
// is on record as drained stays so, and the contradiction is an error (rule D3).
func (s *Store) RecordVoid(ctx context.Context, group, job, dataflowJobID string, generation int64) (fresh bool, err error) {
	log, err := s.Read(ctx)
	if err != nil {
		return false, err
	}
	g, ok := log.byDataflowID(job, dataflowJobID)
	if !ok {
		g, ok = log.Writer(job, generation)
		if !ok || g.DataflowJobID.Valid {
			return false, fmt.Errorf("record that %s is void: the history knows no generation with the Dataflow job %s", job, dataflowJobID)
		}
	}
	switch g.State {
	case tables.StateVoid, tables.StateCancelled:
		return false, nil
	case tables.StateDrained:
		return false, fmt.Errorf("record that %s is void: the history has it as drained, though its job %s was cancelled", g.Writer(), dataflowJobID)
	}
	_, err = s.Append(ctx, tables.Generation{
		Job: g.Job, Generation: g.Generation, Kind: g.Kind, State: tables.StateVoid, Group: group,
		DataflowJobID: bigquery.NullString{StringVal: dataflowJobID, Valid: true},
	})
	return err == nil, err
}
