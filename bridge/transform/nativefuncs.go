package transform

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

func (n *natives) text(name string, depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 2 {
		return nil
	}
	test := map[string]func(a, b []byte) bool{"startsWith": bytes.HasPrefix, "endsWith": bytes.HasSuffix, "contains": bytes.Contains}[name]
	return func(m *Machine, rec *record, out *result) bool {
		a, b := &m.registers[depth], &m.registers[depth+1]
		return x[0](m, rec, a) && a.kind == kindString && x[1](m, rec, b) && b.kind == kindString && out.setBool(test(a.text, b.text))
	}
}

func (n *natives) matches(depth int, args []ast.Expr) node {
	if len(args) != 2 || args[1].Kind() != ast.LiteralKind {
		return nil
	}
	pattern, _ := args[1].AsLiteral().(types.String)
	re, err := regexp.Compile(string(pattern))
	x, ok := n.operands(depth, args[0])
	if err != nil || !ok {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		a := &m.registers[depth]
		return x[0](m, rec, a) && a.kind == kindString && out.setBool(re.Match(a.text))
	}
}

func (n *natives) arithmetic(op string, depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 2 {
		return nil
	}
	return func(m *Machine, rec *record, out *result) bool {
		a, b := &m.registers[depth], &m.registers[depth+1]
		if !x[0](m, rec, a) || !x[1](m, rec, b) || a.kind != b.kind {
			return false
		}
		switch a.kind {
		case kindInt:
			v, ok := integer(op, int64(a.num), int64(b.num))
			out.kind, out.num = kindInt, uint64(v)
			return ok
		case kindDouble:
			v, ok := floating(op, a.double(), b.double())
			out.kind, out.num = kindDouble, math.Float64bits(v)
			return ok
		case kindString:
			if op != operators.Add {
				return false
			}
			start := len(m.text)
			m.text = append(append(m.text, a.text...), b.text...)
			out.kind, out.text = kindString, m.text[start:len(m.text):len(m.text)]
			return true
		default:
			return false
		}
	}
}

func integer(op string, a, b int64) (v int64, ok bool) {
	const small = 1 << 31 // the product of two of them fits
	switch op {
	case operators.Add:
		v = a + b
		return v, (v > a) == (b > 0)
	case operators.Subtract:
		v = a - b
		return v, (v < a) == (b > 0)
	case operators.Multiply:
		return a * b, -small < a && a < small && -small < b && b < small
	case operators.Divide:
		if b == 0 || b == -1 {
			return 0, false
		}
		return a / b, true
	default:
		if b == 0 || b == -1 {
			return 0, false
		}
		return a % b, true
	}
}

func floating(op string, a, b float64) (float64, bool) {
	switch op {
	case operators.Add:
		return a + b, true
	case operators.Subtract:
		return a - b, true
	case operators.Multiply:
		return a * b, true
	case operators.Divide:
		return a / b, true
	default:
		return 0, false
	}
}

func (n *natives) unary(name string, depth int, args []ast.Expr) node {
	x, ok := n.operands(depth, args...)
	if !ok || len(args) != 1 {
		return nil
	}
	apply := map[string]func(m *Machine, a, out *result) bool{
		"size": size, "double": toDouble, "int": toInt, "string": toString,
		"lowerAscii": func(m *Machine, a, out *result) bool { return ascii(m, a, out, 'A', 'Z') },
		"upperAscii": func(m *Machine, a, out *result) bool { return ascii(m, a, out, 'a', 'z') },
	}[name]
	return func(m *Machine, rec *record, out *result) bool {
		a := &m.registers[depth]
		return x[0](m, rec, a) && apply(m, a, out)
	}
}

func size(_ *Machine, a, out *result) bool {
	if a.kind != kindString {
		return false
	}
	out.kind, out.num = kindInt, uint64(utf8.RuneCount(a.text))
	return true
}

func toDouble(_ *Machine, a, out *result) bool {
	v := a.double()
	switch a.kind {
	case kindDouble:
	case kindInt:
		v = float64(int64(a.num))
	case kindUint:
		v = float64(a.num)
	default:
		return false
	}
	out.kind, out.num = kindDouble, math.Float64bits(v)
	return true
}

func toInt(_ *Machine, a, out *result) bool {
	switch d := a.double(); {
	case a.kind == kindInt:
		*out = *a
		return true
	case a.kind == kindDouble && -exact < d && d < exact: // also not NaN
		out.kind, out.num = kindInt, uint64(int64(d))
		return true
	default:
		return false
	}
}

func toString(m *Machine, a, out *result) bool {
	start := len(m.text)
	switch a.kind {
	case kindString:
		*out = *a
		return true
	case kindInt:
		m.text = strconv.AppendInt(m.text, int64(a.num), 10)
	case kindUint:
		m.text = strconv.AppendUint(m.text, a.num, 10)
	case kindBool:
		m.text = strconv.AppendBool(m.text, a.num != 0)
	default:
		return false
	}
	out.kind, out.text = kindString, m.text[start:len(m.text):len(m.text)]
	return true
}

// ascii swaps the case of the letters from first to last.
func ascii(m *Machine, a, out *result, first, last byte) bool {
	if a.kind != kindString {
		return false
	}
	start := len(m.text)
	for _, c := range a.text {
		if first <= c && c <= last {
			c ^= 'a' - 'A'
		}
		m.text = append(m.text, c)
	}
	out.kind, out.text = kindString, m.text[start:len(m.text):len(m.text)]
	return true
}

// exact is the greatest integer up to which doubles hold all of them.
const exact = 1 << 53

// same compares two scalars as CEL does: numbers by value, across their types;
// everything else is equal only to its like.
func same(a, b *result) (eq, ok bool) {
	if numeric(a.kind) && numeric(b.kind) {
		if a.kind == kindDouble && b.kind == kindDouble {
			return a.double() == b.double(), true
		}
		order, ok := compare(a, b)
		return order == 0, ok
	}
	if a.kind != b.kind {
		return false, a.kind < kindList && b.kind < kindList
	}
	switch a.kind {
	case kindNull:
		return true, true
	case kindBool, kindDuration:
		return a.num == b.num, true
	case kindString, kindBytes:
		return bytes.Equal(a.text, b.text), true
	case kindTime:
		return a.when.Equal(b.when), true
	default:
		return false, false
	}
}

func numeric(k kind) bool { return k == kindInt || k == kindUint || k == kindDouble }

// compare orders two scalars; false where CEL has to see to it.
func compare(a, b *result) (order int, ok bool) {
	if a.kind != b.kind {
		return mixed(a, b)
	}
	switch a.kind {
	case kindInt:
		return sign(int64(a.num), int64(b.num)), true
	case kindUint, kindBool:
		return sign(a.num, b.num), true
	case kindDouble:
		x, y := a.double(), b.double()
		return sign(x, y), x == x && y == y // not for NaN
	case kindString, kindBytes:
		return bytes.Compare(a.text, b.text), true
	case kindTime:
		return a.when.Compare(b.when), true
	case kindDuration:
		return sign(int64(a.num), int64(b.num)), true
	default:
		return 0, false
	}
}

// mixed orders numbers of two types, where none loses anything as a double.
func mixed(a, b *result) (order int, ok bool) {
	x, ok := number64(a)
	y, ok2 := number64(b)
	return sign(x, y), ok && ok2 && x == x && y == y
}

func number64(r *result) (float64, bool) {
	switch r.kind {
	case kindInt:
		n := int64(r.num)
		return float64(n), -exact <= n && n <= exact
	case kindUint:
		return float64(r.num), r.num <= exact
	case kindDouble:
		return r.double(), true
	default:
		return 0, false
	}
}

func sign[T int64 | uint64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
