package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

var propertyNames = []string{"a", "b", "c", "d.e", "é\"", "f"}

// drawObject draws a JSON object: its text, with spaces and escapes that mean
// nothing, and what it means.
func drawObject(t *rapid.T, depth int) (string, map[string]any) {
	fields := rapid.SliceOfNDistinct(rapid.SampledFrom(propertyNames), 0, len(propertyNames), rapid.ID).Draw(t, "fields")
	meaning := make(map[string]any)
	var parts []string
	for _, name := range fields {
		text, v := drawJSON(t, depth-1)
		meaning[name] = v
		quoted := string(appendQuoted(nil, name))
		if rapid.IntRange(0, 9).Draw(t, "escape") == 0 {
			quoted = strings.ReplaceAll(quoted, "a", `\u0061`)
		}
		parts = append(parts, drawSpace(t)+quoted+drawSpace(t)+":"+drawSpace(t)+text+drawSpace(t))
	}
	return "{" + strings.Join(parts, ",") + "}", meaning
}

func drawSpace(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n\t"}).Draw(t, "space")
}

func drawJSON(t *rapid.T, depth int) (string, any) {
	most := 5
	if depth <= 0 {
		most = 3
	}
	switch rapid.IntRange(0, most).Draw(t, "kind") {
	case 0:
		n := rapid.SampledFrom([]string{"0", "1", "-1", "2", "3", "1.0", "2.5", "-0.0", "1e2", "9007199254740993", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616", "1e400"}).Draw(t, "number")
		return n, json.Number(n)
	case 1:
		s := rapid.SampledFrom([]string{"", "a", "x", "é", "\"\n", "abc", "ABC"}).Draw(t, "string")
		return string(appendQuoted(nil, s)), s
	case 2:
		b := rapid.Bool().Draw(t, "bool")
		return fmt.Sprint(b), b
	case 3:
		return "null", nil
	case 4:
		var texts []string
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			text, v := drawJSON(t, depth-1)
			texts, list = append(texts, text), append(list, v)
		}
		return "[" + strings.Join(texts, ",") + "]", list
	default:
		return drawObject(t, depth)
	}
}

func drawPath(t *rapid.T) string {
	names := rapid.SliceOfN(rapid.SampledFrom(propertyNames), 1, 3).Draw(t, "path")
	list := make([][]byte, len(names))
	for i, n := range names {
		list[i] = []byte(n)
	}
	return joinNames(list)
}

// drawSpec draws a transform that New takes. Its expressions do not depend on
// how CEL evaluates them; that is the matter of TestNativeIsCEL.
func drawSpec(t *rapid.T) (jobspecs.Transform, *Program) {
	for {
		spec := jobspecs.Transform{Decode: "json", Rename: map[string]string{}, Set: map[string]string{}}
		for range rapid.IntRange(0, 3).Draw(t, "renames") {
			spec.Rename[drawPath(t)] = rapid.SampledFrom(append(propertyNames, "new")).Draw(t, "name")
		}
		for range rapid.IntRange(0, 2).Draw(t, "drops") {
			spec.Drop = append(spec.Drop, drawPath(t))
		}
		for range rapid.IntRange(0, 2).Draw(t, "sets") {
			spec.Set[drawPath(t)] = rapid.SampledFrom([]string{`1`, `record.a`, `record["d.e"].b`, `has(record.a) ? "yes" : "no"`, `size(record)`, `["x"]`}).Draw(t, "expression")
		}
		if rapid.Bool().Draw(t, "filtered") {
			spec.Filter = `has(record.b)`
		}
		if p, err := New(spec, Options{Needed: []string{"a"}}); err == nil {
			return spec, p
		}
	}
}

var errReference = errors.New("refused")

// reference is the transform as slow and plain as can be, over decoded JSON.
func reference(spec jobspecs.Transform, rec map[string]any) (map[string]any, bool, error) {
	if v, ok := rec["b"]; spec.Filter != "" && !usable(v, true) {
		return nil, false, errReference
	} else if spec.Filter != "" && !ok {
		return nil, false, nil
	}
	renames := make(map[string]string)
	for source, name := range spec.Rename {
		p, _ := ParsePath(source)
		renames[p.key()] = name
	}
	drops := make(map[string]bool)
	for _, source := range spec.Drop {
		p, _ := ParsePath(source)
		drops[p.key()] = true
	}
	out, err := referenceEdit(renames, drops, rec, "")
	if err != nil {
		return nil, false, err
	}
	values := make(map[string]any)
	for path, expression := range spec.Set {
		v, err := referenceValue(expression, out)
		if err != nil {
			return nil, false, err
		}
		values[path] = v
	}
	for path, v := range values {
		p, _ := ParsePath(path)
		at := out
		for _, name := range p.parents() {
			next, ok := at[string(name)].(map[string]any)
			if !ok {
				return nil, false, errReference
			}
			at = next
		}
		at[string(p.last())] = v
	}
	return out, true, nil
}

func referenceEdit(renames map[string]string, drops map[string]bool, rec map[string]any, prefix string) (map[string]any, error) {
	out := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(rec)) {
		v := rec[name]
		key := prefix + name + "\x00"
		if drops[key] {
			continue
		}
		if sub, ok := v.(map[string]any); ok {
			var err error
			if v, err = referenceEdit(renames, drops, sub, key); err != nil {
				return nil, err
			}
		}
		if n, ok := renames[key]; ok {
			name = n
		}
		if _, twice := out[name]; twice {
			return nil, errReference
		}
		out[name] = v
	}
	return out, nil
}

// usable reports whether an expression can have a value. The values in a record
// are looked at only when they are asked for.
func usable(v any, lazy bool) bool {
	switch v := v.(type) {
	case json.Number:
		return v != "18446744073709551616" && v != "1e400"
	case []any:
		return !slices.ContainsFunc(v, func(x any) bool { return !usable(x, false) })
	case map[string]any:
		for _, x := range v {
			if !lazy && !usable(x, false) {
				return false
			}
		}
	}
	return true
}

func referenceValue(expression string, rec map[string]any) (any, error) {
	var v any
	ok := true
	switch expression {
	case `1`:
		v = json.Number("1")
	case `record.a`:
		v, ok = rec["a"]
	case `record["d.e"].b`:
		sub, _ := rec["d.e"].(map[string]any)
		v, ok = sub["b"]
	case `has(record.a) ? "yes" : "no"`:
		v = "no"
		if a, there := rec["a"]; there {
			v, ok = "yes", usable(a, true)
		}
	case `size(record)`:
		v = json.Number(fmt.Sprint(len(rec)))
	case `["x"]`:
		v = []any{"x"}
	}
	if !ok {
		return nil, errReference
	}
	return copyJSON(v), nil
}

func copyJSON(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any)
		for k := range v {
			out[k] = copyJSON(v[k])
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			out = append(out, copyJSON(x))
		}
		return out
	}
	return v
}

func TestTransformIsReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, p := drawSpec(t)
		m := p.NewMachine()
		for range rapid.IntRange(1, 4).Draw(t, "records") { // one machine: what is left of one record must not show in the next
			text, meaning := drawObject(t, 3)
			n, err := m.Apply(t.Context(), []byte(text))
			want, keep, wantErr := reference(spec, meaning)
			if (err != nil) != (wantErr != nil) {
				t.Fatalf("%+v\n%s: error %v, reference %v", spec, text, err, wantErr)
			}
			if err != nil {
				continue
			}
			if (n == 1) != keep || m.Dropped() != 1-n {
				t.Fatalf("%+v\n%s: %d events, %d dropped; reference keeps it: %v", spec, text, n, m.Dropped(), keep)
			}
			if !keep {
				continue
			}
			first, err := m.AppendData(nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			d := json.NewDecoder(bytes.NewReader(first))
			d.UseNumber()
			var got map[string]any
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%s is not JSON: %v", first, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%+v\n%s became %s: %s", spec, text, first, diff)
			}
			other := p.NewMachine()
			if _, err := other.Apply(t.Context(), []byte(text)); err != nil {
				t.Fatal(err)
			}
			if second, err := other.AppendData(nil, 0); err != nil || !bytes.Equal(first, second) {
				t.Fatalf("%s became %s with one machine and %s with another: %v", text, first, second, err)
			}
		}
	})
}

// invariant A4: the error about a record shows nothing of it.
func TestNoErrorShowsContent(t *testing.T) {
	const secret = "4111-1111"
	for _, expression := range []string{
		`int(record.s)`, `double(record.s)`, `timestamp(record.s)`, `duration(record.s)`, `record[record.s]`, `record.s.n`,
		`record.o[record.s]`, `[1][record.n]`, `record.s.charAt(record.n)`, `record.s.substring(record.n)`, `record.s + record.n`, `record.n + 9223372036854775807`,
		`bytes(record.s) + 1`, `record.l[record.s]`, `record.s.matches(record.s + "(")`, `record.n.startsWith("x")`, `dyn(record.s) < 1`, `record.big + 1`, `record.s ? 1 : 2`,
		`record.l.join(record.n)`, `record.l.map(x, int(x))`, `"%d".format([record.s])`, `uint(record.s)`, `bool(record.s)`, `record.o.filter(k, int(k) > 1)`,
	} {
		for _, spec := range []jobspecs.Transform{{Filter: expression}, {Set: map[string]string{"v": expression}}} {
			spec.Decode = "json"
			p, err := New(spec, Options{})
			if err != nil {
				continue // the checker knows that it is no condition
			}
			in := `{"s":"` + secret + `","n":41111111,"o":{"` + secret + `x":1},"l":["` + secret + `"],"big":41111111411111114111111141111111}`
			_, err = p.NewMachine().Apply(t.Context(), []byte(in))
			if err == nil || strings.Contains(err.Error(), "4111") {
				t.Errorf("%s: %v", expression, err)
			}
		}
	}
}

func FuzzTransform(f *testing.F) {
	var programs []*Program
	for _, spec := range []jobspecs.Transform{
		{Filter: `record.a == 1 || record.b.startsWith("x")`},
		{Rename: map[string]string{"a": "b", "b.c": "d"}, Drop: []string{"c", "d.e"}},
		{Set: map[string]string{"x": `record`, "a.b": `record.a`, "y": `record.b + "x"`}},
		{Events: "l.m", Filter: `has(record.a)`, Set: map[string]string{"x": `1`}},
	} {
		spec.Decode = "json"
		p, err := New(spec, Options{Needed: []string{"a", "a.b.c"}})
		if err != nil {
			f.Fatal(err)
		}
		programs = append(programs, p)
	}
	for _, seed := range []string{
		`{}`, `{"a":1,"b":"x","c":null}`, `{"a":{"b":{"c":[1,2,{}]}},"b":{"c":1}}`, `{"l":{"m":[{"a":1},{},{"a":{"a":2}}]}}`, `{"d":{"e":1,"\u0065":2}}`, `{"a":1e999,"b":""}`, `[1]`, `{"l":{"m":[1]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range programs {
			m := p.NewMachine()
			n, err := m.Apply(t.Context(), data)
			var bad *DataError
			if err != nil {
				if !errors.As(err, &bad) || n != 0 {
					t.Fatalf("%d events, %v", n, err)
				}
				continue
			}
			var first []string
			for i := range n {
				out, err := m.AppendData(nil, i)
				first = append(first, string(out))
				if err == nil && !json.Valid(out) {
					t.Fatalf("%q became %q", data, out)
				}
				if err != nil && !errors.As(err, &bad) {
					t.Fatal(err)
				}
			}
			// Once more, now that the machine knows its names.
			if again, err := m.Apply(t.Context(), data); again != n || err != nil {
				t.Fatalf("%q has %d events, and then %d: %v", data, n, again, err)
			}
			for i := range n {
				if out, _ := m.AppendData(nil, i); string(out) != first[i] {
					t.Fatalf("%q became %q, and then %q", data, first[i], out)
				}
			}
		}
	})
}
