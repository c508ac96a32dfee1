package transform

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/kappa-migrate/kappa/jobspecs"
)

const nestedSchema = `{"type":"record","name":"R","fields":[
	{"name":"id","type":"long","default":3},
	{"name":"labels","type":{"type":"map","values":"string"}},
	{"name":"home","type":["null",{"type":"record","name":"Place","fields":[{"name":"city","type":"string"},{"name":"zip","type":"string","default":"none"}]}]},
	{"name":"work","type":["null","Place"]},
	{"name":"list","type":{"type":"array","items":"long"}},
	{"name":"any","type":["null","string",{"type":"map","values":["null","long","string"]},{"type":"array","items":"double"}]}]}`

func nestedRecord(t testing.TB, home any) []byte {
	data, err := avro.MustParse(nestedSchema).Encode(map[string]any{
		"id": int64(1), "labels": map[string]any{"a": "x", "b": "y"}, "home": home,
		"work": map[string]any{"city": "Rome", "zip": "1"}, "list": []any{int64(5)}, "any": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestAvroNestedChanges: changes in maps and in records that may be null, and
// lists and maps that an expression makes.
func TestAvroNestedChanges(t *testing.T) {
	spec := jobspecs.Transform{
		Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "in.avsc", nestedSchema)}, Encode: "same",
		Drop:   []string{"labels.a", "home.zip"},
		Rename: map[string]string{"labels.b": "c", "home.city": "town"},
		Set:    map[string]string{"list": "[record.id, 7]", "any": `{"one": 1, "two": "zwei"}`},
	}
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	schema := p.OutputSchema()
	const want = `{"fields":[{"default":3,"name":"id","type":"long"},{"name":"labels","type":{"type":"map","values":"string"}},` +
		`{"name":"home","type":["null",{"fields":[{"name":"town","type":"string"}],"name":"Place","type":"record"}]},` +
		`{"name":"work","type":["null",{"fields":[{"name":"city","type":"string"},{"default":"none","name":"zip","type":"string"}],"name":"Place_2","type":"record"}]},` +
		`{"name":"list","type":{"items":"long","type":"array"}},` +
		`{"name":"any","type":["null","string",{"type":"map","values":["null","long","string"]},{"items":"double","type":"array"}]}],"name":"R","type":"record"}`
	if schema != want {
		t.Errorf("got  %s\nwant %s", schema, want)
	}
	for _, home := range []any{nil, map[string]any{"city": "Oslo", "zip": "2"}} {
		got := runAvro(t, spec, nestedRecord(t, home))
		for range 20 {
			if again := runAvro(t, spec, nestedRecord(t, home)); again[0] != got[0] {
				t.Fatal("one record, other bytes")
			}
		}
		var back any
		if rest, err := avro.MustParse(schema).Decode([]byte(got[0]), &back); err != nil || len(rest) > 0 {
			t.Fatal(err, len(rest))
		}
		var town any
		if home != nil {
			town = map[string]any{"town": "Oslo"}
		}
		if d := cmp.Diff(any(map[string]any{
			"id": int64(1), "labels": map[string]any{"c": "y"}, "home": town, "work": map[string]any{"city": "Rome", "zip": "1"},
			"list": []any{int64(1), int64(7)}, "any": map[string]any{"one": int64(1), "two": "zwei"},
		}), back); d != "" {
			t.Error(d)
		}
	}
}

// TestAvroDerivedDefault: the default of a record that has changed is left out.
func TestAvroDerivedDefault(t *testing.T) {
	const schema = `{"type":"record","name":"R","fields":[{"name":"p","type":{"type":"record","name":"P","fields":[{"name":"a","type":"int"}]},"default":{"a":1}}]}`
	spec := jobspecs.Transform{
		Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "in.avsc", schema)}, Encode: "same",
		Rename: map[string]string{"p.a": "b"},
	}
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"fields":[{"name":"p","type":{"fields":[{"name":"b","type":"int"}],"name":"P","type":"record"}}],"name":"R","type":"record"}`
	if got := p.OutputSchema(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestAvroResultsAreChecked: what an expression makes must be of the type that
// its field has.
func TestAvroResultsAreChecked(t *testing.T) {
	for expr, want := range map[string]string{
		`"text"`: "string cannot be written as long",
		`1.5`:    "not whole",
		`null`:   "null cannot be written as long",
	} {
		spec := jobspecs.Transform{
			Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "in.avsc", nestedSchema)}, Encode: "same",
			Set: map[string]string{"id": expr},
		}
		p, err := New(spec, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := p.NewMachine()
		if _, err := m.Apply(t.Context(), nestedRecord(t, nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.AppendData(nil, 0); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "field id") {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

// TestAvroMachinesShareAProgram: what an encoder learns of a schema it learns
// for all.
func TestAvroMachinesShareAProgram(t *testing.T) {
	file := writeFile(t, "in.avsc", nestedSchema)
	out := writeFile(t, "out.avsc", strings.Replace(nestedSchema, `{"name":"id","type":"long","default":3},`, "", 1))
	p, err := New(jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: file}, Encode: "avro", Output: out, Rename: map[string]string{"home.zip": "postcode"}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	results := make([]string, 8)
	data := nestedRecord(t, map[string]any{"city": "Oslo", "zip": "2"})
	for i := range results {
		wait.Go(func() {
			m := p.NewMachine()
			for range 50 {
				if _, err := m.Apply(t.Context(), data); err != nil {
					t.Error(err)
				}
				text, err := m.AppendData(nil, 0)
				if err != nil {
					t.Error(err)
				}
				results[i] = string(text)
			}
		})
	}
	wait.Wait()
	for _, r := range results {
		if r != results[0] || r == "" {
			t.Error("another result from another machine")
		}
	}
}
