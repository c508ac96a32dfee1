package transform

import (
	"bytes"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// node evaluates part of an expression, without allocating. It returns false
// for whatever is out of the ordinary (a missing field, operands of types that
// do not fit, an overflow): CEL then evaluates the whole expression, so that
// its rules for errors hold to the letter, and here only values must be right.
type node func(m *Machine, rec *record, out *result) bool

// natives compiles an expression to nodes. An operand's value is kept in a
// register of the machine, given by the depth of its operation: on the stack
// it would escape.
type natives struct{ registers int }

// compile returns nil for an expression that only CEL knows.
func (n *natives) compile(e ast.Expr, depth int) node {
	switch e.Kind() {
	case ast.LiteralKind:
		return n.literal(e)
	case ast.SelectKind:
		if s := e.AsSelect(); s.IsTestOnly() {
			return n.has(s.Operand(), s.FieldName())
		}
		return n.path(e)
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() == operators.Index {
			return n.path(e)
		}
		return n.call(c, depth)
	default:
		return nil
	}
}

// operands compiles the operands of an operation at a depth, and reserves a
// register for each. The first result is false if one of them is unknown.
func (n *natives) operands(depth int, list ...ast.Expr) (nodes [2]node, ok bool) {
	if len(list) > len(nodes) {
		return nodes, false
	}
	for i, e := range list {
		if nodes[i] = n.compile(e, depth+len(list)); nodes[i] == nil {
			return nodes, false
		}
	}
	n.registers = max(n.registers, depth+len(list))
	return nodes, true
}

func constant(e ast.Expr) (*result, bool) {
	if e.Kind() != ast.LiteralKind {
		return nil, false
	}
	r := new(result)
	if err := freeze(e.AsLiteral(), r); err != nil || r.kind > kindBytes {
		return nil, false
	}
	return r, true
}

func (n *natives) literal(e ast.Expr) node {
	r, ok := constant(e)
	if !ok {
		return nil
	}
	return func(_ *Machine, _ *record, out *result) bool {
		*out = *r
		return true
	}
}

func (n *natives) path(e ast.Expr) node {
	p := pathOf(e)
	if p == nil {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		f, err := m.lookup(rec, p)
		if f == nil || err != nil || f.sub != nil {
			return false
		}
		if k := m.p.format.kindOf(f); k == kindList || k == kindMap {
			return false
		}
		return m.p.format.decode(f, out) == nil && out.kind < kindList
	}
}

// has tests whether the record at an expression has a field.
func (n *natives) has(parent ast.Expr, name string) node {
	key := []byte(name)
	if parent.Kind() == ast.IdentKind && parent.AsIdent() == recordVar {
		return func(m *Machine, rec *record, out *result) bool {
			f := rec.find(key)
			return (f == nil || m.usable(f, out)) && out.setBool(f != nil)
		}
	}
	p := pathOf(parent)
	if p == nil {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		f, err := m.lookup(rec, p)
		if f == nil || err != nil {
			return false
		}
		sub, err := m.inside(f)
		if err != nil {
			return false
		}
		for i := range sub {
			if bytes.Equal(sub[i].name, key) {
				return m.usable(&sub[i], out) && out.setBool(true)
			}
		}
		return out.setBool(false)
	}
}

// usable reports whether CEL can decode f, as it does even where an expression
// only asks whether the field is there. It overwrites out.
func (m *Machine) usable(f *field, out *result) bool {
	switch {
	case f.sub != nil:
		return true
	case m.p.format.kindOf(f) == kindMap:
		_, err := m.inside(f)
		return err == nil
	default:
		return m.p.format.decode(f, out) == nil
	}
}

func (r *result) setBool(b bool) bool {
	r.kind, r.num = kindBool, 0
	if b {
		r.num = 1
	}
	return true
}

func (n *natives) call(c ast.CallExpr, depth int) node {
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	switch name := c.FunctionName(); name {
	case operators.LogicalAnd, operators.LogicalOr:
		return n.logic(name == operators.LogicalOr, depth, args)
	case operators.LogicalNot:
		return n.not(depth, args)
	case operators.Conditional:
		return n.conditional(depth, args)
	case operators.Equals, operators.NotEquals:
		return n.equal(name == operators.Equals, depth, args)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return n.ordered(name, depth, args)
	case operators.In:
		return n.in(depth, args)
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo:
		return n.arithmetic(name, depth, args)
	case "matches":
		return n.matches(depth, args)
	case "startsWith", "endsWith", "contains":
		return n.text(name, depth, args)
	case "size", "double", "int", "string", "lowerAscii", "upperAscii":
		return n.unary(name, depth, args)
	default:
		return nil
	}
}

func (n *natives) logic(or bool, depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 2 {
		return nil
	}
	var decided uint64 // the value of the left side that decides
	if or {
		decided = 1
	}
	return func(m *Machine, rec *record, out *result) bool {
		if !x[0](m, rec, out) || out.kind != kindBool {
			return false
		}
		return out.num == decided || x[1](m, rec, out) && out.kind == kindBool
	}
}

func (n *natives) not(depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 1 {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		return x[0](m, rec, out) && out.kind == kindBool && out.setBool(out.num == 0)
	}
}

func (n *natives) conditional(depth int, args []ast.Expr) node {
	if len(args) != 3 {
		return nil
	}
	cond, ok := n.operands(depth, args[0])
	x, ok2 := n.operands(depth, args[1:]...)
	if !ok || !ok2 {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		if !cond[0](m, rec, out) || out.kind != kindBool {
			return false
		}
		if out.num != 0 {
			return x[0](m, rec, out)
		}
		return x[1](m, rec, out)
	}
}

func (n *natives) equal(want bool, depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 2 {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		a, b := &m.registers[depth], &m.registers[depth+1]
		if !x[0](m, rec, a) || !x[1](m, rec, b) {
			return false
		}
		eq, ok := same(a, b)
		return ok && out.setBool(eq == want)
	}
}

func (n *natives) ordered(op string, depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 2 {
		return nil
	}
	less := op == operators.Less || op == operators.LessEquals
	orEqual := op == operators.LessEquals || op == operators.GreaterEquals
	return func(m *Machine, rec *record, out *result) bool {
		a, b := &m.registers[depth], &m.registers[depth+1]
		if !x[0](m, rec, a) || !x[1](m, rec, b) {
			return false
		}
		order, ok := compare(a, b)
		return ok && out.setBool(order == 0 && orEqual || order < 0 && less || order > 0 && !less)
	}
}

// in is membership in a list of constants, or of a name in a record.
func (n *natives) in(depth int, args []ast.Expr) node {
	if args[1].Kind() != ast.ListKind {
		if args[0].Kind() != ast.LiteralKind {
			return nil
		}
		name, ok := args[0].AsLiteral().(types.String)
		if !ok {
			return nil
		}
		return n.has(args[1], string(name))
	}
	x, ok := n.operands(depth, args[0])
	if !ok {
		return nil
	}
	items := args[1].AsList()
	if len(items.OptionalIndices()) > 0 {
		return nil
	}
	var list []*result
	for _, e := range items.Elements() {
		r, ok := constant(e)
		if !ok {
			return nil
		}
		list = append(list, r)
	}
	return func(m *Machine, rec *record, out *result) bool {
		a := &m.registers[depth]
		if !x[0](m, rec, a) {
			return false
		}
		for _, b := range list {
			eq, ok := same(a, b)
			if !ok {
				return false
			}
			if eq {
				return out.setBool(true)
			}
		}
		return out.setBool(false)
	}
}
