package bigquery

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	bq "google.golang.org/api/bigquery/v2"

	"github.com/kappa-migrate/kappa/sandbox/bigquery/googlesql"
)

// queryJob is a query and what it is to be run with.
type queryJob struct {
	conf   *bq.JobConfigurationQuery
	params []googlesql.Param
}

var queryKeys = []string{
	"query", "useLegacySql", "parameterMode", "queryParameters", "destinationTable", "createDisposition", "writeDisposition",
	"defaultDataset", "priority", "useQueryCache", "maximumBytesBilled", "connectionProperties", "timePartitioning", "clustering",
	"allowLargeResults", "flattenResults",
}

// parseQueryConfig checks a query job's configuration.
func parseQueryConfig(data []byte, conf *bq.JobConfigurationQuery) (*queryJob, error) {
	if err := allowKeys(data, "configuration.query.", queryKeys...); err != nil {
		return nil, err
	}
	if conf.UseLegacySql == nil || *conf.UseLegacySql {
		return nil, errNotImplemented("legacy SQL (useLegacySql is not false)")
	}
	if strings.TrimSpace(conf.Query) == "" {
		return nil, errInvalid("Required parameter is missing: query")
	}
	if p := strings.ToUpper(conf.ParameterMode); p != "" && p != "NAMED" && p != "NONE" {
		return nil, errNotImplemented("parameterMode %s", conf.ParameterMode)
	}
	for _, cp := range conf.ConnectionProperties {
		if cp.Key != "time_zone" {
			return nil, errNotImplemented("connection property %s", cp.Key)
		}
		switch strings.ToUpper(cp.Value) {
		case "UTC", "ETC/UTC":
		default:
			return nil, errNotImplemented("time zone %s (connection property time_zone)", cp.Value)
		}
	}
	params, err := parseParams(member(data, "queryParameters"))
	if err != nil {
		return nil, err
	}
	return &queryJob{conf: conf, params: params}, nil
}

// translated is a statement with its cost.
type translated struct {
	*googlesql.Statement
	snap      *snapshot
	processed int64
	billed    int64
}

// prepare translates a query and computes what it reads. The snapshot must be
// closed by the caller.
func (s *Server) prepare(ctx context.Context, project string, q *queryJob) (*translated, error) {
	snap := s.catalog.snapshot()
	opts := googlesql.Options{Catalog: snap, Project: project, Params: q.params, Now: time.Now()}
	if d := q.conf.DefaultDataset; d != nil {
		opts.Dataset = d.DatasetId
		if d.ProjectId != "" {
			opts.Project = d.ProjectId
		}
	}
	st, err := googlesql.Translate(q.conf.Query, opts)
	if err == nil && st.Kind != "SELECT" && (q.conf.DestinationTable != nil || q.conf.WriteDisposition != "") {
		err = errInvalid("configuration.query.destinationTable cannot be set for %s statements", st.Kind)
	}
	t := &translated{Statement: st, snap: snap}
	if err == nil {
		t.processed, t.billed, err = s.cost(ctx, snap, st)
	}
	if err != nil {
		snap.close()
		return nil, err
	}
	return t, nil
}

// statistics are those of a query's job.
func (t *translated) statistics(dryRun bool) *bq.JobStatistics {
	qs := &bq.JobStatistics2{
		StatementType: t.Kind, TotalBytesProcessed: t.processed, TotalBytesBilled: t.billed, BillingTier: 1,
		ForceSendFields: []string{"CacheHit", "TotalBytesProcessed", "TotalBytesBilled"},
	}
	if t.Kind == "SELECT" {
		qs.Schema = schemaOf(t.Columns)
	}
	if dryRun {
		qs.TotalBytesProcessedAccuracy = "PRECISE"
		qs.TotalBytesBilled = 0
	}
	for _, tb := range t.Tables {
		qs.ReferencedTables = append(qs.ReferencedTables, &bq.TableReference{ProjectId: tb.Project, DatasetId: tb.Dataset, TableId: tb.Name})
	}
	if t.Target != nil && !slices.Contains(t.Tables, t.Target) {
		qs.ReferencedTables = append(qs.ReferencedTables, &bq.TableReference{ProjectId: t.Target.Project, DatasetId: t.Target.Dataset, TableId: t.Target.Name})
	}
	return &bq.JobStatistics{TotalBytesProcessed: t.processed, Query: qs, ForceSendFields: []string{"TotalBytesProcessed"}}
}

// dryRun answers a job that is only to be checked. It is not remembered.
func (s *Server) dryRun(ctx context.Context, project string, conf *bq.JobConfiguration, q *queryJob) (any, error) {
	t, err := s.prepare(ctx, project, q)
	if err != nil {
		return nil, err
	}
	t.snap.close()
	st := t.statistics(true)
	st.CreationTime = time.Now().UnixMilli()
	return &bq.Job{
		Kind: "bigquery#job", Configuration: conf, Statistics: st, Status: &bq.JobStatus{State: "DONE"},
		JobReference: &bq.JobReference{ProjectId: project, Location: defaultLocation},
	}, nil
}

// runQuery runs a query job.
func (s *Server) runQuery(ctx context.Context, j *job, project string, q *queryJob) error {
	t, err := s.prepare(ctx, project, q)
	if err != nil {
		return err
	}
	defer t.snap.close()
	j.stats = t.statistics(false)
	s.log.Debug("query", "job", j.ref.JobId, "sql", t.SQL)
	if limit := q.conf.MaximumBytesBilled; limit > 0 && t.billed > limit {
		j.stats.Query.TotalBytesBilled = 0
		return billedLimit(limit, t.billed)
	}
	switch {
	case t.Target != nil:
		err = s.change(ctx, j, t)
	case q.conf.DestinationTable != nil:
		err = s.queryInto(ctx, j, project, q, t)
	default:
		j.result, err = s.rows(ctx, s.engine.db, t.SQL, t.Columns)
	}
	return err
}

// querier is a database, connection or transaction.
type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// rows runs a SELECT and encodes its result.
func (s *Server) rows(ctx context.Context, db querier, query string, cols []googlesql.Column) (*result, error) {
	res := &result{schema: schemaOf(cols)}
	err := each(ctx, db, query, func(row []any) error {
		b, err := appendRow(make([]byte, 0, 32*len(cols)), cols, row)
		if err != nil {
			return err
		}
		res.rows = append(res.rows, b)
		if res.bytes += len(b) + 24; res.bytes > maxOneResult {
			return &apiError{status: http.StatusForbidden, reason: "responseTooLarge", message: "Response too large to return. Consider specifying a destination table in your job configuration."}
		}
		return nil
	})
	return res, err
}

// change runs DML: checks and statement in one transaction, one statement per
// table at a time.
func (s *Server) change(ctx context.Context, j *job, t *translated) error {
	tb := t.snap.tables[t.Target]
	tb.dml.Lock()
	defer tb.dml.Unlock()
	tb.write.RLock()
	defer tb.write.RUnlock()
	defer tb.touch()
	if err := t.snap.current(t.Target); err != nil {
		return err
	}
	dml := &bq.DmlStatistics{}
	var total int64
	err := s.engine.transaction(ctx, func(conn *sql.Conn) error {
		for _, c := range t.Checks {
			err := each(ctx, conn, c.SQL, func([]any) error {
				return &apiError{status: http.StatusBadRequest, reason: "invalidQuery", message: c.Message, location: "q"}
			})
			if err != nil {
				return err
			}
		}
		if t.Kind == "MERGE" {
			return each(ctx, conn, t.SQL, func(row []any) error {
				total++
				switch row[0] {
				case "INSERT":
					dml.InsertedRowCount++
				case "UPDATE":
					dml.UpdatedRowCount++
				case "DELETE":
					dml.DeletedRowCount++
				}
				return nil
			})
		}
		res, err := conn.ExecContext(ctx, t.SQL)
		if err != nil {
			return engineError(err)
		}
		total, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return columnError(err, t.Target.Columns)
	}
	switch t.Kind {
	case "INSERT":
		dml.InsertedRowCount = total
	case "UPDATE":
		dml.UpdatedRowCount = total
	case "DELETE", "TRUNCATE_TABLE":
		dml.DeletedRowCount = total
	}
	j.result = &result{dml: dml, affected: total}
	j.stats.Query.NumDmlAffectedRows, j.stats.Query.DmlStats = total, dml
	j.stats.Query.ForceSendFields = append(j.stats.Query.ForceSendFields, "NumDmlAffectedRows")
	return nil
}

// current reports an error if the table's storage was replaced since the
// statement was translated.
func (s *snapshot) current(g *googlesql.Table) error {
	s.c.mu.RLock()
	defer s.c.mu.RUnlock()
	if t := s.tables[g]; t.deleted || t.store == nil || t.store.name != g.Physical {
		return &apiError{status: http.StatusBadRequest, reason: "invalidQuery", location: "q",
			message: "Could not serialize access to table " + g.Project + ":" + g.Dataset + "." + g.Name + " due to concurrent update"}
	}
	return nil
}

// columnError names the column of a NULL that DuckDB refused.
func columnError(err error, cols []googlesql.Column) error {
	var ne *nullError
	if !errors.As(err, &ne) {
		return err
	}
	for _, c := range cols {
		if c.Physical == ne.column {
			return &apiError{status: http.StatusBadRequest, reason: "invalidQuery", location: "q", message: "Required field " + c.Name + " cannot be null"}
		}
	}
	return err
}

// query is jobs.query.
func (s *Server) query(r *http.Request) (any, error) {
	var req bq.QueryRequest
	data, err := readBody(r, &req)
	if err != nil {
		return nil, err
	}
	if err := allowKeys(data, "", append([]string{"maxResults", "timeoutMs", "dryRun", "requestId", "location", "formatOptions", "labels", "jobTimeoutMs", "jobCreationMode"}, queryKeys...)...); err != nil {
		return nil, err
	}
	conf := &bq.JobConfiguration{JobType: "QUERY", Labels: req.Labels, JobTimeoutMs: req.JobTimeoutMs, DryRun: req.DryRun,
		Query: &bq.JobConfigurationQuery{
			Query: req.Query, UseLegacySql: req.UseLegacySql, ParameterMode: req.ParameterMode, QueryParameters: req.QueryParameters,
			DefaultDataset: req.DefaultDataset, UseQueryCache: req.UseQueryCache, MaximumBytesBilled: req.MaximumBytesBilled,
			ConnectionProperties: req.ConnectionProperties,
		}}
	project := r.PathValue("project")
	q, err := parseQueryConfig(nil, conf.Query)
	if err != nil {
		return nil, err
	}
	if q.params, err = parseParams(member(data, "queryParameters")); err != nil {
		return nil, err
	}
	if req.DryRun {
		return s.dryQuery(r.Context(), project, q)
	}
	j := s.repeated(project, req.RequestId)
	if j == nil {
		if j, err = s.start(bq.JobReference{ProjectId: project, Location: req.Location}, req.RequestId, conf, func(ctx context.Context, j *job) error { return s.runQuery(ctx, j, project, q) }); err != nil {
			return nil, err
		}
	}
	timeout := 10 * time.Second
	if req.TimeoutMs > 0 {
		timeout = time.Duration(req.TimeoutMs) * time.Millisecond
	}
	j.await(r.Context(), timeout)
	micros := req.FormatOptions != nil && req.FormatOptions.UseInt64Timestamp
	return s.results(j, pageRequest{max: req.MaxResults, limited: req.MaxResults > 0 || len(member(data, "maxResults")) > 0, micros: micros}, "bigquery#queryResponse")
}

// dryQuery is jobs.query with dryRun.
func (s *Server) dryQuery(ctx context.Context, project string, q *queryJob) (any, error) {
	t, err := s.prepare(ctx, project, q)
	if err != nil {
		return nil, err
	}
	defer t.snap.close()
	out := &bq.QueryResponse{Kind: "bigquery#queryResponse", JobComplete: true, TotalBytesProcessed: t.processed, StatementType: t.Kind,
		JobReference: &bq.JobReference{ProjectId: project, Location: defaultLocation}, ForceSendFields: []string{"TotalBytesProcessed", "CacheHit"}}
	if t.Kind == "SELECT" {
		out.Schema = schemaOf(t.Columns)
	}
	return out, nil
}

// repeated finds the job of a request that is sent again.
func (s *Server) repeated(project, request string) *job {
	if request == "" {
		return nil
	}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	return s.jobs.requests[project+":"+request]
}
