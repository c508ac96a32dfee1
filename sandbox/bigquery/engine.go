package bigquery

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/duckdb/duckdb-go/v2"
)

// engine is the DuckDB database that holds the rows. It reads and writes no
// files but those it spills to its own temporary folder.
type engine struct {
	db   *sql.DB
	dir  string
	next atomic.Int64
}

func openEngine(memory string) (*engine, error) {
	// DuckDB makes the folder when it first spills, so that a process that is
	// killed before leaves nothing behind.
	dir := filepath.Join(os.TempDir(), "kappa-bigquery-"+rand.Text())
	// Rows in memory are compressed only in a database that is attached so; what
	// they do not take is left to the queries.
	connector, err := duckdb.NewConnector("", func(conn driver.ExecerContext) error {
		for _, q := range []string{"ATTACH IF NOT EXISTS ':memory:' AS tables (COMPRESS)", "USE tables"} {
			if _, err := conn.ExecContext(context.Background(), q, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e := &engine{db: sql.OpenDB(connector), dir: dir}
	e.db.SetMaxIdleConns(8) // streams write from several connections at once
	// Whatever a query says, the file system and the network stay out of its
	// reach; the translator's allow-list comes first.
	for _, set := range []string{
		"SET memory_limit = '" + memory + "'",
		"SET threads = 2",
		// Statistics of a table that is being appended to can be narrower than
		// the rows that a query sees: plans that rely on them fail ("Perfect hash
		// aggregate: aggregate group exceeded total groups") or could be wrong.
		"SET disabled_optimizers = 'statistics_propagation,compressed_materialization'",
		"SET temp_directory = '" + strings.ReplaceAll(dir, "'", "''") + "'",
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	} {
		if _, err := e.db.Exec(set); err != nil {
			e.close()
			return nil, fmt.Errorf("%s: %w", set, err)
		}
	}
	return e, nil
}

func (e *engine) close() error {
	return errors.Join(e.db.Close(), os.RemoveAll(e.dir))
}

// newName returns a name that no table has or had.
func (e *engine) newName() string { return fmt.Sprintf("p%d", e.next.Add(1)) }

func (e *engine) exec(ctx context.Context, sql string) error {
	_, err := e.db.ExecContext(ctx, sql)
	return engineError(err)
}

// each runs a query and calls f with the values of every row. The slice is
// reused.
func each(ctx context.Context, q interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, query string, f func(row []any) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return err
	}
	vals := make([]any, len(cols))
	ptrs := make([]any, len(cols))
	for i := range vals {
		ptrs[i] = &vals[i]
	}
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return err
		}
		if err := f(vals); err != nil {
			return err
		}
	}
	return engineError(rows.Err())
}

// transaction runs f within a transaction of one connection.
func (e *engine) transaction(ctx context.Context, f func(conn *sql.Conn) error) (err error) {
	conn, err := e.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN TRANSACTION"); err != nil {
		return engineError(err)
	}
	defer func() {
		if err != nil {
			// Even if ctx has ended the connection must not keep the transaction.
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	if err := f(conn); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return engineError(err)
}

// appendRows appends rows to a table through DuckDB's appender: next fills the
// row and returns false at the end. All rows or none become visible, as far as
// the connection is in a transaction or there are less than 100,000.
func appendRows(conn *sql.Conn, table string, columns int, next func(row []driver.Value) (bool, error)) error {
	return conn.Raw(func(dc any) error {
		app, err := duckdb.NewAppenderFromConn(dc.(driver.Conn), "", table)
		if err != nil {
			return engineError(err)
		}
		row := make([]driver.Value, columns)
		for {
			ok, err := next(row)
			if err != nil || !ok {
				return engineError(errors.Join(err, app.Close()))
			}
			if err := app.AppendRow(row...); err != nil {
				return engineError(errors.Join(err, app.Close()))
			}
		}
	})
}

var (
	overflowError = regexp.MustCompile(`Overflow in (\w+) of INT64 \((.*)\)!`)
	notNullError  = regexp.MustCompile(`NOT NULL constraint failed: \S+\.(\S+)`)
)

// engineError puts an error of DuckDB in BigQuery's words.
func engineError(err error) error {
	var de *duckdb.Error
	if err == nil || !errors.As(err, &de) {
		return err
	}
	query := func(reason, message string) error {
		return &apiError{status: 400, reason: reason, message: message, location: "q"}
	}
	msg, _, _ := strings.Cut(de.Msg, "\n") // what follows quotes the translation
	switch {
	case de.Type == duckdb.ErrorTypeInterrupt:
		return context.Canceled
	case de.Type == duckdb.ErrorTypeOutOfMemory:
		return query("resourcesExceeded", "Resources exceeded during query execution: The query could not be executed in the allotted memory.")
	case notNullError.MatchString(msg):
		return &nullError{column: notNullError.FindStringSubmatch(msg)[1]}
	case overflowError.MatchString(msg):
		return query("invalidQuery", "int64 overflow: "+overflowError.FindStringSubmatch(msg)[2])
	case strings.Contains(msg, "INT128") && strings.Contains(msg, "INT64"):
		return query("invalidQuery", "int64 overflow in aggregate")
	case strings.Contains(msg, "DECIMAL") && (de.Type == duckdb.ErrorTypeOutOfRange || de.Type == duckdb.ErrorTypeConversion):
		return query("invalidQuery", "numeric overflow")
	}
	if _, after, ok := strings.Cut(msg, "Error: "); ok {
		msg = after
	}
	return query("invalidQuery", msg)
}

// nullError is a NULL in a REQUIRED column, by its name in DuckDB.
type nullError struct{ column string }

func (e *nullError) Error() string { return "Required field cannot be null: " + e.column }
