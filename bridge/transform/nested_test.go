package transform

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string // nil: refused
	}{
		{`a`, []string{"a"}},
		{`a.b.c`, []string{"a", "b", "c"}},
		{`a\.b.c`, []string{"a.b", "c"}},
		{`a\\.b`, []string{`a\`, "b"}},
		{`é.ü`, []string{"é", "ü"}},
		{``, nil},
		{`.`, nil},
		{`a.`, nil},
		{`.a`, nil},
		{`a..b`, nil},
		{`a\`, nil},
		{`a\b`, nil},
	} {
		p, err := ParsePath(c.in)
		if err != nil {
			if c.want != nil {
				t.Errorf("ParsePath(%q): %v", c.in, err)
			}
			continue
		}
		var got []string
		for _, n := range p.names {
			got = append(got, string(n))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("ParsePath(%q): %s", c.in, diff)
		}
		if back := joinNames(p.names); back != c.in {
			t.Errorf("ParsePath(%q) is written %q", c.in, back)
		}
	}
}

func TestNested(t *testing.T) {
	type m = map[string]string
	for _, c := range []struct {
		name string
		spec jobspecs.Transform
		in   string
		want string
	}{
		{"rename", jobspecs.Transform{Rename: m{"a.b": "B"}}, `{"x":{"b":1},"a":{"c": [1 ] ,"b":2}}`, `{"x":{"b":1},"a":{"c":[1 ],"B":2}}`},
		{"rename on two levels", jobspecs.Transform{Rename: m{"a": "A", "a.b": "B", "a.b.c": "C"}}, `{"a":{"b":{"c":1}}}`, `{"A":{"B":{"C":1}}}`},
		{"rename one name in two records", jobspecs.Transform{Rename: m{"a.x": "id", "b.x": "id"}}, `{"a":{"x":1},"b":{"x":2}}`, `{"a":{"id":1},"b":{"id":2}}`},
		{"a new name is no path", jobspecs.Transform{Rename: m{"a.b": "c.d"}}, `{"a":{"b":1}}`, `{"a":{"c.d":1}}`},
		{"drop", jobspecs.Transform{Drop: []string{"a.b", "c.d.e"}}, `{"a":{"b":1},"c":{"d":{"e":1,"f":2}}}`, `{"a":{},"c":{"d":{"f":2}}}`},
		{"drop a name with a dot", jobspecs.Transform{Drop: []string{`a\.b`}}, `{"a":{"b":1},"a.b":2}`, `{"a":{"b":1}}`},
		{"nothing there", jobspecs.Transform{Drop: []string{"a.b"}, Rename: m{"c.d": "e"}}, `{"a":1,"c":null}`, `{"a":1,"c":null}`},
		{"lists are not looked into", jobspecs.Transform{Drop: []string{"a.b"}}, `{"a":[{"b":1}]}`, `{"a":[{"b":1}]}`},
		{"collision", jobspecs.Transform{Rename: m{"a.b": "c"}}, `{"a":{"b":1,"c":2}}`, `error: rename: field "c" comes twice`},
		{"swap", jobspecs.Transform{Rename: m{"a.b": "c", "a.c": "b"}}, `{"a":{"b":1,"c":2}}`, `{"a":{"c":1,"b":2}}`},
		{"onto a dropped field", jobspecs.Transform{Rename: m{"a.b": "c"}, Drop: []string{"a.c"}}, `{"a":{"b":1,"c":2}}`, `{"a":{"c":1}}`},
		{"a name twice, looked into", jobspecs.Transform{Drop: []string{"a.x"}}, `{"a":{"b":1,"\u0062":2}}`, `error: a field comes twice`},
		{"a name twice, not looked into", jobspecs.Transform{Drop: []string{"x"}}, `{"b":{"c":1,"c":2}}`, `{"b":{"c":1,"c":2}}`},
		{"set", jobspecs.Transform{Set: m{"a.b": `record.a.c + 1`}}, `{"a":{"c":1}}`, `{"a":{"c":1,"b":2}}`},
		{"set replaces", jobspecs.Transform{Set: m{"a.b.c": `"x"`}}, `{"a":{"b":{"c":1,"d":2}}}`, `{"a":{"b":{"c":"x","d":2}}}`},
		{"set by new names", jobspecs.Transform{Rename: m{"a": "A", "a.b": "B"}, Set: m{"A.c": `record.A.B`, "d": `record.A`}}, `{"a":{"b":1.0}}`, `{"A":{"B":1.0,"c":1.0},"d":{"B":1.0}}`},
		{"set copies a record that changes", jobspecs.Transform{Drop: []string{"a.x"}, Set: m{"a.b": `1`, "c": `record.a`, "c2": `record.a`}}, `{"a":{"x":0,"y":{"z":1}}}`, `{"a":{"y":{"z":1},"b":1},"c":{"y":{"z":1}},"c2":{"y":{"z":1}}}`},
		{"set copies a nested field", jobspecs.Transform{Set: m{"b": `record.a["x.y"].z`}}, `{"a":{"x.y":{"z":1e0}}}`, `{"a":{"x.y":{"z":1e0}},"b":1e0}`},
		{"set a name with a dot", jobspecs.Transform{Set: m{`a\.b`: `1`}}, `{"a":{"b":2}}`, `{"a":{"b":2},"a.b":1}`},
		{"set in what is missing", jobspecs.Transform{Set: m{"a.b": `1`}}, `{}`, `error: set a.b: field "a" is not there`},
		{"set in what is missing below", jobspecs.Transform{Set: m{"a.b.c": `1`}}, `{"a":{}}`, `error: set a.b.c: field "a.b" is not there`},
		{"set in what is null", jobspecs.Transform{Set: m{"a.b": `1`}}, `{"a":null}`, `error: set a.b: field "a" is not a record`},
		{"set in a list", jobspecs.Transform{Set: m{"a.b": `1`}}, `{"a":[1]}`, `error: set a.b: field "a" is not a record`},
		{"set from a missing nested field", jobspecs.Transform{Set: m{"b": `record.a.x`}}, `{"a":{}}`, `error: set b: field "a.x" is not there`},
		{"filter", jobspecs.Transform{Filter: `record.a.b == "x" && has(record.a.c) && !has(record.a.d) && "c" in record.a`}, `{"a":{"b":"x","c":null}}`, `{"a":{"b":"x","c":null}}`},
		{"filter of a missing parent", jobspecs.Transform{Filter: `has(record.a.c)`}, `{}`, `error: filter: no such key: a`},
		{"filter of what is no record", jobspecs.Transform{Filter: `record.a.c == 1`}, `{"a":1}`, `error: filter: no such key: c`},
		{"a computed record", jobspecs.Transform{Set: m{"v": `{"x": record.a, "y": [record]}`}}, `{"a":{"b":1.5}}`, `{"a":{"b":1.5},"v":{"x":{"b":1.5},"y":[{"a":{"b":1.5}}]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := run(t, c.spec, c.in); got != c.want && !(strings.HasPrefix(c.want, "error") && strings.HasPrefix(got, c.want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestRefusesNestedSpecs(t *testing.T) {
	type m = map[string]string
	for _, c := range []struct {
		spec jobspecs.Transform
		want string
	}{
		{jobspecs.Transform{Rename: m{"a.b": "c", `a.d`: "c"}}, `fields "a.b" and "a.d" are both renamed to "c"`},
		{jobspecs.Transform{Rename: m{"a.b": "c"}, Drop: []string{"a.b"}}, `both renamed and dropped`},
		{jobspecs.Transform{Rename: m{"a.b": "c"}, Drop: []string{"a"}}, `"a.b" is renamed, but "a", which holds it, is dropped`},
		{jobspecs.Transform{Rename: m{"a": ""}}, `the new name is empty`},
		{jobspecs.Transform{Rename: m{"a..b": "c"}}, `spec.transform.rename: "a..b": a name in it is empty`},
		{jobspecs.Transform{Drop: []string{`a\x`}}, `spec.transform.drop: "a\\x": after a backslash`},
		{jobspecs.Transform{Set: m{"a": `{"b": 1}`, "a.b": `1`}}, `"a" and "a.b" set the same field`},
		{jobspecs.Transform{Set: m{".": `1`}}, `spec.transform.set: "."`},
		{jobspecs.Transform{Events: "a."}, `spec.transform.events: "a."`},
		{jobspecs.Transform{Encode: "original", Drop: []string{"a"}}, `encode original passes the record's own bytes`},
		{jobspecs.Transform{Encode: "xml"}, `there is no format "xml"`},
		{jobspecs.Transform{Decode: "xml"}, `there is no format "xml"`},
	} {
		if c.spec.Decode == "" {
			c.spec.Decode = "json"
		}
		_, err := New(c.spec, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || exit.Of(err) != exit.Usage {
			t.Errorf("%+v: error %v, want %q and exit code 2", c.spec, err, c.want)
		}
	}
	p, err := New(jobspecs.Transform{Decode: "json"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Path("a..b"); exit.Of(err) != exit.Usage {
		t.Errorf("Path: %v", err)
	}
	if _, err := New(jobspecs.Transform{Decode: "json"}, Options{Needed: []string{"a."}}); exit.Of(err) != exit.Usage {
		t.Errorf("Needed: %v", err)
	}
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name    string
		spec    jobspecs.Transform
		in      string
		want    string
		dropped int
		numbers string
	}{
		{"items as they are", jobspecs.Transform{Events: "l"}, `{"l":[ {"a": 1} , {"a":2}]}`, "{\"a\": 1}\n{\"a\":2}", 0, "0 1"},
		{"nested list", jobspecs.Transform{Events: "x.l"}, `{"x":{"l":[{"a":1}]}}`, `{"a":1}`, 0, "0"},
		{"filter and remap", jobspecs.Transform{Events: "l", Filter: `record.a > 1`, Rename: map[string]string{"a": "A"}}, `{"l":[{"a":1},{"a":2},{"a":0},{"a":3}]}`, "{\"A\":2}\n{\"A\":3}", 2, "1 3"},
		{"set", jobspecs.Transform{Events: "l", Set: map[string]string{"b": `record.a + 1`}}, `{"l":[{"a":1},{"a":2}]}`, "{\"a\":1,\"b\":2}\n{\"a\":2,\"b\":3}", 0, "0 1"},
		{"original", jobspecs.Transform{Events: "l", Encode: "original"}, `{"l":[{"a":1 },{ }]}`, "{\"a\":1 }\n{ }", 0, "0 1"},
		{"all dropped", jobspecs.Transform{Events: "l", Filter: "false"}, `{"l":[{},{}]}`, "", 2, ""},
		{"empty list", jobspecs.Transform{Events: "l"}, `{"l":[ ]}`, "", 0, ""},
		{"not there", jobspecs.Transform{Events: "x.l"}, `{"l":[]}`, `error: events: field "x.l" is not there`, 0, ""},
		{"null", jobspecs.Transform{Events: "l"}, `{"l":null}`, `error: events: field "l": not a list`, 0, ""},
		{"no list", jobspecs.Transform{Events: "l"}, `{"l":{"a":[]}}`, `error: events: field "l": not a list`, 0, ""},
		{"an item that is no record", jobspecs.Transform{Events: "l"}, `{"l":[{},1]}`, `error: event 1: decode: not a record`, 0, ""},
		{"one bad event", jobspecs.Transform{Events: "l", Filter: `record.a > 1`}, `{"l":[{"a":2},{}]}`, `error: event 1: filter: no such key: a`, 0, ""},
		{"a name twice in an item", jobspecs.Transform{Events: "l"}, `{"l":[{"a":2,"a":2}]}`, `error: event 0: decode: a field comes twice`, 0, ""},
		{"not JSON after the list", jobspecs.Transform{Events: "l"}, `{"l":[{}]`, `error: decode: JSON ends too early`, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Decode = "json"
			p, err := New(c.spec, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !p.Decodes() || !p.Rewrites() {
				t.Error("events come from fields, and have bytes of their own")
			}
			m := p.NewMachine()
			got := apply(t, m, c.in)
			if got != c.want && !(strings.HasPrefix(c.want, "error") && strings.HasPrefix(got, c.want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var numbers []string
			for i := range m.events {
				numbers = append(numbers, fmt.Sprint(m.Ordinal(i)))
			}
			if n := strings.Join(numbers, " "); n != c.numbers || m.Dropped() != c.dropped {
				t.Errorf("ordinals %q, %d dropped; want %q, %d", n, m.Dropped(), c.numbers, c.dropped)
			}
		})
	}
}

// The number of an event has 16 bits in its id.
func TestMostEvents(t *testing.T) {
	p, err := New(jobspecs.Transform{Decode: "json", Events: "l"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	list := func(n int) []byte { return []byte(`{"l":[{}` + strings.Repeat(`,{}`, n-1) + `]}`) }
	if n, err := m.Apply(t.Context(), list(MaxEvents)); n != MaxEvents || err != nil {
		t.Errorf("%d events, %v", n, err)
	}
	var bad *DataError
	if n, err := m.Apply(t.Context(), list(MaxEvents+1)); n != 0 || !errors.As(err, &bad) || !strings.Contains(err.Error(), "65536 items") {
		t.Errorf("%d events, %v", n, err)
	}
}

func TestFields(t *testing.T) {
	spec := jobspecs.Transform{Decode: "json", Rename: map[string]string{"a": "A", "n.x": "X"}, Set: map[string]string{"s": `"é" + "\n"`, "m": `{"k": {"l": [1, 2.5]}}`, "z": `null`}}
	p, err := New(spec, Options{Needed: []string{"A"}})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	in := `{"a":"\u0041\n","n":{"x":1.50,"y":[1, 2]},"b":true,"u":null}`
	if n, err := m.Apply(t.Context(), []byte(in)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for _, c := range []struct{ path, plain, json string }{
		{"A", "A\n", `"A\n"`},
		{"a", "", ""},
		{"n.X", "1.50", "1.50"},
		{"n.x", "", ""},
		{"n.y", "[1, 2]", "[1, 2]"},
		{"n", `{"X":1.50,"y":[1, 2]}`, `{"X":1.50,"y":[1, 2]}`},
		{"n.y.z", "", ""},
		{"b", "true", "true"},
		{"b.c", "", ""},
		{"u", "null", "null"},
		{"z", "null", "null"},
		{"s", "é\n", `"é\n"`},
		{"s.t", "", ""},
		{"m.k.l", "[1,2.5]", "[1,2.5]"},
		{"m.k", `{"l":[1,2.5]}`, `{"l":[1,2.5]}`},
		{"m.k.x", "", ""},
	} {
		path, err := p.Path(c.path)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := m.Field(0, path)
		if ok != (c.json != "") {
			t.Errorf("%s: there %v", c.path, ok)
			continue
		}
		if !ok {
			continue
		}
		plain, err := v.AppendPlain([]byte("+"))
		if err != nil || string(plain) != "+"+c.plain {
			t.Errorf("%s: plain %q, %v; want %q", c.path, plain, err, c.plain)
		}
		text, err := v.AppendJSON([]byte("+"))
		if err != nil || string(text) != "+"+c.json {
			t.Errorf("%s: JSON %q, %v; want %q", c.path, text, err, c.json)
		}
		if v.Null() != (c.json == "null") || v.Nested() != strings.ContainsAny(c.json[:1], "[{") || v.Text() != (c.json[0] == '"') {
			t.Errorf("%s: null %v, nested %v, text %v", c.path, v.Null(), v.Nested(), v.Text())
		}
	}
}

// A field that others need is looked up by Apply, so that a record in which it
// cannot be found without doubt never gets as far as Field.
func TestNeededFieldsAreSound(t *testing.T) {
	p, err := New(jobspecs.Transform{Decode: "json"}, Options{Needed: []string{"a.b"}})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	if _, err := m.Apply(t.Context(), []byte(`{"a":{"b":1,"b":2}}`)); err == nil || err.Error() != `field "a.b": a field comes twice, the second time as number 2` {
		t.Errorf("%v", err)
	}
	for _, in := range []string{`{"a":{"b":1}}`, `{"a":{}}`, `{"a":null}`, `{}`} {
		if n, err := m.Apply(t.Context(), []byte(in)); n != 1 || err != nil {
			t.Errorf("%s: %d, %v", in, n, err)
		}
	}
}
