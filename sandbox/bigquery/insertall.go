package bigquery

import (
	"context"
	"database/sql/driver"
	"errors"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// maxInsertRows is BigQuery's limit of rows in a request.
const maxInsertRows = 50_000

// insertRequest is a tabledata.insertAll request whose rows are still text.
type insertRequest struct {
	skipInvalid, ignoreUnknown bool
	rows                       []insertRow
}

type insertRow struct {
	id   string
	json []byte
}

func parseInsert(data []byte) (*insertRequest, error) {
	req := &insertRequest{}
	s := &scanner{b: data}
	err := s.object(func(key []byte) error {
		switch string(key) {
		case "skipInvalidRows":
			w, err := s.word()
			req.skipInvalid = string(w) == "true"
			return err
		case "ignoreUnknownValues":
			w, err := s.word()
			req.ignoreUnknown = string(w) == "true"
			return err
		case "rows":
			return s.array(func(int) error {
				var row insertRow
				err := s.object(func(key []byte) (err error) {
					switch string(key) {
					case "insertId":
						var id []byte
						if s.peek() == '"' {
							id, err = s.str()
						} else {
							id, err = s.word()
						}
						row.id = string(id)
					case "json":
						row.json, err = s.raw()
					default:
						err = s.skip()
					}
					return err
				})
				req.rows = append(req.rows, row)
				return err
			})
		case "templateSuffix":
			v, err := s.str()
			if err == nil && len(v) > 0 {
				return errNotImplemented("templateSuffix")
			}
			return err
		}
		return s.skip()
	})
	if err == nil {
		err = s.end()
	}
	if errors.Is(err, errJSON) {
		return nil, &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error: " + err.Error()}
	}
	return req, err
}

func (s *Server) insertAll(r *http.Request) (any, error) {
	data, err := readBody(r, nil)
	if err != nil {
		return nil, err
	}
	req, err := parseInsert(data)
	if err != nil {
		return nil, err
	}
	t, err := s.catalog.find(r.PathValue("project"), r.PathValue("dataset"), r.PathValue("table"))
	if err != nil {
		return nil, err
	}
	switch {
	case len(req.rows) == 0:
		return nil, errInvalid("No rows present in the request.")
	case len(req.rows) > maxInsertRows:
		return nil, errInvalid("too many rows present in the request, limit: %d row count: %d.", maxInsertRows, len(req.rows))
	}
	t.write.RLock()
	defer t.write.RUnlock()
	defer t.touch()
	_, cols, st, done := s.catalog.open(t)
	defer done()
	if st == nil {
		return nil, errInvalid("Cannot add rows to a view: %s:%s.%s", t.ref.ProjectId, t.ref.DatasetId, t.ref.TableId)
	}
	if len(cols) == 0 {
		return nil, errInvalid("The destination table has no schema.")
	}
	resp := &bq.TableDataInsertAllResponse{Kind: "bigquery#tableDataInsertAllResponse"}
	dec := newRowDecoder(cols, req.ignoreUnknown)
	values := make([][]driver.Value, len(req.rows))
	flat := make([]driver.Value, len(cols)*len(req.rows))
	bad := 0
	for i, row := range req.rows {
		v := flat[i*len(cols) : (i+1)*len(cols)]
		if err := dec.decode(row.json, v); err != nil {
			if errors.Is(err, errJSON) {
				return nil, &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error: " + err.Error()}
			}
			bad++
			resp.InsertErrors = append(resp.InsertErrors, &bq.TableDataInsertAllResponseInsertErrors{
				Index: int64(i), Errors: []*bq.ErrorProto{asAPI(err).proto()}, ForceSendFields: []string{"Index"},
			})
			continue
		}
		values[i] = v
	}
	if bad > 0 && !req.skipInvalid {
		// One bad row stops the whole request.
		for i, v := range values {
			if v != nil {
				resp.InsertErrors = append(resp.InsertErrors, &bq.TableDataInsertAllResponseInsertErrors{
					Index: int64(i), Errors: []*bq.ErrorProto{{Reason: "stopped"}}, ForceSendFields: []string{"Index"},
				})
			}
		}
		return resp, nil
	}
	return resp, s.appendStreamed(r.Context(), t, st, len(cols), req.rows, values)
}

// appendStreamed appends the rows that were not seen before. Ids are taken
// first and given back if appending fails, so that of two equal requests at
// once only one is stored.
func (s *Server) appendStreamed(ctx context.Context, t *table, st *store, columns int, rows []insertRow, values [][]driver.Value) error {
	var taken []dedupKey
	for i, row := range rows {
		if values[i] == nil || row.id == "" {
			continue
		}
		k := t.dedup.key(row.id)
		if !t.dedup.take(k) {
			values[i] = nil
			continue
		}
		taken = append(taken, k)
	}
	// Once begun it is finished: a client that hangs up half-way must not leave
	// ids taken whose rows are missing.
	conn, err := s.engine.db.Conn(context.WithoutCancel(ctx))
	if err == nil {
		defer conn.Close()
		i := -1
		err = appendRows(conn, st.name, columns, func(row []driver.Value) (bool, error) {
			for i++; i < len(values); i++ {
				if values[i] != nil {
					copy(row, values[i])
					return true, nil
				}
			}
			return false, nil
		})
	}
	if err != nil {
		t.dedup.giveBack(taken)
	}
	return err
}

// dedup remembers the insert ids of the last minutes: best effort, as the
// service's.
type dedup struct {
	mu      sync.Mutex
	seeds   [2]maphash.Seed
	now, by map[dedupKey]struct{} // this generation and the one before
	since   time.Time
}

// dedupKey is a hash of an insert id: 128 bits, so that ids do not collide.
type dedupKey [2]uint64

const (
	dedupAge = time.Minute
	dedupMax = 500_000 // per generation: some 20 MB
)

func (d *dedup) key(id string) dedupKey {
	d.mu.Lock()
	if d.now == nil {
		d.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
		d.now, d.since = map[dedupKey]struct{}{}, time.Now()
	}
	seeds := d.seeds
	d.mu.Unlock()
	return dedupKey{maphash.String(seeds[0], id), maphash.String(seeds[1], id)}
}

// take reports whether k is new, and remembers it.
func (d *dedup) take(k dedupKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.now) >= dedupMax || time.Since(d.since) > dedupAge {
		d.by, d.now, d.since = d.now, map[dedupKey]struct{}{}, time.Now()
	}
	if _, ok := d.now[k]; ok {
		return false
	}
	if _, ok := d.by[k]; ok {
		return false
	}
	d.now[k] = struct{}{}
	return true
}

func (d *dedup) giveBack(keys []dedupKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		delete(d.now, k)
		delete(d.by, k)
	}
}

// forget drops all ids: the table's rows were replaced.
func (d *dedup) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now, d.by = nil, nil
}

// rowDecoder reads JSON objects as rows of a table.
type rowDecoder struct {
	cols    []googlesql.Column
	index   map[string]int // by lower-case name
	ignore  bool           // unknown fields
	scan    scanner
	seen    []bool
	lowered []byte
}

func newRowDecoder(cols []googlesql.Column, ignoreUnknown bool) *rowDecoder {
	d := &rowDecoder{cols: cols, index: map[string]int{}, ignore: ignoreUnknown, seen: make([]bool, len(cols))}
	for i, c := range cols {
		d.index[lower(nil, []byte(c.Name))] = i
	}
	return d
}

func lower(buf, name []byte) string { return string(lowerBytes(buf, name)) }

func lowerBytes(buf, name []byte) []byte {
	buf = buf[:0]
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	return buf
}

// decode reads a row. An error that is not errJSON is an *apiError about a
// field.
func (d *rowDecoder) decode(data []byte, row []driver.Value) error {
	d.scan = scanner{b: data, buf: d.scan.buf}
	clear(d.seen)
	var bad error
	if len(data) == 0 || d.scan.peek() != '{' {
		return fieldError("", "a row must be a JSON object")
	}
	err := d.scan.object(func(key []byte) error {
		d.lowered = lowerBytes(d.lowered, key)
		i, ok := d.index[string(d.lowered)]
		if !ok {
			if !d.ignore && bad == nil {
				bad = fieldError(string(key), "no such field: "+string(key)+".")
			}
			return d.scan.skip()
		}
		v, err := readValue(&d.scan, d.cols[i].Type, d.cols[i].Name)
		var ae *apiError
		if errors.As(err, &ae) {
			if bad == nil {
				bad = err
			}
			return nil // the value was read, or skipped
		}
		row[i], d.seen[i] = v, v != nil
		return err
	})
	if err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	for i := range d.cols {
		if d.seen[i] {
			continue
		}
		c := &d.cols[i]
		row[i] = nil
		if c.Type.Kind == googlesql.Array {
			row[i] = []any{}
		}
		if c.Required {
			return fieldError(c.Name, "Missing required field: "+c.Name+".")
		}
	}
	return d.scan.end()
}

func fieldError(field, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, reason: "invalid", message: message, location: field}
}
