package googlesql

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// planNode is a node of DuckDB's EXPLAIN (FORMAT JSON).
type planNode struct {
	Name     string
	Children []planNode
	Extra    map[string]any `json:"extra_info"`
}

// readColumns collects what the plan reads, as table.column.
func (n planNode) readColumns(into map[string]bool) {
	list := func(key string) []string {
		switch v := n.Extra[key].(type) {
		case string:
			return []string{v}
		case []any:
			var out []string
			for _, e := range v {
				out = append(out, fmt.Sprint(e))
			}
			return out
		}
		return nil
	}
	if table, ok := n.Extra["Table"].(string); ok && strings.HasPrefix(n.Name, "SEQ_SCAN") {
		for _, p := range list("Projections") {
			if p != "" {
				into[table+"."+p] = true
			}
		}
		for _, f := range list("Filters") {
			// optional: …, xid>5, xs IN (…)
			for _, t := range testTables {
				for _, c := range t.Columns {
					if t.Physical == table && (strings.HasPrefix(f, c.Physical) || strings.Contains(f, " "+c.Physical)) {
						into[table+"."+c.Physical] = true
					}
				}
			}
		}
	}
	for _, c := range n.Children {
		c.readColumns(into)
	}
}

// TestPlanReadsNoMore holds the columns that are billed against DuckDB's plans:
// an engine never reads a column that is not counted.
func TestPlanReadsNoMore(t *testing.T) {
	db := openTest(t)
	checked := 0
	for _, q := range []string{
		"SELECT id FROM t WHERE n > 1 AND s = 'a'",
		"SELECT s, SUM(n) FROM t WHERE ts >= '2024-01-01' GROUP BY s HAVING SUM(f) > 0 ORDER BY MAX(num)",
		"SELECT id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s ORDER BY ts) AS r FROM t) WHERE r = 1",
		"SELECT DISTINCT s FROM t",
		"SELECT t.id, u.name FROM t LEFT JOIN u ON t.id = u.id AND u.arr IS NOT NULL",
		"SELECT COUNT(*) FROM t JOIN u USING (id)",
		"WITH w AS (SELECT id, s, n FROM t) SELECT a.id FROM w AS a JOIN w AS b ON a.n = b.n WHERE b.s > 'a'",
		"SELECT id FROM t WHERE EXISTS(SELECT 1 FROM u WHERE u.id = t.n AND name = 'x')",
		"SELECT s FROM t UNION ALL SELECT name FROM u WHERE rec.a = 1",
		"SELECT s, COUNT(DISTINCT n), GROUPING(s) FROM t GROUP BY GROUPING SETS ((s), ())",
		"SELECT ARRAY_AGG(s ORDER BY f) FROM t WHERE id IN (SELECT id FROM u)",
		"SELECT x FROM u, UNNEST(arr) AS x WHERE name = 'one'",
		"SELECT (SELECT MAX(name) FROM u WHERE u.id = t.id) FROM t",
		"SELECT id FROM t WHERE TRUE QUALIFY RANK() OVER (ORDER BY n) = 1 ORDER BY f",
	} {
		st, err := Translate(q, options())
		if err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		counted := map[string]bool{}
		for _, s := range st.Scans {
			for _, c := range s.Used {
				counted[s.Table.Physical+"."+c.Physical] = true
			}
		}
		var key, plan string
		if err := db.QueryRow("EXPLAIN (FORMAT JSON) "+st.SQL).Scan(&key, &plan); err != nil {
			t.Errorf("%s: %v", q, err)
			continue
		}
		var nodes []planNode
		if err := json.Unmarshal([]byte(plan), &nodes); err != nil {
			t.Fatal(err)
		}
		read := map[string]bool{}
		for _, n := range nodes {
			n.readColumns(read)
		}
		for c := range read {
			checked++
			if !counted[c] {
				t.Errorf("%s: reads %s, which is not counted", q, c)
			}
		}
	}
	if checked < 25 {
		t.Errorf("only %d columns found in the plans", checked)
	}
}
