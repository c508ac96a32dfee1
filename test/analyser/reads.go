package analyser

import (
	"fmt"
	"slices"
	"strings"
	"time"

	sql "github.com/goccy/go-googlesql"
)

// read is one scan of a table.
type read struct {
	table   *table
	columns []string
	ids     map[int32]bool         // of the columns, in the tree
	filters []sql.ResolvedExprNode // that each row that is read passes
}

// walker collects the reads of a tree.
type walker struct {
	analyser *analyser
	entries  map[string]sql.ResolvedScanNode // WITH tables by their names, which the analyser makes unique
	used     map[int32]bool                  // ids of the columns that something is made of; nil: not known
	reads    []read
}

// reads returns the scans of tables that a statement makes, in the order of the
// tree. A WITH table is read as often as it is named, and not at all if it is not.
func (a *analyser) reads(out *sql.AnalyzerOutput) ([]read, error) {
	stmt, err := out.ResolvedStatement()
	if err != nil {
		return nil, err
	}
	w := &walker{analyser: a, entries: map[string]sql.ResolvedScanNode{}}
	if query, ok := stmt.(*sql.ResolvedQueryStmt); ok {
		w.used = map[int32]bool{}
		if err := w.use(query); err != nil {
			return nil, err
		}
	}
	if err := w.walk(stmt); err != nil {
		return nil, err
	}
	return w.reads, nil
}

// use notes the columns that a tree makes something of. What a view lists and nobody
// asks for is passed on by scans, and made use of nowhere.
func (w *walker) use(node sql.ResolvedNode) error {
	var columns []*sql.ResolvedColumn
	var err error
	switch n := node.(type) {
	case *sql.ResolvedColumnRef:
		var c *sql.ResolvedColumn
		c, err = n.Column()
		columns = append(columns, c)
	case *sql.ResolvedOutputColumn:
		var c *sql.ResolvedColumn
		c, err = n.Column()
		columns = append(columns, c)
	case *sql.ResolvedSetOperationItem: // by their places
		columns, err = n.OutputColumnList()
	case *sql.ResolvedWithEntry: // by their places, too
		var query sql.ResolvedScanNode
		if query, err = n.WithSubquery(); err != nil {
			return err
		}
		listed, ok := query.(interface {
			ColumnList() ([]*sql.ResolvedColumn, error)
		})
		if !ok {
			return fmt.Errorf("a WITH table is %T, which lists no columns", query)
		}
		columns, err = listed.ColumnList()
	}
	if err != nil {
		return err
	}
	for _, c := range columns {
		id, err := c.ColumnId()
		if err != nil {
			return err
		}
		w.used[id] = true
	}
	children, err := node.GetChildNodes()
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := w.use(c); err != nil {
			return err
		}
	}
	return nil
}

// walk looks at a node and what is below it. The filters are of rows that the node
// gives, one by one: they reach what it reads through scans that change no row.
func (w *walker) walk(node sql.ResolvedNode, filters ...sql.ResolvedExprNode) error {
	switch n := node.(type) {
	case *sql.ResolvedTableScan:
		return w.table(n, filters)
	case *sql.ResolvedProjectScan: // the SELECT list of a view or query
		list, err := n.ExprList()
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := w.walk(e); err != nil {
				return err
			}
		}
		input, err := n.InputScan()
		if err != nil {
			return err
		}
		return w.walk(input, filters...)
	case *sql.ResolvedFilterScan:
		expr, err := n.FilterExpr()
		if err != nil {
			return err
		}
		if err := w.walk(expr); err != nil { // subqueries read as well
			return err
		}
		input, err := n.InputScan()
		if err != nil {
			return err
		}
		return w.walk(input, append(slices.Clone(filters), expr)...)
	case *sql.ResolvedWithScan:
		list, err := n.WithEntryList()
		if err != nil {
			return err
		}
		for _, e := range list {
			name, err := e.WithQueryName()
			if err != nil {
				return err
			}
			if w.entries[name], err = e.WithSubquery(); err != nil {
				return err
			}
		}
		query, err := n.Query()
		if err != nil {
			return err
		}
		return w.walk(query, filters...)
	case *sql.ResolvedWithRefScan:
		name, err := n.WithQueryName()
		if err != nil {
			return err
		}
		entry := w.entries[name]
		if entry == nil {
			return fmt.Errorf("the WITH table %s is named before it is there", name)
		}
		return w.walk(entry)
	}
	children, err := node.GetChildNodes()
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := w.walk(c); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) table(scan *sql.ResolvedTableScan, filters []sql.ResolvedExprNode) error {
	node, err := scan.Table()
	if err != nil {
		return err
	}
	id, err := node.FullName()
	if err != nil {
		return err
	}
	t := w.analyser.tables[id]
	if t == nil {
		return fmt.Errorf("the statement reads %s, which was not recorded", id)
	}
	cols, err := scan.ColumnList()
	if err != nil {
		return err
	}
	r := read{table: t, filters: filters, ids: map[int32]bool{}}
	for _, c := range cols {
		name, err := c.Name()
		if err != nil {
			return err
		}
		id, err := c.ColumnId()
		if err != nil {
			return err
		}
		if w.used == nil || w.used[id] {
			r.columns, r.ids[id] = append(r.columns, name), true
		}
	}
	slices.Sort(r.columns)
	w.reads = append(w.reads, r)
	return nil
}

// in reports whether rows of a partition, [lo, hi), may pass the filters.
func (r read) in(params map[string]time.Time, lo, hi time.Time) (bool, error) {
	for _, f := range r.filters {
		if ok, err := r.matches(f, params, lo, hi); err != nil || !ok {
			return ok, err
		}
	}
	return true, nil
}

// matches reports whether rows of a partition, [lo, hi), may pass a filter: it is
// certain only of comparisons of the bare partition column with parameters and literals, which
// are what partitions are pruned by.
func (r read) matches(expr sql.ResolvedExprNode, params map[string]time.Time, lo, hi time.Time) (bool, error) {
	call, ok := expr.(*sql.ResolvedFunctionCall)
	if !ok {
		return true, nil
	}
	fn, err := call.Function()
	if err != nil {
		return false, err
	}
	name, err := fn.Name()
	if err != nil {
		return false, err
	}
	args, err := call.ArgumentList()
	if err != nil {
		return false, err
	}
	switch name {
	case "$and", "$or":
		for _, a := range args {
			ok, err := r.matches(a, params, lo, hi)
			if err != nil || ok == (name == "$or") {
				return ok, err
			}
		}
		return name == "$and", nil
	}
	if len(args) != 2 {
		return true, nil
	}
	column, value := args[0], args[1]
	if _, ok := column.(*sql.ResolvedParameter); ok { // @from <= column
		column, value = value, column
		turned := map[string]string{"$less": "$greater", "$less_or_equal": "$greater_or_equal", "$greater": "$less", "$greater_or_equal": "$less_or_equal"}
		if t := turned[name]; t != "" {
			name = t
		}
	}
	at, known, err := r.operands(column, value, params)
	if err != nil || !known {
		return true, err
	}
	switch name {
	case "$less":
		return lo.Before(at), nil
	case "$less_or_equal":
		return !lo.After(at), nil
	case "$greater", "$greater_or_equal":
		return hi.After(at), nil
	case "$equal":
		return !lo.After(at) && hi.After(at), nil
	}
	return true, nil
}

// operands returns the value of the parameter if it is the partition column, as the
// table has it, that is compared with it: a name alone may be that of an expression.
func (r read) operands(column, value sql.ResolvedExprNode, params map[string]time.Time) (time.Time, bool, error) {
	ref, ok := column.(*sql.ResolvedColumnRef)
	if !ok {
		return time.Time{}, false, nil
	}
	col, err := ref.Column()
	if err != nil {
		return time.Time{}, false, err
	}
	id, err := col.ColumnId()
	if err != nil || !r.ids[id] {
		return time.Time{}, false, err
	}
	name, err := col.Name()
	if err != nil || !strings.EqualFold(name, r.table.Partition) {
		return time.Time{}, false, err
	}
	if l, ok := value.(*sql.ResolvedLiteral); ok {
		return literalTime(l)
	}
	p, ok := value.(*sql.ResolvedParameter)
	if !ok {
		return time.Time{}, false, nil
	}
	pname, err := p.Name()
	if err != nil {
		return time.Time{}, false, err
	}
	at, ok := params[strings.ToLower(pname)]
	return at, ok, nil
}

// literalTime is a literal that is a point in time, such as people copy.
func literalTime(l *sql.ResolvedLiteral) (time.Time, bool, error) {
	v, err := l.Value()
	if err != nil {
		return time.Time{}, false, err
	}
	text, err := v.GetSQLLiteral2(sql.ProductModeProductExternal)
	if err != nil {
		return time.Time{}, false, err
	}
	_, text, quoted := strings.Cut(text, `"`)
	at, err := timeOf(strings.TrimSuffix(text, `"`))
	return at, quoted && err == nil, nil
}
