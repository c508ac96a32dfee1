package jobspecs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Code is the stable name of a kind of error, for programs that read errors.
type Code string

// The codes; what they mean stands in Codes.
const (
	CodeSyntax            Code = "syntax"
	CodeEmptyFile         Code = "empty-file"
	CodeUnknownKind       Code = "unknown-kind"
	CodeUnknownField      Code = "unknown-field"
	CodeMissingField      Code = "missing-field"
	CodeWrongType         Code = "wrong-type"
	CodeBadValue          Code = "bad-value"
	CodeDuplicateKey      Code = "duplicate-key"
	CodeDuplicateName     Code = "duplicate-name"
	CodeUnknownVariable   Code = "unknown-variable"
	CodeMissingVariable   Code = "missing-variable"
	CodeBadExtends        Code = "bad-extends"
	CodeDanglingReference Code = "dangling-reference"
	CodeConflict          Code = "conflict"
)

// Codes lists every code with what it means; the documentation is made from it.
var Codes = []struct {
	Code    Code
	Meaning string
}{
	{CodeSyntax, "not YAML, or YAML that specs do not have"},
	{CodeEmptyFile, "no document in the file"},
	{CodeUnknownKind, "no such kind of document"},
	{CodeUnknownField, "a field that is not there"},
	{CodeMissingField, "a required field is absent"},
	{CodeWrongType, "a list where a string is wanted, and the like"},
	{CodeBadValue, "right type, but not allowed"},
	{CodeDuplicateKey, "a field is given twice"},
	{CodeDuplicateName, "two things share a name that must be unique"},
	{CodeUnknownVariable, "a variable that is not declared"},
	{CodeMissingVariable, "a declared variable has no value"},
	{CodeBadExtends, "extends names nothing usable, or itself"},
	{CodeDanglingReference, "a name that nothing has"},
	{CodeConflict, "two fields, or two documents, contradict each other"},
}

// Error is one error in a spec.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`   // from 1; 0 if the error is not in a file's text
	Column  int    `json:"column,omitempty"` // from 1, in characters
	Code    Code   `json:"code"`
	Path    string `json:"path,omitempty"` // of the field, such as spec.split.count
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`   // how to mend it
	Source  string `json:"source,omitempty"` // the offending line
	Width   int    `json:"width,omitempty"`  // characters of the offending text, from Column
}

// Position is FILE:LINE:COLUMN, or FILE alone.
func (e *Error) Position() string {
	if e.Line == 0 {
		return e.File
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column)
}

// Error renders the error for people: position, message, code, the offending
// line with a caret under the offending text, and how to mend it.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s)", e.Position(), e.Message, e.Code)
	if e.Line > 0 && e.Source != "" {
		text, start, width := window(e.Source, e.Column, e.Width)
		n := strconv.Itoa(e.Line)
		fmt.Fprintf(&b, "\n  %s | %s\n  %s | %s%s", n, text,
			strings.Repeat(" ", len(n)), strings.Repeat(" ", start), strings.Repeat("^", width))
	}
	if e.Hint != "" {
		b.WriteString("\n  hint: " + e.Hint)
	}
	return b.String()
}

// maxShown is how many characters of a line are shown.
const maxShown = 100

// window cuts a long line around the offending text. It returns the text, and
// where in it, from 0, and over how many characters, the carets stand.
func window(line string, column, width int) (text string, start, carets int) {
	runes := []rune(strings.ReplaceAll(line, "\t", " "))
	start = min(max(column-1, 0), len(runes))
	from := 0
	if len(runes) > maxShown && start > maxShown/2 {
		from = start - maxShown/2
	}
	to := min(from+maxShown, len(runes))
	text, start = string(runes[from:to]), start-from
	carets = max(1, min(width, to-from-start))
	if from > 0 {
		text, start = "…"+text, start+1
	}
	if to < len(runes) {
		text += "…"
	}
	return text, start, carets
}

// Errors are all the errors of one load, in the order of files and lines.
type Errors []*Error

func (es Errors) Error() string {
	if len(es) == 1 {
		return es[0].Error()
	}
	files := map[string]bool{}
	parts := make([]string, 0, len(es))
	for _, e := range es {
		files[e.File] = true
		parts = append(parts, e.Error())
	}
	where := "1 file"
	if len(files) != 1 {
		where = strconv.Itoa(len(files)) + " files"
	}
	return fmt.Sprintf("%d errors in %s\n\n%s", len(es), where, strings.Join(parts, "\n\n"))
}

// collector gathers errors; the same error, met twice because two documents
// extend the one that has it, is kept once.
type collector struct {
	errs  Errors
	seen  map[Error]bool
	added int // errors that were met, those of seen included
}

func (c *collector) add(e Error) {
	if c.seen == nil {
		c.seen = map[Error]bool{}
	}
	c.added++
	if c.seen[e] {
		return
	}
	c.seen[e] = true
	c.errs = append(c.errs, &e)
}

// at adds an error that stands at n.
func (c *collector) at(n *node, code Code, path, hint, format string, args ...any) {
	e := Error{Code: code, Path: path, Hint: hint, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		e.File, e.Line, e.Column, e.Width = n.src.name, n.line, n.col, n.width
		e.Source = n.src.text(n.line)
		if width := len([]rune(e.Source)); n.kind == null && e.Column > width { // at what it should follow
			e.Column, e.Width = max(width, 1), 1
		}
	}
	c.add(e)
}

// sorted returns the errors in the order of files as loaded, then of lines.
func (c *collector) sorted(files []string) Errors {
	rank := map[string]int{}
	for i, f := range files {
		if _, ok := rank[f]; !ok {
			rank[f] = i
		}
	}
	order := func(f string) int {
		if r, ok := rank[f]; ok {
			return r
		}
		return len(files)
	}
	slices.SortStableFunc(c.errs, func(a, b *Error) int {
		return cmp.Or(
			cmp.Compare(order(a.File), order(b.File)), cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return c.errs
}
