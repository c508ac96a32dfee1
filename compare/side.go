package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/sqlexpr"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// side is what the queries read of a side. Texts of the spec are in it quoted,
// and checked to be one expression or one query each, so that none can leave its
// place. Types are the compared ones until preflight has seen the real ones.
type side struct {
	role    string // batch or stream
	spec    jobspecs.Side
	kind    string // SideTable, SideView or SideQuery
	name    tableName
	from    string // quoted table, or the query in parentheses
	time    string // column of the window's start, quoted
	keys    []expression
	metrics []expression
	where   string             // "": all rows
	writers bool               // rows count as their writer does
	unique  bool               // several plain rows of a key make it nonunique
	timed   bigquery.FieldType // TIMESTAMP, DATETIME or DATE
	changed time.Time          // when rows of the table were last written; zero: not known
}

// expression is a key or a metric on a side.
type expression struct {
	name   string // of the key or metric
	text   string // as the spec has it
	sql    string // quoted, to be put into parentheses
	column string // the column, where it is nothing else
	reads  []string
	have   bigquery.FieldType // its type
	want   string             // type in which it is compared
}

// tableName is a table by its parts.
type tableName struct{ project, dataset, table string }

func (t tableName) String() string { return t.project + "." + t.dataset + "." + t.table }

func (t tableName) quoted() table { return quoteTable(t.project, t.dataset, t.table) }

// nameOf reads NAME, DATASET.NAME or PROJECT.DATASET.NAME; a project can have
// dots.
func nameOf(spec *jobspecs.ComparisonSpec, name string) tableName {
	t := tableName{spec.Project, spec.Dataset, name}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		t.dataset, t.table = name[:i], name[i+1:]
	}
	if i := strings.LastIndexByte(t.dataset, '.'); i >= 0 {
		t.project, t.dataset = t.dataset[:i], t.dataset[i+1:]
	}
	return t
}

func (t tableName) check(what string) error {
	if err := checkIdentifier(what+": project", t.project, projectPattern); err != nil {
		return err
	}
	if err := checkIdentifier(what+": dataset", t.dataset, datasetPattern); err != nil {
		return err
	}
	return checkIdentifier(what, t.table, tablePattern)
}

// newSide checks and quotes what the spec says of a side.
func newSide(spec *jobspecs.ComparisonSpec, role string) (side, error) {
	of, writers := spec.Batch.Side, spec.Batch.Shadow != ""
	text := func(batch, _ string) string { return batch }
	if role == roleStream {
		of, writers = spec.Stream.Side, spec.Stream.Job != ""
		text = func(_, stream string) string { return stream }
	}
	s := side{role: role, spec: of, kind: SideTable, writers: writers, unique: of.Unique, timed: bigquery.TimestampFieldType}
	switch {
	case len(of.Files) > 0 && of.Table == "":
		return s, exit.Usagef("%s.files: files are compared once they are loaded", role)
	case of.Query != "":
		if err := sqlexpr.CheckQuery(of.Query); err != nil {
			return s, exit.Usagef("%s.query: %v", role, err)
		}
		s.kind, s.from = SideQuery, "(\n"+strings.TrimSpace(of.Query)+"\n)"
	default:
		s.name = nameOf(spec, of.Table)
		if err := s.name.check(role + ".table"); err != nil {
			return s, err
		}
		s.from = string(s.name.quoted())
	}
	if err := checkIdentifier(role+".time", of.Time, columnPattern); err != nil {
		return s, err
	}
	s.time = column(of.Time)
	if of.Where != "" {
		where, err := sqlexpr.Quote(of.Where)
		if err != nil {
			return s, exit.Usagef("%s.where: %v", role, err)
		}
		s.where = where
	}
	for _, k := range spec.Keys {
		e, err := newExpression(role, "key", k.Name, text(k.Batch, k.Stream), k.Type)
		if err != nil {
			return s, err
		}
		s.keys = append(s.keys, e)
	}
	for _, m := range spec.Metrics {
		e, err := newExpression(role, "metric", m.Name, text(m.Batch, m.Stream), m.Value)
		if err != nil {
			return s, err
		}
		s.metrics = append(s.metrics, e)
	}
	return s, nil
}

func newExpression(role, what, name, text, want string) (expression, error) {
	e := expression{name: name, text: text, want: want, have: fieldTypes[want]}
	if text == "" {
		e.text = name
	}
	if columnPattern.MatchString(e.text) {
		e.column, e.sql, e.reads = e.text, column(e.text), []string{e.text}
		return e, nil
	}
	var err error
	if e.sql, err = sqlexpr.Quote(e.text); err != nil {
		return e, exit.Usagef("%s %s, %s: %v", what, name, role, err)
	}
	e.reads = sqlexpr.Columns(e.text)
	if c, ok := sqlexpr.Column(e.text); ok {
		e.column = c
	}
	return e, nil
}

// reads are the columns that a side is read by, each once.
func (s side) reads() []string {
	columns := []string{s.spec.Time}
	for _, e := range slices.Concat(s.keys, s.metrics) {
		columns = append(columns, e.reads...)
	}
	if s.where != "" {
		columns = append(columns, sqlexpr.Columns(s.spec.Where)...)
	}
	if s.writers {
		columns = append(columns, writerColumns...)
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// writerColumns say which writer a row is of.
var writerColumns = []string{"job", "generation", "pane"}

// plain reports whether the side is read by its columns alone, so that their
// types in the table are all there is to know.
func (s side) plain() bool {
	for _, e := range slices.Concat(s.keys, s.metrics) {
		if e.column == "" {
			return false
		}
	}
	return s.kind != SideQuery && s.where == ""
}

// fieldTypes maps the type names of specs to the API's.
var fieldTypes = map[string]bigquery.FieldType{
	"STRING": bigquery.StringFieldType, "INT64": bigquery.IntegerFieldType, "TIMESTAMP": bigquery.TimestampFieldType, "DATE": bigquery.DateFieldType,
	"BOOL": bigquery.BooleanFieldType, "NUMERIC": bigquery.NumericFieldType, "BIGNUMERIC": bigquery.BigNumericFieldType, "FLOAT64": bigquery.FloatFieldType,
}

// sqlType is the name in SQL of a type of the API.
func sqlType(t bigquery.FieldType) string {
	for name, f := range fieldTypes {
		if f == t {
			return name
		}
	}
	return string(t)
}

// lossless are the casts that lose nothing, whatever the value: from a type, to
// those in which it can be compared.
var lossless = map[bigquery.FieldType][]string{
	bigquery.IntegerFieldType: {"NUMERIC", "BIGNUMERIC", "STRING"},
	bigquery.NumericFieldType: {"BIGNUMERIC"},
}

// typed learns the type of an expression, and refuses one whose cast to the
// compared type could lose something.
func (e *expression) typed(f *bigquery.FieldSchema) string {
	e.have = f.Type
	if f.Collation != "" {
		return fmt.Sprintf("%s has the collation %s, by which keys that differ are taken for one; read the side by a query that has COLLATE(%s, '')", e.text, f.Collation, e.text)
	}
	if !f.Repeated && (f.Type == fieldTypes[e.want] || slices.Contains(lossless[f.Type], e.want)) {
		return ""
	}
	problem := fmt.Sprintf("%s is %s, compared as %s: a cast could lose something", e.text, typeText(f), e.want)
	if f.Type == bigquery.FloatFieldType {
		problem = fmt.Sprintf("%s is FLOAT64, compared as %s: floating point does not add up to the same sum twice, so it cannot be compared exactly; say value: FLOAT64 with a tolerance, or", e.text, e.want)
		return problem + fmt.Sprintf(" write CAST(%s AS %s)", e.text, e.want)
	}
	return problem + fmt.Sprintf("; if it does not, write %s", e.cast(f))
}

// cast is an expression to write where a type does not fit.
func (e *expression) cast(f *bigquery.FieldSchema) string {
	switch {
	case f.Repeated:
		return e.text + "[SAFE_OFFSET(0)]"
	case f.Type == bigquery.DateFieldType && e.want == "TIMESTAMP", f.Type == bigquery.DateTimeFieldType && e.want == "TIMESTAMP":
		return "TIMESTAMP(" + e.text + ")"
	case f.Type == bigquery.TimestampFieldType && e.want == "DATE", f.Type == bigquery.DateTimeFieldType && e.want == "DATE":
		return "DATE(" + e.text + ")"
	}
	return "CAST(" + e.text + " AS " + e.want + ")"
}

// value is the expression in the compared type.
func (e expression) value() string {
	if e.have == fieldTypes[e.want] {
		if e.column != "" {
			return e.sql
		}
		return "(" + e.sql + ")"
	}
	return "CAST(" + e.sql + " AS " + e.want + ")"
}
