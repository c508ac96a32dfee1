package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/avro"
)

// TestAvroCorrupt: each of these is refused, and what is refused allocates
// nothing for the lengths that it claims.
func TestAvroCorrupt(t *testing.T) {
	const schema = `{"type":"record","name":"R","fields":[{"name":"v","type":%s}]}`
	huge := "\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	for _, c := range []struct {
		typ, data string
		want      error
	}{
		{`"string"`, "\x0aabc", errAvroShort},
		{`"string"`, "\x01", errAvroShort},
		{`"string"`, huge, errAvroShort},
		{`"string"`, "\x04\xff\xfe", errAvroUTF8},
		{`"int"`, "\x80\x80\x80\x80\x20", errAvroVarint},
		{`"long"`, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", errAvroVarint},
		{`"long"`, "\xff", errAvroShort},
		{`"long"`, "\x02\x02", errAvroTrailing},
		{`"boolean"`, "\x02", errAvroBoolean},
		{`"double"`, "1234567", errAvroShort},
		{`["null","int"]`, "\x04\x02", errAvroBranch},
		{`["null","int"]`, "\x01", errAvroBranch},
		{`{"type":"enum","name":"E","symbols":["A"]}`, "\x02", errAvroSymbol},
		{`{"type":"array","items":"long"}`, huge + "\x00", errAvroShort},
		{`{"type":"array","items":"double"}`, huge + "\x00", errAvroShort},
		{`{"type":"array","items":"double"}`, "\x80\x80\x80\x80\x80\x80\x80\x80\x40\x00", errAvroShort},
		{`{"type":"array","items":"null"}`, "\xfe\xff\xff\xff\x0f\x00", errAvroNodes},
		{`{"type":"array","items":"null"}`, "\x01\x00", errAvroShort},
		{`{"type":"array","items":"int"}`, "\x01\x04\x02\x00", errAvroBlock},
		{`{"type":"array","items":"int"}`, "\x01\x06\x02\x00", errAvroShort},
		{`{"type":"map","values":"int"}`, "\x04\x02a\x02\x02a\x02\x00", errTwice},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, "\x8a\x20" + strings.Repeat("x", 2053), errDecimalLong},
		{`{"type":"long","logicalType":"timestamp-millis"}`, huge, errTimeRange},
		{`{"type":"int","logicalType":"time-millis"}`, "\x01", errAvroTimeDay},
		{`["null",{"type":"array","items":"R"}]`, strings.Repeat("\x02\x02", 600), errTooDeep},
	} {
		root := mustCompileAvro(t, strings.Replace(schema, "%s", c.typ, 1))
		f := &avroFormat{root: root}
		read := func() error {
			fields, err := f.fields(root, []byte(c.data), nil)
			if err != nil {
				return err
			}
			if _, err := f.items(fields[0].typ, fields[0].value, nil); err != nil && !errors.Is(err, errNotList) {
				return err
			}
			var r result
			if err := f.decode(&fields[0], &r); err != nil {
				return err
			}
			_, err = f.appendJSON(nil, &fields[0])
			return err
		}
		if err := read(); !errors.Is(err, c.want) {
			t.Errorf("%s %x: %v, want %v", c.typ, c.data, err, c.want)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = read()
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s %x: %d bytes allocated", c.typ, c.data, n)
		}
	}
}

// FuzzAvro: whatever the bytes, reading and writing them ends, without a
// panic, in a value or an error; what is read whole, twmb/avro reads too.
func FuzzAvro(f *testing.F) {
	root, err := compileAvro(everySchema)
	if err != nil {
		f.Fatal(err)
	}
	target, err := compileAvro(everySchema)
	if err != nil {
		f.Fatal(err)
	}
	schema := avro.MustParse(everySchema)
	a := &avroFormat{root: root}
	f.Add(everyRecord(f))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{2}, 200))
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, err := a.fields(root, data, nil)
		if err != nil {
			return
		}
		good := true
		for i := range fields {
			var r result
			err := a.decode(&fields[i], &r)
			text, jsonErr := a.appendJSON(nil, &fields[i])
			if (err == nil) != (jsonErr == nil) && !errors.Is(jsonErr, errNotFinite) {
				t.Fatalf("%s: decode: %v, appendJSON: %v", fields[i].name, err, jsonErr)
			}
			if jsonErr == nil && !json.Valid(text) {
				t.Fatalf("not JSON: %s", text)
			}
			_, _ = a.appendPlain(nil, &fields[i])
			_, _ = a.items(fields[i].typ, fields[i].value, nil)
			_, _ = a.fields(fields[i].typ, fields[i].value, nil)
			if good = good && err == nil; good {
				fields[i].set = &r
			}
		}
		if !good {
			return
		}
		e := &avroEncoder{in: a, root: target}
		out, err := e.encode(nil, &record{body: data, typ: root, fields: fields})
		if errors.Is(err, errDecimalLong) {
			return // read as it is, but never written
		}
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		var before, after any
		if _, err := schema.Decode(data, &before); err != nil {
			t.Fatalf("twmb/avro: %v", err)
		}
		if _, err := schema.Decode(out, &after); err != nil {
			t.Fatalf("twmb/avro: %v", err)
		}
	})
}

// FuzzAvroSchema: no text of a schema, as a registry may send it, is a panic.
func FuzzAvroSchema(f *testing.F) {
	f.Add(everySchema, []byte{0})
	f.Add(`{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}`, []byte{0})
	f.Add(`["null","int"]`, []byte{2, 2})
	f.Fuzz(func(t *testing.T, schema string, data []byte) {
		typ, err := compileAvro(schema)
		if err != nil {
			return
		}
		a := &avroFormat{root: typ}
		fields, err := a.fields(typ, data, nil)
		if err != nil {
			return
		}
		for i := range fields {
			_, _ = a.appendJSON(nil, &fields[i])
		}
	})
}
