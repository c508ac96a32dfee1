package googlesql

import (
	"fmt"
	"strings"
)

// Translate translates a GoogleSQL statement. Errors are *Error.
func Translate(sql string, opts Options) (*Statement, error) {
	ast, err := parse(sql)
	if err != nil {
		return nil, err
	}
	r := &resolver{opts: opts, params: map[string]Param{}}
	for _, p := range opts.Params {
		r.params[strings.ToUpper(p.Name)] = p
	}
	st, err := r.statement(ast)
	if err != nil {
		return nil, err
	}
	if len(st.SQL) > maxOutput {
		return nil, invalid(pos{}, "Resources exceeded during query execution: the query is too complex")
	}
	st.Tables = r.tables
	for _, s := range r.scans {
		for _, c := range s.Table.Columns {
			if s.used[c.Physical] {
				s.Used = append(s.Used, c)
			}
		}
		if s.Table.RequirePartitionFilter && len(s.filters) == 0 {
			return nil, invalid(pos{}, "Cannot query over table '%s.%s' without a filter over column(s) '%s' that can be used for partition elimination",
				s.Table.Dataset, s.Table.Name, s.Table.PartitionColumn)
		}
		st.Scans = append(st.Scans, s)
	}
	return st, nil
}

const (
	maxOutput  = 16 << 20 // bytes of DuckDB SQL
	maxSelects = 20_000   // SELECTs resolved, counting a WITH clause once per reference
)

// resolver gives a syntax tree its meaning and writes DuckDB SQL.
type resolver struct {
	opts    Options
	params  map[string]Param
	scans   []*Scan
	tables  []*Table
	aliases int // generated so far
	selects int
	views   []string // views being expanded
}

// newAlias returns a name that no other relation of the statement has, so
// that correlated references cannot be captured.
func (r *resolver) newAlias() string {
	r.aliases++
	return fmt.Sprintf("t%d", r.aliases)
}

// column is a name that expressions can use.
type column struct {
	name string
	sql  string
	typ  *Type
	// use marks as read what the column depends on; it may be called often.
	use func()
	// origins are the scans whose bare partition column this is.
	origins []*Scan
}

// relation is what a FROM item offers: a range variable and its columns.
type relation struct {
	alias string // name of the range variable, may be empty
	cols  []*column
	// value is set for UNNEST of scalars: the range variable is the value.
	value *column
	// row is the type of the range variable used as a value, if it is an
	// UNNEST of STRUCTs.
	row *column
}

// scope is the names visible to an expression.
type scope struct {
	parent *scope
	rels   []*relation
	// merged are the columns of USING, which hide those that they merge.
	merged []*column
	hidden map[*column]bool
	ctes   map[string]*cteDef // of the query, not of its parents
	sel    *selectState
	// aliases are names that hide all others (HAVING, ORDER BY, QUALIFY).
	aliases map[string]*rexpr
}

// cteDef is a WITH clause: its text once, its tree for every reference.
type cteDef struct {
	name string // generated
	q    *query
	at   *scope
	cols []*outCol
}

func (s *scope) cte(name string) *cteDef {
	for ; s != nil; s = s.parent {
		if d, ok := s.ctes[strings.ToUpper(name)]; ok {
			return d
		}
	}
	return nil
}

// outCol is a column of a query's result.
type outCol struct {
	name    string // empty: anonymous
	sql     string // its name in the generated SQL
	typ     *Type
	use     func()
	origins []*Scan
}

// rexpr is a resolved expression.
type rexpr struct {
	sql string
	typ *Type // nil: an untyped NULL
	// lit is set for a bare literal and a bare parameter: they coerce to more
	// types than other expressions.
	lit      *litExpr
	isParam  bool
	param    Value
	refs     []*column
	konst    bool // depends on no column
	agg, win bool // has an aggregate or analytic function
	// free are the columns outside aggregates and grouping expressions.
	free    []freeCol
	origins []*Scan
	pred    *predicate
	// struct fields, where known one by one
	fields []*rexpr
	// onlyIf is set for IF(cond, column, NULL).
	onlyIf *onlyIf
	// whole is set for CAST(INT64 AS NUMERIC): the INT64.
	whole string
}

// onlyIf is a column where a condition holds, and NULL where it does not.
type onlyIf struct{ cond, column string }

type freeCol struct {
	name string
	at   pos
	sel  *selectState
}

// derive returns an expression of this text and type that depends on parts.
func derive(sql string, typ *Type, parts ...*rexpr) *rexpr {
	e := &rexpr{sql: sql, typ: typ, konst: true}
	for _, p := range parts {
		if p == nil {
			continue
		}
		e.refs = append(e.refs, p.refs...)
		e.free = append(e.free, p.free...)
		e.konst = e.konst && p.konst
		e.agg = e.agg || p.agg
		e.win = e.win || p.win
	}
	return e
}

// useAll marks everything that e depends on as read.
func (e *rexpr) useAll() {
	for _, c := range e.refs {
		c.use()
	}
}

// ectx is where an expression stands.
type ectx struct {
	scope  *scope
	sel    *selectState // the SELECT it belongs to, nil outside of one
	clause string       // for messages
	aggOK  bool
	winOK  bool
	inAgg  bool
}

// selectState is a SELECT while it is resolved.
type selectState struct {
	grouped bool            // it has GROUP BY
	group   map[string]bool // texts of the grouping expressions
	windows map[string]*windowSpec
	inAgg   int // depth of aggregate arguments being resolved
}

func (r *resolver) statement(ast any) (*Statement, error) {
	switch st := ast.(type) {
	case *query:
		return r.selectStatement(st)
	case *insertStmt:
		return r.insert(st)
	case *updateStmt:
		return r.update(st)
	case *deleteStmt:
		return r.delete(st)
	case *truncateStmt:
		return r.truncate(st)
	case *mergeStmt:
		return r.merge(st)
	}
	panic(fmt.Sprintf("unknown statement %T", ast))
}

// selectStatement resolves a query whose rows are the result.
func (r *resolver) selectStatement(q *query) (*Statement, error) {
	out, err := r.query(q, &scope{})
	if err != nil {
		return nil, err
	}
	st := &Statement{Kind: "SELECT", SQL: out.sql}
	seen := map[string]bool{}
	for i, c := range out.cols {
		c.use()
		name := c.name
		if name == "" {
			name = fmt.Sprintf("f%d_", i)
		}
		if up := strings.ToUpper(name); seen[up] {
			return nil, invalid(q.at, "Duplicate column names in the result are not supported when a destination table is present. Found duplicate(s): %s", name)
		} else {
			seen[up] = true
		}
		typ := c.typ
		if typ == nil {
			typ = TInt64 // as GoogleSQL types a bare NULL
		}
		if typ.Kind == Interval {
			return nil, unsupported(q.at, "a result of type INTERVAL")
		}
		st.Columns = append(st.Columns, Column{Name: name, Physical: c.sql, Type: typ})
	}
	return st, nil
}

func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
