package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigtable"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/kappa-migrate/kappa/internal/tables"
)

func init() {
	beam.RegisterDoFn(&paneCellsFn{})
}

// CellRow is the cells that one pane adds to a row. All have the window's
// start as their timestamp, so writing them again replaces them (rule P1).
type CellRow struct {
	Key    string
	Window time.Time
	Cells  []CellValue
}

// CellValue is a column qualifier and its value.
type CellValue struct {
	Qualifier string
	Value     []byte
}

// CellWriter writes cells to the job's table. It returns nil only if all of
// them are durable; writing a cell again must be harmless.
type CellWriter interface {
	Apply(ctx context.Context, rows []CellRow) error
}

// bigtableCells writes by MutateRows.
type bigtableCells struct{ table *bigtable.Table }

// Apply implements CellWriter.
func (w bigtableCells) Apply(ctx context.Context, rows []CellRow) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	keys := make([]string, len(rows))
	muts := make([]*bigtable.Mutation, len(rows))
	for i, r := range rows {
		keys[i], muts[i] = r.Key, bigtable.NewMutation()
		for _, c := range r.Cells {
			muts[i].Set(tables.Family, c.Qualifier, bigtable.Time(r.Window), c.Value)
		}
	}
	failed, err := w.table.ApplyBulk(ctx, keys, muts)
	if err != nil {
		return err
	}
	return errors.Join(failed...) // the whole batch is written again: it changes nothing
}

const (
	applyRows  = 1000
	applyBytes = 4 << 20
)

// apply writes cells in batches and returns once all are durable.
func (rt *runtime) apply(ctx context.Context, table string, rows []CellRow) error {
	for len(rows) > 0 {
		n, size := 0, 0
		for n < min(len(rows), applyRows) && (n == 0 || size+rows[n].size() <= applyBytes) {
			size += rows[n].size()
			n++
		}
		batch := rows[:n]
		rows = rows[n:]
		err := rt.retry(ctx, fmt.Sprintf("write %d rows to Bigtable table %s", n, table), func() error {
			return rt.cells.Apply(ctx, batch)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r CellRow) size() int { return len(r.Key) + 100*len(r.Cells) }

// paneCellsFn writes the panes of an aggregation to Bigtable. Its output is
// empty.
type paneCellsFn struct {
	Plan  *Plan
	Index int

	rt *runtime
}

// Setup finds the run.
func (f *paneCellsFn) Setup(ctx context.Context) (err error) {
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// ProcessElement writes the cells of each pane.
func (f *paneCellsFn) ProcessElement(ctx context.Context, data []byte, _ func([]byte)) error {
	agg := &f.Plan.Aggregations[f.Index]
	var rows []CellRow
	err := readPanes(data, len(agg.Measures), func(p *paneRow) error {
		row, err := f.Plan.cells(agg, p)
		if len(row.Cells) > 0 { // none if all measures are null
			rows = append(rows, row)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("aggregation %s: %w", agg.Name, err)
	}
	return f.rt.apply(ctx, f.Plan.Table, rows)
}

// cells makes the cells of a pane; a measure that is null has none.
func (p *Plan) cells(agg *Aggregation, r *paneRow) (CellRow, error) {
	set, dims, err := p.readKey(agg, r.key)
	if err != nil {
		return CellRow{}, err
	}
	var texts []*string
	for _, i := range agg.in(set) {
		texts = append(texts, dims[i].text(p.usedKind(agg.Dims[i])))
	}
	space := agg.Name
	if len(agg.Sets) > 0 {
		space = agg.Sets[set].Rows
	}
	row := CellRow{Window: time.UnixMicro(r.start).UTC()}
	row.Key = tables.RowKey(space, texts, row.Window)
	for i, m := range agg.Measures {
		if r.partials[i].valid {
			row.Cells = append(row.Cells, CellValue{
				Qualifier: tables.Cell{Measure: m.Name, Job: p.Job, Generation: p.Generation, Pane: r.pane}.Qualifier(),
				Value:     tables.EncodeValue(r.partials[i].value),
			})
		}
	}
	return row, nil
}
