package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"golang.org/x/sync/errgroup"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func init() {
	beam.RegisterDoFn(&eventRowsFn{})
	beam.RegisterDoFn(&paneRowsFn{})
}

// Row is a row to insert. Rows with one insert id are the same row (rule P1).
type Row struct {
	InsertID string
	Columns  []string // shared between rows
	Values   []bigquery.Value

	size int // estimate of its bytes in a request
}

// Save implements bigquery.ValueSaver.
func (r *Row) Save() (map[string]bigquery.Value, string, error) {
	m := make(map[string]bigquery.Value, len(r.Columns))
	for i, c := range r.Columns {
		if r.Values[i] != nil {
			m[c] = r.Values[i]
		}
	}
	return m, r.InsertID, nil
}

// RowWriter inserts rows into a table of the job's dataset. It returns nil
// only if all of them are durable; inserting a row again must be harmless.
type RowWriter interface {
	Insert(ctx context.Context, table string, rows []*Row) error
}

// bigQueryRows inserts by insertAll.
type bigQueryRows struct {
	dataset   *bigquery.Dataset
	inserters sync.Map // table → *bigquery.Inserter
}

// Insert implements RowWriter.
func (w *bigQueryRows) Insert(ctx context.Context, table string, rows []*Row) error {
	ins, ok := w.inserters.Load(table)
	if !ok {
		ins, _ = w.inserters.LoadOrStore(table, w.dataset.Table(table).Inserter())
	}
	// A bounded attempt, so that an insert that hangs is tried again.
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	return ins.(*bigquery.Inserter).Put(ctx, rows)
}

const (
	insertTimeout  = time.Minute
	insertRows     = 500 // rows in a request, as BigQuery advises
	insertBytes    = 4 << 20
	insertRequests = 4 // at a time, of one function
)

// insert writes rows in batches, several at a time, and returns once all are
// durable.
//
// The functions that write do it while they process an element, never when a
// bundle finishes: Prism asks for the progress of a bundle every so often, the
// SDK answers only once a bundle that is finishing has finished, and until then
// the whole job stands still.
func (rt *runtime) insert(ctx context.Context, table string, rows []*Row) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(insertRequests)
	for len(rows) > 0 {
		n, size := 0, 0
		for n < min(len(rows), insertRows) && (n == 0 || size+rows[n].size <= insertBytes) {
			size += rows[n].size
			n++
		}
		batch := rows[:n]
		rows = rows[n:]
		g.Go(func() error {
			return rt.retry(ctx, fmt.Sprintf("insert %d rows into table %s", len(batch), table), func() error {
				return rt.rows.Insert(ctx, table, batch)
			})
		})
	}
	return g.Wait()
}

// eventRowsFn writes events to the raw table or, with Late, to the late table.
type eventRowsFn struct {
	Plan *Plan
	Late bool

	rt      *runtime
	columns []string
}

// Setup finds the run.
func (f *eventRowsFn) Setup(ctx context.Context) (err error) {
	if f.rt, err = openRuntime(ctx, f.Plan); err != nil {
		return err
	}
	f.columns = []string{"event_id", "message_id", "event_time", "source_time", "publish_time", "write_time", "position", "job", "generation"}
	for _, field := range f.Plan.Fields {
		f.columns = append(f.columns, field.Name)
	}
	if f.Late {
		f.columns = append(f.columns, "watermark")
	}
	return nil
}

// ProcessElement writes a row for each event.
func (f *eventRowsFn) ProcessElement(ctx context.Context, es *Events) error {
	rows := make([]*Row, len(es.List))
	now := formatMicros(time.Now().UnixMicro())
	for i, e := range es.List {
		rows[i] = f.row(e, now)
	}
	if !f.Late {
		return f.rt.insert(ctx, f.Plan.Raw, rows)
	}
	if err := f.rt.insert(ctx, f.Plan.Late, rows); err != nil {
		return err
	}
	f.rt.add(ctx, counterLate, int64(len(rows))) // invariant P4: counted
	return nil
}

// row makes the row of a delivery. The insert id is its identity to readers,
// event and message, and the writer. invariant P1
func (f *eventRowsFn) row(e *Event, now string) *Row {
	r := &Row{InsertID: f.Plan.deliveryID(e), Columns: f.columns, size: 300 + len(e.ID) + len(e.Position)}
	r.Values = append(make([]bigquery.Value, 0, len(f.columns)),
		e.ID, e.MessageID, formatMicros(e.Time), formatMicros(e.Source), formatMicros(e.Publish), now, e.Position, f.Plan.Job, f.Plan.Generation)
	for i, v := range e.Values {
		r.Values = append(r.Values, v.column(f.Plan.Fields[i].Kind))
		r.size += 40 + len(v.Str)
	}
	if f.Late {
		r.Values = append(r.Values, formatMicros(e.Watermark))
	}
	return r
}

// mostInsertID is the longest insert id that BigQuery takes.
const mostInsertID = 128

func (p *Plan) deliveryID(e *Event) string {
	id := e.ID + "/" + e.MessageID + "/" + p.Writer()
	if len(id) > mostInsertID {
		return digest(e.ID, e.MessageID, p.Writer())
	}
	return id
}

// paneRowsFn writes the panes of an aggregation to its table and hands them on.
type paneRowsFn struct {
	Plan  *Plan
	Index int

	rt      *runtime
	columns []string
}

// Setup finds the run.
func (f *paneRowsFn) Setup(ctx context.Context) (err error) {
	if f.rt, err = openRuntime(ctx, f.Plan); err != nil {
		return err
	}
	agg := &f.Plan.Aggregations[f.Index]
	f.columns = nil
	if len(agg.Sets) > 0 {
		f.columns = append(f.columns, jobspecs.RollupColumn)
	}
	for _, d := range agg.Dims {
		f.columns = append(f.columns, f.Plan.Fields[f.Plan.Used[d]].Name)
	}
	f.columns = append(f.columns, "window_start")
	for _, m := range agg.Measures {
		f.columns = append(f.columns, m.Name)
	}
	f.columns = append(f.columns, "job", "generation", "pane", "timing", "write_time")
	return nil
}

// ProcessElement writes a row for each pane.
func (f *paneRowsFn) ProcessElement(ctx context.Context, data []byte, emit func([]byte)) error {
	agg := &f.Plan.Aggregations[f.Index]
	var rows []*Row
	now := formatMicros(time.Now().UnixMicro())
	err := readPanes(data, len(agg.Measures), func(p *paneRow) error {
		r, err := f.row(agg, p, now)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return fmt.Errorf("aggregation %s: %w", agg.Name, err)
	}
	if err := f.rt.insert(ctx, agg.Table, rows); err != nil {
		return err
	}
	f.rt.add(ctx, counterPanes, int64(len(rows)))
	emit(data)
	return nil
}

// row makes the row of a pane; its insert id is key, the set of dimensions
// included, window, writer and pane.
// invariant P1
func (f *paneRowsFn) row(agg *Aggregation, p *paneRow, now string) (*Row, error) {
	set, dims, err := f.Plan.readKey(agg, p.key)
	if err != nil {
		return nil, err
	}
	r := &Row{InsertID: f.Plan.paneID(agg, p), Columns: f.columns, size: 300 + 2*len(p.key) + 40*len(p.partials)}
	r.Values = make([]bigquery.Value, 0, len(f.columns))
	if len(agg.Sets) > 0 {
		r.Values = append(r.Values, agg.Sets[set].Rollup)
	}
	for i, d := range agg.Dims {
		r.Values = append(r.Values, dims[i].column(f.Plan.usedKind(d)))
	}
	r.Values = append(r.Values, formatMicros(p.start))
	for _, m := range p.partials {
		r.Values = append(r.Values, Value{Valid: m.valid, Int: m.value}.column(Int64))
	}
	r.Values = append(r.Values, f.Plan.Job, f.Plan.Generation, p.pane, timingName(p.timing), now)
	return r, nil
}

// paneID is short whatever the key's length (mostInsertID).
func (p *Plan) paneID(agg *Aggregation, r *paneRow) string {
	id := digest(agg.Name, p.Job, strconv.FormatInt(p.Generation, 10), string(r.key))
	return id + "/" + strconv.FormatInt(r.start, 10) + "/" + strconv.FormatInt(r.pane, 10)
}

// column is a value as insertAll takes it.
func (v Value) column(k Kind) bigquery.Value {
	switch {
	case !v.Valid:
		return nil
	case k == Int64:
		return v.Int
	case k == Timestamp:
		return formatMicros(v.Int)
	default:
		return v.Str
	}
}
