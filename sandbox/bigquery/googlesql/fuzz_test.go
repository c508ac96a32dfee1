package googlesql

import (
	"regexp"
	"strings"
	"testing"
)

// words are all that the resolver writes, but for literals, quoted names of
// the catalog and generated names.
var words = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(`
		SELECT DISTINCT AS FROM WHERE GROUP BY ROLLUP CUBE GROUPING SETS HAVING QUALIFY ORDER ASC DESC NULLS FIRST LAST LIMIT OFFSET
		WITH UNION ALL INTERSECT EXCEPT CROSS INNER LEFT RIGHT FULL JOIN LATERAL ON AND OR NOT IS NULL true false TRUE FALSE IN EXISTS ARRAY
		CASE WHEN THEN ELSE END CAST TRY_CAST TRY LIKE ESCAPE FILTER OVER PARTITION ROWS RANGE BETWEEN UNBOUNDED PRECEDING FOLLOWING
		CURRENT ROW IGNORE DATE TIMESTAMP lambda INSERT INTO VALUES UPDATE SET DELETE MERGE USING MATCHED SOURCE RETURNING merge_action rowid
		BIGINT DOUBLE DECIMAL BOOLEAN VARCHAR BLOB INTERVAL TIMESTAMPTZ INTEGER HUGEINT STRUCT
		COALESCE NULLIF coalesce abs sign ceil floor trunc round greatest least sqrt ln log10 exp pow isnan isinf random uuid error
		lower upper length octet_length strlen trim ltrim rtrim starts_with ends_with strpos replace reverse repeat substring left right lpad rpad
		timezone nfc_normalize string_split regexp_matches regexp_full_match regexp_extract regexp_replace printf hex unhex to_base64 from_base64 md5 sha1 sha256 encode decode chr
		len list_reverse array_to_string list_transform list_filter generate_series range unnest list_extract list_slice list_contains list_count
		struct_extract list xor make_date make_timestamp epoch_us date_trunc date_diff date_part dayofweek last_day strftime strptime
		to_days to_months to_microseconds
		count sum avg min max any_value arg_max arg_min bool_or bool_and stddev_samp stddev_pop var_samp var_pop bit_xor bit_and bit_or quantile_disc
		quantile_cont grouping row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
		IS DISTINCT a v o e`) {
		m[w] = true
	}
	return m
}()

var (
	generated = regexp.MustCompile(`^([tcwfe]\d+|\d+(e[+-]?\d+)?|e[+-]?\d+)$`)
	word      = regexp.MustCompile(`[A-Za-z_0-9]+`)
	physical  = regexp.MustCompile(`"(t_1|u_1|e_1|x[a-z]+)"`)
)

// foreign returns a word of DuckDB SQL that the resolver has no business
// writing, or "".
func foreign(sql string) string {
	var b strings.Builder
	for i := 0; i < len(sql); i++ {
		if sql[i] != '\'' {
			b.WriteByte(sql[i])
			continue
		}
		// A literal: '' is a quote within.
		for i++; i < len(sql); i++ {
			if sql[i] == '\'' {
				if i+1 < len(sql) && sql[i+1] == '\'' {
					i++
					continue
				}
				break
			}
		}
		b.WriteString(" ")
	}
	bare := physical.ReplaceAllString(b.String(), " ")
	if i := strings.IndexAny(bare, "\";\\$@\x00"); i >= 0 {
		return "character " + bare[i:i+1]
	}
	if strings.Contains(bare, "--") || strings.Contains(bare, "/*") {
		return "comment"
	}
	for _, w := range word.FindAllString(bare, -1) {
		if !words[w] && !generated.MatchString(w) {
			return w
		}
	}
	return ""
}

// FuzzTranslate: the translator never panics, and never writes anything that
// is not of its own vocabulary: COPY, ATTACH, PRAGMA, INSTALL, read_csv and
// all else that DuckDB knows are out of a query's reach.
func FuzzTranslate(f *testing.F) {
	for _, q := range []string{
		"SELECT * FROM t", "SELECT id, SUM(n) FROM t GROUP BY id HAVING SUM(n) > 1 ORDER BY 2 DESC LIMIT 3",
		"WITH a AS (SELECT 1 AS x UNION ALL SELECT 2) SELECT x FROM a JOIN t ON a.x = t.id",
		"SELECT 'it''s', \"q\\\"\", r'\\d', b'x', `id` FROM `p.d.t`", "SELECT COPY, read_csv('x'), PRAGMA FROM t",
		"MERGE t USING u ON t.id = u.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id) VALUES (1)",
		"SELECT ARRAY_AGG(s IGNORE NULLS ORDER BY id DESC LIMIT 2) OVER (PARTITION BY n) FROM t",
		"SELECT @p, @a[OFFSET(0)] FROM UNNEST(@a) AS x WITH OFFSET", "SELECT TIMESTAMP '2024-01-01' + INTERVAL 1 DAY",
		"SELECT IF(a = 'x; ATTACH y', 1, 2) FROM (SELECT '--' AS a)", "INSERT INTO t (id) SELECT 1; COPY t TO 'x'",
		"SELECT FORMAT('%s', 'a'), TO_JSON_STRING((SELECT AS STRUCT 1 AS `a'b`))", "UPDATE t SET s = 'x' FROM u WHERE t.id = u.id",
		"SELECT - - 1, --1\n2 AS x", "SELECT STRUCT<a INT64>(1).a, CAST('1' AS NUMERIC)",
	} {
		f.Add(q)
	}
	opts := options(Param{"p", TString, Value{Text: "'; DROP TABLE t_1; --"}}, Param{"a", ArrayOf(TString), Value{Elems: []Value{{Text: "\\'"}, {Text: "''"}}}})
	f.Fuzz(func(t *testing.T, q string) {
		st, err := Translate(q, opts)
		if err != nil {
			return
		}
		texts := []string{st.SQL}
		for _, c := range st.Checks {
			texts = append(texts, c.SQL)
		}
		for _, s := range st.Scans {
			texts = append(texts, s.Constants()...)
		}
		for _, text := range texts {
			if w := foreign(text); w != "" {
				t.Fatalf("the translation has %s:\n%s\n→\n%s", w, q, text)
			}
		}
	})
}
