package transform

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// TestAvroDecodesAsTwmb: skimming a record covers it, and what its fields
// decode to is what was encoded.
func TestAvroDecodesAsTwmb(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, text, data, want := drawAvro(t)
		root, err := compileAvro(text)
		if err != nil {
			t.Fatalf("compile %s: %v", text, err)
		}
		f := &avroFormat{root: root}
		body, typ, err := f.open(t.Context(), data, nil)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := f.fields(typ, body, nil)
		if err != nil {
			t.Fatalf("fields by %s: %v", text, err)
		}
		var spans []byte
		got := map[string]any{}
		for i := range fields {
			spans = append(spans, fields[i].value...)
			var r result
			if err := f.decode(&fields[i], &r); err != nil {
				t.Fatalf("decode %s by %s: %v", fields[i].name, text, err)
			}
			if k := f.kindOf(&fields[i]); k != r.kind {
				t.Fatalf("kindOf %s says %s, decode %s", fields[i].name, k, r.kind)
			}
			got[string(fields[i].name)] = r.native()
		}
		if !bytes.Equal(spans, data) {
			t.Fatalf("spans %x of %x", spans, data)
		}
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("by %s: %s", text, d)
		}
		for i := range fields {
			text, err := f.appendJSON(nil, &fields[i])
			if err != nil {
				t.Fatal(err)
			}
			var r result
			if err := f.decode(&fields[i], &r); err != nil {
				t.Fatal(err)
			}
			if k := r.kind; k == kindMap {
				continue // a record's fields come in the order of its schema
			} else if k == kindList {
				continue
			}
			again, err := r.appendJSON(nil)
			if err != nil || string(again) != string(text) {
				t.Fatalf("appendJSON %s, result %s, %v", text, again, err)
			}
		}
	})
}

// TestAvroPassesUnchanged: writing a record by its own schema gives its bytes,
// and writing it by an equal schema, compiled apart, as well.
func TestAvroPassesUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, text, data, _ := drawAvro(t)
		for _, shared := range []bool{true, false} {
			in, err := compileAvro(text)
			if err != nil {
				t.Fatal(err)
			}
			out := in
			if !shared {
				if out, err = compileAvro(text); err != nil {
					t.Fatal(err)
				}
			}
			f := &avroFormat{root: in}
			e := &avroEncoder{in: f, root: out}
			fields, err := f.fields(in, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.encode([]byte("kept"), &record{body: data, typ: in, fields: fields})
			if err != nil {
				t.Fatalf("encode by %s: %v", text, err)
			}
			if want := append([]byte("kept"), data...); !bytes.Equal(got, want) {
				t.Fatalf("by %s: %x, want %x", text, got, want)
			}
		}
	})
}

// TestAvroReencodesAsTwmb: decoding every field and encoding the results gives
// what twmb/avro decodes to the same value.
func TestAvroReencodesAsTwmb(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, text, data, _ := drawAvro(t)
		root, err := compileAvro(text)
		if err != nil {
			t.Fatal(err)
		}
		f := &avroFormat{root: root}
		fields, err := f.fields(root, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range fields {
			var r result
			if err := f.decode(&fields[i], &r); err != nil {
				t.Fatal(err)
			}
			fields[i].set = &r
		}
		e := &avroEncoder{in: f, root: root}
		out, err := e.encode(nil, &record{body: data, typ: root, fields: fields})
		if err != nil {
			t.Fatalf("encode by %s: %v", text, err)
		}
		var before, after any
		if _, err := s.Decode(data, &before); err != nil {
			t.Fatal(err)
		}
		rest, err := s.Decode(out, &after)
		if err != nil || len(rest) > 0 {
			t.Fatalf("twmb/avro decodes %x by %s: %v, %d bytes left", out, text, err, len(rest))
		}
		if d := cmp.Diff(before, after, compareRats); d != "" {
			t.Fatalf("by %s: %s", text, d)
		}
	})
}

// TestAvroDerivedSchema: what a derived schema says is what is written.
func TestAvroDerivedSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, text, data, _ := drawAvro(t)
		root, err := compileAvro(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(root.fields) == 0 {
			t.Skip("nothing to change")
		}
		ch := changes{fields: map[string]*edit{}}
		kept := map[string]string{}
		f := &avroFormat{root: root}
		fields, err := f.fields(root, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		left := fields[:0]
		for _, fd := range fields {
			name := string(fd.name)
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				ch.fields[name] = &edit{drop: true}
				continue
			case 1:
				ch.fields[name] = &edit{name: []byte("new_" + name)}
				fd.name = []byte("new_" + name)
			}
			kept[string(fd.name)] = name
			left = append(left, fd)
		}
		derived, err := ch.derive(root)
		if err != nil {
			t.Fatalf("derive from %s: %v", text, err)
		}
		e := &avroEncoder{in: f, root: derived}
		out, err := e.encode(nil, &record{body: data, typ: root, fields: left})
		if err != nil {
			t.Fatal(err)
		}
		ds, err := derived.schema()
		if err != nil {
			t.Fatal(err)
		}
		var before, after any
		if _, err := s.Decode(data, &before); err != nil {
			t.Fatal(err)
		}
		rest, err := ds.Decode(out, &after)
		if err != nil || len(rest) > 0 {
			t.Fatalf("twmb/avro decodes %x by %s: %v, %d bytes left", out, ds, err, len(rest))
		}
		want := map[string]any{}
		for name, old := range kept {
			want[name] = before.(map[string]any)[old]
		}
		if d := cmp.Diff(any(want), after, compareRats); d != "" {
			t.Fatalf("by %s: %s", ds, d)
		}
	})
}

// TestAvroResolvesAsTwmb: for schemas that Avro calls compatible, writing by
// another schema gives what reading by it gives.
func TestAvroResolvesAsTwmb(t *testing.T) {
	for _, c := range avroResolutions {
		t.Run(c.name, func(t *testing.T) {
			writer, reader := avro.MustParse(c.writer), avro.MustParse(c.reader)
			resolved, err := avro.Resolve(writer, reader)
			if err != nil {
				t.Fatal(err)
			}
			data, err := writer.Encode(c.value)
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if _, err := resolved.Decode(data, &want); err != nil {
				t.Fatal(err)
			}
			in, out := mustCompileAvro(t, c.writer), mustCompileAvro(t, c.reader)
			if err := out.setDefaults(make(map[*avroType]bool)); err != nil {
				t.Fatal(err)
			}
			if err := (&changes{}).covers(in, out); err != nil {
				t.Fatal(err)
			}
			f := &avroFormat{root: in}
			fields, err := f.fields(in, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			e := &avroEncoder{in: f, root: out}
			text, err := e.encode(nil, &record{body: data, typ: in, fields: fields})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reader.Decode(text, &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, compareRats); d != "" {
				t.Error(d)
			}
		})
	}
}
