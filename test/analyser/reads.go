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
	filter  sql.ResolvedExprNode // of the rows that are read; nil: none
}

// walker collects the reads of a tree.
type walker struct {
	analyser *analyser
	entries  map[string]sql.ResolvedScanNode // WITH tables by their names, which the analyser makes unique
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
	if err := w.walk(stmt, nil); err != nil {
		return nil, err
	}
	return w.reads, nil
}

func (w *walker) walk(node sql.ResolvedNode, filter sql.ResolvedExprNode) error {
	switch n := node.(type) {
	case *sql.ResolvedTableScan:
		return w.table(n, filter)
	case *sql.ResolvedFilterScan:
		expr, err := n.FilterExpr()
		if err != nil {
			return err
		}
		if err := w.walk(expr, nil); err != nil { // subqueries read as well
			return err
		}
		input, err := n.InputScan()
		if err != nil {
			return err
		}
		return w.walk(input, expr)
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
		return w.walk(query, nil)
	case *sql.ResolvedWithRefScan:
		name, err := n.WithQueryName()
		if err != nil {
			return err
		}
		entry := w.entries[name]
		if entry == nil {
			return fmt.Errorf("the WITH table %s is named before it is there", name)
		}
		return w.walk(entry, nil)
	}
	children, err := node.GetChildNodes()
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := w.walk(c, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) table(scan *sql.ResolvedTableScan, filter sql.ResolvedExprNode) error {
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
	r := read{table: t, filter: filter}
	for _, c := range cols {
		name, err := c.Name()
		if err != nil {
			return err
		}
		r.columns = append(r.columns, name)
	}
	slices.Sort(r.columns)
	w.reads = append(w.reads, r)
	return nil
}

// matches reports whether rows of a partition, [lo, hi), may pass a filter: it is
// certain only of comparisons of the bare partition column with parameters, which
// are what partitions are pruned by.
func matches(expr sql.ResolvedExprNode, partition string, params map[string]time.Time, lo, hi time.Time) (bool, error) {
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
			ok, err := matches(a, partition, params, lo, hi)
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
	at, known, err := operands(column, value, partition, params)
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

// operands returns the value of the parameter if it is the partition column that
// is compared with it.
func operands(column, value sql.ResolvedExprNode, partition string, params map[string]time.Time) (time.Time, bool, error) {
	ref, ok := column.(*sql.ResolvedColumnRef)
	if !ok {
		return time.Time{}, false, nil
	}
	col, err := ref.Column()
	if err != nil {
		return time.Time{}, false, err
	}
	name, err := col.Name()
	if err != nil || !strings.EqualFold(name, partition) {
		return time.Time{}, false, err
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
