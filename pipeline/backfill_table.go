package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
)

// This file reads a raw table. One query reads a day at most, which is a partition
// of a raw table, so that none is read twice; the days are spread over the workers.
//
// An event is taken once, by its id: of its rows that of a writer whose rows count,
// of these the one that was published first. A row of a writer that does not count
// is taken where there is no other: the delivery was one, whatever the writer made
// of it. What the backfill itself has written is left out. A row without an id,
// which no writer could aggregate, is too; one whose data was unreadable has an id
// and NULL fields, and is taken as an event that has none.

// FindTable makes p a batch over a raw table, DATASET.TABLE, of the plan's project.
// Counting are the writers whose rows are preferred. Within must have been called.
func (p *Plan) FindTable(table string, counting []string, maxBytes int64) error {
	dataset, name, ok := strings.Cut(table, ".")
	if !ok || dataset == "" || name == "" || strings.ContainsAny(table, "`\\ ") {
		return exit.Usagef("--table=%s is not DATASET.TABLE", table)
	}
	if p.Batch.From >= p.Batch.To {
		return exit.Usagef("--table needs --from and --to")
	}
	p.Batch.Table, p.Batch.Counting, p.Batch.MaxBytes = p.Project+"."+table, counting, maxBytes
	for _, s := range days(tables.Span{From: time.UnixMicro(p.Batch.From), To: time.UnixMicro(p.Batch.To)}) {
		p.Batch.Slices = append(p.Batch.Slices, s.From.Format(time.RFC3339Nano)+" "+s.To.Format(time.RFC3339Nano))
	}
	return nil
}

// days divides a span at midnight, UTC.
func days(span tables.Span) []tables.Span {
	var out []tables.Span
	for from := span.From.UTC(); from.Before(span.To); {
		to := from.Truncate(24 * time.Hour).Add(24 * time.Hour)
		if to.After(span.To) {
			to = span.To.UTC()
		}
		out = append(out, tables.Span{From: from, To: to})
		from = to
	}
	return out
}

// TableSQL is the query on a raw table. Parameters: @from, @to, @job, @generation,
// @counting.
func TableSQL(table string, fields []string) string {
	columns := []string{columnEventID, columnMessageID, columnEventTime, columnSourceTime, columnPublishTime, columnPosition}
	for _, f := range fields {
		columns = append(columns, "`"+f+"`")
	}
	return fmt.Sprintf(`SELECT %s
FROM %s
WHERE event_time >= @from AND event_time < @to AND event_id != '' AND NOT (job = @job AND generation = @generation)
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id
  ORDER BY IF(CONCAT(job, '@', CAST(generation AS STRING)) IN UNNEST(@counting), 0, 1), publish_time, message_id, write_time) = 1`,
		strings.Join(columns, ", "), "`"+table+"`")
}

// tableFn reads slices of a raw table.
type tableFn struct {
	Plan *Plan

	rt     *runtime
	client *bigquery.Client
}

// Setup finds the run and connects.
func (f *tableFn) Setup(ctx context.Context) (err error) {
	if f.rt, err = openRuntime(ctx, f.Plan); err != nil {
		return err
	}
	platform, err := f.Plan.platform()
	if err != nil {
		return f.rt.fail(err)
	}
	f.client, err = platform.BigQuery(context.WithoutCancel(ctx))
	return err
}

// Teardown disconnects.
func (f *tableFn) Teardown(context.Context) error {
	if f.client == nil {
		return nil
	}
	return f.client.Close()
}

// ProcessElement reads a slice.
func (f *tableFn) ProcessElement(ctx context.Context, slice string, emit func(beam.EventTime, *Messages)) error {
	if err := f.read(ctx, slice, emit); err != nil {
		return f.rt.fail(exit.Environmentf("read %s of %s: %w", slice, f.Plan.Batch.Table, err))
	}
	return nil
}

func (f *tableFn) read(ctx context.Context, slice string, emit func(beam.EventTime, *Messages)) error {
	p := f.Plan
	a, b, _ := strings.Cut(slice, " ")
	from, err := time.Parse(time.RFC3339Nano, a)
	if err != nil {
		return err
	}
	to, err := time.Parse(time.RFC3339Nano, b)
	if err != nil {
		return err
	}
	names := make([]string, len(p.Fields))
	for i, field := range p.Fields {
		names[i] = field.Name
	}
	q := f.client.Query(TableSQL(p.Batch.Table, names))
	q.MaxBytesBilled = p.Batch.MaxBytes
	q.Parameters = []bigquery.QueryParameter{
		{Name: "from", Value: from}, {Name: "to", Value: to}, {Name: "job", Value: p.Job}, {Name: "generation", Value: p.Generation},
		{Name: "counting", Value: append([]string{}, p.Batch.Counting...)}, // nil would be NULL
	}
	it, err := q.Read(ctx)
	if err != nil {
		return err
	}
	g := &gathering{ctx: ctx, rt: f.rt, batch: &p.Batch, emit: emit}
	for {
		var row map[string]bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			g.flush()
			return nil
		}
		if err != nil {
			return err
		}
		record := make(map[string]any, len(row))
		for k, v := range row {
			record[k] = v
		}
		m, err := recordEvent(record, p.Fields)
		if err == nil {
			err = m.complete("")
		}
		if err != nil {
			return err
		}
		g.add(m)
	}
}
