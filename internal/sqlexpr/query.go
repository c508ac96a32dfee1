package sqlexpr

import "strings"

// statements are words that a query has no use for: they change data, or begin
// what is no query.
var statements = set(`
ALTER ANALYZE ASSERT BEGIN CALL COMMIT CREATE DECLARE DELETE DROP EXECUTE EXPORT GRANT INSERT LOAD
MERGE RAISE REVOKE ROLLBACK TRUNCATE UPDATE UNDROP
`)

// CheckQuery returns an *Error unless sql is one query, SELECT or WITH … SELECT,
// that changes nothing, stays within the parentheses that it is put into, and
// takes no parameters but @from and @to.
func CheckQuery(sql string) error {
	tokens, err := lex(sql)
	if err != nil {
		return err
	}
	if t := tokens[0]; !t.is("SELECT") && !t.is("WITH") {
		return errorAt(t.offset, "begin with SELECT or WITH", "it is not a query")
	}
	var open []token // brackets
	selects := false
	for i, t := range tokens[:len(tokens)-1] {
		selects = selects || len(open) == 0 && t.is("SELECT")
		field := i > 0 && tokens[i-1].is(".")
		w := strings.ToUpper(t.text)
		switch {
		case t.is("("), t.is("["):
			open = append(open, t)
		case t.is(")"), t.is("]"):
			if len(open) == 0 || open[len(open)-1].is("(") != t.is(")") {
				return errorAt(t.offset, "", "%s closes nothing", t.text)
			}
			open = open[:len(open)-1]
		case t.kind == parameter:
			if t.text != "@from" && t.text != "@to" {
				return errorAt(t.offset, "the parameters are @from and @to, the bounds of the range", "there is no parameter %s", t.text)
			}
		case t.is(">") && i > 0 && tokens[i-1].is("|") && !t.spaced:
			return errorAt(t.offset, "", "pipe syntax is not taken")
		case t.kind != word || field && !tokens[i+1].is("("):
		case statements[w]:
			return errorAt(t.offset, "a column of that name is written in backticks", "%s has no place in a query that only reads", w)
		case changing[w]:
			return errorAt(t.offset, "a comparison must find the same at every look; the bounds of the range are @from and @to", "%s has another value at every look", w)
		case w == "TABLESAMPLE":
			return errorAt(t.offset, "", "%s finds other rows at every look", w)
		case w == "EXTERNAL_QUERY":
			return errorAt(t.offset, "load what it reads into a table", "%s reads another database, which cannot be bounded by a byte cap", w)
		}
	}
	if len(open) > 0 {
		return errorAt(open[len(open)-1].offset, "", "%s is not closed", open[len(open)-1].text)
	}
	if !selects {
		return errorAt(0, "", "a SELECT is missing after WITH")
	}
	return nil
}
