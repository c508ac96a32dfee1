package transform

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawExpression draws an expression of which much can be evaluated natively.
func drawExpression(t *rapid.T, depth int) string {
	leaf := []string{
		`record.a`, `record.b`, `record.c`, `record["d.e"]`, `record.a.b`, `record.a["f"].c`,
		`0`, `1`, `-1`, `2`, `1u`, `2.5`, `1.0`, `-0.0`, `9007199254740993`, `9007199254740993u`, `9223372036854775807`, `18446744073709551615u`, `1e300`,
		`""`, `"a"`, `"x"`, `"é"`, `b"x"`, `true`, `false`, `null`,
		`has(record.a)`, `has(record.a.b)`, `"b" in record`, `"c" in record.a`, `[1]`, `{"b": 1}`,
	}
	if depth <= 0 {
		return rapid.SampledFrom(leaf).Draw(t, "leaf")
	}
	sub := func() string { return drawExpression(t, depth-1) }
	switch form := rapid.SampledFrom([]string{
		"leaf", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "&&", "||", "!", "?", "in", "+", "-", "*", "/", "%",
		"startsWith", "endsWith", "contains", "matches", "size", "double", "int", "string", "lowerAscii", "upperAscii", "-x",
	}).Draw(t, "form"); form {
	case "leaf":
		return rapid.SampledFrom(leaf).Draw(t, "leaf")
	case "!":
		return "!(" + sub() + ")"
	case "-x":
		return "-(" + sub() + ")"
	case "?":
		return "(" + sub() + " ? " + sub() + " : " + sub() + ")"
	case "in":
		return sub() + ` in [1, 2u, 2.5, "a", "x", true, null]`
	case "startsWith", "endsWith", "contains":
		return fmt.Sprintf(`dyn(%s).%s(dyn(%s))`, sub(), form, sub())
	case "matches":
		return fmt.Sprintf(`record.%s.matches("^[a-c]+$")`, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "field"))
	case "lowerAscii", "upperAscii":
		return fmt.Sprintf(`record.%s.%s()`, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "field"), form)
	case "size", "double", "int", "string":
		return form + "(" + sub() + ")"
	default:
		return "(" + sub() + ") " + form + " (" + sub() + ")"
	}
}

// checkNative compares what an expression gives natively, if it does, with
// what CEL makes of it. It reports whether it was native.
func checkNative(t *rapid.T, e *expression, text []byte) bool {
	p := &Program{format: jsonFormat{}, registers: e.registers}
	m := p.NewMachine()
	rec := &record{}
	var err error
	if rec.fields, err = scanObject(text, nil, nil); err != nil {
		t.Fatal(err)
	}
	var native, slow result
	if !e.native(m, rec, &native) {
		return false
	}
	without := *e
	without.native = nil
	if err := m.eval(&without, rec, &slow); err != nil {
		t.Fatalf("natively %v, but CEL: %v", native.native(), err)
	}
	if diff := cmp.Diff(fmt.Sprintf("%T %#v", slow.native(), slow.native()), fmt.Sprintf("%T %#v", native.native(), native.native())); diff != "" {
		t.Fatalf("CEL and native differ: %s", diff)
	}
	return true
}

// What is evaluated natively has CEL's value, and no error with CEL either.
func TestNativeIsCEL(t *testing.T) {
	native := 0
	rapid.Check(t, func(t *rapid.T) {
		source := drawExpression(t, rapid.IntRange(0, 3).Draw(t, "depth"))
		e, err := compile(source, false)
		if err != nil || e.native == nil {
			return
		}
		for range 5 {
			text, _ := drawObject(t, 3)
			t.Logf("%s over %s", source, text)
			if checkNative(t, e, []byte(text)) {
				native++
			}
		}
	})
	if native < 50 {
		t.Errorf("only %d evaluations were native: the test shows nothing", native)
	}
}
