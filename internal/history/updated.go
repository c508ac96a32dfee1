package history

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// RecordUpdated records that the service has replaced the Dataflow job of a
// generation in place and handed its state over: the generation goes on as
// another job. It is the only way in which a generation's job becomes another
// one, and it takes an open generation that still has the old one; idempotent.
func (s *Store) RecordUpdated(ctx context.Context, job string, generation int64, from, to string) error {
	_, err := s.append(ctx, func(log Log) (tables.Generation, bool, error) {
		return log.updated(job, generation, from, to, s.now())
	})
	return err
}

// updated is the row that follows when a generation's Dataflow job is updated,
// or reports that the log says so already.
func (l Log) updated(job string, generation int64, from, to string, now time.Time) (row tables.Generation, known bool, err error) {
	old, ok := l.Writer(job, generation)
	switch {
	case from == "" || to == "" || from == to:
		return row, false, fmt.Errorf("record %s@%d as updated: incomplete: from job %q to %q", job, generation, from, to)
	case !ok:
		return row, false, fmt.Errorf("record %s@%d as updated: the history does not know it", job, generation)
	case old.State != tables.StateOpen:
		return row, false, fmt.Errorf("record %s@%d as updated to job %s: it is %s, and a generation that has ended stays so", job, generation, to, old.State)
	case old.DataflowJobID.StringVal == to:
		return old, true, nil
	case old.DataflowJobID.StringVal != from:
		return row, false, fmt.Errorf("record %s@%d as updated from job %s to %s: it is %q", job, generation, from, to, old.DataflowJobID.StringVal)
	}
	if other, taken := l.byDataflowID(job, to); taken {
		return row, false, fmt.Errorf("record %s@%d as updated to job %s: that is generation %d", job, generation, to, other.Generation)
	}
	row = old
	row.DataflowJobID = bigquery.NullString{StringVal: to, Valid: true}
	row.RecordedAt = now.UTC().Truncate(time.Microsecond)
	return after(old, row), false, nil
}
