package transform

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

var compareRats = cmp.Comparer(func(a, b *big.Rat) bool { return a.Cmp(b) == 0 })

// avroResolutions are pairs of schemas that Avro's rules resolve.
var avroResolutions = []struct {
	name, writer, reader string
	value                any
}{
	{
		name:   "reordered",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"},{"name":"c","type":"boolean"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"c","type":"boolean"},{"name":"b","type":"string"},{"name":"a","type":"int"}]}`,
		value:  map[string]any{"a": int32(-7), "b": "text", "c": true},
	},
	{
		name:   "promoted",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"},{"name":"c","type":"long"},{"name":"d","type":"float"},{"name":"e","type":"string"},{"name":"f","type":"bytes"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":"long"},{"name":"b","type":"double"},{"name":"c","type":"float"},{"name":"d","type":"double"},{"name":"e","type":"bytes"},{"name":"f","type":"string"}]}`,
		value:  map[string]any{"a": int32(1), "b": int32(2), "c": int64(3), "d": float32(0.1), "e": "text", "f": []byte("bytes")},
	},
	{
		name:   "defaults and aliases",
		writer: `{"type":"record","name":"R","fields":[{"name":"old","type":"string"},{"name":"gone","type":"long"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"new","aliases":["old"],"type":"string"},{"name":"n","type":["null","long"],"default":null},{"name":"list","type":{"type":"array","items":"int"},"default":[1,2]},{"name":"rec","type":{"type":"record","name":"I","fields":[{"name":"x","type":"string","default":"y"}]},"default":{}},{"name":"bytes","type":"bytes","default":"\u00ff"}]}`,
		value:  map[string]any{"old": "text", "gone": int64(5)},
	},
	{
		name:   "enum with default",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["X","Y","Z"]}},{"name":"b","type":"E"}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["Z","OTHER"],"default":"OTHER"}},{"name":"b","type":"E"}]}`,
		value:  map[string]any{"a": "Z", "b": "Y"},
	},
	{
		name:   "less in the same order",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"i","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":"int"}]}}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"enum","name":"E","symbols":["X"],"default":"X"}},{"name":"i","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}}]}`,
		value:  map[string]any{"a": "Y", "i": map[string]any{"x": int32(1), "y": int32(2)}},
	},
	{
		name:   "the namespace around a name comes first",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":{"type":"record","name":"n.I","fields":[{"name":"x","type":{"type":"fixed","name":"F","size":2}},{"name":"y","type":"F"}]}}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"b","type":{"type":"record","name":"n.I","fields":[{"name":"y","type":{"type":"fixed","name":"F","size":2}}]}}]}`,
		value:  map[string]any{"a": []byte("1"), "b": map[string]any{"x": []byte("22"), "y": []byte("33")}},
	},
	{
		name:   "into a union",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":["string","null"]},{"name":"c","type":["null","int"]}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"]},{"name":"b","type":["null","string"]},{"name":"c","type":["string","null","long"]}]}`,
		value:  map[string]any{"a": int32(1), "b": "x", "c": int32(9)},
	},
	{
		name:   "nested and recursive",
		writer: `{"type":"record","name":"N","fields":[{"name":"v","type":"int"},{"name":"w","type":"string"},{"name":"next","type":["null","N"]},{"name":"m","type":{"type":"map","values":{"type":"array","items":["null","N"]}}}]}`,
		reader: `{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]},{"name":"v","type":"long"},{"name":"m","type":{"type":"map","values":{"type":"array","items":["null","N"]}}}]}`,
		value: map[string]any{"v": int32(1), "w": "a", "next": map[string]any{"v": int32(2), "w": "b", "next": nil, "m": map[string]any{}},
			"m": map[string]any{"k": []any{nil, map[string]any{"v": int32(3), "w": "c", "next": nil, "m": map[string]any{}}}}},
	},
	{
		name:   "same instant in another unit",
		writer: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}]}`,
		reader: `{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"z","type":"null","default":null}]}`,
		value:  map[string]any{"a": time.UnixMilli(1_700_000_000_123).UTC()},
	},
}

// runAvro applies spec to one record and returns the data of its events.
func runAvro(t *testing.T, spec jobspecs.Transform, data []byte) []string {
	t.Helper()
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	var out []string
	for range 2 { // the second time with what the first has left behind
		n, err := m.Apply(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		out = nil
		for i := range n {
			text, err := m.AppendData(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(text))
		}
	}
	return out
}

const everySchema = `{"type":"record","name":"Every","namespace":"com.example","fields":[
	{"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},
	{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"by","type":"bytes"},{"name":"s","type":"string"},
	{"name":"e","type":{"type":"enum","name":"Color","symbols":["RED","GREEN"]}},{"name":"fx","type":{"type":"fixed","name":"Two","size":2}},
	{"name":"a","type":{"type":"array","items":["null","long"]}},{"name":"m","type":{"type":"map","values":"int"}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},{"name":"clock","type":{"type":"int","logicalType":"time-millis"}},
	{"name":"millis","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"micros","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
	{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":3}},
	{"name":"decf","type":{"type":"fixed","name":"D8","size":8,"logicalType":"decimal","precision":12,"scale":0}},
	{"name":"id","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
	{"name":"odd","type":{"type":"string","logicalType":"timestamp-millis"}},
	{"name":"rec","type":["null",{"type":"record","name":"Inner","fields":[{"name":"x","type":"long"},{"name":"self","type":["null","Inner"]}]}]}]}`

func everyRecord(t testing.TB) []byte {
	t.Helper()
	dec, _ := new(big.Rat).SetString("-12345678901234567890.125")
	data, err := avro.MustParse(everySchema).Encode(map[string]any{
		"n": nil, "b": true, "i": int32(-5), "l": int64(math.MaxInt64), "f": float32(1.5), "d": 1e300, "by": []byte{0, 0xff}, "s": "text \"q\" é",
		"e": "GREEN", "fx": []byte("xy"), "a": []any{int64(1), nil}, "m": map[string]any{"z": int32(1), "a": int32(2)},
		"day": time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), "clock": 3*time.Hour + 4*time.Minute + 5*time.Second + 6*time.Millisecond,
		"millis": time.UnixMilli(1_700_000_000_123), "micros": time.UnixMicro(-1), "local": time.UnixMilli(1_700_000_000_000),
		"dec": dec, "decf": big.NewRat(-42, 1), "id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "odd": "plain",
		"rec": map[string]any{"x": int64(1), "self": map[string]any{"x": int64(2), "self": nil}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const everyJSON = `{"n":null,"b":true,"i":-5,"l":9223372036854775807,"f":1.5,"d":1e+300,"by":"AP8=","s":"text \"q\" é",` +
	`"e":"GREEN","fx":"eHk=","a":[1,null],"m":{"a":2,"z":1},"day":"2026-11-22","clock":"03:04:05.006",` +
	`"millis":"2023-11-14T22:13:20.123Z","micros":"1969-12-31T23:59:59.999999Z","local":"2023-11-14T22:13:20",` +
	`"dec":"-12345678901234567890.125","decf":"-42","id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","odd":"plain",` +
	`"rec":{"x":1,"self":{"x":2,"self":null}}}`

// TestAvroToJSONAndBack: every type has its text, and the text becomes the
// same record again.
func TestAvroToJSONAndBack(t *testing.T) {
	file := writeFile(t, "every.avsc", everySchema)
	data := everyRecord(t)
	in := jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: file}, Encode: "json"}
	if got := runAvro(t, in, data); len(got) != 1 || got[0] != everyJSON {
		t.Errorf("got  %s\nwant %s", got, everyJSON)
	}
	out := jobspecs.Transform{Decode: "json", Encode: "avro", Output: file}
	got := runAvro(t, out, []byte(everyJSON))
	var want, back any
	s := avro.MustParse(everySchema)
	if _, err := s.Decode(data, &want); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decode([]byte(got[0]), &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, back, compareRats); d != "" {
		t.Error(d)
	}
}

// TestAvroDerived: what changes do to record and schema, where no schema of
// the messages is given.
func TestAvroDerived(t *testing.T) {
	spec := jobspecs.Transform{
		Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "every.avsc", everySchema)}, Encode: "same",
		Filter: `record.e == "GREEN" && record.rec.x == 1`,
		Rename: map[string]string{"l": "long", "rec.x": "y"},
		Drop:   []string{"n", "b", "f", "d", "by", "fx", "a", "m", "day", "clock", "micros", "local", "dec", "decf", "id", "odd", "rec.self.x"},
		Set:    map[string]string{"i": "record.i + 1", "label": `"v" + record.s`, "rec.more": "1.5", "when": "record.millis", "size": "size(record.s)"},
	}
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := p.encoder.(*avroEncoder)
	s, err := e.root.schema()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"com.example.Every","type":"record","fields":[{"name":"i","type":"int"},{"name":"long","type":"long"},{"name":"s","type":"string"},` +
		`{"name":"e","type":{"name":"com.example.Color","type":"enum","symbols":["RED","GREEN"]}},{"name":"millis","type":"long"},` +
		`{"name":"rec","type":["null",{"name":"com.example.Inner","type":"record","fields":[{"name":"y","type":"long"},` +
		`{"name":"self","type":["null",{"name":"com.example.Inner_2","type":"record","fields":[{"name":"self","type":["null",` +
		`{"name":"com.example.Inner_3","type":"record","fields":[{"name":"x","type":"long"},{"name":"self","type":["null","com.example.Inner_3"]}]}]}]}]},` +
		`{"name":"more","type":"double"}]}]},{"name":"label","type":"string"},{"name":"size","type":"long"},{"name":"when","type":"long"}]}`
	if got := string(s.Canonical()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !strings.Contains(s.String(), "timestamp-millis") {
		t.Error("the logical type is lost")
	}
	var back any
	got := runAvro(t, spec, everyRecord(t))
	if rest, err := s.Decode([]byte(got[0]), &back); err != nil || len(rest) > 0 {
		t.Fatal(err, len(rest))
	}
	when := time.UnixMilli(1_700_000_000_123).UTC()
	if d := cmp.Diff(any(map[string]any{
		"i": int32(-4), "long": int64(math.MaxInt64), "s": "text \"q\" é", "e": "GREEN", "millis": when, "when": when,
		"rec":   map[string]any{"y": int64(1), "self": map[string]any{"self": nil}, "more": 1.5},
		"label": "vtext \"q\" é", "size": int64(10),
	}), back); d != "" {
		t.Error(d)
	}
}

// TestAvroOutputSchema: a given schema picks, orders and converts.
func TestAvroOutputSchema(t *testing.T) {
	const out = `{"type":"record","name":"Out","fields":[
		{"name":"text","type":["null","string"]},{"name":"long","aliases":["l"],"type":"double"},{"name":"millis","type":{"type":"long","logicalType":"timestamp-micros"}},
		{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":5}},{"name":"missing","type":"int","default":7},
		{"name":"rec","type":{"type":"record","name":"I","fields":[{"name":"x","type":"string"}]}},{"name":"m","type":{"type":"map","values":"long"}},
		{"name":"e","type":"string"},{"name":"day","type":"int"},{"name":"id","type":{"type":"string","logicalType":"uuid"}},{"name":"a","type":{"type":"array","items":["string","null","double"]}}]}`
	spec := jobspecs.Transform{
		Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "every.avsc", everySchema)}, Encode: "avro", Output: writeFile(t, "out.avsc", out),
		Set: map[string]string{"rec.x": "string(record.rec.x)", "text": "record.s"},
	}
	dec, _ := new(big.Rat).SetString("-12345678901234567890.125")
	got := runAvro(t, spec, everyRecord(t))
	var back any
	if rest, err := avro.MustParse(out).Decode([]byte(got[0]), &back); err != nil || len(rest) > 0 {
		t.Fatal(err, len(rest))
	}
	if d := cmp.Diff(any(map[string]any{
		"text": "text \"q\" é", "long": float64(math.MaxInt64), "millis": time.UnixMilli(1_700_000_000_123).UTC(), "dec": dec, "missing": int32(7),
		"rec": map[string]any{"x": "1"}, "m": map[string]any{"a": int64(2), "z": int64(1)}, "e": "GREEN", "day": int32(20779),
		"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "a": []any{1.0, nil},
	}), back, compareRats); d != "" {
		t.Error(d)
	}
}

func TestAvroEvents(t *testing.T) {
	const schema = `{"type":"record","name":"Batch","fields":[{"name":"events","type":["null",{"type":"array","items":["null",{"type":"record","name":"Event","fields":[{"name":"k","type":"string"},{"name":"v","type":"long"}]}]}]}]}`
	data, err := avro.MustParse(schema).Encode(map[string]any{"events": []any{map[string]any{"k": "a", "v": int64(1)}, map[string]any{"k": "b", "v": int64(2)}}})
	if err != nil {
		t.Fatal(err)
	}
	spec := jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "batch.avsc", schema)}, Events: "events", Encode: "same", Filter: "record.v > 1"}
	// An event is a record of its own: without the number of its union branch.
	if got := runAvro(t, spec, data); len(got) != 1 || got[0] != "\x02b\x04" {
		t.Errorf("%q", got)
	}
	spec.Drop = []string{"k"}
	if got := runAvro(t, spec, data); len(got) != 1 || got[0] != "\x04" {
		t.Errorf("%q", got)
	}
	spec.Events = "nothing"
	if _, err := New(spec, Options{}); err == nil {
		t.Error("no error for events that the schema does not have")
	}
}

// TestJSONToAvro: what JSON may hold for a schema, and what is refused.
func TestJSONToAvro(t *testing.T) {
	for _, c := range []struct {
		typ, value string
		want       string // of the JSON of what was written; an error if it begins with !
	}{
		{`"int"`, `7`, `7`},
		{`"int"`, `7.0`, `7`},
		{`"int"`, `2147483648`, `!not whole, or too large`},
		{`"int"`, `1.5`, `!not whole, or too large`},
		{`"long"`, `9223372036854775807`, `9223372036854775807`},
		{`"long"`, `9223372036854775808`, `!not whole, or too large`},
		{`"long"`, `"7"`, `!string cannot be written as long`},
		{`"long"`, `null`, `!null cannot be written as long`},
		{`"double"`, `1`, `1`},
		{`"float"`, `1e39`, `!not whole, or too large`},
		{`"string"`, `"a\u00e9\n"`, `"aé\n"`},
		{`"string"`, `5`, `!int cannot be written as string`},
		{`"boolean"`, `true`, `true`},
		{`"bytes"`, `"AP8="`, `"AP8="`},
		{`"bytes"`, `"not base64"`, `!base64`},
		{`{"type":"fixed","name":"F","size":2}`, `"AP8="`, `"AP8="`},
		{`{"type":"fixed","name":"F","size":3}`, `"AP8="`, `!not as many`},
		{`{"type":"enum","name":"E","symbols":["A"]}`, `"A"`, `"A"`},
		{`{"type":"enum","name":"E","symbols":["A"]}`, `"B"`, `!symbol`},
		{`{"type":"array","items":"int"}`, `[1, 2]`, `[1,2]`},
		{`{"type":"array","items":"int"}`, `[]`, `[]`},
		{`{"type":"array","items":"int"}`, `{"a":1}`, `!not a list, but the schema has array`},
		{`{"type":"map","values":"int"}`, `{"a":1}`, `{"a":1}`},
		{`{"type":"map","values":"int"}`, `[1]`, `!not a record, but the schema has map`},
		{`["null","string","long"]`, `null`, `null`},
		{`["null","string","long"]`, `"x"`, `"x"`},
		{`["null","string","long"]`, `5`, `5`},
		{`["null","string","long"]`, `1.5`, `!not whole`},
		{`["null","string","long"]`, `true`, `!bool cannot be written as union of null, string, long`},
		{`["null","int","long"]`, `5000000000`, `5000000000`},
		{`["null",{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},{"type":"map","values":"string"}]`, `{"y":"z"}`, `{"y":"z"}`},
		{`["null",{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"B","fields":[{"name":"y","type":"int"}]}]`, `{"y":1}`, `{"y":1}`},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `"2026-11-22T01:00:00+01:00"`, `"2026-11-22T00:00:00Z"`},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `1700000000123`, `"2023-11-14T22:13:20.123Z"`},
		{`{"type":"long","logicalType":"timestamp-millis"}`, `"yesterday"`, `!not a time`},
		{`{"type":"int","logicalType":"date"}`, `"2026-11-22"`, `"2026-11-22"`},
		{`{"type":"int","logicalType":"date"}`, `"2026-13-22"`, `!not a time`},
		{`{"type":"int","logicalType":"date"}`, `"1969-12-31"`, `"1969-12-31"`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, `12.34`, `"12.34"`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, `"-0.5"`, `"-0.50"`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, `123e-1`, `"12.30"`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, `12.345`, `!digits after the point`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, `100`, `!precision`},
		{`{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}`, `123456789012345678901234567890.12`, `"123456789012345678901234567890.12"`},
		{`{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}`, `1e999999999`, `!precision`},
		{`{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`, `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`},
		{`{"type":"fixed","name":"F","size":16,"logicalType":"uuid"}`, `"6ba7b8109dad11d180b400c04fd430c8"`, `!UUID`},
	} {
		t.Run(c.typ+" "+c.value, func(t *testing.T) {
			file := writeFile(t, "out.avsc", `{"type":"record","name":"R","fields":[{"name":"v","type":`+c.typ+`}]}`)
			p, err := New(jobspecs.Transform{Decode: "json", Encode: "avro", Output: file}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			m := p.NewMachine()
			if _, err := m.Apply(t.Context(), []byte(`{"extra":1,"v":`+c.value+`}`)); err != nil {
				t.Fatal(err)
			}
			data, err := m.AppendData(nil, 0)
			if refused, ok := strings.CutPrefix(c.want, "!"); ok {
				var bad *DataError
				if !errors.As(err, &bad) || !strings.Contains(err.Error(), refused) || !strings.Contains(err.Error(), "field v") {
					t.Fatalf("%x, %v", data, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			in := jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: file}, Encode: "json"}
			if got := runAvro(t, in, data); got[0] != `{"v":`+c.want+`}` {
				t.Errorf("%s, want %s", got[0], c.want)
			}
			var any any
			if rest, err := avro.MustParse(`{"type":"record","name":"R","fields":[{"name":"v","type":`+c.typ+`}]}`).Decode(data, &any); err != nil || len(rest) > 0 {
				t.Error(err, len(rest))
			}
		})
	}
}

func TestJSONToAvroMissing(t *testing.T) {
	file := writeFile(t, "out.avsc", `{"type":"record","name":"R","fields":[{"name":"a","type":["string","null"]},{"name":"b","type":"int","default":5},{"name":"c","type":"long"}]}`)
	spec := jobspecs.Transform{Decode: "json", Encode: "avro", Output: file}
	if got := runAvro(t, spec, []byte(`{"c":1}`)); got[0] != "\x02\x0a\x02" {
		t.Errorf("%x", got[0])
	}
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMachine()
	if _, err := m.Apply(t.Context(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	dst := []byte("kept")
	if dst, err = m.AppendData(dst, 0); err == nil || !strings.Contains(err.Error(), "field c is not there") || string(dst) != "kept" {
		t.Errorf("%q, %v", dst, err)
	}
}

// TestAvroSpecErrors: what can be known before the first record is said before
// the first record.
func TestAvroSpecErrors(t *testing.T) {
	every := writeFile(t, "every.avsc", everySchema)
	in := jobspecs.Schemas{File: every}
	for name, c := range map[string]struct {
		spec jobspecs.Transform
		want string
	}{
		"no file":          {jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: "/nowhere.avsc"}}, "spec.transform.schema.file"},
		"not a schema":     {jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "a", "{")}}, "is not an Avro schema"},
		"not a record":     {jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "a", `"string"`)}}, "not of a record"},
		"untyped field":    {jobspecs.Transform{Decode: "avro", Schema: in, Set: map[string]string{"new": "record.b ? record.i : record.s"}}, "cannot be told"},
		"unknown copy":     {jobspecs.Transform{Decode: "avro", Schema: in, Set: map[string]string{"new": "record.nothing"}}, `no field "nothing"`},
		"set in a number":  {jobspecs.Transform{Decode: "avro", Schema: in, Set: map[string]string{"i.x": "1"}}, "no record"},
		"two of one name":  {jobspecs.Transform{Decode: "avro", Schema: in, Rename: map[string]string{"i": "l"}}, "is not valid"},
		"bad name":         {jobspecs.Transform{Decode: "avro", Schema: in, Rename: map[string]string{"i": "a-b"}}, "is not valid"},
		"events not there": {jobspecs.Transform{Decode: "avro", Schema: in, Events: "m", Encode: "avro"}, "not an array"},
		"field is missing": {jobspecs.Transform{Decode: "avro", Schema: in, Encode: "avro", Output: writeFile(t, "o", `{"type":"record","name":"R","fields":[{"name":"other","type":"int"}]}`)}, "field other is not in the records"},
		"dropped field":    {jobspecs.Transform{Decode: "avro", Schema: in, Encode: "avro", Drop: []string{"i"}, Output: writeFile(t, "o", `{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}`)}, "field i is not in the records"},
		"registry":         {jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{Registry: jobspecs.Registry{URL: "http://127.0.0.1:1"}}, Drop: []string{"i"}}, "come from a registry"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.spec, Options{})
			var e *exit.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// TestAvroLogicalOfField: logicalType beside a field's type, not in it, has no
// meaning in the specification, nor for Java and BigQuery.
func TestAvroLogicalOfField(t *testing.T) {
	const schema = `{"type":"record","name":"R","fields":[{"name":"at","type":"long","logicalType":"timestamp-millis"}]}`
	spec := jobspecs.Transform{Decode: "avro", Schema: jobspecs.Schemas{File: writeFile(t, "a.avsc", schema)}, Encode: "json"}
	if got := runAvro(t, spec, []byte{2}); got[0] != `{"at":1}` {
		t.Error(got)
	}
}
