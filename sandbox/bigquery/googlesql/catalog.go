package googlesql

import "time"

// Catalog finds tables.
type Catalog interface {
	// Table returns the table of that name, or an *Error with ReasonNotFound.
	Table(project, dataset, table string) (*Table, error)
}

// Table is a table or view of the catalog. Names of datasets and tables are
// case-sensitive; names of columns are not.
type Table struct {
	Project, Dataset, Name string
	Physical               string // DuckDB table, unquoted
	Columns                []Column
	// View is the query of a view, empty for a table.
	View string
	// PartitionColumn is the column of time partitions, empty if there are none.
	PartitionColumn string
	// PartitionUnit is HOUR, DAY, MONTH or YEAR. The translator does not use it.
	PartitionUnit string
	// RequirePartitionFilter refuses queries without a filter on it.
	RequirePartitionFilter bool
}

// Column is a column of a table or of a result.
type Column struct {
	Name     string
	Physical string // column of the DuckDB table, unquoted; of a result, its alias
	Type     *Type
	Required bool
}

// Options are the surroundings of a query.
type Options struct {
	Catalog Catalog
	// Project and Dataset complete names that lack them; Dataset may be empty.
	Project, Dataset string
	Params           []Param
	// Now is what CURRENT_TIMESTAMP() returns.
	Now time.Time
}

// Statement is a translated statement.
type Statement struct {
	// Kind is BigQuery's statement type: SELECT, INSERT, UPDATE, DELETE,
	// MERGE or TRUNCATE_TABLE.
	Kind string
	// SQL is the DuckDB statement. A SELECT returns Columns, in order. An
	// UPDATE or DELETE returns the number of rows; an INSERT too. A MERGE
	// returns one row per action with its name.
	SQL string
	// Columns are the columns of a SELECT's result.
	Columns []Column
	// Target is the table that DML changes, nil for SELECT.
	Target *Table
	// Checks are queries to run before SQL, in the same transaction: if one
	// returns a row, the statement fails with its message.
	Checks []Check
	// Scans are the reads of tables that the result depends on.
	Scans []*Scan
	// Tables are all tables and views named, in order of appearance.
	Tables []*Table
}

// Check is a condition that DuckDB does not enforce by itself.
type Check struct{ SQL, Message string }

// Scan is one read of a table.
type Scan struct {
	Table *Table
	// Used are the columns that are read, in the table's order.
	Used []Column

	used    map[string]bool
	filters []*predicate
}
