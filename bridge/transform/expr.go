package transform

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// recordVar is the name by which expressions know the record's fields.
const recordVar = "record"

// expression is a compiled CEL expression over the record's fields.
type expression struct {
	program cel.Program
	out     *cel.Type // what the checker knows of its type, cel.DynType at worst
	// copied is the path of the field that the expression does nothing but
	// name: its bytes are passed on as they are, so that a number keeps its
	// digits.
	copied *Path
	// native evaluates the ordinary cases of what it knows without CEL; nil
	// where it knows nothing of the expression.
	native    node
	registers int             // that native needs
	names     map[string]bool // that stand in the expression, and may be shown
}

// compile compiles an expression; a condition must be a boolean.
func compile(source string, condition bool) (*expression, error) {
	env := jobspecs.Expressions()
	checked, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("%q is not a CEL expression over record: %w", source, err)
	}
	out := checked.OutputType()
	if condition && !out.IsExactType(cel.BoolType) && !out.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("%q is %s where a condition is due", source, out)
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", source, err)
	}
	e := &expression{program: program, out: out, names: make(map[string]bool)}
	root := checked.NativeRep().Expr()
	e.collect(root)
	if p := pathOf(root); p != nil {
		e.copied = p
	}
	var n natives
	e.native = n.compile(root, 0)
	e.registers = n.registers
	return e, nil
}

// collect notes the names of fields and keys in an expression.
func (e *expression) collect(root ast.Expr) {
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.SelectKind:
			e.names[x.AsSelect().FieldName()] = true
		case ast.LiteralKind:
			if s, ok := x.AsLiteral().(types.String); ok {
				e.names[string(s)] = true
			}
		}
	}))
}

// pathOf returns the path of the field that e does nothing but name, else nil.
func pathOf(e ast.Expr) *Path {
	var names [][]byte
	for {
		switch e.Kind() {
		case ast.IdentKind:
			if e.AsIdent() != recordVar || len(names) == 0 {
				return nil
			}
			p := &Path{}
			for i := len(names) - 1; i >= 0; i-- {
				p.names = append(p.names, names[i])
			}
			p.source = joinNames(p.names)
			return p
		case ast.SelectKind:
			s := e.AsSelect()
			if s.IsTestOnly() {
				return nil
			}
			names = append(names, []byte(s.FieldName()))
			e = s.Operand()
		case ast.CallKind:
			c := e.AsCall()
			if c.FunctionName() != operators.Index || c.Args()[1].Kind() != ast.LiteralKind {
				return nil
			}
			name, ok := c.Args()[1].AsLiteral().(types.String)
			if !ok {
				return nil
			}
			names = append(names, []byte(name))
			e = c.Args()[0]
		default:
			return nil
		}
	}
}

// eval evaluates e over rec. What it returns in out may point into the record
// and into the machine's memory.
func (m *Machine) eval(e *expression, rec *record, out *result) error {
	if e.native != nil && e.native(m, rec, out) {
		return nil
	}
	m.top = recordValue{format: m.p.format, rec: rec}
	v, _, err := e.program.Eval((*activation)(m))
	if err != nil {
		return e.shown(err)
	}
	return freeze(v, out)
}

// matches evaluates a condition.
func (m *Machine) matches(e *expression, rec *record) (bool, error) {
	out := &m.condition
	if err := m.eval(e, rec, out); err != nil {
		return false, err
	}
	if out.kind != kindBool {
		return false, fmt.Errorf("the condition is %s, not a boolean", out.kind)
	}
	return out.num != 0, nil
}

// activation is a Machine as what CEL takes variables from.
type activation Machine

// ResolveName returns the record.
func (a *activation) ResolveName(name string) (any, bool) {
	if name != recordVar {
		return nil, false
	}
	return &a.top, true
}

// Parent returns nil: there is nothing but the record.
func (a *activation) Parent() interpreter.Activation { return nil }

// plainErrors are the messages of CEL that show nothing of the record.
var plainErrors = []string{
	"division by zero", "modulus by zero", "integer overflow", "unsigned integer overflow",
	"duration overflow", "timestamp overflow", "NaN values cannot be ordered",
	"invalid UTF-8 in bytes, cannot convert to string",
}

// shown returns err as it may be shown: CEL puts values into some messages,
// and those of a record may be sensitive (invariant A4).
func (e *expression) shown(err error) error {
	var own *valueError
	var number *strconv.NumError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &number):
		return errors.New("a string is not a number")
	}
	text := err.Error()
	for _, plain := range plainErrors {
		if text == plain {
			return errors.New(plain)
		}
	}
	switch {
	case strings.HasPrefix(text, "no such key"):
		if name := strings.TrimPrefix(text, "no such key: "); e.names[name] {
			return fmt.Errorf("no such key: %s", name)
		}
		return errors.New("no such key")
	case strings.HasPrefix(text, "no such overload"):
		return errors.New("no such overload: the types of its operands do not fit (a whole number is an int: double(x) makes it a double)")
	case strings.Contains(text, "out of bounds"), strings.Contains(text, "out of range"):
		return errors.New("an index is out of range")
	case strings.HasPrefix(text, "type conversion error"):
		return errors.New("type conversion error")
	}
	return errors.New("it cannot be evaluated for this record")
}

// valueError is an error in a value that an expression reads.
type valueError struct{ err error }

func (e *valueError) Error() string { return e.err.Error() }
