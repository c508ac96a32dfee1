package bigquery

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// catalog knows the datasets and tables. Metadata lives here alone; DuckDB
// holds rows in tables with generated names.
type catalog struct {
	engine *engine

	mu       sync.RWMutex
	datasets map[string]*dataset // by project:dataset
	version  int64
}

type dataset struct {
	meta   *bq.Dataset
	tables map[string]*table
}

// table is a table or view.
type table struct {
	ref *bq.TableReference

	// write is held for reading while rows are appended, and for writing while
	// the schema or the storage is replaced.
	write sync.RWMutex
	// dml makes statements that change rows take turns: DuckDB would fail the
	// second of two that touch the same rows.
	dml sync.Mutex

	// guarded by catalog.mu
	meta    *bq.Table
	columns []googlesql.Column
	store   *store // nil for a view
	deleted bool

	dedup dedup

	written  atomic.Int64 // when rows were changed last, in milliseconds
	changes  atomic.Int64 // how often
	measured measured
}

// touch remembers that rows have changed, before whoever changed them is told so.
func (t *table) touch() {
	t.written.Store(time.Now().UnixMilli())
	t.changes.Add(1)
}

// store is the DuckDB table behind a table. It is dropped once the table has
// left it behind and nothing reads it any more.
type store struct {
	name string
	refs int // guarded by catalog.mu
	dead bool
}

func newCatalog(e *engine) *catalog { return &catalog{engine: e, datasets: map[string]*dataset{}} }

var (
	datasetID = regexp.MustCompile(`^[A-Za-z0-9_]{1,1000}$`)
	tableID   = regexp.MustCompile(`^[\p{L}\p{M}\p{N}\p{Pc}\p{Pd}\p{Zs}]{1,1000}$`)
)

// etag returns a new entity tag. The caller holds mu.
func (c *catalog) etag() string {
	c.version++
	return fmt.Sprintf(`"kappa%d"`, c.version)
}

func (c *catalog) dataset(project, id string) (*dataset, error) {
	d, ok := c.datasets[project+":"+id]
	if !ok {
		return nil, errNotFound("Dataset %s:%s", project, id)
	}
	return d, nil
}

// find returns a table.
func (c *catalog) find(project, ds, id string) (*table, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.findLocked(project, ds, id)
}

func (c *catalog) findLocked(project, ds, id string) (*table, error) {
	d, err := c.dataset(project, ds)
	if err != nil {
		return nil, err
	}
	t, ok := d.tables[id]
	if !ok {
		return nil, errNotFound("Table %s:%s.%s", project, ds, id)
	}
	return t, nil
}

// create adds a table. The DuckDB table is made before it can be seen.
func (c *catalog) create(ctx context.Context, meta *bq.Table) (*table, error) {
	ref := meta.TableReference
	if !tableID.MatchString(ref.TableId) {
		return nil, errInvalid("Invalid table ID %q. Table IDs must be alphanumeric (plus underscores, dashes and spaces) and must be at most 1000 characters long.", ref.TableId)
	}
	cols, err := columnsOf(meta.Schema)
	if err != nil {
		return nil, err
	}
	if err := checkLayout(meta, cols); err != nil {
		return nil, err
	}
	t := &table{ref: ref, meta: meta, columns: cols}
	if meta.View == nil {
		if t.store, err = c.newStore(ctx, cols); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.dataset(ref.ProjectId, ref.DatasetId)
	if err == nil && d.tables[ref.TableId] != nil {
		err = errDuplicate("Table %s:%s.%s", ref.ProjectId, ref.DatasetId, ref.TableId)
	}
	if err != nil {
		c.release(t.store)
		return nil, err
	}
	now := time.Now().UnixMilli()
	meta.Kind, meta.Id = "bigquery#table", ref.ProjectId+":"+ref.DatasetId+"."+ref.TableId
	meta.CreationTime, meta.LastModifiedTime = now, uint64(now)
	meta.Location, meta.Etag = d.meta.Location, c.etag()
	meta.Type = "TABLE"
	if meta.View != nil {
		meta.Type = "VIEW"
	}
	d.tables[ref.TableId] = t
	return t, nil
}

// newStore makes an empty DuckDB table; nothing refers to it yet.
func (c *catalog) newStore(ctx context.Context, cols []googlesql.Column) (*store, error) {
	if len(cols) == 0 {
		// DuckDB has no table without columns; one is never seen.
		cols = []googlesql.Column{{Physical: "none", Type: googlesql.TBool}}
	}
	s := &store{name: c.engine.newName()}
	return s, c.engine.exec(ctx, createSQL(s.name, cols))
}

// release gives up a store that nothing reads. The caller holds mu.
func (c *catalog) release(s *store) {
	if s == nil {
		return
	}
	s.dead = true
	if s.refs == 0 {
		// The table was private or is unreachable: failing to drop it costs memory only.
		_ = c.engine.exec(context.Background(), "DROP TABLE IF EXISTS "+s.name)
	}
}

// open returns what t is now, and keeps its store, which is nil for a view,
// from being dropped until done is called.
func (c *catalog) open(t *table) (meta *bq.Table, cols []googlesql.Column, st *store, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.store == nil {
		return t.meta, t.columns, nil, func() {}
	}
	st = t.store
	st.refs++
	return t.meta, t.columns, st, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.letGo(st)
	}
}

// letGo ends a use of a store. The caller holds mu.
func (c *catalog) letGo(st *store) {
	if st.refs--; st.refs == 0 && st.dead {
		c.release(st)
	}
}

// drop removes a table. The caller holds mu.
func (c *catalog) drop(d *dataset, t *table) {
	delete(d.tables, t.ref.TableId)
	t.deleted = true
	c.release(t.store)
}

// replace gives t a new store and, if cols is not nil, a new schema: what
// WRITE_TRUNCATE does, at once for all readers.
func (c *catalog) replace(t *table, s *store, cols []googlesql.Column, schema *bq.TableSchema) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.deleted {
		c.release(s)
		return errNotFound("Table %s:%s.%s", t.ref.ProjectId, t.ref.DatasetId, t.ref.TableId)
	}
	old := t.store
	t.store = s
	if cols != nil {
		t.columns = cols
		meta := *t.meta
		meta.Schema, meta.Etag = schema, c.etag()
		t.meta = &meta
	}
	c.release(old)
	t.touch()
	return nil
}

// snapshot is a consistent view of the catalog for one statement. It keeps
// the stores that it hands out until closed.
type snapshot struct {
	c      *catalog
	tables map[*googlesql.Table]*table
	stores []*store
}

func (c *catalog) snapshot() *snapshot {
	return &snapshot{c: c, tables: map[*googlesql.Table]*table{}}
}

// Table implements googlesql.Catalog.
func (s *snapshot) Table(project, ds, name string) (*googlesql.Table, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	t, err := s.c.findLocked(project, ds, name)
	if err != nil {
		msg := fmt.Sprintf("Not found: Table %s:%s.%s was not found in location US", project, ds, name)
		if _, derr := s.c.dataset(project, ds); derr != nil {
			msg = fmt.Sprintf("Not found: Dataset %s:%s was not found in location US", project, ds)
		}
		return nil, &googlesql.Error{Reason: googlesql.ReasonNotFound, Message: msg}
	}
	for g, o := range s.tables {
		if o == t {
			return g, nil
		}
	}
	g := &googlesql.Table{Project: project, Dataset: ds, Name: name, Columns: slices.Clone(t.columns)}
	if t.meta.View != nil {
		g.View = t.meta.View.Query
	} else {
		g.Physical = t.store.name
		t.store.refs++
		s.stores = append(s.stores, t.store)
	}
	if p := t.meta.TimePartitioning; p != nil {
		g.PartitionColumn, g.PartitionUnit = p.Field, p.Type
	}
	g.RequirePartitionFilter = t.meta.RequirePartitionFilter
	s.tables[g] = t
	return g, nil
}

// close lets go of the stores.
func (s *snapshot) close() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, st := range s.stores {
		s.c.letGo(st)
	}
	s.stores = nil
}

// checkLayout refuses layouts that are wrong or not known here.
func checkLayout(meta *bq.Table, cols []googlesql.Column) error {
	column := func(name string) *googlesql.Column {
		for i := range cols {
			if strings.EqualFold(cols[i].Name, name) {
				return &cols[i]
			}
		}
		return nil
	}
	if p := meta.TimePartitioning; p != nil {
		switch strings.ToUpper(p.Type) {
		case "DAY", "HOUR", "MONTH", "YEAR":
		default:
			return errInvalid("Invalid time partitioning type %q", p.Type)
		}
		if p.Field == "" {
			return errNotImplemented("partitioning by ingestion time")
		}
		if p.ExpirationMs != 0 {
			return errNotImplemented("partition expiration")
		}
		col := column(p.Field)
		if col == nil {
			return errInvalid("The field specified for partitioning cannot be found in the schema: %s", p.Field)
		}
		switch k := col.Type.Kind; {
		case k == googlesql.Timestamp || k == googlesql.Datetime:
		case k == googlesql.Date && !strings.EqualFold(p.Type, "HOUR"):
		default:
			return errInvalid("The field specified for time partitioning can only be of type TIMESTAMP, DATE or DATETIME. The type found is: %s.", col.Type)
		}
		if p.RequirePartitionFilter {
			meta.RequirePartitionFilter = true
		}
	}
	if cl := meta.Clustering; cl != nil {
		if len(cl.Fields) == 0 || len(cl.Fields) > 4 {
			return errInvalid("Clustering needs one to four fields")
		}
		for _, f := range cl.Fields {
			if column(f) == nil {
				return errInvalid("The field specified for clustering cannot be found in the schema: %s", f)
			}
		}
	}
	if meta.RequirePartitionFilter && meta.TimePartitioning == nil {
		return errInvalid("requirePartitionFilter is only for partitioned tables")
	}
	return nil
}
