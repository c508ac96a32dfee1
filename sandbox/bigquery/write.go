package bigquery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// writeJob writes a job's rows to its destination table, by the job's
// dispositions: at once for all readers, or not at all.
type writeJob struct {
	server        *Server
	project       string
	ref           *bq.TableReference
	create, write string
	partitioning  *bq.TimePartitioning
	clustering    *bq.Clustering
	// cols and schema are those of the rows; nil if the table's are taken.
	cols   []googlesql.Column
	schema *bq.TableSchema
	// byName: the rows' columns are matched to the table's by name, and may be
	// fewer; otherwise they must be the same.
	byName bool
	// declared: the schema was given, and must agree with the table's.
	declared bool
}

// fill writes rows to a store with these columns within a transaction.
type fill func(ctx context.Context, conn *sql.Conn, st *store, cols []googlesql.Column) error

func (w *writeJob) run(ctx context.Context, f fill) error {
	c := w.server.catalog
	if w.ref.ProjectId == "" {
		w.ref.ProjectId = w.project
	}
	t, err := c.find(w.ref.ProjectId, w.ref.DatasetId, w.ref.TableId)
	var ae *apiError
	if errors.As(err, &ae) && ae.status == http.StatusNotFound && strings.HasPrefix(ae.message, "Not found: Table") {
		return w.runNew(ctx, f)
	}
	if err != nil {
		return err
	}
	t.dml.Lock()
	defer t.dml.Unlock()
	if w.write == "WRITE_TRUNCATE" {
		return w.truncate(ctx, t, f)
	}
	return w.append(ctx, t, f)
}

// runNew creates the table and fills it before anyone can see it.
func (w *writeJob) runNew(ctx context.Context, f fill) error {
	c := w.server.catalog
	if w.create == "CREATE_NEVER" {
		return errNotFound("Table %s:%s.%s", w.ref.ProjectId, w.ref.DatasetId, w.ref.TableId)
	}
	if w.cols == nil {
		return errInvalid("Table %s:%s.%s does not have a schema, and none was given", w.ref.ProjectId, w.ref.DatasetId, w.ref.TableId)
	}
	st, err := c.newStore(ctx, w.cols)
	if err != nil {
		return err
	}
	drop := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.release(st)
	}
	if err := w.server.engine.transaction(ctx, func(conn *sql.Conn) error { return f(ctx, conn, st, w.cols) }); err != nil {
		drop()
		return columnError(err, w.cols)
	}
	t, err := c.create(ctx, &bq.Table{TableReference: w.ref, Schema: w.schema, TimePartitioning: w.partitioning, Clustering: w.clustering})
	if err != nil {
		drop()
		return err
	}
	return c.replace(t, st, nil, nil)
}

// truncate replaces the table's rows, and its schema if the rows have one.
func (w *writeJob) truncate(ctx context.Context, t *table, f fill) error {
	c := w.server.catalog
	meta, cols, old, done := c.open(t)
	defer done()
	if old == nil {
		return errInvalid("Cannot write to a view: %s:%s.%s", w.ref.ProjectId, w.ref.DatasetId, w.ref.TableId)
	}
	schema := meta.Schema
	// A load keeps the table's schema unless it brings its own; a query's
	// result always does.
	if w.cols != nil && (!w.byName || w.declared || len(cols) == 0) {
		cols, schema = w.cols, w.schema
		for i := range cols {
			// The table's REQUIRED columns stay so.
			cols[i].Required = cols[i].Required && w.byName
		}
	}
	layout := *meta
	layout.Schema = schema
	if err := checkLayout(&layout, cols); err != nil {
		return err
	}
	st, err := c.newStore(ctx, cols)
	if err != nil {
		return err
	}
	err = w.server.engine.transaction(ctx, func(conn *sql.Conn) error { return f(ctx, conn, st, cols) })
	if err != nil {
		c.mu.Lock()
		c.release(st)
		c.mu.Unlock()
		return columnError(err, cols)
	}
	t.write.Lock()
	defer t.write.Unlock()
	t.dedup.forget()
	return c.replace(t, st, cols, schema)
}

// append adds rows to the table, or writes them to it if it is empty.
func (w *writeJob) append(ctx context.Context, t *table, f fill) error {
	c := w.server.catalog
	t.write.RLock()
	defer t.write.RUnlock()
	defer t.touch()
	_, cols, st, done := c.open(t)
	defer done()
	if st == nil {
		return errInvalid("Cannot write to a view: %s:%s.%s", w.ref.ProjectId, w.ref.DatasetId, w.ref.TableId)
	}
	if len(cols) == 0 {
		return errNotImplemented("writing to a table without a schema")
	}
	if w.declared || !w.byName {
		if err := w.agree(cols); err != nil {
			return err
		}
	}
	err := w.server.engine.transaction(ctx, func(conn *sql.Conn) error {
		if w.write == "WRITE_EMPTY" {
			var n int64
			if err := each(ctx, conn, "SELECT count(*) FROM "+st.name, func(row []any) error { n = asInt(row[0]); return nil }); err != nil {
				return err
			}
			if n > 0 {
				return errDuplicate("Table %s:%s.%s", w.ref.ProjectId, w.ref.DatasetId, w.ref.TableId)
			}
		}
		return f(ctx, conn, st, cols)
	})
	return columnError(err, cols)
}

// agree reports where the rows' schema is not the table's.
func (w *writeJob) agree(cols []googlesql.Column) error {
	name := w.ref.ProjectId + ":" + w.ref.DatasetId + "." + w.ref.TableId
	for _, c := range w.cols {
		i := slices.IndexFunc(cols, func(o googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) })
		if i < 0 {
			return errInvalid("Provided Schema does not match Table %s. Cannot add fields (field: %s)", name, c.Name)
		}
		if !cols[i].Type.Equal(c.Type) {
			return errInvalid("Provided Schema does not match Table %s. Field %s has changed type from %s to %s", name, c.Name, cols[i].Type, c.Type)
		}
	}
	for _, c := range cols {
		if c.Required && !slices.ContainsFunc(w.cols, func(o googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) }) {
			return errInvalid("Provided Schema does not match Table %s. Field %s is missing in new schema", name, c.Name)
		}
	}
	return nil
}

// queryInto runs a query whose result goes to a table.
func (s *Server) queryInto(ctx context.Context, j *job, project string, q *queryJob, t *translated) error {
	conf := q.conf
	if err := checkDispositions(conf.CreateDisposition, conf.WriteDisposition); err != nil {
		return err
	}
	// The result is computed once, into a store of its own, from which both the
	// table and the job's own rows come.
	cols := slices.Clone(t.Columns)
	st, err := s.catalog.newStore(ctx, cols)
	if err != nil {
		return err
	}
	defer func() {
		s.catalog.mu.Lock()
		defer s.catalog.mu.Unlock()
		s.catalog.release(st)
	}()
	list := make([]string, len(cols))
	for i, c := range cols {
		list[i] = c.Physical
	}
	if err := s.engine.exec(ctx, "INSERT INTO "+st.name+" "+t.SQL); err != nil {
		return err
	}
	w := &writeJob{
		server: s, project: project, ref: conf.DestinationTable, create: conf.CreateDisposition, write: conf.WriteDisposition,
		partitioning: conf.TimePartitioning, clustering: conf.Clustering, schema: schemaOf(cols),
	}
	for i, c := range cols {
		c.Physical = fmt.Sprintf("c%d", i)
		w.cols = append(w.cols, c)
	}
	if w.write == "" {
		w.write = "WRITE_EMPTY"
	}
	err = w.run(ctx, func(ctx context.Context, conn *sql.Conn, dst *store, into []googlesql.Column) error {
		var to, from []string
		for i, c := range cols {
			n := slices.IndexFunc(into, func(o googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) })
			to, from = append(to, into[n].Physical), append(from, list[i])
		}
		_, err := conn.ExecContext(ctx, "INSERT INTO "+dst.name+" ("+strings.Join(to, ", ")+") SELECT "+strings.Join(from, ", ")+" FROM "+st.name)
		return engineError(err)
	})
	if err != nil {
		return err
	}
	j.result, err = s.rows(ctx, s.engine.db, "SELECT "+strings.Join(list, ", ")+" FROM "+st.name+" ORDER BY rowid", cols)
	return err
}
