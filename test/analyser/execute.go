package analyser

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"strings"

	_ "github.com/goccy/googlesqlite" // an engine of its own, which has BIGNUMERIC
)

// engine runs statements. It has every digit of BIGNUMERIC: its values are fractions
// of whole numbers. It does not know of overflow.
type engine struct{ db *sql.DB }

// newEngine makes the tables and writes their rows.
func newEngine(ctx context.Context, tables []*table) (*engine, error) {
	db, err := sql.Open("googlesqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	e := &engine{db}
	for _, t := range tables {
		if err := e.load(ctx, t); err != nil {
			db.Close()
			return nil, fmt.Errorf("table %s: %w", t.id(), err)
		}
	}
	return e, nil
}

func (e *engine) load(ctx context.Context, t *table) error {
	name := fmt.Sprintf("`%s`.`%s`.`%s`", t.Project, t.Dataset, t.Name)
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, "`"+c.Name+"` "+c.Type)
	}
	if _, err := e.db.ExecContext(ctx, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+")"); err != nil {
		return err
	}
	for _, row := range t.Rows {
		var values []string
		for _, c := range t.Columns {
			values = append(values, literal(c, row[c.Name]))
		}
		if _, err := e.db.ExecContext(ctx, "INSERT INTO "+name+" VALUES ("+strings.Join(values, ", ")+")"); err != nil {
			return err
		}
	}
	return nil
}

// literal is a value of a row in SQL.
func literal(c column, value any) string {
	if value == nil {
		return "NULL"
	}
	return fmt.Sprintf("CAST('%s' AS %s)", strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(fmt.Sprint(value)), c.Type)
}

// query runs a statement; its rows are texts by column, nil for NULL.
func (e *engine) query(ctx context.Context, text string, params []parameter) ([]map[string]*string, error) {
	var args []any
	points, err := times(params)
	if err != nil {
		return nil, err
	}
	for _, p := range params {
		switch at, timed := points[strings.ToLower(p.Name)]; {
		case timed:
			args = append(args, sql.Named(p.Name, at))
		case p.Type.Type == "STRING" && p.Value.Value != nil:
			args = append(args, sql.Named(p.Name, *p.Value.Value))
		default:
			return nil, fmt.Errorf("the parameter %s, of the type %s, is not known here", p.Name, p.Type.Type)
		}
	}
	rows, err := e.db.QueryContext(ctx, exactly(text), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []map[string]*string
	for rows.Next() {
		values, places := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		row := map[string]*string{}
		for i, name := range names {
			row[name] = nil
			if values[i] != nil {
				s := fmt.Sprint(values[i])
				row[name] = &s
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// exactly writes a statement so that the engine does what is documented of decimals.
// It takes ABS and TRUNC of them in floating point; both are written without.
func exactly(text string) string {
	text = rewrite(text, "ABS", func(x string) string { return "GREATEST(" + x + ", 0 - (" + x + "))" })
	return rewrite(text, "TRUNC", func(x string) string {
		return "CAST(REGEXP_REPLACE(CAST(" + x + ` AS STRING), r'\..*$', '') AS BIGNUMERIC)`
	})
}

// rewrite writes the calls of a function of one argument in another way.
func rewrite(text, function string, as func(argument string) string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, function+"(")
		if i < 0 {
			return b.String() + text
		}
		begin := i + len(function) + 1
		end, depth := begin, 1
		for ; end < len(text) && depth > 0; end++ {
			switch text[end] {
			case '(':
				depth++
			case ')':
				depth--
			}
		}
		b.WriteString(text[:i])
		if i > 0 && (text[i-1] == '_' || text[i-1] >= 'A' && text[i-1] <= 'Z') || depth > 0 { // the end of another name
			b.WriteString(text[i:begin])
			text = text[begin:]
			continue
		}
		b.WriteString(as(rewrite(text[begin:end-1], function, as)))
		text = text[end:]
	}
}

// same reports whether two values are: NULL, equal numbers, or equal texts.
func same(a, b *string) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, isNumber := new(big.Rat).SetString(*a)
	if y, ok := new(big.Rat).SetString(*b); ok && isNumber {
		return x.Cmp(y) == 0
	}
	return *a == *b
}
