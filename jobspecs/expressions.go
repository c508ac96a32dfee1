package jobspecs

import (
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
)

// Expressions is the environment that the CEL expressions of specs are
// compiled in: one variable, record, the event's fields by name; numbers of
// different types compare; strings have the functions of cel-go's extension.
var Expressions = sync.OnceValue(func() *cel.Env {
	env, err := cel.NewEnv(
		cel.Variable("record", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		ext.Strings(),
	)
	if err != nil {
		panic(fmt.Sprintf("jobspecs: CEL environment: %v", err)) // constant input
	}
	return env
})

// expression checks that the CEL expression at path compiles; with a wanted
// type, that it is of that type or of one known at run time only.
func (k *checker) expression(path, text string, want *cel.Type) {
	if text == "" || !k.ok(path) {
		return
	}
	ast, issues := Expressions().Compile(text)
	if issues != nil && issues.Err() != nil {
		for _, e := range issues.Errors() {
			n := k.place(path).inside(e.Location.Line(), e.Location.Column())
			k.c.at(n, CodeBadValue, path, "", "%s is not a CEL expression: %s", path, shortened(e.Message))
		}
		return
	}
	if t := ast.OutputType(); want != nil && !t.IsExactType(want) && !t.IsExactType(cel.DynType) {
		k.fail(CodeBadValue, path, "", "%s must give a %s, but gives a %s", path, cel.FormatCELType(want), cel.FormatCELType(t))
	}
}

// shortened cuts the parser's list of everything that could have stood there.
func shortened(message string) string {
	message, _, _ = strings.Cut(firstLine(message), " expecting {")
	return strings.TrimPrefix(message, "Syntax error: ")
}

// inside returns the place of a line (from 1) and column (from 0) of the text
// of n, or n itself where the text does not stand in the file as it is.
func (n *node) inside(line, col int) *node {
	out := *n
	runes := []rune(n.src.text(n.line))
	start := n.col - 1
	if n.quoted {
		start++
	}
	text := []rune(n.text)
	if line != 1 || col < 0 || n.expanded || start < 0 || start+len(text) > len(runes) || string(runes[start:start+len(text)]) != n.text {
		return &out
	}
	out.col, out.width = start+col+1, 1
	return &out
}
