package pipeline

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var jsonFields = []Field{{"s", String}, {"n", Int64}, {"t", Timestamp}}

func TestFieldReader(t *testing.T) {
	str := func(s string) Value { return Value{Valid: true, Str: s} }
	num := func(n int64) Value { return Value{Valid: true, Int: n} }
	null := Value{}
	for _, test := range []struct {
		data string
		want []Value
		err  string // part of the error
	}{
		{`{"s":"a","n":1,"t":"1970-01-01T00:00:01.5Z"}`, []Value{str("a"), num(1), num(1500000)}, ""},
		{` { "n" : -7 , "x" : {"s":"no","y":[1,{"n":"}"}]} , "s" : "b\"\u00e9" } `, []Value{str(`b"é`), num(-7), null}, ""},
		{`{}`, []Value{null, null, null}, ""},
		{`{"s":null,"n":null,"t":null}`, []Value{null, null, null}, ""},
		{`{"\u0073":"escaped name","n":1,"n":2}`, []Value{str("escaped name"), num(2), null}, ""},
		{`{"n":"9223372036854775807"}`, []Value{null, num(1<<63 - 1), null}, ""},
		{`{"n":3.0}`, []Value{null, num(3), null}, ""},
		{`{"n":1e3}`, []Value{null, num(1000), null}, ""},
		{`{"t":"2001-01-08T01:00:00+01:00"}`, []Value{null, null, num(978912000000000)}, ""},
		{"{\"s\":\"\xff\"}", []Value{str("\ufffd"), null, null}, ""},
		{`{"n":3.5}`, nil, "field n: 3.5 is not an INT64"},
		{`{"n":9223372036854775808}`, nil, "field n"},
		{`{"n":1e30}`, nil, "field n"},
		{`{"n":true}`, nil, "field n: true is not an INT64"},
		{`{"s":1}`, nil, "field s: 1 is not a STRING"},
		{`{"s":{"a":1}}`, nil, "field s"},
		{`{"t":"yesterday"}`, nil, "field t"},
		{`{"t":0}`, nil, "field t"},
		{`[1]`, nil, "not a JSON object"},
		{`{"s":"a"`, nil, "not JSON"},
		{`{"s":"a"} x`, nil, "not JSON"},
		{``, nil, "not JSON"},
	} {
		got := []Value{str("stale"), str("stale"), str("stale")}
		err := newFieldReader(jsonFields).read([]byte(test.data), got)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.data, err, test.err)
			}
			test.want = []Value{null, null, null}
		} else if err != nil {
			t.Errorf("%s: %v", test.data, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.data, diff)
		}
	}
}

// FuzzFieldReader holds the scan against encoding/json.
func FuzzFieldReader(f *testing.F) {
	for _, s := range []string{`{"s":"a","n":1}`, `{"s":"\\\"","x":[{"s":"]"}]}`, `{"n":12345678901234567890}`, `[`, `{"s":{}}`, `{"":"","s":null}`, "{\"s\":\"\xed\"}"} {
		f.Add([]byte(s))
	}
	r := newFieldReader([]Field{{"s", String}, {"n", Int64}})
	f.Fuzz(func(t *testing.T, data []byte) {
		out := make([]Value, 2)
		err := r.read(data, out)
		var m map[string]json.RawMessage
		if json.Unmarshal(data, &m) != nil || m == nil {
			if err == nil && len(data) > 0 {
				t.Fatalf("%q is taken, but is no object", data)
			}
			return
		}
		var s *string
		wantErr := json.Unmarshal(m["s"], &s) != nil && m["s"] != nil
		if err == nil && wantErr {
			t.Fatalf("%q: s is taken, but is no string", data)
		}
		if err == nil && (s != nil) != out[0].Valid {
			t.Fatalf("%q: s is %v, want %v", data, out[0], s)
		}
		if err == nil && s != nil && *s != out[0].Str {
			t.Fatalf("%q: s is %q, want %q", data, out[0].Str, *s)
		}
		var n *int64
		if n == nil && json.Unmarshal(m["n"], &n) == nil && err == nil && n != nil && (!out[1].Valid || out[1].Int != *n) {
			t.Fatalf("%q: n is %v, want %d", data, out[1], *n)
		}
	})
}
