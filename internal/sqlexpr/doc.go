// Package sqlexpr checks the pieces of GoogleSQL that a spec may hold, before
// they are put into a query: expressions of columns (keys, metrics, conditions)
// and whole queries of a side.
//
// Flow: lexer.go turns a text into tokens and refuses what no such text needs
// (comments, semicolons, parameters, control characters); parser.go reads an
// expression by its grammar and knows every function by an allow-list
// (functions.go); query.go looks through the tokens of a query.
//
// Invariants:
//
//   - What passes [Check] is one expression, whole in itself: put into
//     parentheses it cannot end them, begin a comment, or reach the text behind.
//   - It is a function of the columns of its row alone: no sub-query, no
//     aggregate, no parameter, no clock, no random number.
//   - What passes [CheckQuery] is one SELECT (or WITH … SELECT) that cannot leave
//     parentheses either and changes nothing.
//   - [Quote] changes no token but the names of columns, which it puts into
//     backticks.
//
// Whether columns exist and types fit is BigQuery's to say: the callers' dry run
// asks it.
package sqlexpr

import "fmt"

// Error says what is wrong in a text, and where.
type Error struct {
	Offset int    // in bytes, from the start of the text
	Msg    string // what is wrong
	Hint   string // how to mend it; may be empty
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Msg
	}
	return e.Msg + ": " + e.Hint
}

func errorAt(offset int, hint, format string, args ...any) *Error {
	return &Error{Offset: offset, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// Check returns an *Error unless expr is one GoogleSQL expression of the columns
// of a row.
func Check(expr string) error {
	_, err := parse(expr)
	return err
}

// Columns are the names of the columns that an expression reads, each once, in
// the order in which they occur; of a field of a STRUCT, the column that it is
// in. An expression that Check refuses has none.
func Columns(expr string) []string {
	p, err := parse(expr)
	if err != nil {
		return nil
	}
	var names []string
	seen := map[string]bool{}
	for _, i := range p.columns {
		if name := p.tokens[i].name(); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// Column is the name of the column that an expression is, if it is nothing but
// a column.
func Column(expr string) (string, bool) {
	p, err := parse(expr)
	if err != nil || len(p.tokens) != 2 || len(p.columns) != 1 { // the column and the end
		return "", false
	}
	return p.tokens[0].name(), true
}

// Quote returns the expression with its columns in backticks and each run of
// white space as one space. The caller puts it into parentheses.
func Quote(expr string) (string, error) {
	p, err := parse(expr)
	if err != nil {
		return "", err
	}
	return p.quoted(), nil
}
