package bigquery

import (
	"encoding/json"
	"reflect"
	"strconv"
	"testing"
)

// tree reads any value through the scanner, as encoding/json would.
func tree(s *scanner) (any, error) {
	switch s.peek() {
	case '{':
		m := map[string]any{}
		err := s.object(func(key []byte) error {
			k := string(key)
			v, err := tree(s)
			m[k] = v
			return err
		})
		return m, err
	case '[':
		list := []any{}
		err := s.array(func(int) error {
			v, err := tree(s)
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		b, err := s.str()
		return string(b), err
	}
	w, err := s.word()
	if err != nil {
		return nil, err
	}
	switch string(w) {
	case "null":
		return nil, nil
	case "true", "false":
		return string(w) == "true", nil
	}
	return strconv.ParseFloat(string(w), 64)
}

// FuzzScanner holds the scanner against encoding/json: it takes no more than
// that does, and reads the same.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{"rows":[{"insertId":"a","json":{"x":1,"y":[true,null,"z"]}}]}`, `[]`, `"\u00e9\n\\\""`, ` -1.5e+3 `, `{"a":{"b":[{}]}} x`,
		`"\ud800"`, "\"\xff\"", `{"a":1,}`, `[1 2]`, `01`, `"a`, `{"a"`, `nul`, ``, "0\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &scanner{b: data}
		got, err := tree(s)
		if err == nil {
			err = s.end()
		}
		skip := &scanner{b: data}
		serr := skip.skip()
		if serr == nil {
			serr = skip.end()
		}
		if (err == nil) != (serr == nil) {
			// A number may be valid JSON and yet out of a float's range.
			if _, isRange := err.(*strconv.NumError); !isRange {
				t.Fatalf("reading says %v, skipping %v", err, serr)
			}
		}
		if err != nil {
			return
		}
		var want any
		if jerr := json.Unmarshal(data, &want); jerr != nil {
			t.Fatalf("encoding/json: %v; the scanner took it as %v", jerr, got)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, want %#v", got, want)
		}
	})
}
