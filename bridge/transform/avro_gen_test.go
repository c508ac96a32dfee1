package transform

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// avroGen draws random schemas and, for a schema, values: as twmb/avro takes
// them, and as a tree is to hold them.
type avroGen struct {
	t     *rapid.T
	named int
	// records are the records that are being drawn, to refer to.
	records []string
	refs    map[string]map[string]any
}

func newAvroGen(t *rapid.T) *avroGen {
	return &avroGen{t: t, refs: make(map[string]map[string]any)}
}

// record draws the schema of a record.
func (g *avroGen) record(depth int) map[string]any {
	g.named++
	name := fmt.Sprintf("R%d", g.named)
	node := map[string]any{"type": "record", "name": name}
	if rapid.Bool().Draw(g.t, "namespace") {
		node["namespace"] = "com.example"
		name = "com.example." + name
	}
	g.records = append(g.records, name)
	g.refs[name] = node
	fields := []any{}
	for i := range rapid.IntRange(0, 6).Draw(g.t, "fields") {
		fields = append(fields, map[string]any{"name": fmt.Sprintf("f%d", i), "type": g.schema(depth-1, true)})
	}
	node["fields"] = fields
	g.records = g.records[:len(g.records)-1]
	return node
}

var avroScalars = []any{
	"null", "boolean", "int", "long", "float", "double", "bytes", "string",
	map[string]any{"type": "int", "logicalType": "date"},
	map[string]any{"type": "int", "logicalType": "time-millis"},
	map[string]any{"type": "long", "logicalType": "time-micros"},
	map[string]any{"type": "long", "logicalType": "timestamp-millis"},
	map[string]any{"type": "long", "logicalType": "timestamp-micros"},
	map[string]any{"type": "long", "logicalType": "timestamp-nanos"},
	map[string]any{"type": "long", "logicalType": "local-timestamp-millis"},
	map[string]any{"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3},
	map[string]any{"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
	map[string]any{"type": "string", "logicalType": "uuid"},
}

func (g *avroGen) schema(depth int, union bool) any {
	most := 9
	if depth <= 0 {
		most = 3
	}
	switch n := rapid.IntRange(0, most).Draw(g.t, "kind"); {
	case n <= 1:
		return rapid.SampledFrom(avroScalars).Draw(g.t, "scalar")
	case n == 2:
		g.named++
		return map[string]any{"type": "enum", "name": fmt.Sprintf("E%d", g.named), "symbols": []any{"RED", "GREEN", "BLUE"}}
	case n == 3:
		g.named++
		return map[string]any{"type": "fixed", "name": fmt.Sprintf("F%d", g.named), "size": rapid.IntRange(0, 5).Draw(g.t, "size")}
	case n <= 5:
		return map[string]any{"type": "array", "items": g.schema(depth-1, true)}
	case n == 6:
		return map[string]any{"type": "map", "values": g.schema(depth-1, true)}
	case n == 7 && union:
		if len(g.records) > 0 && rapid.Bool().Draw(g.t, "recursive") {
			return []any{"null", rapid.SampledFrom(g.records).Draw(g.t, "reference")}
		}
		return []any{"null", rapid.SampledFrom([]any{"long", "string", "boolean", "double", "bytes"}).Draw(g.t, "branch")}
	case n == 8 && union:
		return []any{"null", g.record(depth), "string"}
	default:
		return g.record(depth)
	}
}

// value draws a value of a schema; depth bounds recursive ones.
func (g *avroGen) value(schema any, depth int) (native, tree any) {
	t := g.t
	switch s := schema.(type) {
	case string:
		if ref := g.refs[s]; ref != nil {
			return g.value(ref, depth)
		}
		return g.scalar(s, "", nil)
	case []any:
		i := rapid.IntRange(0, len(s)-1).Draw(t, "branch")
		if depth <= 0 {
			i = 0
		}
		return g.value(s[i], depth-1)
	case map[string]any:
		switch s["type"] {
		case "record":
			n, m := map[string]any{}, map[string]any{}
			for _, f := range s["fields"].([]any) {
				f := f.(map[string]any)
				name := f["name"].(string)
				n[name], m[name] = g.value(f["type"], depth-1)
			}
			return n, m
		case "array":
			n, l := []any{}, []any{}
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				a, b := g.value(s["items"], depth-1)
				n, l = append(n, a), append(l, b)
			}
			return n, l
		case "map":
			n, m := map[string]any{}, map[string]any{}
			for i := range rapid.IntRange(0, 3).Draw(t, "entries") {
				name := fmt.Sprintf("%d%s", i, rapid.String().Draw(t, "name"))
				n[name], m[name] = g.value(s["values"], depth-1)
			}
			return n, m
		case "enum":
			v := rapid.SampledFrom([]string{"RED", "GREEN", "BLUE"}).Draw(t, "symbol")
			return v, v
		case "fixed":
			n := s["size"].(int)
			v := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "fixed")
			return v, v
		default:
			logical, _ := s["logicalType"].(string)
			return g.scalar(s["type"].(string), logical, s)
		}
	}
	panic("no such schema")
}

func (g *avroGen) scalar(kind, logical string, s map[string]any) (native, tree any) {
	t := g.t
	seconds := func() int64 { return rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds") }
	switch logical {
	case "date":
		v := time.Unix(seconds()/86400*86400, 0).UTC()
		return v, v.Format(time.DateOnly)
	case "time-millis":
		v := rapid.Int64Range(0, 86399999).Draw(t, "millis")
		return int32(v), time.UnixMilli(v).UTC().Format(clockLayout)
	case "time-micros":
		v := rapid.Int64Range(0, 86399999999).Draw(t, "micros")
		return v, time.UnixMicro(v).UTC().Format(clockLayout)
	case "timestamp-millis":
		v := time.UnixMilli(seconds()*1000 + rapid.Int64Range(0, 999).Draw(t, "millis")).UTC()
		return v, v
	case "timestamp-micros":
		v := time.UnixMicro(seconds()*1000000 + rapid.Int64Range(0, 999999).Draw(t, "micros")).UTC()
		return v, v
	case "timestamp-nanos":
		v := time.Unix(0, rapid.Int64().Draw(t, "nanos")).UTC()
		return v, v
	case "local-timestamp-millis":
		v := time.Unix(seconds(), 0).UTC()
		return v, v.Format(localLayout)
	case "decimal":
		digits := rapid.StringMatching(`-?[1-9][0-9]{0,10}`).Draw(t, "unscaled")
		if s["precision"] == 38 {
			digits = rapid.StringMatching(`-?[1-9][0-9]{0,36}`).Draw(t, "unscaled")
		}
		v, _ := new(big.Int).SetString(digits, 10)
		rat := new(big.Rat).SetFrac(v, power10(s["scale"].(int)))
		return rat, rat.FloatString(s["scale"].(int))
	case "uuid":
		v := "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
		return v, v
	}
	switch kind {
	case "boolean":
		v := rapid.Bool().Draw(t, "boolean")
		return v, v
	case "int":
		v := rapid.Int32().Draw(t, "int")
		return v, int64(v)
	case "long":
		v := rapid.Int64().Draw(t, "long")
		return v, v
	case "float":
		v := rapid.Float32().Draw(t, "float")
		return v, float64(v)
	case "double":
		v := rapid.Float64().Draw(t, "double")
		return v, v
	case "bytes":
		v := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		return v, v
	case "string":
		v := rapid.String().Draw(t, "string")
		return v, v
	default:
		return nil, nil
	}
}

// drawAvro draws a schema and an encoded value of it.
func drawAvro(t *rapid.T) (s *avro.Schema, text string, data []byte, tree map[string]any) {
	g := newAvroGen(t)
	node := g.record(3)
	b, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = avro.Parse(string(b)); err != nil {
		if strings.Contains(err.Error(), "infinite") || strings.Contains(err.Error(), "recurs") {
			t.Skip("not a finite type")
		}
		t.Fatalf("parse %s: %v", b, err)
	}
	native, want := g.value(node, 6)
	if data, err = s.Encode(native); err != nil {
		t.Fatalf("encode %v by %s: %v", native, b, err)
	}
	return s, string(b), data, want.(map[string]any)
}

func mustCompileAvro(t testing.TB, schema string) *avroType {
	t.Helper()
	typ, err := compileAvro(schema)
	if err != nil {
		t.Fatalf("compile %s: %v", schema, err)
	}
	return typ
}
