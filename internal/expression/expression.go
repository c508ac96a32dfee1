// Package expression compiles and evaluates the CEL expressions of
// aggregations: filters, and what measures are made from.
//
// An expression is over one variable, event, whose fields are the declared ones
// with their types: string, int and timestamp. Beside CEL's own functions there
// are those of cel-go's extension for strings, and numbers of different types
// compare.
//
// A field that the event lacks, or has as null, is null. == and != take null
// for a value like any other, and has(event.f) says whether there is one. Every
// other operation on a null gives null, and so does what is made from it;
// && and || are decided by their other side where that decides them. So it is
// in SQL.
//
// Invariants: what cannot be computed otherwise (an overflow, a division by
// zero, a string that is no number) is an error and never a value; an
// expression is compiled against the fields and the wanted type alone, so that
// what the specs' loader has accepted compiles in the worker too.
package expression

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
)

// Variable is the name of the event in expressions.
const Variable = "event"

// Field is a field of the event. Its type is one of STRING, INT64 and
// TIMESTAMP.
type Field struct{ Name, Type string }

// Kind is the type of an expression's value.
type Kind string

// What expressions give.
const (
	Bool Kind = "bool"
	Int  Kind = "int"
)

func (k Kind) cel() *cel.Type {
	if k == Bool {
		return cel.BoolType
	}
	return cel.IntType
}

// Problem is something that is wrong with an expression, at a line, from 1, and
// a column, from 0, of its text.
type Problem struct {
	Message      string
	Line, Column int
}

// Problems are all that is wrong with an expression.
type Problems []Problem

func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i := range p {
		texts[i] = fmt.Sprintf("%d:%d: %s", p[i].Line, p[i].Column+1, p[i].Message)
	}
	return strings.Join(texts, "; ")
}

// Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	program cel.Program
	kind    Kind
	reads   []int // indexes of the fields that stand in it
	ratio   bool
}

// IsRatio reports whether the expression divides by something of the event.
func (p *Program) IsRatio() bool { return p.ratio }

// Fields are the indexes of the fields that the expression reads.
func (p *Program) Fields() []int { return p.reads }

// Value is a field of an event: nil for null, else a string, an int64 or a
// time.Time.
type Value = any

// Event gives the value of the i-th field.
type Event interface{ Field(i int) Value }

// Compile compiles an expression over fields that gives a kind of value, or
// null. An error of the text is of type Problems.
func Compile(source string, fields []Field, want Kind) (*Program, error) {
	env, err := environment(fields)
	if err != nil {
		return nil, err
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		var all Problems
		for _, e := range issues.Errors() {
			all = append(all, Problem{shortened(e.Message), max(1, e.Location.Line()), max(0, e.Location.Column())})
		}
		return nil, all
	}
	out := checked.OutputType()
	if !out.IsAssignableType(want.cel()) {
		return nil, Problems{{fmt.Sprintf("it must give %s, but gives %s", article(string(want)), article(plain(cel.FormatCELType(out)))), 1, 0}}
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, Problems{{err.Error(), 1, 0}} // a constant part of it that cannot be computed
	}
	p := &Program{program, want, reads(checked, fields), isRatio(checked)}
	if len(p.reads) == 0 { // a constant: what it gives, it gives for every event
		if _, err := p.Eval(nothing(len(fields))); err != nil {
			return nil, Problems{{err.Error(), 1, 0}}
		}
	}
	return p, nil
}

// nothing is an event whose fields are all null.
type nothing int

// Field implements Event.
func (nothing) Field(int) Value { return nil }

func article(what string) string {
	if strings.HasPrefix(what, "i") {
		return "an " + what
	}
	return "a " + what
}

// shortened cuts the parser's list of everything that could have stood there.
func shortened(message string) string {
	message, _, _ = strings.Cut(message, "\n")
	message, _, _ = strings.Cut(message, " expecting {")
	message = strings.TrimSuffix(message, " (in container '')")
	return strings.TrimPrefix(plain(message), "Syntax error: ")
}

// wrapped is what CEL calls the type of a field that may be null.
var wrapped = regexp.MustCompile(`wrapper\((\w+)\)`)

// plain names types as specs' readers know them: any field may be null.
func plain(message string) string { return wrapped.ReplaceAllString(message, "$1") }

// reads are the fields that an expression names.
func reads(checked *cel.Ast, fields []Field) []int {
	var out []int
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind || e.AsSelect().Operand().Kind() != ast.IdentKind || e.AsSelect().Operand().AsIdent() != Variable {
			return
		}
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == e.AsSelect().FieldName() })
		if i >= 0 && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}))
	return out
}

func isRatio(checked *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.Divide {
			return
		}
		ast.PostOrderVisit(e.AsCall().Args()[1], ast.NewExprVisitor(func(divisor ast.Expr) {
			found = found || divisor.Kind() == ast.IdentKind && divisor.AsIdent() == Variable
		}))
	}))
	return found
}

// Result is a value, or null where it is not Valid.
type Result struct {
	Valid bool
	Int   int64
	Bool  bool
}

// Eval evaluates the expression.
func (p *Program) Eval(e Event) (Result, error) {
	v, _, err := p.program.Eval(activation{e})
	if err != nil {
		if isOverload(err) && slices.ContainsFunc(p.reads, func(i int) bool { return e.Field(i) == nil }) {
			return Result{}, nil // an operation on a null
		}
		return Result{}, err
	}
	switch v := v.(type) {
	case types.Null:
		return Result{}, nil
	case types.Int:
		if p.kind == Int {
			return Result{Valid: true, Int: int64(v)}, nil
		}
	case types.Bool:
		if p.kind == Bool {
			return Result{Valid: true, Bool: bool(v)}, nil
		}
	}
	return Result{}, fmt.Errorf("it gives %s, not %s", article(v.Type().TypeName()), article(string(p.kind)))
}

// isOverload reports whether an error says that an operation has not taken its
// operands. The types of all fields are checked when an expression is compiled,
// so that of them it can only be a null.
func isOverload(err error) bool {
	return strings.HasPrefix(err.Error(), "no such overload") || strings.HasPrefix(err.Error(), "unsupported overload")
}

// activation is an event as what CEL takes variables from.
type activation struct{ event Event }

// ResolveName returns the event.
func (a activation) ResolveName(name string) (any, bool) {
	return a.event, name == Variable
}

// Parent returns nil: there is nothing but the event.
func (a activation) Parent() cel.Activation { return nil }

// eventType is the type of the variable, as messages name it.
const eventType = "event"

// provider declares the type of events.
type provider struct {
	*types.Registry
	fields map[string]*types.FieldType
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if name == eventType {
		return types.NewTypeTypeWithParam(types.NewObjectType(eventType)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if name != eventType {
		return p.Registry.FindStructFieldNames(name)
	}
	var names []string
	for n := range p.fields {
		names = append(names, n)
	}
	return names, true
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != eventType {
		return p.Registry.FindStructFieldType(name, field)
	}
	f, ok := p.fields[field]
	return f, ok
}

var celTypes = map[string]*types.Type{
	"STRING":    types.NewNullableType(types.StringType),
	"INT64":     types.NewNullableType(types.IntType),
	"TIMESTAMP": types.TimestampType, // of which null is one anyhow
}

// standard is what all environments begin with: to make it is most of the work.
var standard = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(cel.CrossTypeNumericComparisons(true), ext.Strings())
})

func environment(fields []Field) (*cel.Env, error) {
	base, err := standard()
	if err != nil {
		return nil, fmt.Errorf("make the CEL environment: %w", err)
	}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("make the CEL types: %w", err)
	}
	p := &provider{registry, map[string]*types.FieldType{}}
	for i, f := range fields {
		t, ok := celTypes[f.Type]
		if !ok {
			return nil, fmt.Errorf("field %s: type %q is not STRING, INT64 or TIMESTAMP", f.Name, f.Type)
		}
		p.fields[f.Name] = &types.FieldType{
			Type:    t,
			IsSet:   func(event any) bool { return event.(Event).Field(i) != nil },
			GetFrom: func(event any) (any, error) { return native(event.(Event).Field(i)) },
		}
	}
	env, err := base.Extend(cel.CustomTypeProvider(p), cel.Variable(Variable, cel.ObjectType(eventType)))
	if err != nil {
		return nil, fmt.Errorf("make the CEL environment: %w", err)
	}
	return env, nil
}

var errValue = errors.New("a field is neither a string, an int64 nor a time")

// native is a field's value as CEL has it.
func native(v Value) (ref.Val, error) {
	switch v := v.(type) {
	case nil:
		return types.NullValue, nil
	case string:
		return types.String(v), nil
	case int64:
		return types.Int(v), nil
	case time.Time:
		return types.Timestamp{Time: v}, nil
	}
	return nil, errValue
}
