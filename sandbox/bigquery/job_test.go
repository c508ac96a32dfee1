package bigquery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bq "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
)

// numbers makes d.n with the numbers below n, ten a day, and a word each.
func numbers(t testing.TB, c *bq.Client, n int) {
	t.Helper()
	schema := bq.Schema{{Name: "i", Type: bq.IntegerFieldType, Required: true}, {Name: "ts", Type: bq.TimestampFieldType}, {Name: "word", Type: bq.StringFieldType}}
	ctx := within(t)
	must(t, c.Dataset("d").Create(ctx, nil))
	must(t, c.Dataset("d").Table("n").Create(ctx, &bq.TableMetadata{Schema: schema, TimePartitioning: &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "ts"}}))
	var rows []*bq.ValuesSaver
	for i := range n {
		rows = append(rows, &bq.ValuesSaver{Schema: schema, Row: []bq.Value{i, day.AddDate(0, 0, i/10), fmt.Sprintf("w%03d", i)}})
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
		"positional":  func(q *bq.Query) { q.Q = "SELECT ?"; q.Parameters = []bq.QueryParameter{{Value: 1}} },
		"location EU": func(q *bq.Query) { q.Location = "EU" },
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

func TestDML(t *testing.T) {
	c := start(t)
	numbers(t, c, 5)
	ctx := within(t)
	run := func(sql string, params ...bq.QueryParameter) *bq.QueryStatistics {
		t.Helper()
		q := c.Query(sql)
		q.Parameters = params
		job, err := q.Run(ctx)
		must(t, err)
		st, err := job.Wait(ctx)
		must(t, err)
		if st.Err() != nil {
			t.Fatalf("%s: %v", sql, st.Err())
		}
		return st.Statistics.Details.(*bq.QueryStatistics)
	}
	expect := func(sql, kind string, inserted, updated, deleted int64, want string) {
		t.Helper()
		st := run(sql, bq.QueryParameter{Name: "i", Value: 3})
		if d := st.DMLStats; st.StatementType != kind || d == nil || d.InsertedRowCount != inserted || d.UpdatedRowCount != updated || d.DeletedRowCount != deleted ||
			st.NumDMLAffectedRows != inserted+updated+deleted {
			t.Errorf("%s: %s %+v", sql, st.StatementType, d)
		}
		if got := strings.ReplaceAll(strings.TrimSpace(show(read(t, c.Query("SELECT i, word FROM d.n ORDER BY i, word")))), "\n", " "); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", sql, got, want)
		}
	}
	expect("UPDATE d.n SET word = CONCAT(word, '!') WHERE i >= @i", "UPDATE", 0, 2, 0, "[0 w000] [1 w001] [2 w002] [3 w003!] [4 w004!]")
	expect("DELETE d.n WHERE i < 2", "DELETE", 0, 0, 2, "[2 w002] [3 w003!] [4 w004!]")
	expect("INSERT INTO d.n (i, word) VALUES (7, 'x'), (8, DEFAULT)", "INSERT", 2, 0, 0, "[2 w002] [3 w003!] [4 w004!] [7 x] [8 <nil>]")
	expect("INSERT d.n (word, i) SELECT UPPER(word), i + 10 FROM d.n WHERE i = 2", "INSERT", 1, 0, 0, "[2 w002] [3 w003!] [4 w004!] [7 x] [8 <nil>] [12 W002]")
	expect("UPDATE d.n AS a SET word = s.w FROM (SELECT 7 AS k, 'seven' AS w) AS s WHERE a.i = s.k", "UPDATE", 0, 1, 0, "[2 w002] [3 w003!] [4 w004!] [7 seven] [8 <nil>] [12 W002]")
	expect(`MERGE d.n AS t USING (SELECT 2 AS i, 'new' AS word UNION ALL SELECT 3, 'drop' UNION ALL SELECT 20, 'twenty') AS s ON t.i = s.i
		WHEN MATCHED AND s.word = 'drop' THEN DELETE
		WHEN MATCHED THEN UPDATE SET word = s.word
		WHEN NOT MATCHED THEN INSERT (i, word) VALUES (i, word)`, "MERGE", 1, 1, 1, "[2 new] [4 w004!] [7 seven] [8 <nil>] [12 W002] [20 twenty]")
	expect(`MERGE INTO d.n t USING d.n s ON FALSE WHEN NOT MATCHED AND s.i = 2 THEN INSERT (i) VALUES (s.i + 100)
		WHEN NOT MATCHED BY SOURCE AND t.i < 10 THEN DELETE`, "MERGE", 1, 0, 4, "[12 W002] [20 twenty] [102 <nil>]")
	expect(`MERGE d.n t USING (SELECT 5 AS i, TIMESTAMP '2001-01-08' AS ts, 'row' AS word) s ON t.i = s.i WHEN NOT MATCHED BY TARGET THEN INSERT ROW`, "MERGE", 1, 0, 0, "[5 row] [12 W002] [20 twenty] [102 <nil>]")
	expect("TRUNCATE TABLE d.n", "TRUNCATE_TABLE", 0, 0, 4, "")

	fails := func(sql, text string) {
		t.Helper()
		_, err := tryRead(t, c.Query(sql))
		failsWith(t, err, 400, "invalidQuery", text)
	}
	run("INSERT d.n (i) VALUES (1), (2)")
	fails("MERGE d.n t USING (SELECT 1 AS i UNION ALL SELECT 1) s ON t.i = s.i WHEN MATCHED THEN UPDATE SET word = 'x'", "UPDATE/MERGE must match at most one source row for each target row")
	fails("UPDATE d.n t SET word = 'x' FROM UNNEST([1, 1]) AS s WHERE t.i = s", "UPDATE/MERGE must match at most one source row for each target row")
	fails("INSERT d.n (word) VALUES ('x')", "Required field i cannot be null")
	fails("UPDATE d.n SET i = NULL WHERE i = 1", "Required field i cannot be null")
	if rows := read(t, c.Query("SELECT COUNT(*) AS n, COUNT(word) AS w FROM d.n")); rows[0][0] != int64(2) || rows[0][1] != int64(0) {
		t.Errorf("statements that failed changed %v", rows)
	}
}

// TestConcurrentMerge: a schedule that fires many times at once writes once.
func TestConcurrentMerge(t *testing.T) {
	c := start(t)
	numbers(t, c, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := tryRead(t, c.Query("MERGE d.n t USING (SELECT 99 AS i) s ON t.i = s.i WHEN MATCHED THEN UPDATE SET word = CONCAT(word, 'x') WHEN NOT MATCHED THEN INSERT (i, word) VALUES (s.i, '')"))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if rows := read(t, c.Query("SELECT COUNT(*) AS n, MAX(LENGTH(word)) AS l FROM d.n WHERE i = 99")); rows[0][0] != int64(1) || rows[0][1] != int64(7) {
		t.Error(rows)
	}
}

func TestDestinationTable(t *testing.T) {
	c := start(t)
	numbers(t, c, 10)
	ctx := within(t)
	into := func(sql string, write bq.TableWriteDisposition, change ...func(q *bq.Query)) error {
		q := c.Query(sql)
		q.Dst, q.WriteDisposition = c.Dataset("d").Table("out"), write
		for _, f := range change {
			f(q)
		}
		_, err := tryRead(t, q)
		return err
	}
	rows := func() string {
		return strings.ReplaceAll(show(read(t, c.Query("SELECT * FROM d.out ORDER BY 1"))), "\n", " ")
	}
	err := into("SELECT 1 AS a", bq.WriteEmpty, func(q *bq.Query) { q.CreateDisposition = bq.CreateNever })
	failsWith(t, err, 404, "notFound", "Table kappa-test:d.out")
	must(t, into("SELECT i AS a, ts FROM d.n WHERE i < 2", bq.WriteEmpty, func(q *bq.Query) {
		q.TimePartitioning = &bq.TimePartitioning{Type: bq.DayPartitioningType, Field: "ts"}
	}))
	md, err := c.Dataset("d").Table("out").Metadata(ctx)
	must(t, err)
	if md.TimePartitioning == nil || md.NumRows != 2 {
		t.Errorf("got %+v", md)
	}
	failsWith(t, into("SELECT 5 AS a, ts FROM d.n", bq.WriteEmpty), 409, "duplicate", "Already Exists: Table kappa-test:d.out")
	must(t, into("SELECT ts, 7 AS a FROM d.n WHERE i = 3", bq.WriteAppend)) // by name
	if got, want := rows(), "[0 2001-01-08 00:00:00 +0000 UTC] [1 2001-01-08 00:00:00 +0000 UTC] [7 2001-01-08 00:00:00 +0000 UTC] "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	failsWith(t, into("SELECT 'x' AS a, ts FROM d.n", bq.WriteAppend), 400, "invalid", "Field a has changed type from INT64 to STRING")
	failsWith(t, into("SELECT 1 AS a, 2 AS b", bq.WriteAppend), 400, "invalid", "Cannot add fields (field: b)")
	must(t, into("SELECT 'x' AS z, ts FROM d.n WHERE i = 3", bq.WriteTruncate))
	if got, want := rows(), "[x 2001-01-08 00:00:00 +0000 UTC] "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	failsWith(t, into("SELECT 1 AS z", bq.WriteTruncate), 400, "invalid", "The field specified for partitioning cannot be found in the schema: ts")
}

// TestSnapshotOfReaders: a query sees the table as it was or as it will be,
// never empty, while it is replaced again and again.
func TestSnapshotOfReaders(t *testing.T) {
	c := start(t)
	numbers(t, c, 50)
	replace := func() {
		q := c.Query("SELECT * FROM d.n")
		q.Dst, q.WriteDisposition = c.Dataset("d").Table("copy"), bq.WriteTruncate
		if _, err := tryRead(t, q); err != nil {
			t.Error(err)
		}
	}
	replace()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 15 {
			replace()
		}
	})
	for range 3 {
		wg.Go(func() {
			for range 20 {
				rows, err := tryRead(t, c.Query("SELECT COUNT(*) AS n, SUM(i) AS s FROM d.copy"))
				if err != nil || !cmp.Equal(rows, [][]bq.Value{{int64(50), int64(1225)}}) {
					t.Errorf("got %v, %v", rows, err)
				}
			}
		})
	}
	wg.Wait()
}
