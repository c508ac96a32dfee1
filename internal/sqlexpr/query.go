package sqlexpr

import "strings"

// statements are words that a query has no use for: they change data, or begin
// what is no query.
var statements = set(`
ALTER ANALYZE ASSERT BEGIN CALL COMMIT CREATE DECLARE DELETE DROP EXECUTE EXPORT GRANT INSERT LOAD
MERGE RAISE REVOKE ROLLBACK TRUNCATE UPDATE UNDROP
`)

// CheckQuery returns an *Error unless sql is one query, SELECT or WITH … SELECT,
// that changes nothing, stays within the parentheses that it is put into, takes
// no parameters but @from and @to, and has no word by which it finds other rows at
// every look.
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
	ordered := []bool{false} // whether what an open bracket, or the text, holds has an ORDER BY
	for i, t := range tokens[:len(tokens)-1] {
		selects = selects || len(open) == 0 && t.is("SELECT")
		field := i > 0 && tokens[i-1].is(".")
		w := strings.ToUpper(t.text)
		switch {
		case t.is("("), t.is("["):
			open, ordered = append(open, t), append(ordered, false)
		case t.is(")"), t.is("]"):
			if len(open) == 0 || open[len(open)-1].is("(") != t.is(")") {
				return errorAt(t.offset, "", "%s closes nothing", t.text)
			}
			open, ordered = open[:len(open)-1], ordered[:len(ordered)-1]
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
		case w == "ORDER":
			ordered[len(ordered)-1] = true
		case w == "LIMIT" && len(open) == 0:
			return errorAt(t.offset, "leave it out: the bounds of the range are @from and @to", "LIMIT leaves out rows of the side, and others at every look")
		case w == "LIMIT" && !ordered[len(ordered)-1]:
			return errorAt(t.offset, "say by ORDER BY which rows it keeps", "LIMIT without ORDER BY finds other rows at every look")
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
