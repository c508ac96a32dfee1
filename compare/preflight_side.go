package compare

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// preflightSide looks at a side: what it is, its columns and their types, and
// whether a range of it can be read alone.
func (r *runner) preflightSide(ctx context.Context, q *queries, s *side) error {
	schema, partition, err := r.schemaOf(ctx, *q, s)
	if err != nil {
		return err
	}
	if err := s.learn(*q, schema); err != nil {
		return err
	}
	if s.writers && s.role == roleStream {
		q.rollup = q.rollupOf(schema)
	}
	if !s.plain() {
		if err := r.typeExpressions(ctx, *q, s); err != nil {
			return err
		}
	}
	if q.spec.Limits.Unpruned == "allow" {
		return nil
	}
	pruned := partition == s.spec.Time
	if s.kind != SideTable {
		if pruned, err = r.prunes(ctx, *q, *s); err != nil {
			return err
		}
	}
	if !pruned {
		return exit.Environmentf("%s (%s) is not partitioned by %s, so a range of it could not be read alone: each run would read all of it", s.label(), s.role, s.spec.Time).
			WithHint("partition the table by that column, use @from and @to in the query, or say limits.unpruned: allow")
	}
	return nil
}

// label names a side for people.
func (s side) label() string {
	if s.kind == SideQuery {
		return "the query"
	}
	return s.kind + " " + s.name.dataset + "." + s.name.table
}

// schemaOf returns the columns of a side, and the column that it is partitioned
// by, if it is a table.
func (r *runner) schemaOf(ctx context.Context, q queries, s *side) (bigquery.Schema, string, error) {
	if s.kind == SideQuery {
		d, err := r.dryRun(ctx, q.schemaQuery(*s))
		if err != nil {
			return nil, "", specError(s.role+".query", err)
		}
		return d.schema, "", nil
	}
	md, err := r.metadata(ctx, s.name, s.role+".table")
	if err != nil {
		return nil, "", err
	}
	switch md.Type {
	case bigquery.ViewTable, bigquery.MaterializedView:
		s.kind = SideView
	default:
		s.changed = md.LastModifiedTime.UTC()
	}
	partition := ""
	if md.TimePartitioning != nil {
		partition = md.TimePartitioning.Field
	}
	return md.Schema, partition, nil
}

// schemaQuery is the query of a side by itself.
func (q queries) schemaQuery(s side) query {
	return query{purpose: s.role + "_schema", sql: s.spec.Query, params: []bigquery.QueryParameter{
		{Name: "from", Value: nowhere.From}, {Name: "to", Value: nowhere.To}}}
}

// learn takes the types of columns from a schema and refuses what a side lacks.
func (s *side) learn(q queries, schema bigquery.Schema) error {
	have, names := fieldsOf(schema), []string{}
	for _, f := range schema {
		names = append(names, f.Name)
	}
	var wrong []string
	for _, c := range s.reads() {
		f := have[c]
		if f == nil {
			text := "has no column " + c
			if near := suggest.Closest(c, names); near != "" {
				text += ", did you mean " + near + "?"
			}
			wrong = append(wrong, text)
			continue
		}
	}
	for i := range s.keys {
		wrong = s.keys[i].learn(have, wrong)
	}
	for i := range s.metrics {
		wrong = s.metrics[i].learn(have, wrong)
	}
	if s.writers {
		for name, want := range map[string]bigquery.FieldType{"job": bigquery.StringFieldType, "generation": bigquery.IntegerFieldType, "pane": bigquery.IntegerFieldType} {
			if f := have[name]; f != nil && (f.Repeated || f.Type != want) {
				wrong = append(wrong, fmt.Sprintf("column %s is %s, wanted %s", name, typeText(f), sqlType(want)))
			}
		}
	}
	if f := have[s.spec.Time]; f != nil {
		if text := s.timedBy(q.windowing, f); text != "" {
			wrong = append(wrong, text)
		}
	}
	if len(wrong) > 0 {
		return exit.Environmentf("%s (%s): %s", s.label(), s.role, strings.Join(wrong, "; ")).
			WithHint("mend the table, or the columns, expressions and types in the spec")
	}
	return nil
}

func (e *expression) learn(have map[string]*bigquery.FieldSchema, wrong []string) []string {
	f := have[e.column]
	if e.column == "" || f == nil {
		return wrong
	}
	if text := e.typed(f); text != "" {
		wrong = append(wrong, "column "+text)
	}
	return wrong
}

// timedBy takes the type of the time column.
func (s *side) timedBy(w windowing, f *bigquery.FieldSchema) string {
	_, known := boundSuffix[f.Type]
	switch {
	case f.Repeated || !known:
		return fmt.Sprintf("column %s is %s, the start of a window is TIMESTAMP, DATETIME or DATE", f.Name, typeText(f))
	case f.Type == bigquery.DateFieldType && w.size%day != 0:
		return fmt.Sprintf("column %s is DATE, which does not tell windows of %s apart", f.Name, shortDuration(w.size))
	}
	s.timed = f.Type
	return ""
}

// Ranges for dry runs.
var (
	nowhere    = Range{time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1000, 1, 2, 0, 0, 0, 0, time.UTC)}
	everywhere = Range{time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
)

// typeExpressions asks a dry run for the types of the expressions, and whether
// they and the condition are right at all.
func (r *runner) typeExpressions(ctx context.Context, q queries, s *side) error {
	d, err := r.dryRun(ctx, q.typesQuery(*s))
	if err != nil {
		return specError(s.role+" side", err)
	}
	have := fieldsOf(d.schema)
	var wrong []string
	for i := range s.keys {
		wrong = s.keys[i].check(have[fmt.Sprintf("k%d", i)], wrong)
	}
	for i := range s.metrics {
		wrong = s.metrics[i].check(have[fmt.Sprintf("m%d", i)], wrong)
	}
	if len(wrong) > 0 {
		return exit.Usagef("%s side: %s", s.role, strings.Join(wrong, "; ")).WithHint("mend the expressions and types in the spec")
	}
	return nil
}

// typesQuery has the keys and metrics of a side in the types that they have.
func (q queries) typesQuery(s side) query {
	var list []string
	for i, e := range s.keys {
		list = append(list, fmt.Sprintf("(%s) AS k%d", e.sql, i))
	}
	for i, e := range s.metrics {
		list = append(list, fmt.Sprintf("(%s) AS m%d", e.sql, i))
	}
	sql := fmt.Sprintf("SELECT %s\nFROM %s\nWHERE TRUE", strings.Join(list, ", "), s.from)
	if s.where != "" {
		sql += " AND (" + s.where + ")"
	}
	return query{purpose: s.role + "_types", sql: sql, params: q.boundParams([]Range{nowhere})}
}

func (e *expression) check(f *bigquery.FieldSchema, wrong []string) []string {
	if f == nil {
		return append(wrong, e.name+" has no type")
	}
	if text := e.typed(f); text != "" {
		wrong = append(wrong, e.name+": "+text)
	}
	return wrong
}

// prunes reports whether a range of a view or query is read alone: whether less
// is read of a range in which there is nothing than of all time.
func (r *runner) prunes(ctx context.Context, q queries, s side) (bool, error) {
	none, err := r.estimateSide(ctx, q, s, nowhere)
	if err != nil {
		return false, err
	}
	all, err := r.estimateSide(ctx, q, s, everywhere)
	return all == 0 || none < all, err
}

// estimateSide is what a dry run says of reading a side alone.
func (r *runner) estimateSide(ctx context.Context, q queries, s side, span Range) (int64, error) {
	qry := q.sideQuery(s, []Range{span})
	d, err := r.dryRun(ctx, qry)
	if err != nil {
		return 0, specError(s.role+" side", err)
	}
	return d.bytes, nil
}

// sideQuery reads one side, as the reconciliation does.
func (q queries) sideQuery(s side, spans []Range) query {
	if s.timed != bigquery.TimestampFieldType && q.windowing.zone != nil && spans[0].From.Year() > 1000 {
		q.shifts = q.windowing.shifts(Range{spans[0].From, spans[len(spans)-1].To})
	}
	var b strings.Builder
	b.WriteString("WITH ")
	q.rows(&b, s, len(spans))
	sql := strings.TrimSuffix(b.String(), ",\n") + fmt.Sprintf("\nSELECT * FROM %s_rows", s.role)
	params := q.boundParams(spans)
	if s.writers && q.rollup != nil {
		params = append(params, bigquery.QueryParameter{Name: "rollup", Value: *q.rollup})
	}
	return query{purpose: s.role + "_side", sql: sql, params: params}
}

// leastBytes is what reading both sides in these spans takes, by dry runs of each
// side alone, and the least that is billed for it: of each at least the minimum.
func (r *runner) leastBytes(ctx context.Context, q queries, spans []Range) (alone, billed int64, err error) {
	for _, s := range []side{q.batch, q.stream} {
		bytes, _, err := r.estimate(ctx, q.sideQuery(s, spans))
		if err != nil {
			return 0, 0, err
		}
		alone, billed = alone+bytes, billed+max(bytes, billingMinimum)
	}
	return alone, billed, nil
}

// specError says of a query that the service does not take that the spec is to
// be mended.
func specError(where string, err error) error {
	var api *googleapi.Error
	if errors.As(err, &api) && api.Code == 400 {
		return exit.Usagef("%s: %s", where, api.Message).WithHint("mend it in the spec")
	}
	return err
}
