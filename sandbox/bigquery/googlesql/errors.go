package googlesql

import "fmt"

// Reasons of an Error, as BigQuery's API names them.
const (
	ReasonInvalid     = "invalidQuery"   // the query is wrong
	ReasonNotFound    = "notFound"       // a table does not exist
	ReasonUnsupported = "notImplemented" // valid in BigQuery, not known here
)

// Error is a query that cannot be translated.
type Error struct {
	Reason    string
	Message   string // without position
	Line, Col int    // from 1; 0: unknown
}

// Error returns the message with its position, in BigQuery's form.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("%s at [%d:%d]", e.Message, e.Line, e.Col)
}

// pos is a position in the query: line and column, from 1.
type pos struct{ line, col int }

func invalid(at pos, format string, args ...any) error {
	return &Error{Reason: ReasonInvalid, Message: fmt.Sprintf(format, args...), Line: at.line, Col: at.col}
}

// unsupported refuses what by name.
func unsupported(at pos, format string, args ...any) error {
	return &Error{Reason: ReasonUnsupported, Message: fmt.Sprintf(format, args...) + " is not supported by the sandbox", Line: at.line, Col: at.col}
}
