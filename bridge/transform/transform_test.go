package transform

import (
	"errors"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestTransform(t *testing.T) {
	for _, c := range []struct {
		name string
		spec jobspecs.Transform
		in   string
		want string // "" dropped; "error: …"
	}{
		{"order and numbers are kept", jobspecs.Transform{Rename: map[string]string{"b": "B"}},
			`{"z":1.10,"b":123456789012345678901,"a":1e400,"s":"\u0041"}`, `{"z":1.10,"B":123456789012345678901,"a":1e400,"s":"\u0041"}`},
		{"missing fields are no matter", jobspecs.Transform{Rename: map[string]string{"x": "y"}, Drop: []string{"w"}}, `{"a":1}`, `{"a":1}`},
		{"swap", jobspecs.Transform{Rename: map[string]string{"a": "b", "b": "a"}}, `{"a":1,"b":2}`, `{"b":1,"a":2}`},
		{"drop by the old name", jobspecs.Transform{Rename: map[string]string{"a": "b"}, Drop: []string{"b"}}, `{"a":1,"b":2}`, `{"b":1}`},
		{"escaped names are found", jobspecs.Transform{Rename: map[string]string{"ab": "c"}}, `{"\u0061b":1}`, `{"c":1}`},
		{"new names are escaped", jobspecs.Transform{Rename: map[string]string{"a": "q\"\n"}}, `{"a":1}`, `{"q\"\n":1}`},
		{"rename onto a field", jobspecs.Transform{Rename: map[string]string{"a": "b"}}, `{"a":1,"b":2}`, `error: rename: field "b" comes twice`},
		{"space goes", jobspecs.Transform{Drop: []string{"x"}}, ` { "a" : [ 1 ] , "x" : 2 } `, `{"a":[ 1 ]}`},
		{"all dropped", jobspecs.Transform{Drop: []string{"a"}}, `{"a":1}`, `{}`},
		{"not an object", jobspecs.Transform{Drop: []string{"a"}}, `[1]`, `error: decode: not a JSON object`},
		{"empty", jobspecs.Transform{Drop: []string{"a"}}, ``, `error: decode: not a JSON object`},

		{"filter keeps", jobspecs.Transform{Filter: `record.a > 1 && record["b"] != "x"`}, `{"a":2,"b":"y"}`, `{"a":2,"b":"y"}`},
		{"filter drops", jobspecs.Transform{Filter: `record.a > 1`}, `{"a":1}`, ``},
		{"filter sees old names", jobspecs.Transform{Filter: `has(record.a)`, Rename: map[string]string{"a": "b"}}, `{"a":1}`, `{"b":1}`},
		{"filter across number types", jobspecs.Transform{Filter: `record.a > 1.5 && record.a < 18446744073709551615u`}, `{"a":2}`, `{"a":2}`},
		{"filter over a missing field", jobspecs.Transform{Filter: `record.a > 1`}, `{}`, `error: filter: no such key`},
		{"filter that is not a condition", jobspecs.Transform{Filter: `record.a`}, `{"a":1}`, `error: filter: the condition is int`},
		{"filter over nested", jobspecs.Transform{Filter: `record.a.b[0] == 1 && size(record) == 1`}, `{"a":{"b":[1]}}`, `{"a":{"b":[1]}}`},
		{"filter by in", jobspecs.Transform{Filter: `"a" in record && !("b" in record) && record.exists(k, k == "a")`}, `{"a":null}`, `{"a":null}`},

		{"set adds by name", jobspecs.Transform{Set: map[string]string{"y": `2`, "x": `1`}}, `{"a":0}`, `{"a":0,"x":1,"y":2}`},
		{"set replaces in place", jobspecs.Transform{Set: map[string]string{"a": `record.a + 1`}}, `{"a":1,"b":2}`, `{"a":2,"b":2}`},
		{"set sees new names", jobspecs.Transform{Rename: map[string]string{"a": "b"}, Set: map[string]string{"c": `record.b * 2`}}, `{"a":2}`, `{"b":2,"c":4}`},
		{"sets do not see each other", jobspecs.Transform{Set: map[string]string{"a": `record.b`, "b": `record.a`}}, `{"a":1,"b":2}`, `{"a":2,"b":1}`},
		{"set copies the text", jobspecs.Transform{Set: map[string]string{"b": `record.a`, "c": `record["a"]`}}, `{"a":0.10000000000000000001}`, `{"a":0.10000000000000000001,"b":0.10000000000000000001,"c":0.10000000000000000001}`},
		{"set of a missing field", jobspecs.Transform{Set: map[string]string{"b": `record.a`}}, `{}`, `error: set b: field "a" is not there`},
		{"set of all types", jobspecs.Transform{Set: map[string]string{"v": `[null, true, -1, 2u, 1.5, "é\"", b"\xff", {"b": 1, "a": [2]}, timestamp("2001-01-08T00:00:00Z"), duration("90s")]`}}, `{}`,
			`{"v":[null,true,-1,2,1.5,"é\"","/w==",{"a":[2],"b":1},"2001-01-08T00:00:00Z","1m30s"]}`},
		{"set of the record", jobspecs.Transform{Set: map[string]string{"v": `record`}}, `{"b":1,"a":"x"}`, `{"b":1,"a":"x","v":{"a":"x","b":1}}`},
		{"set strings", jobspecs.Transform{Set: map[string]string{"v": `record.a.upperAscii() + "-" + string(record.n)`}}, `{"a":"x","n":7}`, `{"a":"x","n":7,"v":"X-7"}`},
		{"set divides by zero", jobspecs.Transform{Set: map[string]string{"v": `1 / record.a`}}, `{"a":0}`, `error: set v: division by zero`},
		{"set not a number", jobspecs.Transform{Set: map[string]string{"v": `0.0 / double(record.a)`}}, `{"a":0}`, `error: encode: the result is not a finite number`},
		{"set beyond 64 bits", jobspecs.Transform{Set: map[string]string{"v": `record.a + 1`}}, `{"a":123456789012345678901}`, `error: set v: a whole number of more than 64 bits`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := run(t, c.spec, c.in); got != c.want && !(strings.HasPrefix(c.want, "error") && strings.HasPrefix(got, c.want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// run applies a transform of JSON to one record, and returns its events, one
// per line: "" where all are dropped, "error: …" where it can never be
// published.
func run(t testing.TB, spec jobspecs.Transform, in string) string {
	t.Helper()
	spec.Decode = "json"
	p, err := New(spec, Options{Needed: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	return apply(t, p.NewMachine(), in)
}

func apply(t testing.TB, m *Machine, in string) string {
	t.Helper()
	n, err := m.Apply(t.Context(), []byte(in))
	var out []byte
	for i := 0; i < n && err == nil; i++ {
		if i > 0 {
			out = append(out, '\n')
		}
		out, err = m.AppendData(out, i)
	}
	if err != nil {
		var bad *DataError
		if !errors.As(err, &bad) {
			t.Fatalf("%v is no DataError", err)
		}
		return "error: " + err.Error()
	}
	return string(out)
}

func TestRefusesSpecs(t *testing.T) {
	for _, c := range []struct {
		spec jobspecs.Transform
		need bool
		want string
	}{
		{jobspecs.Transform{Decode: "none", Filter: "true"}, false, "need the record's fields"},
		{jobspecs.Transform{Decode: "none", Drop: []string{"a"}}, false, "need the record's fields"},
		{jobspecs.Transform{Decode: "none"}, true, "need the record's fields"},
		{jobspecs.Transform{Decode: "json", Filter: "record.a +"}, false, "spec.transform.filter"},
		{jobspecs.Transform{Decode: "json", Filter: "1 + 1"}, false, "where a condition is due"},
		{jobspecs.Transform{Decode: "json", Filter: "now() > 1"}, false, "undeclared reference"},
		{jobspecs.Transform{Decode: "json", Set: map[string]string{"x": "recrd.a"}}, false, "spec.transform.set.x"},
		{jobspecs.Transform{Decode: "json", Rename: map[string]string{"a": "c", "b": "c"}}, false, `fields "a" and "b" are both renamed to "c"`},
		{jobspecs.Transform{Decode: "json", Rename: map[string]string{"a": "c"}, Drop: []string{"a"}}, false, "both renamed and dropped"},
	} {
		_, err := New(c.spec, need(c.need))
		if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Usage {
			t.Errorf("%+v: error %v, want %q and exit code 2", c.spec, err, c.want)
		}
	}
}

func need(fields bool) Options {
	if fields {
		return Options{Needed: []string{"a"}}
	}
	return Options{}
}

// A record that needs no decoding is never decoded.
func TestTransformDecodesOnlyForANeed(t *testing.T) {
	for _, c := range []struct {
		spec            jobspecs.Transform
		need            bool
		decode, rewrite bool
	}{
		{jobspecs.Transform{Decode: "none"}, false, false, false},
		{jobspecs.Transform{Decode: "json"}, false, false, false},
		{jobspecs.Transform{Decode: "json"}, true, true, false},
		{jobspecs.Transform{Decode: "json", Filter: "true"}, false, true, false},
		{jobspecs.Transform{Decode: "json", Drop: []string{"a"}}, false, true, true},
	} {
		tr, err := New(c.spec, need(c.need))
		if err != nil {
			t.Fatal(err)
		}
		if tr.Decodes() != c.decode || tr.Rewrites() != c.rewrite {
			t.Errorf("%+v, %v: decode %v, rewrite %v", c.spec, c.need, tr.Decodes(), tr.Rewrites())
		}
	}
}
