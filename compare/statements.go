package compare

import (
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Statement is a statement that a comparison sends to BigQuery.
type Statement struct {
	Name       string
	SQL        string
	Parameters []bigquery.QueryParameter
}

// StatementOptions are what a run learns before it writes its statements.
type StatementOptions struct {
	Batch, Stream bigquery.Schema     // columns of the sides
	Views         bool                // the sides are views
	Spans         []Range             // settled windows
	Writers       []tables.Generation // newest row of each
	Expressions   map[string]string   // types, in SQL, of expressions that are no column, by BATCH:NAME or STREAM:NAME as in batch:delay
}

// Statements are those of a run that reads and of the dry runs before it, written
// without a service: what a judge of SQL may look at, for types too that a service
// at hand does not have.
func Statements(c *jobspecs.Comparison, o StatementOptions) ([]Statement, error) {
	spec := &c.Spec
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	q, err := newQueries(spec)
	if err != nil {
		return nil, err
	}
	for _, s := range []*side{&q.batch, &q.stream} {
		schema := o.Batch
		if s.role == roleStream {
			schema = o.Stream
		}
		if o.Views && s.kind == SideTable {
			s.kind = SideView
		}
		if err := s.learn(q, schema); err != nil {
			return nil, err
		}
		for _, list := range [][]expression{s.keys, s.metrics} {
			for i := range list {
				if t, ok := fieldTypes[o.Expressions[s.role+":"+list[i].name]]; ok {
					list[i].have = t
				}
			}
		}
		if s.writers && s.role == roleStream {
			q.rollup = q.rollupOf(schema)
		}
	}
	spans := o.Spans
	if len(spans) == 0 {
		start := q.windowing.floor(time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC))
		spans = []Range{{start, q.windowing.next(start)}}
	}
	counting := countingRows(tables.Standings(o.Writers), wholeRange(spans))
	all := []Statement{statementOf(q.reconcileQuery(spans, counting)), statementOf(q.sideQuery(q.batch, spans)), statementOf(q.sideQuery(q.stream, spans))}
	for _, s := range []side{q.batch, q.stream} {
		if !s.plain() {
			all = append(all, statementOf(q.typesQuery(s)))
		}
	}
	for _, query := range q.controlQueries() {
		all = append(all, statementOf(query))
	}
	return all, nil
}

func statementOf(q query) Statement { return Statement{q.purpose, q.sql, q.params} }
