package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

var numbersSchema = bq.Schema{{Name: "i", Type: bq.IntegerFieldType, Required: true}, {Name: "ts", Type: bq.TimestampFieldType}, {Name: "word", Type: bq.StringFieldType}}

// numbers makes d.n with the numbers below n, ten a day, and a word each.
func numbers(t testing.TB, c *bq.Client, n int) {
	t.Helper()
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	must(t, c.Dataset("d").Table("n").Create(ctx, &bq.TableMetadata{Schema: numbersSchema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "ts"}}))
	var rows []*bq.ValuesSaver
	for i := range n {
		rows = append(rows, &bq.ValuesSaver{Schema: numbersSchema, Row: []bq.Value{i, day.AddDate(0, 0, i/10), fmt.Sprintf("w%03d", i)}})
	}
	must(t, c.Dataset("d").Table("n").Inserter().Put(ctx, rows))
}

func TestPaging(t *testing.T) {
	c := start(t)
	numbers(t, c, 95)
	ctx := within(t)
	for _, size := range []int{1, 7, 10, 95, 200} {
		for name, read := range map[string]func() (*bq.RowIterator, error){
			"jobs.query": func() (*bq.RowIterator, error) { return c.Query("SELECT i FROM d.n ORDER BY i").Read(ctx) },
			"jobs.insert": func() (*bq.RowIterator, error) {
				job, err := c.Query("SELECT i FROM d.n ORDER BY i").Run(ctx)
				must(t, err)
				return job.Read(ctx)
			},
			"tabledata.list": func() (*bq.RowIterator, error) { return c.Dataset("d").Table("n").Read(ctx), nil },
		} {
			it, err := read()
			must(t, err)
			it.PageInfo().MaxSize = size
			rows, err := drain(it)
			must(t, err)
			if len(rows) != 95 || rows[0][0] != int64(0) || rows[94][0] != int64(94) || it.TotalRows != 95 {
				t.Errorf("%s in pages of %d: %d rows of %d", name, size, len(rows), it.TotalRows)
			}
		}
	}
	it := c.Dataset("d").Table("n").Read(ctx)
	it.StartIndex = 90
	rows, err := drain(it)
	must(t, err)
	if len(rows) != 5 {
		t.Errorf("%d rows from index 90", len(rows))
	}
}

func statistics(t testing.TB, job *bq.Job) *bq.QueryStatistics {
	t.Helper()
	return job.LastStatus().Statistics.Details.(*bq.QueryStatistics)
}

func TestDryRunAndCost(t *testing.T) {
	c := start(t)
	numbers(t, c, 100)
	for query, want := range map[string]int64{
		"SELECT i FROM d.n":                                                       800,
		"SELECT word FROM d.n":                                                    600,
		"SELECT * FROM d.n":                                                       2200,
		"SELECT COUNT(*) AS n FROM d.n":                                           0,
		"SELECT i FROM (SELECT * FROM d.n)":                                       800,
		"SELECT i, i + 1 AS j FROM d.n WHERE i > 5":                               800,
		"SELECT i FROM d.n WHERE ts >= @from AND ts < @to":                        20 * 16,
		"SELECT i FROM d.n WHERE TIMESTAMP_TRUNC(ts, DAY) >= @from":               1600,
		"SELECT COUNT(*) AS n FROM d.n WHERE ts = @from":                          10 * 8,
		"SELECT a.i FROM d.n AS a JOIN d.n AS b ON a.i = b.i":                     1600,
		"WITH w AS (SELECT i FROM d.n) SELECT i FROM w":                           800,
		"WITH w AS (SELECT i FROM d.n) SELECT i FROM w UNION ALL SELECT i FROM w": 1600,
		"SELECT 1 AS x": 0,
	} {
		q := c.Query(query)
		q.Parameters = []bq.QueryParameter{{Name: "from", Value: day.AddDate(0, 0, 3)}, {Name: "to", Value: day.AddDate(0, 0, 5)}}
		q.DryRun = true
		job, err := q.Run(within(t))
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		st := statistics(t, job)
		if got := st.TotalBytesProcessed; got != want || job.LastStatus().Statistics.TotalBytesProcessed != want {
			t.Errorf("%s: %d bytes, want %d", query, got, want)
		}
		if st.TotalBytesProcessedAccuracy != "PRECISE" || st.StatementType != "SELECT" || len(st.Schema) == 0 || !job.LastStatus().Done() {
			t.Errorf("%s: got %+v", query, st)
		}
	}
	q := c.Query("SELECT nope FROM d.n")
	q.DryRun = true
	_, err := q.Run(within(t))
	failsWith(t, err, 400, "invalidQuery", "Unrecognized name: nope at [1:8]")
}

func TestBytesBilled(t *testing.T) {
	c := start(t)
	numbers(t, c, 100)
	ctx := within(t)
	const mb = 1 << 20
	q := c.Query("SELECT a.i FROM d.n AS a")
	q.MaxBytesBilled = 10*mb - 1
	_, err := q.Read(ctx)
	failsWith(t, err, 400, "bytesBilledLimitExceeded", "Query exceeded limit for bytes billed: 10485759. 10485760 or higher required.")
	job, err := q.Run(ctx)
	must(t, err)
	_, err = job.Wait(ctx)
	failsWith(t, err, 400, "bytesBilledLimitExceeded", "")
	st, err := job.Status(ctx)
	must(t, err)
	var be *bq.Error
	if !errors.As(st.Err(), &be) || be.Reason != "bytesBilledLimitExceeded" {
		t.Fatalf("got %v", st.Err())
	}
	q.MaxBytesBilled = 10 * mb
	q.Labels = map[string]string{"phase": "test"}
	job, err = q.Run(ctx)
	must(t, err)
	st, err = job.Wait(ctx)
	must(t, err)
	must(t, st.Err())
	qs := st.Statistics.Details.(*bq.QueryStatistics)
	if qs.TotalBytesBilled != 10*mb || qs.TotalBytesProcessed != 800 || qs.CacheHit || qs.StatementType != "SELECT" ||
		len(qs.ReferencedTables) != 1 || qs.ReferencedTables[0].TableID != "n" || st.Statistics.EndTime.Before(st.Statistics.StartTime) {
		t.Errorf("got %+v", qs)
	}
	conf, err := job.Config()
	must(t, err)
	if l := conf.(*bq.QueryConfig).Labels; l["phase"] != "test" {
		t.Errorf("labels %v", l)
	}
}

func TestQueryErrors(t *testing.T) {
	c := start(t)
	numbers(t, c, 10)
	ctx := within(t)
	for _, tc := range []struct {
		sql    string
		code   int
		reason string
		text   string
	}{
		{"SELECT * FROM d.missing", 404, "notFound", "Not found: Table kappa-test:d.missing was not found in location US"},
		{"SELECT * FROM nowhere.t", 404, "notFound", "Not found: Dataset kappa-test:nowhere was not found in location US"},
		{"SELECT x FROM d.n", 400, "invalidQuery", "Unrecognized name: x at [1:8]"},
		{"SELEKT", 400, "notImplemented", "statement SELEKT is not supported by the sandbox"},
		{"SELECT FARM_FINGERPRINT(word) FROM d.n", 400, "notImplemented", "function FARM_FINGERPRINT is not supported by the sandbox"},
		{"SELECT 1 / (i - i) AS x FROM d.n", 400, "invalidQuery", "division by zero: 1.0 / 0.0"},
		{"SELECT i + 9223372036854775807 AS x FROM d.n", 400, "invalidQuery", "int64 overflow"},
		{"SELECT SUM(i + 9223372036854775000) AS x FROM d.n", 400, "invalidQuery", "int64 overflow"},
		{"SELECT CAST(word AS INT64) AS x FROM d.n ORDER BY i", 400, "invalidQuery", "Bad int64 value: w00"},
		{"SELECT ARRAY_AGG(NULLIF(i, 3)) AS x FROM d.n", 400, "invalidQuery", "Array cannot have a null element"},
		{"SELECT (SELECT i FROM d.n) AS x", 400, "invalidQuery", "More than one row returned by a subquery"},
	} {
		_, err := tryRead(t, c.Query(tc.sql))
		failsWith(t, err, tc.code, tc.reason, tc.text)
		job, err := c.Query(tc.sql).Run(ctx)
		must(t, err)
		_, err = job.Wait(ctx)
		failsWith(t, err, tc.code, tc.reason, tc.text)
		st, err := job.Status(ctx)
		must(t, err)
		var be *bq.Error
		if !errors.As(st.Err(), &be) || be.Reason != tc.reason || !strings.Contains(be.Message, tc.text) {
			t.Errorf("%s: job error %v", tc.sql, st.Err())
		}
	}
}

func TestQueryOptions(t *testing.T) {
	c := start(t)
	numbers(t, c, 10)
	run := func(change func(q *bq.Query)) error {
		q := c.Query("SELECT COUNT(*) AS n FROM n")
		q.DefaultDatasetID = "d"
		change(q)
		// Not Read, which goes by jobs.query and drops connection properties.
		job, err := q.Run(within(t))
		if err != nil {
			return err
		}
		_, err = job.Wait(within(t))
		return err
	}
	must(t, run(func(q *bq.Query) {}))
	must(t, run(func(q *bq.Query) {
		q.ConnectionProperties = []*bq.ConnectionProperty{{Key: "time_zone", Value: "UTC"}}
		q.DisableQueryCache, q.Priority, q.JobTimeout = true, bq.BatchPriority, time.Minute
	}))
	for text, change := range map[string]func(q *bq.Query){
		"time zone Europe/Berlin": func(q *bq.Query) {
			q.ConnectionProperties = []*bq.ConnectionProperty{{Key: "time_zone", Value: "Europe/Berlin"}}
		},
		"connection property session_id": func(q *bq.Query) { q.ConnectionProperties = []*bq.ConnectionProperty{{Key: "session_id", Value: "x"}} },
		"legacy SQL":                     func(q *bq.Query) { q.UseLegacySQL = true },
		"createSession":                  func(q *bq.Query) { q.CreateSession = true },
		"schemaUpdateOptions": func(q *bq.Query) {
			q.SchemaUpdateOptions = []string{"ALLOW_FIELD_ADDITION"}
			q.Dst = c.Dataset("d").Table("x")
		},
		"tableDefinitions": func(q *bq.Query) {
			q.TableDefinitions = map[string]bq.ExternalData{"x": &bq.ExternalDataConfig{SourceFormat: bq.CSV}}
		},
		"positional": func(q *bq.Query) { q.Q = "SELECT ?"; q.Parameters = []bq.QueryParameter{{Value: 1}} },
	} {
		failsWith(t, run(change), 501, "notImplemented", text)
	}
}

func TestJobs(t *testing.T) {
	c := start(t)
	numbers(t, c, 10)
	ctx := within(t)
	q := c.Query("SELECT COUNT(*) AS n FROM d.n")
	q.JobID = "mine-1"
	job, err := q.Run(ctx)
	must(t, err)
	if _, err := q.Run(ctx); err == nil {
		t.Error("a job id was taken twice")
	} else {
		failsWith(t, err, 409, "duplicate", "Already Exists: Job kappa-test:US.mine-1")
	}
	_, err = job.Wait(ctx)
	must(t, err)
	again, err := c.JobFromID(ctx, "mine-1")
	must(t, err)
	it, err := again.Read(ctx)
	must(t, err)
	rows, err := drain(it)
	must(t, err)
	if rows[0][0] != int64(10) {
		t.Error(rows)
	}
	_, err = c.JobFromID(ctx, "no-such-job")
	failsWith(t, err, 404, "notFound", "Not found: Job kappa-test:no-such-job")
	bad := c.Query("SELECT 1 AS x")
	bad.JobID = "no spaces"
	_, err = bad.Run(ctx)
	failsWith(t, err, 400, "invalid", "Invalid job ID")

	// Any location is taken, and must then be named again.
	far := c.Query("SELECT 1 AS x")
	far.JobID, far.Location = "far", "us-central1"
	job, err = far.Run(ctx)
	must(t, err)
	if job.Location() != "us-central1" {
		t.Errorf("location %q", job.Location())
	}
	_, err = job.Wait(ctx)
	must(t, err)
	_, err = c.JobFromIDLocation(ctx, "far", "EU")
	failsWith(t, err, 404, "notFound", "Not found: Job kappa-test:EU.far")

	var ids []string
	jobs := c.Jobs(ctx)
	for {
		j, err := jobs.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		must(t, err)
		ids = append(ids, j.ID())
	}
	if !slices.Contains(ids, "mine-1") {
		t.Errorf("jobs %v", ids)
	}
}

// slow is a query that runs until it is stopped.
const slow = "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 100000)) AS a CROSS JOIN UNNEST(GENERATE_ARRAY(1, 100000)) AS b WHERE MOD(a * b, 7) = 3"

func TestCancel(t *testing.T) {
	c := start(t)
	ctx := within(t)
	job, err := c.Query(slow).Run(ctx)
	must(t, err)
	st, err := job.Status(ctx)
	must(t, err)
	if st.Done() {
		t.Fatalf("the slow query is done: %v", st.Err())
	}
	must(t, job.Cancel(ctx))
	_, err = job.Wait(ctx)
	var ge *googleapi.Error
	if st, serr := job.Status(ctx); serr != nil || st.Err() == nil || !strings.Contains(st.Err().Error(), "Job execution was cancelled") {
		t.Fatalf("got %v, %v", st, serr)
	}
	if errors.As(err, &ge) && ge.Errors[0].Reason != "stopped" {
		t.Errorf("got %v", ge)
	}
}

func TestJobTimeout(t *testing.T) {
	c := start(t)
	q := c.Query(slow)
	q.JobTimeout = 200 * time.Millisecond
	began := time.Now()
	_, err := tryRead(t, q)
	if err == nil || !strings.Contains(err.Error(), "Job timed out after 1 sec") || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("stopped after %s", d)
	}
}

// TestCloseStopsJobs: a server that is closed leaves nothing running.
func TestCloseStopsJobs(t *testing.T) {
	s := newServer(t)
	c := connect(t, s)
	job, err := c.Query(slow).Run(within(t))
	must(t, err)
	began := time.Now()
	must(t, s.Close())
	must(t, s.Close())
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("closed after %s", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := job.Status(ctx); err == nil {
		t.Error("the server still answers")
	}
}

// TestCostFollowsWrites: what is remembered of a table's size is forgotten with every
// way of changing its rows.
func TestCostFollowsWrites(t *testing.T) {
	c := start(t)
	numbers(t, c, 100)
	ctx := within(t)
	table := c.Dataset("d").Table("n")
	done := func(job *bq.Job, err error) {
		must(t, err)
		st, err := job.Wait(ctx)
		must(t, err)
		must(t, st.Err())
	}
	statement := func(sql string) func() {
		return func() { done(c.Query(sql).Run(ctx)) }
	}
	load := func(write bq.TableWriteDisposition) func() {
		return func() {
			src := bq.NewReaderSource(strings.NewReader("7,2001-01-08 00:00:00,seven\n"))
			l := table.LoaderFrom(src)
			l.WriteDisposition = write
			done(l.Run(ctx))
		}
	}
	for _, step := range []struct {
		name   string
		change func()
		rows   int64
	}{
		{"nothing", func() {}, 100},
		{"insertAll", func() {
			must(t, table.Inserter().Put(ctx, []*bq.ValuesSaver{{Schema: numbersSchema, Row: []bq.Value{1000, day, "w"}}}))
		}, 101},
		{"INSERT", statement("INSERT INTO d.n (i) VALUES (1001)"), 102},
		{"DELETE", statement("DELETE FROM d.n WHERE i >= 50"), 50},
		{"a load that appends", load(bq.WriteAppend), 51},
		{"a load that replaces", load(bq.WriteTruncate), 1},
		{"TRUNCATE TABLE", statement("TRUNCATE TABLE d.n"), 0},
	} {
		step.change()
		for range 2 {
			q := c.Query("SELECT i FROM d.n")
			q.DryRun = true
			job, err := q.Run(ctx)
			must(t, err)
			if got := statistics(t, job).TotalBytesProcessed; got != 8*step.rows {
				t.Errorf("after %s: %d bytes, want those of %d rows", step.name, got, step.rows)
			}
			md, err := table.Metadata(ctx)
			must(t, err)
			if int64(md.NumRows) != step.rows {
				t.Errorf("after %s: %d rows, want %d", step.name, md.NumRows, step.rows)
			}
		}
	}
}
