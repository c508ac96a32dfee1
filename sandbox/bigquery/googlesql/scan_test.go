package googlesql

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// scans shows what a query reads: table(columns) of every scan.
func scans(t *testing.T, query string, opts Options) string {
	t.Helper()
	st, err := Translate(query, opts)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var out []string
	for _, s := range st.Scans {
		var cols []string
		for _, c := range s.Used {
			cols = append(cols, c.Name)
		}
		out = append(out, s.Table.Name+"("+strings.Join(cols, ",")+")")
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestColumnsRead: a column is read if the result depends on it, once for
// every scan of its table.
func TestColumnsRead(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT id FROM t":                                                       "t(id)",
		"SELECT id, id + 1 AS j, id * n AS k FROM t":                             "t(id,n)",
		"SELECT * FROM t":                                                        "t(id,s,n,ts,f,num)",
		"SELECT COUNT(*) FROM t":                                                 "t()",
		"SELECT COUNT(*) FROM t WHERE n > 1":                                     "t(n)",
		"SELECT COUNT(id) FROM t":                                                "t(id)",
		"SELECT id FROM (SELECT * FROM t)":                                       "t(id)",
		"SELECT id FROM (SELECT id, s, n + 1 AS m FROM t WHERE f > 0)":           "t(id,f)",
		"SELECT x FROM (SELECT DISTINCT id AS x, s FROM t)":                      "t(id,s)",
		"SELECT c FROM (SELECT s, COUNT(*) AS c, SUM(n) AS m FROM t GROUP BY s)": "t(s)",
		"SELECT id FROM t ORDER BY n":                                            "t(id,n)",
		"SELECT id FROM t WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY s ORDER BY ts) = 1": "t(id,s,ts)",
		"SELECT id FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY ts) AS r FROM t)":                "t(id)",
		"SELECT t.id FROM t JOIN u ON t.id = u.id":                                               "t(id) u(id)",
		"SELECT name FROM t JOIN u USING (id)":                                                   "t(id) u(id,name)",
		"SELECT a FROM (SELECT id AS a, s AS b FROM t UNION ALL SELECT id, name FROM u)":         "t(id) u(id)",
		"SELECT a FROM (SELECT id AS a, s AS b FROM t UNION DISTINCT SELECT id, name FROM u)":    "t(id,s) u(id,name)",
		"WITH w AS (SELECT * FROM t) SELECT id FROM w":                                           "t(id)",
		"WITH w AS (SELECT * FROM t) SELECT 1 AS x":                                              "",
		"WITH w AS (SELECT * FROM t) SELECT a.id, b.n FROM w AS a JOIN w AS b ON a.s = b.s":      "t(id,s) t(s,n)",
		"SELECT id FROM t WHERE EXISTS(SELECT * FROM u WHERE u.id = t.id)":                       "t(id) u(id)",
		"SELECT id FROM t WHERE id IN (SELECT id FROM u WHERE name = 'x')":                       "t(id) u(id,name)",
		"SELECT (SELECT MAX(name) FROM u WHERE u.id = t.n) AS x FROM t":                          "t(n) u(id,name)",
		"SELECT rec.a FROM u":                                  "u(rec)",
		"SELECT x FROM u, UNNEST(arr) AS x":                    "u(arr)",
		"SELECT big FROM d.v":                                  "t(s)",
		"SELECT * EXCEPT (s, f, num, ts) FROM t":               "t(id,n)",
		"SELECT * REPLACE (1 AS s) FROM (SELECT id, s FROM t)": "t(id)",
		"INSERT INTO empty (id) SELECT id FROM t WHERE n = 1":  "t(id,n)",
		"UPDATE empty SET id = 1 WHERE s = 'x'":                "empty(id,s)",
		"DELETE FROM empty WHERE id = 1":                       "empty(id,s)",
		"MERGE empty AS e USING t ON e.id = t.id WHEN NOT MATCHED THEN INSERT (id, s) VALUES (t.id, t.s)": "empty(id) t(id,s)",
		"MERGE empty AS e USING t ON e.id = t.id WHEN MATCHED THEN UPDATE SET s = t.s":                    "empty(id,s) t(id,s)",
		"TRUNCATE TABLE empty": "",
	} {
		if got := scans(t, query, options()); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", query, got, want)
		}
	}
}

// TestPruning: which days of January 2024 (and the partition of NULLs, 0) a
// query reads of t, whose partition column is ts.
func TestPruning(t *testing.T) {
	db := openTest(t)
	opts := options(Param{"from", TTimestamp, Value{Text: "2024-01-03 00:00:00Z"}}, Param{"to", TTimestamp, Value{Text: "2024-01-05 00:00:00Z"}},
		Param{"null", TTimestamp, Value{Null: true}}, Param{"list", ArrayOf(TTimestamp), Value{Elems: []Value{{Text: "2024-01-02 05:00:00Z"}, {Text: "2024-01-04"}}}})
	const all = "0 1 2 3 4 5 6"
	for query, want := range map[string]string{
		"SELECT id FROM t": all,
		"SELECT id FROM t WHERE ts >= @from AND ts < @to":                                        "3 4",
		"SELECT id FROM t WHERE @from <= ts AND @to > ts":                                        "3 4",
		"SELECT id FROM t WHERE ts >= '2024-01-03 12:00:00' AND ts <= '2024-01-05'":              "3 4 5",
		"SELECT id FROM t WHERE ts > '2024-01-05 23:59:59.999999'":                               "6",
		"SELECT id FROM t WHERE ts BETWEEN @from AND TIMESTAMP_SUB(@to, INTERVAL 1 MICROSECOND)": "3 4",
		"SELECT id FROM t WHERE ts NOT BETWEEN @from AND @to":                                    "1 2 5 6",
		"SELECT id FROM t WHERE ts = @from":                                                      "3",
		"SELECT id FROM t WHERE ts != @from":                                                     "1 2 3 4 5 6",
		"SELECT id FROM t WHERE ts IN UNNEST(@list)":                                             "2 4",
		"SELECT id FROM t WHERE ts IN ('2024-01-02', '2024-01-06 10:00:00')":                     "2 6",
		"SELECT id FROM t WHERE NOT (ts < @from)":                                                "3 4 5 6",
		"SELECT id FROM t WHERE ts < @from OR ts >= @to":                                         "1 2 5 6",
		"SELECT id FROM t WHERE ts < @from OR id = 1":                                            all,
		"SELECT id FROM t WHERE ts < @from AND (id = 1 OR ts >= '2024-01-02')":                   "1 2",
		"SELECT id FROM t WHERE ts >= @to AND ts < @from":                                        "",
		"SELECT id FROM t WHERE ts > @null":                                                      "",
		"SELECT id FROM t WHERE ts >= CURRENT_TIMESTAMP()":                                       "",
		"SELECT id FROM t WHERE TIMESTAMP_TRUNC(ts, DAY) = @from":                                all, // not the bare column
		"SELECT id FROM t WHERE ts = TIMESTAMP_MICROS(n)":                                        all, // not a constant
		"SELECT id FROM (SELECT * FROM t) WHERE ts = @from":                                      "3",
		"WITH w AS (SELECT ts, id FROM t) SELECT id FROM w WHERE ts = @from":                     "3",
		"SELECT id FROM d.v WHERE ts = @from":                                                    "3",
		"SELECT id FROM (SELECT id, ts FROM t LIMIT 10) WHERE ts = @from":                        all,
		"SELECT ts FROM (SELECT ts, COUNT(*) FROM t GROUP BY ts) WHERE ts = @from":               "3",
		"SELECT ts FROM (SELECT ts, COUNT(*) FROM t GROUP BY ROLLUP (ts)) WHERE ts = @from":      all,
		"SELECT ts FROM (SELECT ts, ROW_NUMBER() OVER () AS r FROM t) WHERE ts = @from":          all,
		"SELECT ts FROM (SELECT ts FROM t UNION ALL SELECT @from) WHERE ts = @from":              "3",
		"SELECT t.id FROM t JOIN u ON t.id = u.id AND t.ts = @from":                              "3",
		"SELECT u.id FROM u LEFT JOIN t ON t.id = u.id AND t.ts = @from":                         "3",
		"SELECT t.id FROM t LEFT JOIN u ON t.id = u.id AND t.ts = @from":                         all,
		"SELECT u.id FROM u LEFT JOIN t ON t.id = u.id WHERE t.ts = @from":                       "3",
		"SELECT ts FROM t FULL JOIN (SELECT id, 1 AS x FROM u) USING (id) WHERE ts = @from":      "3",
		"UPDATE t SET n = 1 WHERE ts = @from":                                                    "3",
		"DELETE FROM t WHERE ts >= @to":                                                          "5 6",
	} {
		st, err := Translate(query, opts)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var got []string
		for _, s := range st.Scans {
			if s.Table.Name != "t" {
				continue
			}
			values := map[string]int64{}
			for _, c := range s.Constants() {
				var v *int64
				if err := db.QueryRow("SELECT epoch_us(" + c + ")").Scan(&v); err != nil {
					t.Fatalf("%s: constant %s: %v", query, c, err)
				}
				if v != nil {
					values[c] = *v
				}
			}
			constant := func(c string) (int64, bool) { v, ok := values[c]; return v, ok }
			if s.Reads(0, 0, true, constant) {
				got = append(got, "0")
			}
			for d := 1; d <= 6; d++ {
				lo := time.Date(2024, 1, d, 0, 0, 0, 0, time.UTC)
				if s.Reads(lo.UnixMicro(), lo.AddDate(0, 0, 1).UnixMicro(), false, constant) {
					got = append(got, fmt.Sprint(d))
				}
			}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: reads days %q, want %q", query, g, want)
		}
	}
}

func TestRequiredFilter(t *testing.T) {
	tb := *testTables["d.t"]
	tb.RequirePartitionFilter = true
	opts := options()
	opts.Catalog = testCatalog{"d.t": &tb}
	if _, err := Translate("SELECT id FROM t WHERE ts > '2024-01-01'", opts); err != nil {
		t.Error(err)
	}
	if _, err := Translate("SELECT id FROM t", opts); err == nil || !strings.Contains(err.Error(), "without a filter over column(s) 'ts'") {
		t.Errorf("got %v", err)
	}
}
