package googlesql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestQueries holds whole queries against the result that GoogleSQL gives.
// Rows are separated by " / ".
func TestQueries(t *testing.T) {
	db := openTest(t)
	for _, tc := range []struct{ name, query, want string }{
		{"all columns", "SELECT * FROM d.t WHERE id = 1", "1|a|10|2024-01-01 10:00:00|1.5|1.5"},
		{"default dataset", "SELECT id FROM t WHERE id = 2", "2"},
		{"quoted path", "SELECT id FROM `p.d.t` WHERE id = 2", "2"},
		{"quoted parts", "SELECT id FROM `p`.`d`.`t` AS x WHERE x.id = 2", "2"},
		{"project with a dash", "SELECT id FROM my-project.d.t WHERE id = 2", "2"},
		{"names are not case-sensitive", "SELECT ID, T.S FROM t WHERE T.Id = 1", "1|a"},
		{"nulls first ascending", "SELECT n FROM t ORDER BY n", "NULL / 10 / 10 / 30"},
		{"nulls last descending", "SELECT n FROM t ORDER BY n DESC", "30 / 10 / 10 / NULL"},
		{"nulls placed", "SELECT n FROM t ORDER BY n NULLS LAST, id LIMIT 1", "10"},
		{"binary order of strings", "SELECT s FROM t WHERE s IS NOT NULL ORDER BY s, id", "B / a / a"},
		{"order by ordinal", "SELECT id, s FROM t ORDER BY 2 DESC, 1 DESC LIMIT 2", "3|a / 1|a"},
		{"order by what is not selected", "SELECT s FROM t ORDER BY id DESC LIMIT 2", "NULL / a"},
		{"order by alias hides column", "SELECT -id AS n FROM t ORDER BY n LIMIT 1", "-4"},
		{"limit and offset", "SELECT id FROM t ORDER BY id LIMIT 2 OFFSET 1", "2 / 3"},
		{"constant order", "SELECT 1 AS x FROM t ORDER BY 'a', x LIMIT 1", "1"},
		{"distinct", "SELECT DISTINCT s FROM t ORDER BY s", "NULL / B / a"},
		{"where keeps only true", "SELECT id FROM t WHERE n > 5 ORDER BY id", "1 / 3 / 4"},
		{"star except", "SELECT * EXCEPT (ts, f, num, n) FROM t WHERE id = 1", "1|a"},
		{"star replace", "SELECT * EXCEPT (ts, f, num) REPLACE (id * 10 AS id) FROM t WHERE id = 1", "10|a|10"},
		{"alias star", "SELECT x.* EXCEPT (ts, f, num) FROM t AS x WHERE id = 1", "1|a|10"},
		{"group by", "SELECT s, COUNT(*), SUM(n) FROM t GROUP BY s ORDER BY s", "NULL|1|10 / B|1|NULL / a|2|40"},
		{"group by alias", "SELECT UPPER(s) AS u, COUNT(*) AS c FROM t GROUP BY u ORDER BY c DESC, u", "A|2 / NULL|1 / B|1"},
		{"group by ordinal", "SELECT UPPER(s), COUNT(*) FROM t GROUP BY 1 ORDER BY 1", "NULL|1 / A|2 / B|1"},
		{"group by alias that is a column too", "SELECT MOD(id, 2) AS n, COUNT(*) FROM t GROUP BY n ORDER BY n", "0|2 / 1|2"},
		{"group expression in list", "SELECT MOD(id, 2) + 1, COUNT(*) FROM t GROUP BY MOD(id, 2) ORDER BY MOD(id, 2)", "1|2 / 2|2"},
		{"having with alias", "SELECT s, COUNT(*) AS c FROM t GROUP BY s HAVING c > 1", "a|2"},
		{"having with aggregate", "SELECT s FROM t GROUP BY s HAVING SUM(n) > 10", "a"},
		{"aggregate without rows", "SELECT COUNT(*), SUM(id), MIN(s), COUNTIF(id > 1), ARRAY_AGG(id) FROM empty", "0|NULL|NULL|0|NULL"},
		{"aggregates", "SELECT COUNT(n), COUNT(DISTINCT n), COUNTIF(n = 10), MIN(s), MAX(s), AVG(n), LOGICAL_OR(n > 20), LOGICAL_AND(n > 5) FROM t", "3|2|2|B|a|16.666666666666668|true|true"},
		{"sum of NUMERIC", "SELECT SUM(num), MIN(num), MAX(num) FROM t", "3.75|0|2.25"},
		{"sums and counts where something holds", "SELECT SUM(IF(id > 1, n, NULL)), SUM(IF(NOT id > 1, n, NULL)), SUM(IF(id > 9, n, NULL)), SUM(IF(s = 'a', num, NULL)), SUM(IF(s = 'a', n + 1, NULL)), COUNTIF(s = 'a'), COUNTIF(NULL) FROM t", "40|10|NULL|1.5|42|2|0"},
		{"sum of INT64 as NUMERIC", "SELECT SUM(CAST(n AS NUMERIC)), SUM(CAST(9223372036854775807 - id AS NUMERIC)), SUM(DISTINCT CAST(n AS NUMERIC)) FROM t", "50|36893488147419103218|40"},
		{"running sum where something holds", "SELECT id, SUM(IF(id > 1, n, NULL)) OVER (ORDER BY id), COUNTIF(id > 1) OVER (ORDER BY id) FROM t ORDER BY id", "1|NULL|0 / 2|NULL|1 / 3|30|2 / 4|40|3"},
		{"sum of FLOAT64", "SELECT SUM(f) FROM t", "-1"},
		{"any value", "SELECT ANY_VALUE(s HAVING MAX id), ANY_VALUE(id HAVING MIN n) IN (1, 4) FROM t WHERE s IS NOT NULL", "a|true"},
		{"array_agg", "SELECT ARRAY_AGG(s IGNORE NULLS ORDER BY id DESC LIMIT 2), ARRAY_AGG(n ORDER BY id) FROM t", "[a,B]|[10,NULL,30,10]"},
		{"array_agg distinct", "SELECT ARRAY_AGG(DISTINCT n IGNORE NULLS ORDER BY n) FROM t", "[10,30]"},
		{"array_agg of struct", "SELECT ARRAY_AGG(STRUCT(id AS i, s AS s) ORDER BY id LIMIT 2) FROM t", "[{1,a},{2,B}]"},
		{"string_agg", "SELECT STRING_AGG(s, '%' ORDER BY id), STRING_AGG(s ORDER BY id DESC LIMIT 1), STRING_AGG(DISTINCT s, '-' ORDER BY s) FROM t", "a%B%a|a|B-a"},
		{"approx", "SELECT APPROX_COUNT_DISTINCT(n), APPROX_QUANTILES(id, 3) FROM t", "2|[1,2,3,4]"},
		{"grouping sets", "SELECT s, MOD(id, 2) AS odd, COUNT(*) AS c, GROUPING(s) AS gs FROM t GROUP BY GROUPING SETS ((s), (odd), ()) ORDER BY gs, s, odd",
			"NULL|NULL|1|0 / B|NULL|1|0 / a|NULL|2|0 / NULL|NULL|4|1 / NULL|0|2|1 / NULL|1|2|1"},
		{"rollup", "SELECT s, n, COUNT(*) FROM t WHERE s = 'a' GROUP BY ROLLUP (s, n) ORDER BY s, n", "NULL|NULL|2 / a|NULL|2 / a|10|1 / a|30|1"},
		{"join using", "SELECT * EXCEPT (ts, f, num, arr, rec) FROM t JOIN u USING (id) ORDER BY id", "1|a|10|one / 2|B|NULL|two"},
		{"left join", "SELECT t.id, u.name FROM t LEFT JOIN u ON t.id = u.id AND u.id > 1 ORDER BY t.id LIMIT 2", "1|NULL / 2|two"},
		{"full join using", "SELECT id, s, name FROM t FULL JOIN u USING (id) WHERE id > 3 ORDER BY id", "4|NULL|NULL / 5|NULL|five"},
		{"right join using", "SELECT id, s FROM t RIGHT JOIN u USING (id) ORDER BY id", "1|a / 2|B / 5|NULL"},
		{"comma join", "SELECT t.id FROM t, u WHERE t.id = u.id ORDER BY 1", "1 / 2"},
		{"self join", "SELECT a.id, b.id AS next FROM t AS a JOIN t AS b ON a.id + 1 = b.id ORDER BY 1 LIMIT 1", "1|2"},
		{"joined in parentheses", "SELECT COUNT(*) FROM t JOIN (u AS x JOIN u AS y ON x.id = y.id) ON t.id = x.id", "2"},
		{"unnest", "SELECT x FROM UNNEST([3, 1, 2]) AS x ORDER BY x", "1 / 2 / 3"},
		{"unnest with offset", "SELECT x, i FROM UNNEST(['a', 'b']) AS x WITH OFFSET AS i ORDER BY i DESC", "b|1 / a|0"},
		{"unnest with offset without alias", "SELECT x, offset FROM UNNEST(['a']) AS x WITH OFFSET", "a|0"},
		{"unnest a column", "SELECT name, x FROM u, UNNEST(u.arr) AS x ORDER BY x", "one|1 / one|2 / one|3"},
		{"unnest a column with offset", "SELECT name, x, o FROM u, UNNEST(arr) AS x WITH OFFSET AS o ORDER BY o DESC LIMIT 1", "one|3|2"},
		{"left join unnest", "SELECT name, x FROM u LEFT JOIN UNNEST(u.arr) AS x ON x > 2 ORDER BY name", "five|NULL / one|3 / two|NULL"},
		{"unnest structs", "SELECT k.a, b FROM UNNEST([STRUCT(1 AS a, 'x' AS b), STRUCT(2, 'y')]) AS k ORDER BY a", "1|x / 2|y"},
		{"unnest structs, all fields", "SELECT * FROM UNNEST([STRUCT(1 AS a, 'x' AS b)])", "1|x"},
		{"struct column", "SELECT rec.a, u.rec.b, rec FROM u WHERE name = 'one'", "7|x|{7,x}"},
		{"whole row", "SELECT ARRAY_AGG(x ORDER BY x.id LIMIT 1) FROM (SELECT id, s FROM t) AS x", "[{1,a}]"},
		{"union all", "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL UNION ALL SELECT NULL, 'z' ORDER BY a", "NULL|z / 1|x / 2|NULL"},
		{"union all widens", "SELECT 1 AS a UNION ALL SELECT 2.5 ORDER BY a", "1 / 2.5"},
		{"union distinct", "SELECT s FROM t UNION DISTINCT SELECT s FROM t ORDER BY 1", "NULL / B / a"},
		{"except", "SELECT id FROM t EXCEPT DISTINCT SELECT id FROM u ORDER BY id", "3 / 4"},
		{"intersect", "SELECT id FROM t INTERSECT DISTINCT SELECT id FROM u ORDER BY id", "1 / 2"},
		{"null in a union takes the type", "SELECT NULL AS x UNION ALL SELECT 'a' ORDER BY x", "NULL / a"},
		{"with", "WITH a AS (SELECT id, n FROM t), b AS (SELECT SUM(n) AS total FROM a) SELECT a.id, b.total FROM a CROSS JOIN b WHERE a.id = 1", "1|50"},
		{"with twice", "WITH a AS (SELECT id FROM t) SELECT COUNT(*) FROM a AS x JOIN a AS y ON x.id < y.id", "6"},
		{"with hides a table", "WITH t AS (SELECT 7 AS id) SELECT id FROM t", "7"},
		{"nested with", "SELECT * FROM (WITH a AS (SELECT 1 AS x) SELECT x FROM a)", "1"},
		{"view", "SELECT big FROM d.v WHERE id = 1", "A"},
		{"row_number and qualify", "SELECT id, s FROM t WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY s ORDER BY id DESC) = 1 ORDER BY id", "2|B / 3|a / 4|NULL"},
		{"qualify an alias", "SELECT id, RANK() OVER (ORDER BY n DESC) AS r FROM t WHERE TRUE QUALIFY r <= 2 ORDER BY r, id", "3|1 / 1|2 / 4|2"},
		{"window over an aggregate", "SELECT s, SUM(COUNT(*)) OVER () AS total, COUNT(*) AS c FROM t GROUP BY s ORDER BY s", "NULL|4|1 / B|4|1 / a|4|2"},
		{"running sum", "SELECT id, SUM(id) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t ORDER BY id", "1|1 / 2|3 / 3|6 / 4|10"},
		{"lag and lead", "SELECT id, LAG(id) OVER (ORDER BY id), LEAD(id, 2, -1) OVER w FROM t WINDOW w AS (ORDER BY id) ORDER BY id", "1|NULL|3 / 2|1|4 / 3|2|-1 / 4|3|-1"},
		{"first and last", "SELECT DISTINCT FIRST_VALUE(s IGNORE NULLS) OVER (ORDER BY id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t", "a"},
		{"window orders nulls first", "SELECT id FROM t WHERE TRUE QUALIFY ROW_NUMBER() OVER (ORDER BY n, id) = 1", "2"},
		{"percentile", "SELECT DISTINCT PERCENTILE_CONT(id, 0.5) OVER (), PERCENTILE_DISC(id, 0.5) OVER () FROM t", "2.5|2"},
		{"scalar subquery", "SELECT id, (SELECT name FROM u WHERE u.id = t.id) FROM t ORDER BY id LIMIT 2", "1|one / 2|two"},
		{"exists", "SELECT id FROM t WHERE EXISTS(SELECT 1 FROM u WHERE u.id = t.id AND ARRAY_LENGTH(arr) > 0)", "1"},
		{"not in query", "SELECT id FROM t WHERE id NOT IN (SELECT id FROM u) ORDER BY id", "3 / 4"},
		{"in query with null", "SELECT COUNT(*) FROM t WHERE 99 NOT IN (SELECT n FROM t)", "0"},
		{"correlated array", "SELECT id, ARRAY(SELECT name FROM u WHERE u.id <= t.id ORDER BY name) FROM t ORDER BY id LIMIT 2", "1|[one] / 2|[one,two]"},
		{"correlated group", "SELECT s, (SELECT COUNT(*) FROM u WHERE u.id > COUNT(*)) FROM t GROUP BY s ORDER BY s LIMIT 1", "!COUNT not allowed in WHERE"},
		{"sum overflows", "SELECT SUM(x) FROM UNNEST([9223372036854775807, 1]) AS x", "!INT128"},
		{"sum comes back", "SELECT SUM(x) FROM UNNEST([9223372036854775807, 1, -5]) AS x", "9223372036854775803"},
		{"no division by zero where not reached", "SELECT IF(n = 10, 1, 100 / (n - 10)) FROM t WHERE id IN (1, 3) ORDER BY id", "1 / 5"},
		{"interval on column", "SELECT ts + INTERVAL id DAY FROM t WHERE id = 1", "2024-01-02 10:00:00"},
		{"trailing comma and comments", "/* a */ SELECT id, -- b\n s, # c\n FROM t WHERE id = 1;", "1|a"},
		{"keyword as quoted name", "SELECT `select` FROM (SELECT 1 AS `select`)", "1"},
		{"union in parentheses", "SELECT x FROM ((SELECT 1 AS x) UNION ALL (SELECT 2)) AS y ORDER BY x", "1 / 2"},
		{"query in two parentheses", "SELECT x FROM ((SELECT 1 AS x)) AS y", "1"},
		{"join in two parentheses", "SELECT a.x FROM ((SELECT 1 AS x) AS a CROSS JOIN u) WHERE u.id = 1", "1"},
		{"scalar union in parentheses", "SELECT ((SELECT 1) UNION ALL (SELECT 1) LIMIT 1), ((SELECT 1) + 1), ((SELECT 3))", "1|2|3"},
		{"statement in parentheses", "(SELECT 1) UNION ALL (SELECT 2 ORDER BY 1 LIMIT 1)", "1 / 2"},
		{"scalar query in a list", "SELECT 2 IN ((SELECT 1), (SELECT 2))", "true"},
		{"anonymous columns", "SELECT * FROM (SELECT 1, 2 AS b)", "1|2"},
		{"nested star", "SELECT s.* FROM (SELECT STRUCT(1 AS a, 2 AS b) AS s)", "1|2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rows, st, err := evaluate(db, tc.query, options())
			if want, fails := strings.CutPrefix(tc.want, "!"); fails {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("got %v, %v; want an error with %q", rows, err, want)
				}
				return
			}
			if err != nil {
				text := ""
				if st != nil {
					text = st.SQL
				}
				t.Fatalf("%v\n%s", err, text)
			}
			if got := strings.Join(rows, " / "); got != tc.want {
				t.Fatalf("got  %s\nwant %s\n%s", got, tc.want, st.SQL)
			}
		})
	}
}

func TestColumnNames(t *testing.T) {
	for query, want := range map[string][]string{
		"SELECT id, S, n AS Neu, 1, COUNT(*) OVER () FROM t": {"id", "S", "Neu", "f3_", "f4_"},
		"SELECT * FROM t":                                                    {"id", "s", "n", "ts", "f", "num"},
		"SELECT rec.a, rec.b AS c FROM u":                                    {"a", "c"},
		"SELECT 1 AS x UNION ALL SELECT 2 AS y":                              {"x"},
		"SELECT * FROM UNNEST([1]) AS v WITH OFFSET AS o":                    {"v", "o"},
		"WITH w AS (SELECT 1 AS a, 2 AS b) SELECT * REPLACE (3 AS a) FROM w": {"a", "b"},
	} {
		st, err := Translate(query, options())
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var got []string
		for _, c := range st.Columns {
			got = append(got, c.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

func TestParameters(t *testing.T) {
	db := openTest(t)
	keys := &Type{Kind: Struct, Fields: []Field{{"id", TInt64}, {"s", TString}}}
	str := func(s string) Value { return Value{Text: s} }
	opts := options(
		Param{"id", TInt64, str("3")}, Param{"text", TString, str(`it's "quoted" \ ; DROP TABLE t_1 --`)}, Param{"none", TString, Value{Null: true}},
		Param{"at", TTimestamp, str("2024-01-02 00:00:00.000000+00:00")}, Param{"f", TFloat64, str("1.5")}, Param{"num", TNumeric, str("2.25")},
		Param{"b", TBool, str("true")}, Param{"day", TDate, str("2024-01-02")}, Param{"bytes", TBytes, str("YWI=")},
		Param{"ids", ArrayOf(TInt64), Value{Elems: []Value{str("1"), str("3")}}}, Param{"nulls", ArrayOf(TString), Value{Elems: []Value{str("a"), {Null: true}}}},
		Param{"empty", ArrayOf(TString), Value{}}, Param{"times", ArrayOf(TTimestamp), Value{Elems: []Value{str("2024-01-01T10:00:00Z")}}},
		Param{"key", keys, Value{Elems: []Value{str("1"), str("a")}}},
		Param{"keys", ArrayOf(keys), Value{Elems: []Value{{Elems: []Value{str("1"), str("a")}}, {Elems: []Value{str("2"), {Null: true}}}}}},
	)
	for query, want := range map[string]string{
		"SELECT id FROM t WHERE id = @id":                                            "3",
		"SELECT @TEXT":                                                               `it's "quoted" \ ; DROP TABLE t_1 --`,
		"SELECT @none IS NULL, @none":                                                "true|NULL",
		"SELECT id FROM t WHERE ts >= @at ORDER BY id":                               "2 / 3",
		"SELECT @f + 1, @num, @b, @day, @bytes":                                      "2.5|2.25|true|2024-01-02|6162",
		"SELECT id FROM t WHERE id IN UNNEST(@ids) ORDER BY id":                      "1 / 3",
		"SELECT id FROM t WHERE id NOT IN UNNEST(@ids) ORDER BY id":                  "2 / 4",
		"SELECT 'a' IN UNNEST(@nulls), 'z' IN UNNEST(@nulls), 'z' IN UNNEST(@empty)": "true|NULL|false",
		"SELECT CAST(NULL AS STRING) IN UNNEST(@empty)":                              "false",
		"SELECT ARRAY_LENGTH(@empty), @ids[OFFSET(1)]":                               "0|3",
		"SELECT x, o FROM UNNEST(@ids) AS x WITH OFFSET AS o ORDER BY o":             "1|0 / 3|1",
		"SELECT @key.s, @keys[OFFSET(1)].id":                                         "a|2",
		"SELECT k.id, k.s FROM UNNEST(@keys) AS k ORDER BY 1":                        "1|a / 2|NULL",
		"SELECT t.id FROM t JOIN UNNEST(@keys) AS k ON k.id = t.id AND k.s = t.s":    "1",
		"SELECT t.id FROM t WHERE STRUCT(id, s) IN UNNEST(@keys)":                    "1",
		"SELECT id FROM t WHERE ts IN UNNEST(@times)":                                "1",
		"SELECT COUNT(*) FROM UNNEST(@empty)":                                        "0",
		"SELECT id FROM t ORDER BY id LIMIT @id":                                     "1 / 2 / 3",
		"SELECT @at = '2024-01-02'":                                                  "true",
	} {
		rows, _, err := evaluate(db, query, opts)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		} else if got := strings.Join(rows, " / "); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"SELECT @nope":                 "Query parameter 'nope' not found at [1:8]",
		"SELECT @text[OFFSET(0)]":      "Element access using [OFFSET()] is not supported on values of type STRING",
		"SELECT 1 + @text":             "No matching signature for operator + for argument types: INT64, STRING",
		"SELECT * FROM UNNEST(@id)":    "must be arrays",
		"SELECT id FROM t LIMIT @text": "LIMIT expects an integer",
	} {
		if _, err := Translate(query, opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", query, err, want)
		}
	}
	for _, p := range []Param{
		{"x", TInt64, str("1.5")}, {"x", TTimestamp, str("yesterday")}, {"x", TBool, str("yes")}, {"x", TNumeric, str("1e40")},
		{"x", TBytes, str("?")}, {"x", TDate, str("2024-02-30")}, {"x", TString, str("a\x00b")}, {"x", TString, str("\xff")},
	} {
		if _, err := Translate("SELECT @x", options(p)); err == nil {
			t.Errorf("parameter %+v was taken", p)
		}
	}
}

// TestLongArrays: a long array parameter, which is written in another way than
// a short one, has the same elements.
func TestLongArrays(t *testing.T) {
	db := openTest(t)
	for _, tc := range []struct {
		typ  *Type
		text func(i int) string
		want string
	}{
		{TInt64, func(i int) string { return fmt.Sprint(i - 50) }, "-50|49"},
		{TFloat64, func(i int) string { return fmt.Sprint(float64(i) / 4) }, "0|24.75"},
		{TBool, func(i int) string { return fmt.Sprint(i > 5) }, "false|true"},
		{TString, func(i int) string { return fmt.Sprint("it's ", i, ",") }, "it's 0,|it's 99,"},
		{TDate, func(i int) string { return fmt.Sprintf("20%02d-01-02", i) }, "2000-01-02|2099-01-02"},
		{TDatetime, func(i int) string { return fmt.Sprintf("20%02d-01-02 03:04:05.6", i) }, "2000-01-02 03:04:05.6|2099-01-02 03:04:05.6"},
		{TTimestamp, func(i int) string { return fmt.Sprintf("20%02d-01-02 03:04:05.6+01:00", i) }, "2000-01-02 02:04:05.6|2099-01-02 02:04:05.6"},
		{TNumeric, func(i int) string { return fmt.Sprint(i, ".5") }, "0.5|99.5"},
		{TBytes, func(i int) string { return "YWI=" }, "6162|6162"},
	} {
		for _, special := range []string{"", "null", "separator"} {
			v := Value{}
			for i := range 100 {
				v.Elems = append(v.Elems, Value{Text: tc.text(i)})
			}
			switch {
			case special == "null":
				v.Elems[7] = Value{Null: true}
			case special == "separator" && tc.typ.Kind == String:
				v.Elems[7] = Value{Text: "a\x1fb"}
			}
			rows, _, err := evaluate(db, "SELECT @a[OFFSET(0)], @a[OFFSET(99)], ARRAY_LENGTH(@a), @a[OFFSET(7)] IS NULL", options(Param{"a", ArrayOf(tc.typ), v}))
			want := fmt.Sprint(tc.want, "|100|", special == "null")
			if err != nil || len(rows) != 1 || rows[0] != want {
				t.Errorf("%s %s: got %v, %v; want %s", tc.typ, special, rows, err, want)
			}
		}
		bad := Value{Elems: make([]Value, 100)}
		bad.Elems[50] = Value{Text: "'); DROP TABLE t_1; --"}
		if _, err := Translate("SELECT ARRAY_LENGTH(@a)", options(Param{"a", ArrayOf(tc.typ), bad})); err == nil && tc.typ.Kind != String {
			t.Errorf("%s: a bad element was taken", tc.typ)
		}
	}
}
