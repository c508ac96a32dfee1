package analyser

import (
	"fmt"
	"slices"
	"strings"

	sql "github.com/goccy/go-googlesql"
)

// analyser analyses statements against the tables of an exchange.
type analyser struct {
	catalog *sql.SimpleCatalog
	types   *sql.TypeFactory
	lang    *sql.LanguageOptions
	tables  map[string]*table // by PROJECT.DATASET.NAME
}

func newAnalyser(tables []*table) (*analyser, error) {
	if err := sql.Init(); err != nil {
		return nil, fmt.Errorf("start the analyser: %w", err)
	}
	a := &analyser{tables: map[string]*table{}}
	var err error
	if a.lang, err = sql.NewLanguageOptions(); err != nil {
		return nil, err
	}
	// What is released, by the names that the public product has.
	for _, set := range []func() error{
		a.lang.EnableMaximumLanguageFeatures,
		func() error { return a.lang.SetProductMode(sql.ProductModeProductExternal) },
		a.lang.SetSupportsAllStatementKinds,
	} {
		if err := set(); err != nil {
			return nil, err
		}
	}
	if a.types, err = sql.NewTypeFactory(); err != nil {
		return nil, err
	}
	if a.catalog, err = sql.NewSimpleCatalog("bigquery", a.types); err != nil {
		return nil, err
	}
	if err := a.catalog.AddBuiltinFunctionsAndTypes(&sql.BuiltinFunctionOptions{LanguageOptions: a.lang}); err != nil {
		return nil, err
	}
	folders := map[string]*sql.SimpleCatalog{}
	folder := func(parent *sql.SimpleCatalog, path, name string) (*sql.SimpleCatalog, error) {
		if c := folders[path]; c != nil {
			return c, nil
		}
		c, err := sql.NewSimpleCatalog(name, a.types)
		if err != nil {
			return nil, err
		}
		folders[path] = c
		return c, parent.AddCatalog(c)
	}
	// Views last: their queries name tables.
	tables = slices.Clone(tables)
	slices.SortStableFunc(tables, func(x, y *table) int { return strings.Compare(x.View, y.View) })
	for _, t := range tables {
		a.tables[t.id()] = t
		if t.View != "" {
			if err := a.lookInto(t); err != nil {
				return nil, fmt.Errorf("view %s: %w", t.id(), err)
			}
		}
		project, err := folder(a.catalog, t.Project, t.Project)
		if err != nil {
			return nil, err
		}
		dataset, err := folder(project, t.Project+"."+t.Dataset, t.Dataset)
		if err != nil {
			return nil, err
		}
		if err := a.addTable(dataset, t); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.id(), err)
		}
	}
	return a, nil
}

func (a *analyser) addTable(dataset *sql.SimpleCatalog, t *table) error {
	st, err := sql.NewSimpleTable(t.Name, 0)
	if err != nil {
		return err
	}
	if err := st.SetFullName(t.id()); err != nil {
		return err
	}
	for _, c := range t.Columns {
		typ, err := a.typeOf(c.Type)
		if err != nil {
			return err
		}
		if c.Mode == "REPEATED" {
			if typ, err = a.types.MakeArrayType(typ); err != nil {
				return err
			}
		}
		col, err := sql.NewSimpleColumn(t.Name, c.Name, typ, false, true)
		if err != nil {
			return err
		}
		if err := st.AddColumn2(col, false); err != nil {
			return err
		}
	}
	return dataset.AddTable(st)
}

// lookInto analyses the query of a view, and holds its columns against those that
// were recorded.
func (a *analyser) lookInto(view *table) error {
	out, err := a.analyse(view.View, nil)
	if err != nil {
		return err
	}
	node, err := out.ResolvedStatement()
	if err != nil {
		return err
	}
	query, ok := node.(*sql.ResolvedQueryStmt)
	if !ok {
		return fmt.Errorf("it is no query")
	}
	list, err := query.OutputColumnList()
	if err != nil {
		return err
	}
	if len(list) != len(view.Columns) {
		return fmt.Errorf("its query has %d columns, %d were recorded", len(list), len(view.Columns))
	}
	for i, c := range list {
		name, err := c.Name()
		if err != nil {
			return err
		}
		col, err := c.Column()
		if err != nil {
			return err
		}
		have, err := col.Type()
		if err != nil {
			return err
		}
		want, err := a.typeOf(view.Columns[i].Type)
		if err != nil {
			return err
		}
		if same, err := have.Equals(want); err != nil || !same || name != view.Columns[i].Name {
			text, _ := have.DebugString(false)
			return fmt.Errorf("its query has the column %s %s, where %s %s was recorded", name, text, view.Columns[i].Name, view.Columns[i].Type)
		}
	}
	return nil
}

// through writes the queries of views in the place of their names: what a statement
// reads is in the tables behind them.
func (a *analyser) through(text string) string {
	for changed := true; changed; { // views of views
		changed = false
		for _, t := range a.tables {
			name := fmt.Sprintf("`%s`.`%s`.`%s`", t.Project, t.Dataset, t.Name)
			if t.View != "" && strings.Contains(text, name) {
				text, changed = strings.ReplaceAll(text, name, "("+t.View+")"), true
			}
		}
	}
	return text
}

// typeOf returns the type of a name in SQL.
func (a *analyser) typeOf(name string) (sql.Googlesql_TypeNode, error) {
	get, ok := map[string]func() (sql.Googlesql_TypeNode, error){
		"BIGNUMERIC": a.types.GetBignumeric, "BOOL": a.types.GetBool, "BYTES": a.types.GetBytes, "DATE": a.types.GetDate,
		"DATETIME": a.types.GetDatetime, "FLOAT64": a.types.GetDouble, "INT64": a.types.GetInt64, "INTERVAL": a.types.GetInterval,
		"JSON": a.types.GetJson, "NUMERIC": a.types.GetNumeric, "STRING": a.types.GetString, "TIME": a.types.GetTime, "TIMESTAMP": a.types.GetTimestamp,
	}[name]
	if !ok {
		return nil, fmt.Errorf("the type %q is not known here", name)
	}
	return get()
}

// analyse resolves a statement. The output owns the tree: it must be kept for as
// long as the tree is looked at.
func (a *analyser) analyse(text string, params []parameter) (*sql.AnalyzerOutput, error) {
	opts, err := sql.NewAnalyzerOptions2()
	if err != nil {
		return nil, err
	}
	if err := opts.SetLanguage(a.lang); err != nil {
		return nil, err
	}
	if err := opts.SetPruneUnusedColumns(true); err != nil {
		return nil, err
	}
	for _, p := range params {
		name := p.Type.Type
		if p.Type.Array != nil {
			name = p.Type.Array.Type
		}
		typ, err := a.typeOf(name)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		if p.Type.Array != nil {
			if typ, err = a.types.MakeArrayType(typ); err != nil {
				return nil, err
			}
		}
		if err := opts.AddQueryParameter(p.Name, typ); err != nil {
			return nil, err
		}
	}
	return sql.AnalyzeStatement(text, opts, a.catalog, a.types)
}
