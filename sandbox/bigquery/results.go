package bigquery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	bq "google.golang.org/api/bigquery/v2"
)

// pageBytes bounds a page of rows, as the service does.
const pageBytes = 10 << 20

// pageRequest is the page of a result that a client asks for.
type pageRequest struct {
	from    int
	max     int64
	limited bool // max is given, even if 0
	micros  bool // timestamps as microseconds, not as seconds
}

// parsePage reads maxResults, pageToken, startIndex and the format.
func parsePage(r *http.Request) (pageRequest, error) {
	q := r.URL.Query()
	var p pageRequest
	for _, name := range []string{"startIndex", "maxResults"} {
		v := q.Get(name)
		if v == "" {
			continue
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return p, errInvalid("Invalid value for %s: %q", name, v)
		}
		if name == "startIndex" {
			p.from = int(n)
		} else {
			p.max, p.limited = n, true
		}
	}
	if tok := q.Get("pageToken"); tok != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(tok, "at"))
		if err != nil || n < 0 || !strings.HasPrefix(tok, "at") {
			return p, errInvalid("Invalid page token: %q", tok)
		}
		p.from = n
	}
	p.micros = q.Get("formatOptions.useInt64Timestamp") == "true"
	if f := q.Get("formatOptions.timestampOutputFormat"); f != "" && f != "INT64" {
		return p, errNotImplemented("timestampOutputFormat %s", f)
	} else if f == "INT64" {
		p.micros = true
	}
	return p, nil
}

// queryResponse is what jobs.query and jobs.getQueryResults return. Rows are
// encoded already.
type queryResponse struct {
	Kind                string            `json:"kind"`
	Etag                string            `json:"etag,omitempty"`
	Schema              *bq.TableSchema   `json:"schema,omitempty"`
	JobReference        *bq.JobReference  `json:"jobReference"`
	JobComplete         bool              `json:"jobComplete"`
	TotalRows           *string           `json:"totalRows,omitempty"`
	PageToken           string            `json:"pageToken,omitempty"`
	Rows                []json.RawMessage `json:"rows,omitempty"`
	TotalBytesProcessed string            `json:"totalBytesProcessed,omitempty"`
	TotalBytesBilled    string            `json:"totalBytesBilled,omitempty"`
	CacheHit            bool              `json:"cacheHit"`
	NumDmlAffectedRows  string            `json:"numDmlAffectedRows,omitempty"`
	DmlStats            *bq.DmlStatistics `json:"dmlStats,omitempty"`
	StatementType       string            `json:"statementType,omitempty"`
	Location            string            `json:"location,omitempty"`
}

func (s *Server) getQueryResults(r *http.Request) (any, error) {
	j, err := s.findJob(r)
	if err != nil {
		return nil, err
	}
	p, err := parsePage(r)
	if err != nil {
		return nil, err
	}
	if j.conf.Query == nil {
		return nil, errInvalid("Job %s is not a query job", j.ref.JobId)
	}
	timeout := 10 * time.Second
	if v := r.URL.Query().Get("timeoutMs"); v != "" {
		ms, err := strconv.ParseInt(v, 10, 64)
		if err != nil || ms < 0 {
			return nil, errInvalid("Invalid value for timeoutMs: %q", v)
		}
		timeout = min(time.Duration(ms)*time.Millisecond, 200*time.Second)
	}
	j.await(r.Context(), timeout)
	return s.results(j, p, "bigquery#getQueryResultsResponse")
}

// results is a page of a job's result.
func (s *Server) results(j *job, p pageRequest, kind string) (any, error) {
	out := &queryResponse{Kind: kind, JobReference: j.ref, Location: j.ref.Location}
	if !j.isDone() {
		return out, nil
	}
	if j.err != nil {
		return nil, j.err
	}
	s.jobs.mu.Lock()
	res, evicted := j.result, j.evicted
	s.jobs.mu.Unlock()
	out.JobComplete = true
	out.Schema = res.schema
	out.DmlStats = res.dml
	q := j.stats.Query
	out.StatementType = q.StatementType
	out.TotalBytesProcessed = strconv.FormatInt(q.TotalBytesProcessed, 10)
	if kind == "bigquery#queryResponse" {
		out.TotalBytesBilled = strconv.FormatInt(q.TotalBytesBilled, 10)
	}
	if res.dml != nil {
		out.NumDmlAffectedRows = strconv.FormatInt(res.affected, 10)
		return out, nil
	}
	if evicted {
		return nil, errNotFound("the results of job %s: the sandbox keeps only the newest", j.ref.JobId)
	}
	total := strconv.Itoa(len(res.rows))
	out.TotalRows = &total
	if p.from > len(res.rows) {
		p.from = len(res.rows)
	}
	if p.limited && p.max == 0 && kind != "bigquery#queryResponse" {
		if len(res.rows) > 0 {
			out.PageToken = fmt.Sprintf("at%d", p.from)
		}
		return out, nil
	}
	to, bytes := p.from, 0
	for to < len(res.rows) && (p.max == 0 || int64(to-p.from) < p.max) && (to == p.from || bytes+len(res.rows[to]) <= pageBytes) {
		bytes += len(res.rows[to])
		to++
	}
	out.Rows = res.rows[p.from:to]
	if to < len(res.rows) {
		out.PageToken = fmt.Sprintf("at%d", to)
	}
	if !p.micros {
		var err error
		if out.Rows, err = secondsRows(out.Rows, res.schema); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// secondsRows rewrites timestamps from microseconds to seconds in floating
// point, the API's default.
func secondsRows(rows []json.RawMessage, schema *bq.TableSchema) ([]json.RawMessage, error) {
	if !hasTimestamp(schema.Fields) {
		return rows, nil
	}
	out := make([]json.RawMessage, len(rows))
	for i, r := range rows {
		var row any
		if err := json.Unmarshal(r, &row); err != nil {
			return nil, err
		}
		toSeconds(row, schema.Fields)
		b, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

func hasTimestamp(fields []*bq.TableFieldSchema) bool {
	for _, f := range fields {
		if f.Type == "TIMESTAMP" || hasTimestamp(f.Fields) {
			return true
		}
	}
	return false
}

func toSeconds(record any, fields []*bq.TableFieldSchema) {
	m, ok := record.(map[string]any)
	if !ok {
		return
	}
	cells, _ := m["f"].([]any)
	for i, c := range cells {
		cell := c.(map[string]any)
		cell["v"] = fieldSeconds(cell["v"], fields[i])
	}
}

func fieldSeconds(v any, f *bq.TableFieldSchema) any {
	if list, ok := v.([]any); ok {
		for _, e := range list {
			cell := e.(map[string]any)
			cell["v"] = fieldSeconds(cell["v"], f)
		}
		return list
	}
	if f.Type == "RECORD" {
		toSeconds(v, f.Fields)
		return v
	}
	if s, ok := v.(string); ok && f.Type == "TIMESTAMP" {
		if us, err := strconv.ParseInt(s, 10, 64); err == nil {
			return strconv.FormatFloat(float64(us)/1e6, 'E', -1, 64)
		}
	}
	return v
}

// listData is tabledata.list.
func (s *Server) listData(r *http.Request) (any, error) {
	t, err := s.catalog.find(r.PathValue("project"), r.PathValue("dataset"), r.PathValue("table"))
	if err != nil {
		return nil, err
	}
	p, err := parsePage(r)
	if err != nil {
		return nil, err
	}
	if r.URL.Query().Get("selectedFields") != "" {
		return nil, errNotImplemented("selectedFields of tabledata.list")
	}
	_, cols, st, done := s.catalog.open(t)
	defer done()
	if st == nil {
		return nil, errInvalid("Cannot list a table of type VIEW.")
	}
	var total int64
	err = each(r.Context(), s.engine.db, "SELECT count(*) FROM "+st.name, func(row []any) error { total = asInt(row[0]); return nil })
	if err != nil {
		return nil, err
	}
	if len(cols) == 0 {
		total = 0
	}
	type dataList struct {
		Kind      string            `json:"kind"`
		Etag      string            `json:"etag"`
		TotalRows string            `json:"totalRows"`
		PageToken string            `json:"pageToken,omitempty"`
		Rows      []json.RawMessage `json:"rows,omitempty"`
	}
	out := &dataList{Kind: "bigquery#tableDataList", Etag: `"` + st.name + `"`, TotalRows: strconv.FormatInt(total, 10)}
	limit := int64(100_000)
	if p.limited {
		limit = min(limit, p.max)
	}
	if limit == 0 || total == 0 {
		return out, nil
	}
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Physical
	}
	bytes := 0
	full := fmt.Errorf("page is full")
	err = each(r.Context(), s.engine.db, fmt.Sprintf("SELECT %s FROM %s ORDER BY rowid LIMIT %d OFFSET %d", strings.Join(names, ", "), st.name, limit, p.from), func(row []any) error {
		b, err := appendRow(nil, cols, row)
		if err != nil {
			return err
		}
		if bytes += len(b); bytes > pageBytes && len(out.Rows) > 0 {
			return full
		}
		out.Rows = append(out.Rows, b)
		return nil
	})
	if err != nil && err != full {
		return nil, err
	}
	if next := p.from + len(out.Rows); int64(next) < total {
		out.PageToken = fmt.Sprintf("at%d", next)
	}
	if !p.micros {
		out.Rows, err = secondsRows(out.Rows, schemaOf(cols))
	} else {
		err = nil
	}
	return out, err
}
