package bigquery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// What is not set by clients is ignored, as the service does.
var tableKeys = []string{
	"tableReference", "friendlyName", "description", "labels", "schema", "timePartitioning", "clustering",
	"requirePartitionFilter", "expirationTime", "view", "type", "creationTime", "lastModifiedTime", "location", "numBytes", "numRows",
	"numLongTermBytes", "numTotalLogicalBytes", "numActiveLogicalBytes", "numPartitions",
}

func (s *Server) insertTable(r *http.Request) (any, error) {
	md := &bq.Table{}
	data, err := readBody(r, md)
	if err != nil {
		return nil, err
	}
	if err := allowKeys(data, "table.", tableKeys...); err != nil {
		return nil, err
	}
	if md.TableReference == nil {
		return nil, errInvalid("Required parameter is missing: tableReference")
	}
	md.TableReference.ProjectId, md.TableReference.DatasetId = r.PathValue("project"), r.PathValue("dataset")
	md.NumBytes, md.NumRows = 0, 0
	if md.View != nil {
		legacy := string(member(data, "view", "useLegacySql")) != "false" // the default is true
		if err := s.checkView(md, legacy); err != nil {
			return nil, err
		}
	}
	t, err := s.catalog.create(r.Context(), md)
	if err != nil {
		return nil, err
	}
	return s.tableResource(r.Context(), t)
}

// checkView resolves a view's query and sets its schema.
func (s *Server) checkView(md *bq.Table, legacy bool) error {
	if legacy {
		return errNotImplemented("a view in legacy SQL")
	}
	if len(md.View.UserDefinedFunctionResources) > 0 || md.TimePartitioning != nil || md.Clustering != nil {
		return errNotImplemented("a view with functions, partitions or clustering")
	}
	snap := s.catalog.snapshot()
	defer snap.close()
	st, err := googlesql.Translate(md.View.Query, googlesql.Options{Catalog: snap, Project: md.TableReference.ProjectId, Now: time.Now()})
	if err != nil {
		return err
	}
	if st.Kind != "SELECT" {
		return errInvalid("A view must be a query")
	}
	md.Schema = schemaOf(st.Columns)
	md.View.ForceSendFields = []string{"UseLegacySql"}
	return nil
}

// tableResource is the metadata of t with its counts.
func (s *Server) tableResource(ctx context.Context, t *table) (*bq.Table, error) {
	meta, cols, st, done := s.catalog.open(t)
	defer done()
	md := *meta
	md.LastModifiedTime = max(md.LastModifiedTime, uint64(t.written.Load()))
	md.ForceSendFields = []string{"NumRows", "NumBytes"}
	if st == nil || len(cols) == 0 {
		return &md, nil
	}
	parts := []string{"count(*)"}
	for _, c := range cols {
		parts = append(parts, bytesSQL(c.Physical, c.Type))
	}
	rows, err := s.measure(ctx, t, "SELECT "+strings.Join(parts, ", ")+" FROM "+st.name)
	for _, row := range rows {
		md.NumRows = uint64(asInt(row[0]))
		for _, v := range row[1:] {
			md.NumBytes += asInt(v)
		}
	}
	md.NumActiveLogicalBytes, md.NumTotalLogicalBytes = md.NumBytes, md.NumBytes
	return &md, err
}

func (s *Server) getTable(r *http.Request) (any, error) {
	t, err := s.catalog.find(r.PathValue("project"), r.PathValue("dataset"), r.PathValue("table"))
	if err != nil {
		return nil, err
	}
	return s.tableResource(r.Context(), t)
}

func (s *Server) patchTable(r *http.Request) (any, error) {
	data, err := readBody(r, nil)
	if err != nil {
		return nil, err
	}
	if err := allowKeys(data, "table.", tableKeys...); err != nil {
		return nil, err
	}
	t, err := s.catalog.find(r.PathValue("project"), r.PathValue("dataset"), r.PathValue("table"))
	if err != nil {
		return nil, err
	}
	// Nothing may be appended while columns come and go.
	t.write.Lock()
	defer t.write.Unlock()
	s.catalog.mu.Lock()
	old := t.meta
	s.catalog.mu.Unlock()
	if err := checkEtag(r, old.Etag); err != nil {
		return nil, err
	}
	md := &bq.Table{}
	if err := mergePatch(old, data, md); err != nil {
		return nil, err
	}
	md.TableReference, md.Id, md.CreationTime, md.Type, md.Location = old.TableReference, old.Id, old.CreationTime, old.Type, old.Location
	if member(data, "view") != nil {
		if old.View == nil {
			return nil, errInvalid("Cannot add a view to a table")
		}
		if err := s.checkView(md, md.View.UseLegacySql); err != nil {
			return nil, err
		}
	} else if old.View != nil {
		md.Schema = old.Schema
	}
	if !sameJSON(old.TimePartitioning, md.TimePartitioning) {
		return nil, errInvalid("Cannot change partitioning spec for a table")
	}
	cols := t.columns
	if old.View == nil && member(data, "schema") != nil {
		if cols, err = s.alter(r.Context(), t, md.Schema); err != nil {
			return nil, err
		}
	}
	if err := checkLayout(md, cols); err != nil {
		return nil, err
	}
	if old.View == nil && md.Schema != nil {
		order(md.Schema, cols)
	}
	s.catalog.mu.Lock()
	md.Etag, md.LastModifiedTime = s.catalog.etag(), uint64(time.Now().UnixMilli())
	t.meta, t.columns = md, cols
	s.catalog.mu.Unlock()
	return s.tableResource(r.Context(), t)
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// alter changes a table's columns: new nullable ones, and REQUIRED to
// NULLABLE. The caller holds t.write.
func (s *Server) alter(ctx context.Context, t *table, schema *bq.TableSchema) ([]googlesql.Column, error) {
	want, err := columnsOf(schema)
	if err != nil {
		return nil, err
	}
	ref := t.ref.ProjectId + ":" + t.ref.DatasetId + "." + t.ref.TableId
	mismatch := func(format string, args ...any) error {
		return errInvalid("Provided Schema does not match Table %s. %s", ref, fmt.Sprintf(format, args...))
	}
	if len(t.columns) == 0 {
		// A table without a schema takes any.
		st, err := s.catalog.newStore(ctx, want)
		if err != nil {
			return nil, err
		}
		return want, s.catalog.replace(t, st, want, schema)
	}
	var out []googlesql.Column
	var changes []string
	for _, c := range want {
		i := slices.IndexFunc(t.columns, func(o googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) })
		if i < 0 {
			if c.Required {
				return nil, mismatch("Cannot add required fields to an existing schema. (field: %s)", c.Name)
			}
			c.Physical = fmt.Sprintf("c%d", len(t.columns)+len(out))
			for slices.ContainsFunc(t.columns, func(o googlesql.Column) bool { return o.Physical == c.Physical }) {
				c.Physical += "x"
			}
			changes = append(changes, "ADD COLUMN "+c.Physical+" "+c.Type.DuckDB())
			out = append(out, c)
			continue
		}
		old := t.columns[i]
		switch {
		case old.Type.String() != c.Type.String():
			return nil, mismatch("Field %s has changed type from %s to %s", c.Name, old.Type, c.Type)
		case c.Required && !old.Required:
			return nil, mismatch("Field %s has changed mode from NULLABLE to REQUIRED", c.Name)
		case old.Required && !c.Required:
			changes = append(changes, "ALTER COLUMN "+old.Physical+" DROP NOT NULL")
			old.Required = false
		}
		out = append(out, old)
	}
	for _, o := range t.columns {
		if !slices.ContainsFunc(out, func(c googlesql.Column) bool { return strings.EqualFold(o.Name, c.Name) }) {
			return nil, mismatch("Field %s is missing in new schema", o.Name)
		}
	}
	// DuckDB appends new columns at the end, and so does the appender.
	slices.SortStableFunc(out, func(a, b googlesql.Column) int {
		pos := func(c googlesql.Column) int {
			if i := slices.IndexFunc(t.columns, func(o googlesql.Column) bool { return o.Physical == c.Physical }); i >= 0 {
				return i
			}
			return len(t.columns)
		}
		return pos(a) - pos(b)
	})
	for _, ch := range changes {
		if err := s.engine.exec(ctx, "ALTER TABLE "+t.store.name+" "+ch); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// order puts the fields of a schema in the order of the columns.
func order(schema *bq.TableSchema, cols []googlesql.Column) {
	slices.SortStableFunc(schema.Fields, func(a, b *bq.TableFieldSchema) int {
		pos := func(f *bq.TableFieldSchema) int {
			return slices.IndexFunc(cols, func(c googlesql.Column) bool { return strings.EqualFold(c.Name, f.Name) })
		}
		return pos(a) - pos(b)
	})
}

func (s *Server) deleteTable(r *http.Request) (any, error) {
	c := s.catalog
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.findLocked(r.PathValue("project"), r.PathValue("dataset"), r.PathValue("table"))
	if err != nil {
		return nil, err
	}
	d, err := c.dataset(t.ref.ProjectId, t.ref.DatasetId)
	if err != nil {
		return nil, err
	}
	c.drop(d, t)
	return nil, nil
}

func (s *Server) listTables(r *http.Request) (any, error) {
	c := s.catalog
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, err := c.dataset(r.PathValue("project"), r.PathValue("dataset"))
	if err != nil {
		return nil, err
	}
	var all []*bq.TableListTables
	for _, t := range d.tables {
		it := &bq.TableListTables{
			Kind: "bigquery#table", Id: t.meta.Id, TableReference: t.ref, Type: t.meta.Type, Labels: t.meta.Labels,
			FriendlyName: t.meta.FriendlyName, CreationTime: t.meta.CreationTime, TimePartitioning: t.meta.TimePartitioning,
			Clustering: t.meta.Clustering, RequirePartitionFilter: t.meta.RequirePartitionFilter,
		}
		if t.meta.View != nil {
			it.View = &bq.TableListTablesView{}
		}
		all = append(all, it)
	}
	slices.SortFunc(all, func(a, b *bq.TableListTables) int { return strings.Compare(a.Id, b.Id) })
	page, next, err := paginate(r, len(all))
	if err != nil {
		return nil, err
	}
	return &bq.TableList{Kind: "bigquery#tableList", Tables: all[page.from:page.to], NextPageToken: next, TotalItems: int64(len(all))}, nil
}

type page struct{ from, to int }

// paginate returns the part of n items that a request asks for, and the token
// of the next.
func paginate(r *http.Request, n int) (page, string, error) {
	q := r.URL.Query()
	p := page{to: n}
	if tok := q.Get("pageToken"); tok != "" {
		v, err := strconv.Atoi(strings.TrimPrefix(tok, "at"))
		if err != nil || v < 0 || v > n || !strings.HasPrefix(tok, "at") {
			return p, "", errInvalid("Invalid page token: %q", tok)
		}
		p.from = v
	}
	if m := q.Get("maxResults"); m != "" {
		v, err := strconv.Atoi(m)
		if err != nil || v < 0 {
			return p, "", errInvalid("Invalid value for maxResults: %q", m)
		}
		if v > 0 {
			p.to = min(n, p.from+v)
		}
	}
	if p.to < n {
		return p, fmt.Sprintf("at%d", p.to), nil
	}
	return p, "", nil
}
