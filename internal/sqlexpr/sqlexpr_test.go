package sqlexpr

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQuote(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"origin", "`origin`"},
		{" origin\n", "`origin`"},
		{"`group`", "`group`"},
		{"a.b.c", "`a`.`b`.`c`"},
		{"a.`b`.select", "`a`.`b`.`select`"},
		{"1 + .5 - 1e3 * 0xFF / 2.", "1 + .5 - 1e3 * 0xFF / 2."},
		{"a||'x'", "`a`||'x'"},
		{"a - -1", "`a` - -1"},
		{"~a & b | c ^ d << 2 >> 1", "~`a` & `b` | `c` ^ `d` << 2 >> 1"},
		{"UPPER(TRIM(origin))", "UPPER(TRIM(`origin`))"},
		{"safe_cast(n as numeric)", "safe_cast(`n` as numeric)"},
		{"SAFE.PARSE_DATE('%F', d)", "SAFE.PARSE_DATE('%F', `d`)"},
		{"IF(a IS NULL, 0, a)", "IF(`a` IS NULL, 0, `a`)"},
		{"CASE WHEN a > 1 THEN 'x' WHEN b THEN NULL ELSE c END", "CASE WHEN `a` > 1 THEN 'x' WHEN `b` THEN NULL ELSE `c` END"},
		{"CASE a WHEN 1 THEN TRUE END", "CASE `a` WHEN 1 THEN TRUE END"},
		{"a IN (1, 2) AND NOT b NOT IN ('x') OR c NOT BETWEEN 1 AND 2", "`a` IN (1, 2) AND NOT `b` NOT IN ('x') OR `c` NOT BETWEEN 1 AND 2"},
		{"a LIKE 'x%' AND b IS NOT DISTINCT FROM c AND d IS NOT TRUE", "`a` LIKE 'x%' AND `b` IS NOT DISTINCT FROM `c` AND `d` IS NOT TRUE"},
		{"TIMESTAMP_TRUNC(ts, DAY, 'Europe/Berlin')", "TIMESTAMP_TRUNC(`ts`, DAY, 'Europe/Berlin')"},
		{"DATE_TRUNC(d, WEEK(MONDAY))", "DATE_TRUNC(`d`, WEEK(MONDAY))"},
		{"TIMESTAMP_DIFF(a, b, MILLISECOND)", "TIMESTAMP_DIFF(`a`, `b`, MILLISECOND)"},
		{"TIMESTAMP_ADD(ts, INTERVAL 5 * n MINUTE)", "TIMESTAMP_ADD(`ts`, INTERVAL 5 * `n` MINUTE)"},
		{"EXTRACT(DAYOFWEEK FROM ts AT TIME ZONE 'UTC')", "EXTRACT(DAYOFWEEK FROM `ts` AT TIME ZONE 'UTC')"},
		{"NORMALIZE(name, NFC)", "NORMALIZE(`name`, NFC)"},
		{"TIMESTAMP '2001-01-01' <= ts", "TIMESTAMP '2001-01-01' <= `ts`"},
		{"SPLIT(k, '-')[SAFE_OFFSET(0)]", "SPLIT(`k`, '-')[SAFE_OFFSET(0)]"},
		{`'it\'s' || r'\d+' || b"x"`, `'it\'s' || r'\d+' || b"x"`},
		{`'; -- /* ` + "`" + `'`, `'; -- /* ` + "`" + `'`},
		{"day", "`day`"}, // a part of a date is a name elsewhere
		{"date + date '2001-01-01'", "`date` + date '2001-01-01'"},
		{"r + b", "`r` + `b`"}, // no prefixes of strings
	} {
		got, err := Quote(c.expr)
		if err != nil || got != c.want {
			t.Errorf("Quote(%s) = %s, %v, want %s", c.expr, got, err, c.want)
		}
		again, err := Quote(got)
		if err != nil || again != got {
			t.Errorf("Quote(%s) = %s, %v, want it unchanged", got, again, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, c := range []struct {
		expr   string
		offset int
		want   string // part of the message or hint
	}{
		{"", 0, "empty"},
		{"  ", 2, "has no place"},
		{"a b", 2, "`b` has no place"},
		{"a, b", 1, "`,` has no place"},
		{"a)", 1, "has no place"},
		{"a) OR (1=1", 1, "has no place"},
		{"(a", 2, ") is missing before the end"},
		{"a; b", 1, "semicolon"},
		{"a -- b", 2, "comment"},
		{"a--1", 1, "two minus signs"},
		{"a /* b */", 2, "comment"},
		{"a # b", 2, "comment"},
		{"@from", 0, "no parameters"},
		{"@@x", 0, "no parameters"},
		{"?", 0, "'?'"},
		{"a = b = c", 6, "has no place"},
		{"(SELECT 1)", 1, "sub-query"},
		{"a IN UNNEST(b)", 5, "( is missing"},
		{"EXISTS(SELECT 1)", 0, "sub-query"},
		{"a IN (SELECT 1)", 6, "sub-query"},
		{"group", 0, "backticks"},
		{"rand()", 0, "every look"},
		{"CURRENT_DATE", 0, "every look"},
		{"CURRENT_TIMESTAMP()", 0, "every look"},
		{"GENERATE_UUID()", 0, "every look"},
		{"SESSION_USER()", 0, "every look"},
		{"SUM(a)", 0, "more than one row"},
		{"UPER(a)", 0, "did you mean UPPER?"},
		{"d.f(a)", 3, "has no place"},
		{"SAFE.x", 5, "has no place"},
		{"NOSUCHTHING(a)", 0, "may be called"},
		{"CAST(a AS JSON)", 10, "not a type"},
		{"CAST(a STRING)", 7, "AS is missing"},
		{"TIMESTAMP_TRUNC(a, DAZ)", 19, "did you mean DAY?"},
		{"NORMALIZE(a, x)", 13, "normal form"},
		{"a NOT b", 6, "has no place"},
		{"a IS 5", 5, "not NULL, TRUE or FALSE"},
		{"CASE END", 5, "reserved word"},
		{"'a", 0, "does not end"},
		{`'a\'`, 0, "does not end"},
		{"'a'  'b'", 5, "side by side"},
		{"'a''b'", 3, "side by side"},
		{"'''a'''", 0, "three quotes"},
		{"r\"\"\"a\"\"\"", 0, "three quotes"},
		{"'a\nb'", 2, "control character"},
		{"'a\\\nb'", 2, "no escape"},
		{`'\q'`, 1, "no escape"},
		{"`a b`", 0, "quoted safely"},
		{"`a", 0, "quoted safely"},
		{"``", 0, "quoted safely"},
		{"`a\\``", 0, "quoted safely"},
		{"`a.b`", 0, "a point outside of backticks"},
		{"`1a`", 0, "quoted safely"},
		{"1a", 0, "not a number"},
		{"1.2.3", 0, "not a number"},
		{"1e", 0, "not a number"},
		{"0x + 1", 0, "not a number"},
		{"a.5", 2, "has no place"},
		{"naïve", 2, "'ï' has no place"},
		{"a\x00", 1, "has no place"},
		{"a\u00a0+ b", 1, "has no place"},
		{"\xff", 0, "UTF-8"},
		{"a {b}", 2, "'{' has no place"},
		{"a => b", 3, "has no place"},
		{strings.Repeat("(", 101) + "a" + strings.Repeat(")", 101), 100, "nested"},
		{strings.Repeat("a", 100_001), 0, "longer"},
	} {
		err := Check(c.expr)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Check(%q) = %v, want an *Error", c.expr, err)
			continue
		}
		if e.Offset != c.offset || !strings.Contains(e.Error(), c.want) {
			t.Errorf("Check(%.20q) = %d %q, want %d and %q", c.expr, e.Offset, e, c.offset, c.want)
		}
		if _, err := Quote(c.expr); err == nil {
			t.Errorf("Quote(%q) takes it", c.expr)
		}
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		expr string
		want []string
	}{
		{"a", []string{"a"}},
		{"`a` + a.b + UPPER(c)", []string{"a", "c"}},
		{"TIMESTAMP_TRUNC(ts, DAY)", []string{"ts"}},
		{"1", nil},
		{"a b", nil},
	} {
		if d := cmp.Diff(c.want, Columns(c.expr)); d != "" {
			t.Errorf("Columns(%s): %s", c.expr, d)
		}
	}
	for expr, want := range map[string]string{"a": "a", " `a` ": "a", "a.b": "", "1": "", "UPPER(a)": "", "(a)": "", "a b": ""} {
		if got, ok := Column(expr); got != want || ok != (want != "") {
			t.Errorf("Column(%s) = %q, %v, want %q", expr, got, ok, want)
		}
	}
}

func TestCheckQuery(t *testing.T) {
	for _, sql := range []string{
		"SELECT origin, window_start, SUM(n) AS n FROM `p.d.t` WHERE ts >= @from AND ts < @to GROUP BY 1, 2",
		"WITH a AS (SELECT * FROM d.t) SELECT x, [1, 2][OFFSET(0)] FROM a",
		"SELECT t.update, `delete` FROM `my-project.d.t` AS t",
		"SELECT k, (SELECT n FROM d.u ORDER BY at DESC, id LIMIT 1) AS n, ARRAY_AGG(x ORDER BY at LIMIT 1)[OFFSET(0)] AS x, t.limit, `limit` FROM d.t AS t ORDER BY k",
	} {
		if err := CheckQuery(sql); err != nil {
			t.Errorf("CheckQuery(%s) = %v", sql, err)
		}
	}
	for _, c := range []struct {
		sql    string
		offset int
		want   string
	}{
		{"", 0, "not a query"},
		{"DELETE FROM t WHERE TRUE", 0, "not a query"},
		{"FROM t", 0, "not a query"},
		{"SELECT 1; SELECT 2", 8, "semicolon"},
		{"SELECT 1 -- x", 9, "comment"},
		{"SELECT (1", 7, "not closed"},
		{"SELECT 1)", 8, "closes nothing"},
		{"SELECT [1)", 9, "closes nothing"},
		{"SELECT @now", 7, "no parameter @now"},
		{"SELECT 'a", 7, "does not end"},
		{"SELECT CURRENT_DATE()", 7, "every look"},
		{"SELECT f.RAND()", 9, "every look"},
		{"SELECT * FROM t TABLESAMPLE SYSTEM (1 PERCENT)", 16, "other rows"},
		{"SELECT * FROM EXTERNAL_QUERY('c', 'q')", 14, "another database"},
		{"SELECT 1 |> WHERE TRUE", 10, "pipe syntax"},
		{"SELECT * FROM t LIMIT 10", 16, "rows of the side"},
		{"SELECT * FROM t ORDER BY a LIMIT 10", 27, "rows of the side"},
		{"WITH a AS (SELECT * FROM t LIMIT 10) SELECT * FROM a ORDER BY x", 27, "without ORDER BY"},
		{"SELECT * FROM (SELECT * FROM t WHERE x IN (SELECT y FROM u ORDER BY y) LIMIT 10)", 71, "without ORDER BY"},
		{"SELECT ARRAY_AGG(x LIMIT 1)[OFFSET(0)] FROM t", 19, "without ORDER BY"},
		{"WITH a AS (SELECT 1) DELETE FROM a", 21, "only reads"},
		{"WITH a AS (SELECT 1) FROM a", 0, "SELECT is missing"},
	} {
		err := CheckQuery(c.sql)
		var e *Error
		if !errors.As(err, &e) || e.Offset != c.offset || !strings.Contains(e.Error(), c.want) {
			t.Errorf("CheckQuery(%q) = %+v, want %d and %q", c.sql, err, c.offset, c.want)
		}
	}
}
