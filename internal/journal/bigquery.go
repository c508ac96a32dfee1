package journal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/tables"
)

// rowPause is waited between two tries to write to a table that was just created.
const rowPause = time.Second

// rows is the deployments table of a dataset.
type rows struct {
	client *bigquery.Client
	table  *bigquery.Table
	group  string
}

// Rows is the deployments table of a dataset, for the StreamJob of that name.
// The table must exist when a deployment ends. The caller owns the client.
func Rows(client *bigquery.Client, dataset, group string) Table {
	return rows{client, client.Dataset(dataset).Table(tables.Deployments), group}
}

func (r rows) Put(ctx context.Context, entries []Entry) error {
	var savers []*bigquery.StructSaver
	for _, e := range entries {
		savers = append(savers, &bigquery.StructSaver{Struct: r.row(e), InsertID: fmt.Sprintf("%s.%s.%d", r.group, e.Deployment, e.Seq)})
	}
	for {
		err := r.table.Inserter().Put(ctx, savers)
		if err == nil {
			return nil
		}
		// The service takes no rows for some minutes after a table was created.
		var e *googleapi.Error
		if errors.As(err, &e) && e.Code == http.StatusNotFound {
			if _, merr := r.table.Metadata(ctx); merr == nil && sleep(ctx, rowPause) {
				continue
			}
		}
		return fmt.Errorf("write to %s.%s: %w", r.table.DatasetID, r.table.TableID, err)
	}
}

func (r rows) row(e Entry) tables.Deployment {
	return tables.Deployment{
		Group: r.group, Deployment: e.Deployment, Seq: int64(e.Seq), RecordedAt: e.At.Truncate(time.Microsecond), RecordedBy: e.By, Kind: e.Kind,
		Command: text(e.Command), Reason: text(e.Reason), Spec: text(e.Spec), Template: text(e.Template),
		Step: text(e.Step), Job: text(e.Job), Generation: bigquery.NullInt64{Int64: e.Generation, Valid: e.Generation > 0},
		DataflowJobID: text(e.DataflowID), Text: text(e.Text), Outcome: text(e.Outcome), Error: text(e.Error),
	}
}

func text(s string) bigquery.NullString { return bigquery.NullString{StringVal: s, Valid: s != ""} }

// wholeSQL finds the deployments whose entries are all there: the last one, and
// as many as it says.
const wholeSQL = "SELECT deployment FROM `%s.%s.%s` WHERE job_group = @group\n" +
	"GROUP BY deployment HAVING COUNT(DISTINCT seq) = MAX(IF(kind = 'end', seq, 0))"

func (r rows) Whole(ctx context.Context) (map[string]bool, error) {
	q := r.client.Query(fmt.Sprintf(wholeSQL, r.table.ProjectID, r.table.DatasetID, r.table.TableID))
	q.Parameters = []bigquery.QueryParameter{{Name: "group", Value: r.group}}
	it, err := q.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s.%s: %w", r.table.DatasetID, r.table.TableID, err)
	}
	whole := map[string]bool{}
	for {
		var row struct {
			Deployment string `bigquery:"deployment"`
		}
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return whole, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s.%s: %w", r.table.DatasetID, r.table.TableID, err)
		}
		whole[row.Deployment] = true
	}
}

// sleep waits; false: ctx is done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
