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

// rowBuffer gathers the rows of a bundle and inserts them in batches, several
// at a time, while the bundle goes on. Its memory is bounded by the batches in
// flight and one being filled.
type rowBuffer struct {
	rt    *runtime
	table string
	rows  []*Row
	size  int
	group *errgroup.Group
	ctx   context.Context
}

func (b *rowBuffer) start(ctx context.Context) {
	countMu.Lock(); Counts[b.table]++; countMu.Unlock()
	b.rows, b.size = nil, 0
	b.group, b.ctx = errgroup.WithContext(ctx)
	b.group.SetLimit(insertRequests)
}

func (b *rowBuffer) add(r *Row, size int) {
	b.rows, b.size = append(b.rows, r), b.size+size
	if len(b.rows) >= insertRows || b.size >= insertBytes {
		b.flush()
	}
}

func (b *rowBuffer) flush() {
	rows := b.rows
	if len(rows) == 0 {
		return
	}
	b.rows, b.size = nil, 0
	b.group.Go(func() error {
		return b.rt.retry(b.ctx, fmt.Sprintf("insert %d rows into table %s", len(rows), b.table), func() error {
			return b.rt.rows.Insert(b.ctx, b.table, rows)
		})
	})
}

// finish returns once all rows are durable.
func (b *rowBuffer) finish() error {
	b.flush()
	return b.group.Wait()
}

// eventRowsFn writes events to the raw table or, with Late, to the late table.
type eventRowsFn struct {
	Plan *Plan
	Late bool

	rt      *runtime
	columns []string
	buffer  rowBuffer
	count   int64
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
	f.buffer = rowBuffer{rt: f.rt, table: f.Plan.Raw}
	if f.Late {
		f.columns = append(f.columns, "watermark")
		f.buffer.table = f.Plan.Late
	}
	return nil
}

// StartBundle starts the buffer anew.
func (f *eventRowsFn) StartBundle(ctx context.Context) error {
	f.buffer.start(ctx)
	f.count = 0
	return nil
}

// ProcessElement adds a row.
func (f *eventRowsFn) ProcessElement(_ context.Context, e *Event) error {
	r, size := f.row(e, time.Now())
	f.buffer.add(r, size)
	f.count++
	return nil
}

// row makes the row of a delivery. The insert id is its identity to readers,
// event and message, and the writer. invariant P1
func (f *eventRowsFn) row(e *Event, now time.Time) (*Row, int) {
	values := make([]bigquery.Value, 0, len(f.columns))
	values = append(values, e.ID, e.MessageID, formatMicros(e.Time), formatMicros(e.Source), formatMicros(e.Publish),
		formatMicros(now.UnixMicro()), e.Position, f.Plan.Job, f.Plan.Generation)
	size := 200 + len(e.ID) + len(e.Position)
	for i, v := range e.Values {
		values = append(values, v.column(f.Plan.Fields[i].Kind))
		size += 24 + len(v.Str)
	}
	if f.Late {
		values = append(values, formatMicros(e.Watermark))
	}
	return &Row{InsertID: f.Plan.deliveryID(e), Columns: f.columns, Values: values}, size
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

// FinishBundle returns once the rows are durable.
func (f *eventRowsFn) FinishBundle(ctx context.Context) error {
	if err := f.buffer.finish(); err != nil {
		return err
	}
	if f.Late {
		f.rt.add(ctx, counterLate, f.count) // invariant P4: counted
	}
	return nil
}

// paneRowsFn writes the panes of an aggregation to its table and hands them on.
type paneRowsFn struct {
	Plan  *Plan
	Index int

	rt      *runtime
	columns []string
	buffer  rowBuffer
	count   int64
}

// Setup finds the run.
func (f *paneRowsFn) Setup(ctx context.Context) (err error) {
	if f.rt, err = openRuntime(ctx, f.Plan); err != nil {
		return err
	}
	agg := &f.Plan.Aggregations[f.Index]
	f.columns = nil
	for _, d := range agg.Dims {
		f.columns = append(f.columns, f.Plan.Fields[f.Plan.Used[d]].Name)
	}
	f.columns = append(f.columns, "window_start")
	for _, m := range agg.Measures {
		f.columns = append(f.columns, m.Name)
	}
	f.columns = append(f.columns, "job", "generation", "pane", "timing", "write_time")
	f.buffer = rowBuffer{rt: f.rt, table: agg.Table}
	return nil
}

// StartBundle starts the buffer anew.
func (f *paneRowsFn) StartBundle(ctx context.Context, _ func([]byte)) error {
	f.buffer.start(ctx)
	f.count = 0
	return nil
}

// ProcessElement adds a row.
func (f *paneRowsFn) ProcessElement(_ context.Context, data []byte, emit func([]byte)) error {
	agg := &f.Plan.Aggregations[f.Index]
	p, err := readPaneRow(data, len(agg.Measures))
	if err != nil {
		return fmt.Errorf("aggregation %s: %w", agg.Name, err)
	}
	r, err := f.row(agg, &p, time.Now())
	if err != nil {
		return err
	}
	f.buffer.add(r, 200+len(data))
	f.count++
	emit(data)
	return nil
}

// row makes the row of a pane; its insert id is key, window, writer and pane.
// invariant P1
func (f *paneRowsFn) row(agg *Aggregation, p *paneRow, now time.Time) (*Row, error) {
	dims, err := f.Plan.dims(agg, p.key)
	if err != nil {
		return nil, err
	}
	values := make([]bigquery.Value, 0, len(f.columns))
	for i, d := range agg.Dims {
		values = append(values, dims[i].column(f.Plan.usedKind(d)))
	}
	values = append(values, formatMicros(p.start))
	for _, m := range p.partials {
		if m.valid {
			values = append(values, m.value)
		} else {
			values = append(values, nil)
		}
	}
	values = append(values, f.Plan.Job, f.Plan.Generation, p.pane, timingName(p.timing), formatMicros(now.UnixMicro()))
	return &Row{InsertID: f.Plan.paneID(agg, p), Columns: f.columns, Values: values}, nil
}

// paneID is short whatever the key's length (mostInsertID).
func (p *Plan) paneID(agg *Aggregation, r *paneRow) string {
	id := digest(agg.Name, p.Job, strconv.FormatInt(p.Generation, 10), string(r.key))
	return id + "/" + strconv.FormatInt(r.start, 10) + "/" + strconv.FormatInt(r.pane, 10)
}

// FinishBundle returns once the rows are durable.
func (f *paneRowsFn) FinishBundle(ctx context.Context, _ func([]byte)) error {
	if err := f.buffer.finish(); err != nil {
		return err
	}
	f.rt.add(ctx, counterPanes, f.count)
	return nil
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

var Counts=map[string]int{}
var countMu sync.Mutex
