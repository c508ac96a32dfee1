package googlesql

import (
	"database/sql"

	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testCatalog is a catalog over tables of a DuckDB.
type testCatalog map[string]*Table

func (c testCatalog) Table(project, dataset, name string) (*Table, error) {
	if t, ok := c[dataset+"."+name]; ok {
		return t, nil
	}
	return nil, &Error{Reason: ReasonNotFound, Message: fmt.Sprintf("Not found: Table %s:%s.%s", project, dataset, name)}
}

func tcol(name string, t *Type) Column {
	return Column{Name: name, Physical: "x" + strings.ToLower(name), Type: t}
}

var testTables = testCatalog{
	"d.t": {Project: "p", Dataset: "d", Name: "t", Physical: "t_1", PartitionColumn: "ts", PartitionUnit: "DAY", Columns: []Column{
		tcol("id", TInt64), tcol("s", TString), tcol("n", TInt64), tcol("ts", TTimestamp), tcol("f", TFloat64), tcol("num", TNumeric),
	}},
	"d.u": {Project: "p", Dataset: "d", Name: "u", Physical: "u_1", Columns: []Column{
		tcol("id", TInt64), tcol("name", TString), tcol("arr", ArrayOf(TInt64)),
		tcol("rec", &Type{Kind: Struct, Fields: []Field{{"a", TInt64}, {"b", TString}}}),
	}},
	"d.empty": {Project: "p", Dataset: "d", Name: "empty", Physical: "e_1", Columns: []Column{tcol("id", TInt64), tcol("s", TString)}},
	"d.v":     {Project: "p", Dataset: "d", Name: "v", View: "SELECT id, UPPER(s) AS big, ts FROM `p.d.t`", Columns: nil},
}

func openTest(t testing.TB) *sql.DB {
	t.Helper()
	c, err := duckdb.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	for _, q := range []string{
		"CREATE TABLE t_1 (xid BIGINT, xs VARCHAR, xn BIGINT, xts TIMESTAMP, xf DOUBLE, xnum DECIMAL(38,9))",
		`INSERT INTO t_1 VALUES (1, 'a', 10, '2024-01-01 10:00:00', 1.5, 1.5), (2, 'B', NULL, '2024-01-02 11:30:00.123456', -2.5, 2.25),
			(3, 'a', 30, '2024-01-02 23:59:59', NULL, NULL), (4, NULL, 10, NULL, 0, 0)`,
		"CREATE TABLE u_1 (xid BIGINT, xname VARCHAR, xarr BIGINT[], xrec STRUCT(f0 BIGINT, f1 VARCHAR))",
		`INSERT INTO u_1 VALUES (1, 'one', [1, 2, 3], {'f0': 7, 'f1': 'x'}), (2, 'two', [], NULL), (5, 'five', NULL, {'f0': NULL, 'f1': 'y'})`,
		"CREATE TABLE e_1 (xid BIGINT, xs VARCHAR)",
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return db
}

var testNow = time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)

func options(params ...Param) Options {
	return Options{Catalog: testTables, Project: "p", Dataset: "d", Now: testNow, Params: params}
}

// evaluate translates and runs a query; rows are texts, columns separated by |.
func evaluate(db *sql.DB, query string, opts Options) ([]string, *Statement, error) {
	st, err := Translate(query, opts)
	if err != nil {
		return nil, nil, err
	}
	if w := foreign(st.SQL); w != "" {
		return nil, st, fmt.Errorf("the translation has %s: %s", w, st.SQL)
	}
	rows, err := db.Query(st.SQL)
	if err != nil {
		return nil, st, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		vals := make([]any, len(st.Columns))
		ptrs := make([]any, len(st.Columns))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return nil, st, err
		}
		texts := make([]string, len(vals))
		for i, v := range vals {
			texts[i] = text(v, st.Columns[i].Type)
		}
		out = append(out, strings.Join(texts, "|"))
	}
	return out, st, rows.Err()
}

// text is a value as the tests write it. It fails on a Go type that does not
// belong to the GoogleSQL type.
func text(v any, t *Type) string {
	if v == nil {
		return "NULL"
	}
	switch t.Kind {
	case Int64:
		if n, ok := v.(int64); ok {
			return fmt.Sprint(n)
		}
	case Float64:
		if f, ok := v.(float64); ok {
			return fmt.Sprint(f)
		}
	case Numeric:
		if d, ok := v.(duckdb.Decimal); ok && d.Scale == 9 && d.Width == 38 {
			r := new(big.Rat).SetFrac(d.Value, big.NewInt(1e9))
			return strings.TrimSuffix(strings.TrimRight(r.FloatString(9), "0"), ".")
		}
	case Bool:
		if b, ok := v.(bool); ok {
			return fmt.Sprint(b)
		}
	case String:
		if s, ok := v.(string); ok {
			return s
		}
	case Bytes:
		if b, ok := v.([]byte); ok {
			return fmt.Sprintf("%x", b)
		}
	case Date:
		if d, ok := v.(time.Time); ok {
			return d.Format(time.DateOnly)
		}
	case Datetime, Timestamp:
		if d, ok := v.(time.Time); ok {
			return d.UTC().Format("2006-01-02 15:04:05.999999")
		}
	case Array:
		if list, ok := v.([]any); ok {
			parts := make([]string, len(list))
			for i, e := range list {
				parts[i] = text(e, t.Elem)
			}
			return "[" + strings.Join(parts, ",") + "]"
		}
	case Struct:
		if m, ok := v.(map[string]any); ok {
			parts := make([]string, len(t.Fields))
			for i, f := range t.Fields {
				parts[i] = text(m[fmt.Sprintf("f%d", i)], f.Type)
			}
			return "{" + strings.Join(parts, ",") + "}"
		}
	}
	return fmt.Sprintf("!! %T where %s is expected", v, t)
}

// TestExpressions holds expressions against GoogleSQL's documented results.
func TestExpressions(t *testing.T) {
	db := openTest(t)
	for _, tc := range []struct{ expr, want string }{
		// literals
		{`1`, "1"}, {`-9223372036854775808`, "-9223372036854775808"}, {`0x1F`, "31"}, {`1.5`, "1.5"}, {`1e3`, "1000"}, {`.5`, "0.5"},
		{`'it''s'`, "!syntax"}, {`'it\'s'`, "it's"}, {`"a\nb"`, "a\nb"}, {`r'\d'`, `\d`}, {`'''a'b'''`, "a'b"}, {`'\u00e9\x41\101'`, "éAA"},
		{`b'\x00\xff'`, "00ff"}, {`TRUE`, "true"}, {`NULL`, "NULL"}, {`'%'`, "%"}, {`'a;b--c'`, "a;b--c"},
		{`TIMESTAMP '2024-01-01 00:00:00+02:00'`, "2023-12-31 22:00:00"}, {`TIMESTAMP '2024-01-01T01:02:03.5Z'`, "2024-01-01 01:02:03.5"},
		{`DATE '2024-02-29'`, "2024-02-29"}, {`DATETIME '2024-01-01 10:00:00'`, "2024-01-01 10:00:00"}, {`NUMERIC '1.0000000005'`, "1.000000001"},
		// arithmetic
		{`1 + 2 * 3`, "7"}, {`(1 + 2) * 3`, "9"}, {`1 / 2`, "0.5"}, {`7 / 2`, "3.5"}, {`-3`, "-3"}, {`- -3`, "3"}, {`2 - 3 - 4`, "-5"},
		{`9223372036854775807 + 1`, "!Overflow"}, {`-9223372036854775808 - 1`, "!Overflow"}, {`4611686018427387904 * 2`, "!Overflow"},
		{`2147483647 + 1`, "2147483648"}, {`100000 * 100000`, "10000000000"},
		{`1 / 0`, "!division by zero"}, {`1.5 / 0`, "!division by zero"}, {`DIV(7, 2)`, "3"}, {`DIV(-7, 2)`, "-3"}, {`DIV(1, 0)`, "!division by zero"},
		{`MOD(7, 3)`, "1"}, {`MOD(-7, 3)`, "-1"}, {`MOD(7, 0)`, "!division by zero"}, {`SAFE_DIVIDE(1, 0)`, "NULL"}, {`SAFE_DIVIDE(1, 4)`, "0.25"},
		{`ABS(-5)`, "5"}, {`SIGN(-5)`, "-1"}, {`SIGN(0.5)`, "1"}, {`ROUND(2.5)`, "3"}, {`ROUND(-2.5)`, "-3"}, {`ROUND(1.235, 2)`, "1.24"}, {`TRUNC(-1.7)`, "-1"},
		{`CEIL(1.2)`, "2"}, {`FLOOR(-1.2)`, "-2"}, {`NUMERIC '1.5' + 1`, "2.5"}, {`NUMERIC '1.5' * NUMERIC '1.5'`, "2.25"}, {`NUMERIC '0.000000001' * NUMERIC '0.5'`, "0.000000001"},
		{`NUMERIC '1.5' + 1.5`, "3"}, {`NUMERIC '1' + CAST(0.5 AS FLOAT64)`, "1.5"}, {`ROUND(NUMERIC '2.5')`, "3"},
		{`CAST(16777217 AS NUMERIC) = CAST(16777216 AS NUMERIC)`, "false"},
		{`NUMERIC '99999999999999999999999999999.999999999' + NUMERIC '0.000000001'`, "!DECIMAL"},
		{`~5`, "-6"}, {`6 & 3`, "2"}, {`6 | 3`, "7"}, {`6 ^ 3`, "5"}, {`POW(2, 10)`, "1024"}, {`SQRT(9)`, "3"},
		// comparison and logic
		{`1 = 1.0`, "true"}, {`'a' = 'A'`, "false"}, {`'a' < 'b'`, "true"}, {`'B' < 'a'`, "true"}, {`NULL = NULL`, "NULL"}, {`1 = NULL`, "NULL"},
		{`1 IS DISTINCT FROM NULL`, "true"}, {`NULL IS NOT DISTINCT FROM NULL`, "true"}, {`1 IS NOT DISTINCT FROM 1`, "true"},
		{`NULL AND FALSE`, "false"}, {`NULL OR TRUE`, "true"}, {`NOT NULL`, "NULL"}, {`NULL IS NULL`, "true"}, {`1 IS NOT NULL`, "true"},
		{`(1 > 0) IS TRUE`, "true"}, {`NULL IS FALSE`, "false"}, {`2 BETWEEN 1 AND 3`, "true"}, {`2 NOT BETWEEN 1 AND 3`, "false"},
		{`TRUE OR FALSE AND FALSE`, "true"}, {`NOT FALSE AND FALSE`, "false"}, {`1 + 1 = 2 AND 3 < 4`, "true"},
		{`1 IN (1, 2)`, "true"}, {`3 IN (1, NULL)`, "NULL"}, {`3 NOT IN (1, 2)`, "true"}, {`NULL IN (1)`, "NULL"},
		{`2 IN UNNEST([1, 2])`, "true"}, {`2 IN UNNEST([1, NULL])`, "NULL"}, {`NULL IN UNNEST([1])`, "NULL"}, {`2 IN UNNEST(ARRAY<INT64>[])`, "false"},
		{`'abc' LIKE 'a%'`, "true"}, {`'a%c' LIKE 'a\\%c'`, "true"}, {`'abc' LIKE 'a\\%c'`, "false"}, {`'abc' NOT LIKE '_b_'`, "false"},
		{`(1, 'a') = (1, 'a')`, "true"}, {`(1, NULL) = (1, NULL)`, "NULL"}, {`(1, NULL) = (2, NULL)`, "false"}, {`(1, 2) IN ((1, 2), (3, 4))`, "true"},
		// conditionals
		{`IF(TRUE, 1, 2)`, "1"}, {`IF(NULL, 1, 2)`, "2"}, {`IF(FALSE, 1, NULL)`, "NULL"}, {`IFNULL(NULL, 3)`, "3"}, {`COALESCE(NULL, NULL, 'x')`, "x"},
		{`NULLIF(1, 1)`, "NULL"}, {`NULLIF(1, 2)`, "1"}, {`CASE WHEN FALSE THEN 1 WHEN TRUE THEN 2.5 END`, "2.5"}, {`CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'c' ELSE 'z' END`, "c"},
		{`CASE NULL WHEN NULL THEN 1 ELSE 2 END`, "2"}, {`IF(TRUE, 1, 1/0)`, "1"},
		{`GREATEST(1, NULL)`, "NULL"}, {`GREATEST(1, 3, 2)`, "3"}, {`LEAST(1.5, 1)`, "1"}, {`LEAST('b', 'a')`, "a"},
		// strings
		{`CONCAT('a', NULL)`, "NULL"}, {`CONCAT('a', 'b', 'c')`, "abc"}, {`'a' || 'b'`, "ab"}, {`'a' || NULL`, "NULL"}, {`LOWER('AbÉ')`, "abé"}, {`UPPER('ab')`, "AB"},
		{`TRIM('  a\t\n')`, "a"}, {`TRIM('xxaxx', 'x')`, "a"}, {`LTRIM(' a ')`, "a "}, {`RTRIM(' a ')`, " a"}, {`LENGTH('é')`, "1"}, {`BYTE_LENGTH('é')`, "2"}, {`LENGTH(b'é')`, "2"},
		{`SUBSTR('apple', 2)`, "pple"}, {`SUBSTR('apple', 2, 2)`, "pp"}, {`SUBSTR('apple', -2)`, "le"}, {`SUBSTR('apple', 0, 2)`, "ap"}, {`SUBSTR('apple', -9, 2)`, "ap"},
		{`STARTS_WITH('abc', 'ab')`, "true"}, {`ENDS_WITH('abc', 'bc')`, "true"}, {`STRPOS('abc', 'c')`, "3"}, {`STRPOS('abc', 'z')`, "0"},
		{`REGEXP_CONTAINS('abc1', r'\d$')`, "true"}, {`REGEXP_EXTRACT('a12b', r'\d+')`, "12"}, {`REGEXP_EXTRACT('ab', r'\d+')`, "NULL"}, {`REGEXP_EXTRACT('a12b', r'(\d)2')`, "1"},
		{`REGEXP_REPLACE('aba', 'a', 'x')`, "xbx"}, {`REPLACE('aba', 'a', 'x')`, "xbx"}, {`SPLIT('a,b', ',')`, "[a,b]"}, {`SPLIT('a b', ' ')[OFFSET(1)]`, "b"}, {`SPLIT('a,b')`, "[a,b]"},
		{`REVERSE('abc')`, "cba"}, {`REPEAT('ab', 2)`, "abab"}, {`LEFT('abc', 2)`, "ab"}, {`RIGHT('abc', 2)`, "bc"}, {`LPAD('7', 3, '0')`, "007"}, {`RPAD('7', 3)`, "7  "},
		{`FORMAT('%d-%s %5.2f%%', 7, 'x', 1.239)`, "7-x  1.24%"}, {`FORMAT('%05d', 42)`, "00042"}, {`FORMAT('%t', TIMESTAMP '2024-01-01')`, "2024-01-01 00:00:00+00"},
		{`TO_HEX(b'\x01\xff')`, "01ff"}, {`FROM_HEX('01ff')`, "01ff"}, {`TO_BASE64(b'ab')`, "YWI="}, {`FROM_BASE64('YWI=')`, "6162"}, {`TO_HEX(MD5('a'))`, "0cc175b9c0f1b6a831c399e269772661"},
		{`TO_JSON_STRING(STRUCT(1 AS a, 'x"y' AS b, [1,2] AS c, CAST(NULL AS STRING) AS d))`, `{"a":1,"b":"x\"y","c":[1,2],"d":null}`},
		{`TO_JSON_STRING(9007199254740993)`, `"9007199254740993"`}, {`TO_JSON_STRING(TIMESTAMP '2024-01-01')`, `"2024-01-01T00:00:00Z"`},
		// casts
		{`CAST('12' AS INT64)`, "12"}, {`CAST(' 12 ' AS INT64)`, "12"}, {`CAST('1.5' AS INT64)`, "!Bad int64 value: 1.5"}, {`SAFE_CAST('1.5' AS INT64)`, "NULL"}, {`CAST(1.5 AS INT64)`, "2"},
		{`CAST(2.5 AS INT64)`, "3"}, {`CAST(-2.5 AS INT64)`, "-3"}, {`CAST(NUMERIC '2.5' AS INT64)`, "3"}, {`CAST(1e30 AS INT64)`, "!out of range"}, {`SAFE_CAST(1e30 AS INT64)`, "NULL"},
		{`CAST(1 AS STRING)`, "1"}, {`CAST(1.0 AS STRING)`, "1"}, {`CAST(0.1 AS STRING)`, "0.1"}, {`CAST(NUMERIC '1.50' AS STRING)`, "1.5"}, {`CAST(NUMERIC '100' AS STRING)`, "100"}, {`CAST(TRUE AS STRING)`, "true"},
		{`CAST('TRUE' AS BOOL)`, "true"}, {`CAST('x' AS BOOL)`, "!Bad bool"}, {`CAST(0 AS BOOL)`, "false"}, {`CAST(TRUE AS INT64)`, "1"}, {`CAST('1e3' AS FLOAT64)`, "1000"}, {`CAST('inf' AS FLOAT64)`, "+Inf"},
		{`CAST(TIMESTAMP '2024-01-01 00:00:00.120' AS STRING)`, "2024-01-01 00:00:00.120+00"}, {`CAST(TIMESTAMP '2024-01-01 00:00:00.000001' AS STRING)`, "2024-01-01 00:00:00.000001+00"},
		{`CAST(DATE '2024-01-01' AS TIMESTAMP)`, "2024-01-01 00:00:00"}, {`CAST(TIMESTAMP '2024-01-01 23:00:00' AS DATE)`, "2024-01-01"},
		{`CAST(CONCAT('2024-01-01', ' 00:00:00+02:00') AS TIMESTAMP)`, "2023-12-31 22:00:00"}, {`CAST(CONCAT('2024-01-01', '') AS TIMESTAMP)`, "2024-01-01 00:00:00"},
		{`SAFE_CAST(CONCAT('no', 'time') AS TIMESTAMP)`, "NULL"}, {`CAST('é' AS BYTES)`, "c3a9"}, {`CAST(b'ab' AS STRING)`, "ab"}, {`CAST(NULL AS STRING)`, "NULL"},
		// time
		{`TIMESTAMP_ADD(TIMESTAMP '2024-01-01', INTERVAL 36 HOUR)`, "2024-01-02 12:00:00"}, {`TIMESTAMP_SUB(TIMESTAMP '2024-01-01', INTERVAL 1 DAY)`, "2023-12-31 00:00:00"},
		{`TIMESTAMP '2024-01-01' + INTERVAL 90 MINUTE`, "2024-01-01 01:30:00"}, {`TIMESTAMP '2024-01-01' - INTERVAL 1 DAY`, "2023-12-31 00:00:00"},
		{`TIMESTAMP_DIFF(TIMESTAMP '2024-01-02 00:30:00', TIMESTAMP '2024-01-01 01:00:00', HOUR)`, "23"}, {`TIMESTAMP_DIFF(TIMESTAMP '2024-01-01 01:00:00', TIMESTAMP '2024-01-02 00:30:00', HOUR)`, "-23"},
		{`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-03 12:34:56.789', HOUR)`, "2024-01-03 12:00:00"}, {`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-03 12:34:56.789', MILLISECOND)`, "2024-01-03 12:34:56.789"},
		{`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-03 12:00:00', WEEK)`, "2023-12-31 00:00:00"}, {`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-03 12:00:00', WEEK(MONDAY))`, "2024-01-01 00:00:00"},
		{`TIMESTAMP_TRUNC(TIMESTAMP '2023-12-31 12:00:00', WEEK)`, "2023-12-31 00:00:00"}, {`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-03 12:00:00', WEEK(WEDNESDAY))`, "2024-01-03 00:00:00"},
		{`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-02 12:00:00', WEEK(WEDNESDAY))`, "2023-12-27 00:00:00"}, {`TIMESTAMP_TRUNC(TIMESTAMP '2024-05-03', QUARTER)`, "2024-04-01 00:00:00"}, {`TIMESTAMP_TRUNC(TIMESTAMP '2024-01-03 12:00:00', DAY, 'UTC')`, "2024-01-03 00:00:00"},
		{`TIMESTAMP_SECONDS(1)`, "1970-01-01 00:00:01"}, {`TIMESTAMP_MILLIS(-1)`, "1969-12-31 23:59:59.999"}, {`TIMESTAMP_MICROS(1)`, "1970-01-01 00:00:00.000001"},
		{`UNIX_SECONDS(TIMESTAMP '1969-12-31 23:59:59.5')`, "-1"}, {`UNIX_MILLIS(TIMESTAMP '1970-01-01 00:00:00.0015')`, "1"}, {`UNIX_MICROS(TIMESTAMP '1970-01-01 00:00:01')`, "1000000"},
		{`TIMESTAMP('2024-01-01 00:00:00+01')`, "2023-12-31 23:00:00"}, {`TIMESTAMP(DATE '2024-01-01')`, "2024-01-01 00:00:00"}, {`DATE(TIMESTAMP '2024-01-01 23:59:59')`, "2024-01-01"}, {`DATE(2024, 2, 3)`, "2024-02-03"},
		{`FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%SZ', TIMESTAMP '2024-01-02 03:04:05')`, "2024-01-02T03:04:05Z"}, {`FORMAT_TIMESTAMP('%F %T%Ez', TIMESTAMP '2024-01-02 03:04:05', 'UTC')`, "2024-01-02 03:04:05+00:00"},
		{`FORMAT_TIMESTAMP('%E6S|%E3S', TIMESTAMP '2024-01-02 03:04:05.25')`, "05.250000|05.250"}, {`FORMAT_DATE('%d.%m.%Y', DATE '2024-01-02')`, "02.01.2024"},
		{`PARSE_DATE('%Y%m%d', '20240102')`, "2024-01-02"}, {`PARSE_TIMESTAMP('%Y-%m-%d %H:%M:%S', '2024-01-02 03:04:05')`, "2024-01-02 03:04:05"},
		{`EXTRACT(HOUR FROM TIMESTAMP '2024-01-02 03:04:05')`, "3"}, {`EXTRACT(DAYOFWEEK FROM DATE '2024-01-07')`, "1"}, {`EXTRACT(DATE FROM TIMESTAMP '2024-01-02 03:04:05')`, "2024-01-02"},
		{`EXTRACT(MICROSECOND FROM TIMESTAMP '2024-01-02 03:04:05.123456')`, "123456"}, {`EXTRACT(MILLISECOND FROM TIMESTAMP '2024-01-02 03:04:05.123456')`, "123"}, {`EXTRACT(YEAR FROM DATE '2024-01-07')`, "2024"}, {`EXTRACT(SECOND FROM TIMESTAMP '2024-01-02 03:04:05.9')`, "5"},
		{`CURRENT_TIMESTAMP()`, "2024-05-06 07:08:09.123456"}, {`CURRENT_TIMESTAMP`, "2024-05-06 07:08:09.123456"}, {`CURRENT_DATE()`, "2024-05-06"},
		{`DATE_ADD(DATE '2024-01-31', INTERVAL 1 MONTH)`, "2024-02-29"}, {`DATE_SUB(DATE '2024-01-01', INTERVAL 1 DAY)`, "2023-12-31"}, {`DATE_DIFF(DATE '2024-02-01', DATE '2024-01-31', MONTH)`, "1"}, {`DATE_DIFF(DATE '2024-01-07', DATE '2024-01-06', WEEK)`, "1"}, {`DATE_DIFF(DATE '2024-01-09', DATE '2024-01-01', DAY)`, "8"},
		{`DATE_TRUNC(DATE '2024-05-17', MONTH)`, "2024-05-01"}, {`DATE '2024-01-31' + 1`, "2024-02-01"}, {`LAST_DAY(DATE '2024-02-03')`, "2024-02-29"}, {`UNIX_DATE(DATE '1970-01-02')`, "1"}, {`DATE_FROM_UNIX_DATE(1)`, "1970-01-02"},
		{`TIMESTAMP '2024-01-01' < '2024-01-02'`, "true"}, {`DATETIME_ADD(DATETIME '2024-01-31', INTERVAL 1 MONTH)`, "2024-02-29 00:00:00"},
		// arrays and structs
		{`[1, 2, 3]`, "[1,2,3]"}, {`[1, 2.5]`, "[1,2.5]"}, {`ARRAY<STRING>[]`, "[]"}, {`[1, 2][OFFSET(0)]`, "1"}, {`[1, 2][ORDINAL(2)]`, "2"}, {`[1, 2][SAFE_OFFSET(5)]`, "NULL"}, {`[1, 2][OFFSET(5)]`, "!out of bounds"}, {`[1, 2][1]`, "2"},
		{`ARRAY_LENGTH([1, 2])`, "2"}, {`ARRAY_CONCAT([1], [2, 3])`, "[1,2,3]"}, {`ARRAY_TO_STRING(['a', NULL, 'b'], '-')`, "a-b"}, {`ARRAY_TO_STRING(['a', NULL], '-', '?')`, "a-?"}, {`ARRAY_REVERSE([1, 2])`, "[2,1]"},
		{`GENERATE_ARRAY(1, 5, 2)`, "[1,3,5]"}, {`GENERATE_ARRAY(1, 3)`, "[1,2,3]"}, {`GENERATE_TIMESTAMP_ARRAY('2024-01-01', '2024-01-01 02:00:00', INTERVAL 1 HOUR)`, "[2024-01-01 00:00:00,2024-01-01 01:00:00,2024-01-01 02:00:00]"},
		{`GENERATE_DATE_ARRAY('2024-01-30', '2024-02-01')`, "[2024-01-30,2024-01-31,2024-02-01]"},
		{`STRUCT(1 AS a, 'x' AS b)`, "{1,x}"}, {`STRUCT(1 AS a, 'x' AS b).b`, "x"}, {`STRUCT<INT64, STRING>(1, 'x')`, "{1,x}"}, {`(1, 2)`, "{1,2}"}, {`[STRUCT(1 AS a), STRUCT(2)]`, "[{1},{2}]"},
		{`ARRAY(SELECT x * 2 FROM UNNEST([1, 2]) AS x ORDER BY x DESC)`, "[4,2]"}, {`ARRAY(SELECT 1 FROM UNNEST(ARRAY<INT64>[]))`, "[]"}, {`ARRAY(SELECT AS STRUCT 1 AS a, 'b' AS b)`, "[{1,b}]"},
		{`(SELECT MAX(x) FROM UNNEST([1, 5, 2]) AS x)`, "5"}, {`EXISTS(SELECT 1 FROM UNNEST([1]) AS x WHERE x > 1)`, "false"}, {`3 IN (SELECT x FROM UNNEST([1, 3]) AS x)`, "true"},
		// literal coercion
		{`TIMESTAMP '2024-01-01' IN ('2024-01-01', '2024-01-02')`, "true"}, {`COALESCE(CAST(NULL AS TIMESTAMP), '2024-01-01')`, "2024-01-01 00:00:00"}, {`NUMERIC '1' = 1.0`, "true"},
	} {
		t.Run(tc.expr, func(t *testing.T) {
			rows, _, err := evaluate(db, "SELECT "+tc.expr, options())
			if want, fails := strings.CutPrefix(tc.want, "!"); fails {
				if want == "syntax" {
					want = "Syntax error"
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, %v; want an error with %q", rows, err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != 1 || rows[0] != tc.want {
				t.Fatalf("got %q, want %q", rows, tc.want)
			}
		})
	}
}
