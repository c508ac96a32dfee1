package transform

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// scanJSON scans a text that nobody has looked at yet.
func scanJSON(data []byte, dst []field) ([]field, error) {
	return jsonFormat{}.fields(unread{}, data, dst)
}

func TestScanObject(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // name=value pairs; "error: …" where it must fail
	}{
		{`{}`, ``},
		{" {\n\t\"a\" : 1 , \"b\":\"x\" }\r\n", `a=1 b="x"`},
		{`{"a":{"b":[1,2,{"c":null}]},"d":[]}`, `a={"b":[1,2,{"c":null}]} d=[]`},
		{`{"a":1.50,"b":-0,"c":1E+2,"d":123456789012345678901234567890}`, `a=1.50 b=-0 c=1E+2 d=123456789012345678901234567890`},
		{`{"a":true,"b":false,"c":null}`, `a=true b=false c=null`},
		{`{"\u0061\"":"\ud83d\ude00"}`, `a"="\ud83d\ude00"`},
		{``, "error: not a JSON object"},
		{`[]`, "error: not a JSON object"},
		{`"a"`, "error: not a JSON object"},
		{`null`, "error: not a JSON object"},
		{`{"a":1`, "error: JSON ends too early"},
		{`{"a":1}x`, "error: not JSON at or after byte 7"},
		{`{"a":01}`, "error: not JSON"},
		{`{"a":1.}`, "error: not JSON"},
		{`{"a":.5}`, "error: not JSON"},
		{`{"a":+1}`, "error: not JSON"},
		{`{"a":NaN}`, "error: not JSON"},
		{`{a:1}`, "error: not JSON"},
		{`{"a":1,}`, "error: not JSON"},
		{`{"a" 1}`, "error: not JSON"},
		{"{\"a\":\"\n\"}", "error: not JSON"},
		{`{"a":"\x"}`, "error: not JSON"},
		{`{"a":"\u12g4"}`, "error: not JSON"},
		{"{\"a\":\"\xff\"}", "error: not UTF-8"},
		{`{"a":1,"a":2}`, `error: a field comes twice`},
		{`{"a":1,"\u0061":2}`, `error: a field comes twice`},
		{`{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, "error: not JSON"},
	} {
		fields, err := scanJSON([]byte(c.in), nil)
		var got []string
		for _, f := range fields {
			got = append(got, string(f.name)+"="+string(f.value))
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != c.want && !(strings.HasPrefix(c.want, "error") && strings.HasPrefix(text, c.want)) {
			t.Errorf("scanJSON(%q) = %s, want %s", c.in, text, c.want)
		}
	}
}

// invariant A4: what cannot be decoded may be sensitive, so its error says
// where it is wrong, and shows nothing of it.
func TestErrorsShowNoData(t *testing.T) {
	const sensitive = "4111 1111"
	for _, in := range []string{sensitive, `"` + sensitive + `"`, `{"card":` + sensitive + `}`, `{"card":"` + sensitive, `{"card":"` + sensitive + `"}x`, `{"card":"` + sensitive + "\xff\"}"} {
		if _, err := scanJSON([]byte(in), nil); err == nil || strings.Contains(err.Error(), "4111") {
			t.Errorf("scanJSON(%q): %v", in, err)
		}
	}
}

// Many fields take another way to find repeated names.
func TestScanObjectManyFields(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		b.WriteString(`"f` + strings.Repeat("x", i) + `":1,`)
	}
	if fields, err := scanJSON([]byte("{"+b.String()+`"last":1}`), nil); err != nil || len(fields) != 501 {
		t.Errorf("%d fields, %v", len(fields), err)
	}
	if _, err := scanJSON([]byte("{"+b.String()+`"fxxx":1}`), nil); err == nil {
		t.Error("a repeated name was taken")
	}
}

// What the scanner takes is what encoding/json takes, and joining the fields
// again gives the same object.
func checkScan(t interface{ Fatalf(string, ...any) }, data []byte) {
	fields, err := scanJSON(data, nil)
	var want map[string]json.RawMessage
	wantErr := json.Unmarshal(data, &want)
	if err == nil {
		if wantErr != nil || want == nil {
			t.Fatalf("%q was taken; encoding/json: %v", data, wantErr)
		}
		if len(want) != len(fields) {
			t.Fatalf("%q: %d fields, encoding/json %d", data, len(fields), len(want))
		}
		for _, f := range fields {
			if v, ok := want[string(f.name)]; !ok || !bytes.Equal(v, f.value) {
				t.Fatalf("%q: field %q is %s, encoding/json %s", data, f.name, f.value, v)
			}
		}
		text, err := (&jsonEncoder{in: jsonFormat{}, text: true}).encode(nil, &record{body: data, fields: fields})
		if err != nil || !json.Valid(text) {
			t.Fatalf("%q was written as %q", data, text)
		}
		return
	}
	strict := wantErr == nil && want != nil && utf8.Valid(data) && !strings.Contains(err.Error(), "comes twice") && !bytes.Contains(data, bytes.Repeat([]byte("["), 100)) && !bytes.Contains(data, bytes.Repeat([]byte("{"), 100))
	if strict && !deep(data) {
		t.Fatalf("%q was refused: %v", data, err)
	}
}

func deep(data []byte) bool {
	return bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > 400
}

func FuzzScanObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1.5e-3,"b":[true,null,{"x":"\u00e9\n"}]}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"a":01}`, ` { "a" : -0 } `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkScan(t, data) })
}

func TestScanObjectLikeStandardLibrary(t *testing.T) {
	tokens := []string{"{", "}", "[", "]", ":", ",", `"a"`, `"b"`, `"\u0061"`, `"é"`, "1", "-0.5e+3", "01", "true", "null", "nul", " ", "\n", `"\"`, "\x01", "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(tokens), 0, 12).Draw(t, "tokens")
		checkScan(t, []byte("{"+strings.Join(parts, "")+"}"))
	})
}

// Whatever string is quoted reads back the same.
func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		quoted := appendQuoted(nil, s)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil || back != s {
			t.Fatalf("%q was quoted as %s, which reads as %q: %v", s, quoted, back, err)
		}
		if got := string(unquote(quoted)); got != s {
			t.Fatalf("unquote(%s) = %q", quoted, got)
		}
	})
}
