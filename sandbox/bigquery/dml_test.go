package bigquery_test

import (
	"strings"
	"sync"
	"testing"

	bq "cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
)

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
