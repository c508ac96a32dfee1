package googlesql

import (
	"errors"
	"strings"
	"testing"
)

// TestRefusals: what the package does not know, it refuses by name; what
// GoogleSQL refuses, it refuses in GoogleSQL's words, with the position.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct{ query, reason, want string }{
		// not known here
		{"SELECT FARM_FINGERPRINT('a')", ReasonUnsupported, "function FARM_FINGERPRINT is not supported by the sandbox at [1:8]"},
		{"SELECT read_csv('/etc/passwd')", ReasonUnsupported, "function READ_CSV is not supported"},
		{"SELECT SAFE.SUBSTR('a', 1)", ReasonUnsupported, "function SAFE.SUBSTR"},
		{"SELECT NET.HOST('a')", ReasonUnsupported, "function NET.HOST"},
		{"SELECT d.f(1)", ReasonUnsupported, "function D.F"},
		{"SELECT ST_GEOGPOINT(1, 2)", ReasonUnsupported, "function ST_GEOGPOINT"},
		{"SELECT PI() OVER ()", ReasonUnsupported, "analytic function PI"},
		{"SELECT * FROM read_csv('/etc/passwd')", ReasonUnsupported, "table function read_csv"},
		{"SELECT * FROM t, ML.PREDICT(1)", ReasonUnsupported, "table function PREDICT"},
		{"CREATE TABLE d.x (a INT64)", ReasonUnsupported, "statement CREATE"},
		{"COPY t TO 'x'", ReasonUnsupported, "statement COPY"},
		{"ATTACH 'x.db'", ReasonUnsupported, "statement ATTACH"},
		{"PRAGMA database_list", ReasonUnsupported, "statement PRAGMA"},
		{"INSTALL httpfs", ReasonUnsupported, "statement INSTALL"},
		{"SET threads = 1", ReasonUnsupported, "statement SET"},
		{"DECLARE x INT64", ReasonUnsupported, "statement DECLARE"},
		{"BEGIN TRANSACTION", ReasonUnsupported, "statement BEGIN"},
		{"SELECT 1; SELECT 2", ReasonUnsupported, "a script of several statements"},
		{"WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", ReasonUnsupported, "WITH RECURSIVE"},
		{"SELECT * FROM t TABLESAMPLE SYSTEM (10 PERCENT)", ReasonUnsupported, "TABLESAMPLE"},
		{"SELECT * FROM t PIVOT (SUM(n) FOR s IN ('a'))", ReasonUnsupported, "PIVOT"},
		{"SELECT * FROM t FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()", ReasonUnsupported, "FOR SYSTEM_TIME AS OF"},
		{"SELECT * FROM d.INFORMATION_SCHEMA.TABLES", ReasonUnsupported, "INFORMATION_SCHEMA"},
		{"SELECT * FROM `d.t_*`", ReasonUnsupported, "a wildcard"},
		{"SELECT * FROM u, u.arr", ReasonUnsupported, "an array in FROM without UNNEST"},
		{"SELECT NUMERIC '1' / 2", ReasonUnsupported, "division of NUMERIC"},
		{"SELECT SAFE_DIVIDE(NUMERIC '1', 2)", ReasonUnsupported, "division of NUMERIC"},
		{"SELECT AVG(num) FROM t", ReasonUnsupported, "function AVG of NUMERIC"},
		{"SELECT BIGNUMERIC '1'", ReasonUnsupported, "type BIGNUMERIC"},
		{"SELECT CAST(1 AS BIGNUMERIC)", ReasonUnsupported, "type BIGNUMERIC"},
		{"SELECT CAST('a' AS JSON)", ReasonUnsupported, "type JSON"},
		{"SELECT CAST('a' AS STRING(10))", ReasonUnsupported, "a parameterized type STRING"},
		{"SELECT TIMESTAMP_TRUNC(ts, DAY, 'Europe/Berlin') FROM t", ReasonUnsupported, "a time zone other than UTC"},
		{"SELECT EXTRACT(DAY FROM ts AT TIME ZONE 'Asia/Tokyo') FROM t", ReasonUnsupported, "a time zone other than UTC"},
		{"SELECT FORMAT_TIMESTAMP('%Q', ts) FROM t", ReasonUnsupported, "format element %Q"},
		{"SELECT ?", ReasonUnsupported, "a positional parameter"},
		{"SELECT @@time_zone", ReasonUnsupported, "a system variable"},
		{"SELECT 'a' LIKE ANY ('a')", ReasonUnsupported, "LIKE ANY"},
		{"SELECT AS VALUE 1", ReasonUnsupported, "SELECT AS VALUE"},
		{"SELECT s, COUNT(*) FROM t GROUP BY ALL", ReasonUnsupported, "GROUP BY ALL"},
		{"SELECT 1 << 2", ReasonUnsupported, "operator <<"},
		{"SELECT INTERVAL 1 DAY", ReasonUnsupported, "a result of type INTERVAL"},
		// wrong in GoogleSQL too
		{"SELECT nope FROM t", ReasonInvalid, "Unrecognized name: nope at [1:8]"},
		{"SELECT idd FROM t", ReasonInvalid, "Unrecognized name: idd; Did you mean id? at [1:8]"},
		{"SELECT\n  t.nope FROM t", ReasonInvalid, "Name nope not found inside t at [2:5]"},
		{"SELECT id FROM t AS a, t AS b", ReasonInvalid, "Column name id is ambiguous at [1:8]"},
		{"SELECT 1 FROM t, t", ReasonInvalid, "Duplicate table alias t"},
		{"SELECT id, id FROM t", ReasonInvalid, "Duplicate column names in the result"},
		{"SELECT * FROM d.missing", ReasonNotFound, "Not found: Table p:d.missing"},
		{"SELECT s, n FROM t GROUP BY s", ReasonInvalid, "SELECT list expression references column n which is neither grouped nor aggregated at [1:11]"},
		{"SELECT id, COUNT(*) FROM t", ReasonInvalid, "references column id which is neither grouped nor aggregated"},
		{"SELECT s FROM t GROUP BY s ORDER BY n", ReasonInvalid, "ORDER BY clause expression references column n which is neither grouped nor aggregated"},
		{"SELECT s FROM t GROUP BY s HAVING n > 1", ReasonInvalid, "HAVING clause expression references column n"},
		{"SELECT (SELECT MAX(u.id) FROM u WHERE u.id = t.id) FROM t GROUP BY s", ReasonInvalid, "references column t.id which is neither grouped nor aggregated"},
		{"SELECT id AS x FROM t WHERE x = 1", ReasonInvalid, "Unrecognized name: x"},
		{"SELECT id FROM t WHERE SUM(n) > 1", ReasonInvalid, "Aggregate function SUM not allowed in WHERE clause"},
		{"SELECT SUM(COUNT(*)) FROM t", ReasonInvalid, "Aggregations of aggregations are not allowed"},
		{"SELECT id FROM t WHERE ROW_NUMBER() OVER () = 1", ReasonInvalid, "Analytic function not allowed in WHERE clause"},
		{"SELECT ROW_NUMBER() FROM t", ReasonInvalid, "cannot be called without an OVER clause"},
		{"SELECT id FROM t QUALIFY id = 1", ReasonInvalid, "QUALIFY clause requires analytic function"},
		{"SELECT id FROM t HAVING id = 1", ReasonInvalid, "HAVING clause requires GROUP BY"},
		{"SELECT 'a' = 1", ReasonInvalid, "No matching signature for operator = for argument types: STRING, INT64 at [1:12]"},
		{"SELECT s + 1 FROM t", ReasonInvalid, "No matching signature for operator + for argument types: STRING, INT64"},
		{"SELECT ts = 'noon' FROM t", ReasonInvalid, "No matching signature for operator = for argument types: TIMESTAMP, STRING"},
		{"SELECT ts = DATE '2024-01-01' FROM t", ReasonInvalid, "argument types: TIMESTAMP, DATE"},
		{"SELECT id FROM t WHERE n", ReasonInvalid, "WHERE clause should return type BOOL, but returns INT64"},
		{"SELECT IF(1, 2, 3)", ReasonInvalid, "No matching signature for function IF"},
		{"SELECT CONCAT('a', 1)", ReasonInvalid, "No matching signature for function CONCAT for argument types: STRING, INT64"},
		{"SELECT CAST(DATE '2024-01-01' AS INT64)", ReasonInvalid, "Invalid cast from DATE to INT64"},
		{"SELECT COUNTIF(1) FROM t", ReasonInvalid, "No matching signature for function COUNTIF"},
		{"SELECT SUM(s) FROM t", ReasonInvalid, "No matching signature for function SUM"},
		{"SELECT 1 UNION ALL SELECT 1, 2", ReasonInvalid, "mismatched column count"},
		{"SELECT 1 UNION ALL SELECT 'a'", ReasonInvalid, "Column 1 in UNION ALL has incompatible types: INT64, STRING"},
		{"SELECT 1 UNION SELECT 2", ReasonInvalid, "Expected keyword ALL or keyword DISTINCT"},
		{"SELECT 1 UNION ALL SELECT 2 UNION DISTINCT SELECT 3", ReasonInvalid, "Different set operations"},
		{"SELECT DISTINCT s FROM t ORDER BY n", ReasonInvalid, "not visible after SELECT DISTINCT"},
		{"SELECT id FROM t ORDER BY 5", ReasonInvalid, "ORDER BY is out of SELECT column number range: 5"},
		{"SELECT arr FROM u ORDER BY arr", ReasonInvalid, "ORDER BY does not support expressions of type ARRAY<INT64>"},
		{"SELECT 1 FROM u GROUP BY rec", ReasonInvalid, "Grouping by expressions of type STRUCT"},
		{"SELECT RANK() OVER () FROM t", ReasonInvalid, "Window ORDER BY is required for analytic function RANK"},
		{"SELECT * EXCEPT (nope) FROM t", ReasonInvalid, "Column nope in SELECT * EXCEPT list does not exist"},
		{"SELECT TIMESTAMP '2024-13-01'", ReasonInvalid, "Invalid TIMESTAMP literal"},
		{"SELECT TIMESTAMP_ADD(ts, INTERVAL 1 MONTH) FROM t", ReasonInvalid, "TIMESTAMP_ADD does not support the MONTH date part"},
		{"SELECT 99999999999999999999", ReasonInvalid, "Invalid integer literal"},
		{"SELECT (SELECT 1, 2)", ReasonInvalid, "Scalar subquery cannot have more than one column"},
		{"SELECT [[1]]", ReasonInvalid, "nested arrays are not supported"},
		{"SELECT 1 FROM t WHERE", ReasonInvalid, "Syntax error: Unexpected end of input at [1:22]"},
		{"SELECT 1 2", ReasonInvalid, "Syntax error: Expected end of input but got integer literal \"2\" at [1:10]"},
		{"SELECT FROM t", ReasonInvalid, "Syntax error: Unexpected keyword FROM at [1:8]"},
		{"SELEC 1", ReasonUnsupported, "statement SELEC"},
		{"", ReasonInvalid, "Syntax error: Unexpected end of script"},
		{"SELECT 'abc", ReasonInvalid, "Unclosed string literal at [1:8]"},
		{"SELECT `abc", ReasonInvalid, "Unclosed identifier literal"},
		{"SELECT /* abc", ReasonInvalid, "Unclosed comment"},
		{"SELECT $1", ReasonInvalid, "Illegal input character"},
		{"SELECT 'a\x00b'", ReasonInvalid, "not valid UTF-8 without zero bytes"},
		{"SELECT '\\x00'", ReasonUnsupported, "a string literal with a zero byte"},
		{"UPDATE t SET id = 1", ReasonInvalid, "UPDATE must have a WHERE clause"},
		{"DELETE FROM t", ReasonInvalid, "DELETE must have a WHERE clause"},
		{"INSERT INTO t (id) VALUES ('a')", ReasonInvalid, "Value of type STRING cannot be assigned to id, which has type INT64"},
		{"INSERT INTO t (id, id) VALUES (1, 2)", ReasonInvalid, "duplicate name: id"},
		{"INSERT INTO t (id) SELECT 1, 2", ReasonInvalid, "wrong column count"},
		{"INSERT INTO d.v VALUES (1)", ReasonInvalid, "Cannot modify view"},
		{"UPDATE t SET nope = 1 WHERE TRUE", ReasonInvalid, "Column nope is not present"},
		{"MERGE t USING u ON t.id = u.id", ReasonInvalid, "Expected keyword WHEN"},
		{strings.Repeat("(", 500) + "SELECT 1" + strings.Repeat(")", 500), ReasonInvalid, "nested too deeply"},
		{"SELECT " + strings.Repeat("-(", 500) + "1" + strings.Repeat(")", 500), ReasonInvalid, "nested too deeply"},
	} {
		name := tc.query
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(name, func(t *testing.T) {
			st, err := Translate(tc.query, options())
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, %v; want %q", st, err, tc.want)
			}
			if e.Reason != tc.reason || !strings.Contains(e.Error(), tc.want) {
				t.Fatalf("got %s: %s\nwant %s: %s", e.Reason, e, tc.reason, tc.want)
			}
		})
	}
}

// TestWithExplosion: clauses that refer to one another twice each must not
// take exponential time.
func TestWithExplosion(t *testing.T) {
	q := "WITH a0 AS (SELECT 1 AS x)"
	for i := 1; i < 40; i++ {
		n, m := string(rune('a'+i/26))+string(rune('a'+i%26)), "a0"
		if i > 1 {
			m = string(rune('a'+(i-1)/26)) + string(rune('a'+(i-1)%26))
		}
		q += ", x" + n + " AS (SELECT l.x FROM " + map[bool]string{true: "a0", false: "x" + m}[i == 1] + " AS l CROSS JOIN " +
			map[bool]string{true: "a0", false: "x" + m}[i == 1] + " AS r)"
	}
	_, err := Translate(q+" SELECT * FROM xbn", options())
	if err == nil || !strings.Contains(err.Error(), "too complex") {
		t.Fatalf("got %v", err)
	}
}
