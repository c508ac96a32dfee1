package sqlexpr

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// contained reads sql as GoogleSQL's lexical rules have it, by other code than
// the lexer's, and says why it is not closed in itself.
func contained(sql string) error {
	depth := 0
	var stack []byte
	for i := 0; i < len(sql); i++ {
		switch c := sql[i]; c {
		case '\'', '"', '`':
			long := c != '`' && strings.HasPrefix(sql[i:], strings.Repeat(string(c), 3))
			if long {
				return fmt.Errorf("string in three quotes at %d", i)
			}
			for i++; ; i++ {
				if i >= len(sql) {
					return fmt.Errorf("unterminated %c", c)
				}
				if sql[i] == '\n' || sql[i] == '\r' {
					return fmt.Errorf("line ends in %c at %d", c, i)
				}
				if sql[i] == '\\' {
					i++ // in raw strings too a quote after it does not end them
					continue
				}
				if sql[i] == c {
					break
				}
			}
		case '(', '[':
			depth++
			stack = append(stack, c)
		case ')', ']':
			if depth == 0 || (stack[depth-1] == '(') != (c == ')') {
				return fmt.Errorf("bracket at %d closes nothing", i)
			}
			depth--
			stack = stack[:depth]
			if depth == 0 && i != len(sql)-1 {
				return fmt.Errorf("the outer parenthesis ends at %d", i)
			}
		case ';', '#', '@', '?', '{', '}', '$', '\\':
			return fmt.Errorf("%c at %d", c, i)
		case '-', '/':
			if i+1 < len(sql) && (c == '-' && sql[i+1] == '-' || c == '/' && sql[i+1] == '*') {
				return fmt.Errorf("comment at %d", i)
			}
		}
	}
	if depth != 0 {
		return fmt.Errorf("%d brackets are open", depth)
	}
	return nil
}

func holds(t interface{ Fatalf(string, ...any) }, expr string) {
	q, err := Quote(expr)
	if (err == nil) != (Check(expr) == nil) {
		t.Fatalf("Quote and Check do not agree on %q", expr)
	}
	if err != nil {
		return
	}
	if err := contained("(" + q + ")"); err != nil {
		t.Fatalf("%q, quoted as %q, escapes: %v", expr, q, err)
	}
	again, err := Quote(q)
	if err != nil || again != q {
		t.Fatalf("%q, quoted as %q, is quoted again as %q, %v", expr, q, again, err)
	}
	// Alone and in parentheses it reads the same columns.
	if a, b := Columns(expr), Columns("("+q+")"); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Fatalf("%q reads %v, quoted %v", expr, a, b)
	}
}

// TestExpressionsStayInPlace puts tokens together, right and wrong ones.
func TestExpressionsStayInPlace(t *testing.T) {
	pieces := []string{
		"a", "b", "`c`", "1", ".5", "'x'", `"y"`, `'\''`, `r'\'`, "''", "'''", "`", "'", `"`, `\`, "r", "(", ")", "[", "]", "(", ")",
		",", ".", "+", "-", "-", "*", "/", "/", "||", "=", "<", "#", ";", "@p", " ", "\n", " AND ", " OR ", "NOT ",
		"IF(", "CAST(a AS STRING)", "UPPER(", "CASE ", "WHEN ", " THEN ", " ELSE ", " END", "SELECT ", "DATE ", "IN (", " IS NULL", "b'",
	}
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		expr := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces"), "")
		if Check(expr) == nil {
			passed++
		}
		holds(t, expr)
	})
	if passed == 0 {
		t.Fatal("no expression passed: the test looks at nothing")
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"a", "a) OR (b", "'it\\'s'", "r'\\'", "`a`", "a -- b", "CASE a WHEN 1 THEN 2 END", "CAST(a AS INT64)", "x IN (1, 2)", "'a''b'", "((a))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if len(expr) > 1000 {
			return
		}
		holds(t, expr)
	})
}

func FuzzCheckQuery(f *testing.F) {
	for _, s := range []string{"SELECT 1", "SELECT 1) UNION ALL (SELECT 2", "SELECT '@x' FROM `a.b`", "WITH a AS (SELECT 1) SELECT @from", "SELECT [1)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if CheckQuery(sql) != nil {
			return
		}
		plain := strings.NewReplacer("@from", "from", "@to", "to").Replace(sql)
		if err := contained("(" + plain + ")"); err != nil {
			t.Fatalf("%q escapes: %v", sql, err)
		}
	})
}
