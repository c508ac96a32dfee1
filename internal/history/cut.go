package history

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// windowsCut counts what the drain of a writer has cut: the keys and windows
// with rows of it whose window ends after its last watermark. NULL where that
// cannot be known: no watermark, no aggregations, or a table that is missing
// or may not be read. It is a number to look at, so that no drain stays off
// the record for it.
func (s *Store) windowsCut(ctx context.Context, w tables.Writer, last time.Time) (bigquery.NullInt64, error) {
	if last.IsZero() || len(s.aggregations) == 0 {
		return bigquery.NullInt64{}, nil
	}
	var total int64
	for _, a := range s.aggregations {
		q := s.client.Query(cutSQL(s.dataset.ProjectID, s.dataset.DatasetID, a))
		q.Parameters = []bigquery.QueryParameter{
			{Name: "job", Value: w.Job}, {Name: "generation", Value: w.Generation},
			{Name: "after", Value: last.UTC().Add(-a.Window.D())},
		}
		n, err := count(ctx, q)
		if hasStatus(err, http.StatusNotFound) || hasStatus(err, http.StatusForbidden) {
			return bigquery.NullInt64{}, nil
		}
		if err != nil {
			return bigquery.NullInt64{}, exit.Environmentf("count the windows that the drain of %s has cut in %s: %w", w, a.Table, err)
		}
		total += n
	}
	return bigquery.NullInt64{Int64: total, Valid: true}, nil
}

// cutSQL counts the keys and windows of a writer that end after a time. The
// condition on window_start is on the bare column, so that it prunes partitions.
func cutSQL(project, dataset string, a jobspecs.Aggregation) string {
	var columns []string
	if len(a.Rollups) > 0 { // a key in a set is a key of its own
		columns = append(columns, "`"+jobspecs.RollupColumn+"`")
	}
	for _, d := range a.Dimensions {
		columns = append(columns, "`"+d+"`")
	}
	columns = append(columns, "window_start")
	return fmt.Sprintf("SELECT COUNT(*) FROM (\n  SELECT DISTINCT %s\n  FROM `%s.%s.%s`\n"+
		"  WHERE job = @job AND generation = @generation AND window_start > @after\n)",
		strings.Join(columns, ", "), project, dataset, a.Table)
}

func count(ctx context.Context, q *bigquery.Query) (int64, error) {
	it, err := q.Read(ctx)
	if err != nil {
		return 0, err
	}
	var row []bigquery.Value
	if err := it.Next(&row); err != nil {
		return 0, err
	}
	if len(row) == 1 {
		if n, ok := row[0].(int64); ok {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the count is %v", row)
}
