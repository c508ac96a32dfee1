package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

const protoSource = `syntax = "proto3";
package example;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
enum Kind { UNKNOWN = 0; LIKE = 1; VIEW = 2; }
message Event {
  int64 tweet_id = 1;
  optional string user = 2;
  Kind kind = 3;
  repeated int32 packed = 4;
  repeated sint64 unpacked = 5 [packed = false];
  repeated string tags = 6;
  map<string, int64> counts = 7;
  map<int32, Nested> by_number = 8;
  Nested nested = 9;
  repeated Nested list = 10;
  oneof choice { string text = 11; uint64 number = 12; Nested message = 13; }
  bytes raw = 14;
  float ratio = 15;
  double score = 16;
  bool flag = 17;
  fixed32 f32 = 18; fixed64 f64 = 19; sfixed32 s32 = 20; sfixed64 s64 = 21; sint32 z32 = 22; uint32 u32 = 23;
  google.protobuf.Timestamp at = 24;
  google.protobuf.Duration took = 25;
  google.protobuf.Int64Value wrapped = 26;
  google.protobuf.StringValue wrapped_text = 27;
  google.protobuf.Struct attributes = 28;
  google.protobuf.Value any_value = 29;
  map<bool, Kind> kinds = 300;
  repeated Kind seen = 1000;
  optional bool certain = 70000;
}
message Nested { string name = 1; Nested inner = 2; optional int32 n = 3; message Deep { int64 v = 1; } Deep deep = 4; }
message Other { string x = 1; }
`

func protoFiles(tb testing.TB, source string) protoreflect.FileDescriptor {
	tb.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"example.proto": source}),
	})}
	files, err := c.Compile(tb.Context(), "example.proto")
	if err != nil {
		tb.Fatal(err)
	}
	return files[0]
}

func protoEvent(tb testing.TB) protoreflect.MessageDescriptor {
	return protoFiles(tb, protoSource).Messages().ByName("Event")
}

// drawMessage draws a message of a type.
func drawMessage(t *rapid.T, md protoreflect.MessageDescriptor, depth int) *dynamicpb.Message {
	m := dynamicpb.NewMessage(md)
	switch md.FullName() {
	case "google.protobuf.Timestamp":
		m.Set(md.Fields().ByNumber(1), protoreflect.ValueOfInt64(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds")))
		m.Set(md.Fields().ByNumber(2), protoreflect.ValueOfInt32(rapid.Int32Range(0, 999999999).Draw(t, "nanos")))
		return m
	case "google.protobuf.Duration":
		m.Set(md.Fields().ByNumber(1), protoreflect.ValueOfInt64(rapid.Int64Range(0, 1<<32).Draw(t, "seconds")))
		m.Set(md.Fields().ByNumber(2), protoreflect.ValueOfInt32(rapid.Int32Range(0, 999999999).Draw(t, "nanos")))
		return m
	case "google.protobuf.Value":
		switch rapid.IntRange(0, 3).Draw(t, "value") {
		case 0:
			m.Set(md.Fields().ByName("null_value"), protoreflect.ValueOfEnum(0))
		case 1:
			m.Set(md.Fields().ByName("number_value"), protoreflect.ValueOfFloat64(float64(rapid.Int16().Draw(t, "number"))))
		case 2:
			m.Set(md.Fields().ByName("string_value"), protoreflect.ValueOfString("s"))
		default:
			name := protoreflect.Name(rapid.SampledFrom([]string{"struct_value", "list_value"}).Draw(t, "kind"))
			fd := md.Fields().ByName(name)
			m.Set(fd, protoreflect.ValueOfMessage(drawMessage(t, fd.Message(), depth-1)))
		}
		return m
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if depth <= 0 || rapid.IntRange(0, 2).Draw(t, string(fd.Name())) == 0 {
			continue
		}
		switch {
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for range rapid.IntRange(0, 2).Draw(t, "entries") {
				entries.Set(drawValue(t, fd.MapKey(), depth).MapKey(), drawValue(t, fd.MapValue(), depth))
			}
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				list.Append(drawValue(t, fd, depth))
			}
		default:
			m.Set(fd, drawValue(t, fd, depth))
		}
	}
	return m
}

func drawValue(t *rapid.T, fd protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return protoreflect.ValueOfMessage(drawMessage(t, fd.Message(), depth-1))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(rapid.Bool().Draw(t, "bool"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(rapid.IntRange(0, 4).Draw(t, "enum")))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(rapid.Int32().Draw(t, "int32"))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(rapid.Int64().Draw(t, "int64"))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(rapid.Uint32().Draw(t, "uint32"))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(rapid.Uint64().Draw(t, "uint64"))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(rapid.Int16().Draw(t, "float")) / 4)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(rapid.Float64Range(-1e9, 1e9).Draw(t, "double"))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	default:
		return protoreflect.ValueOfString(rapid.StringMatching(`[a-zé"\\ \n]{0,6}`).Draw(t, "string"))
	}
}

// plainTree parses JSON and makes one text of what protojson and appendJSON
// write differently: 64-bit integers, times and durations.
func plainTree(tb rapid.TB, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	var plain func(v any) any
	plain = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				v[k] = plain(v[k])
			}
			return v
		case []any:
			for i := range v {
				v[i] = plain(v[i])
			}
			return v
		case json.Number:
			return plain(v.String())
		case string:
			if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return t
			}
			if d, err := time.ParseDuration(v); err == nil {
				return d
			}
			if _, err := strconv.ParseInt(v, 10, 64); err == nil {
				return v
			}
			if f, err := strconv.ParseFloat(v, 64); err == nil && strings.ContainsAny(v, ".eE") {
				return f
			}
			return v
		}
		return v
	}
	return plain(v)
}

// TestProtoAsProtojson: whatever the bytes of a message, merged of several
// parts as they may be, it reads as the Protobuf library does.
func TestProtoAsProtojson(t *testing.T) {
	md := protoEvent(t)
	root := make(protoTypes).message(md)
	p := &protoFormat{root: root}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			part, err := proto.Marshal(drawMessage(t, md, 3))
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, part...)
		}
		m := dynamicpb.NewMessage(md)
		if err := proto.Unmarshal(data, m); err != nil {
			t.Fatal(err)
		}
		want, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
		if err != nil {
			t.Skip(err) // a Value without a value
		}
		fields, err := p.fields(root, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		e := &jsonEncoder{in: p}
		got, err := e.encode(nil, &record{body: data, typ: root, fields: fields})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(plainTree(t, want), plainTree(t, got)); d != "" {
			t.Fatalf("%s\nwant %s\ngot %s", d, want, got)
		}
		for i := range fields {
			var r result
			if err := p.decode(&fields[i], &r); err != nil {
				t.Fatal(err)
			}
			if k := p.kindOf(&fields[i]); k != r.kind && !(k == kindString && r.kind == kindInt) {
				t.Fatalf("%s: kindOf %s, decoded %s", fields[i].name, k, r.kind)
			}
			one, err := r.appendJSON(nil)
			if err != nil {
				t.Fatal(err)
			}
			two, err := p.appendJSON(nil, &fields[i])
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(plainTree(t, one), plainTree(t, two)); d != "" {
				t.Fatalf("%s: %s", fields[i].name, d)
			}
		}
	})
}

func TestProtoDescriptorSet(t *testing.T) {
	fd := protoFiles(t, protoSource)
	set := &descriptorpb.FileDescriptorSet{}
	for i := range fd.Imports().Len() {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(fd.Imports().Get(i).FileDescriptor))
	}
	without, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(fd)}})
	if err != nil {
		t.Fatal(err)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(fd))
	whole, err := proto.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(fd.Messages().ByName("Event"))
	m.Set(m.Descriptor().Fields().ByName("tweet_id"), protoreflect.ValueOfInt64(9007199254740993))
	m.Set(m.Descriptor().Fields().ByName("kind"), protoreflect.ValueOfEnum(2))
	nested := dynamicpb.NewMessage(fd.Messages().ByName("Nested"))
	nested.Set(nested.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString("inside"))
	m.Set(m.Descriptor().Fields().ByName("nested"), protoreflect.ValueOfMessage(nested))
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	spec := jobspecs.Transform{
		Decode: "protobuf",
		Schema: jobspecs.Schemas{File: writeFile(t, "set.pb", string(whole)), Message: "example.Event"},
		Filter: `record.kind == "VIEW" && record.nested.name == "inside"`,
		Rename: map[string]string{"tweet_id": "postId"},
		Drop:   []string{"packed", "unpacked", "tags", "counts", "by_number", "list", "f32", "f64", "s32", "s64", "z32", "u32", "kinds", "seen", "ratio", "score", "raw"},
		Set:    map[string]string{"next": "record.postId + 1"},
		Encode: "json",
	}
	p, err := New(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	machine := p.NewMachine()
	if n, err := machine.Apply(t.Context(), data); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	got, err := machine.AppendData(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"postId":9007199254740993,"kind":"VIEW","nested":{"name":"inside"},"flag":false,"next":9007199254740994}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for name, c := range map[string]struct{ file, message string }{
		"without imports": {string(without), "example.Event"},
		"no such message": {string(whole), "example.Nothing"},
		"an enum":         {string(whole), "example.Kind"},
		"not a set":       {"\xff\xff", "example.Event"},
	} {
		spec.Schema = jobspecs.Schemas{File: writeFile(t, "bad.pb", c.file), Message: c.message}
		if _, err := New(spec, Options{}); err == nil || !strings.Contains(err.Error(), "spec.transform.schema.file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProtoMergesInLinearTime: a message that comes in very many parts is
// merged without copying what there is each time.
func TestProtoMergesInLinearTime(t *testing.T) {
	root := make(protoTypes).message(protoEvent(t))
	part := protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), []byte{0x0a, 3, 'a', 'b', 'c'})
	data := bytes.Repeat(part, 50_000)
	fields, err := root.split(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	allocated := testing.AllocsPerRun(1, func() { _, _ = root.split(data, fields[:0]) })
	if allocated > 100 {
		t.Errorf("%v allocations", allocated)
	}
	if i := (&record{fields: fields}).find([]byte("nested")); i == nil || len(i.value) != 5*50_000 {
		t.Error("not merged")
	}
}

func TestProtoPick(t *testing.T) {
	file, err := compileProto(&registered{text: protoSource})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		head string
		want string
		err  error
	}{
		{"\x00", "example.Event", nil},
		{"\x02\x00", "example.Event", nil},
		{"\x02\x04", "example.Other", nil},
		{"\x04\x02\x00", "example.Nested.Deep", nil},
		{"\x02\x06", "", errProtoIndex},
		{"\x02\x01", "", errProtoIndex},
		{"\x01", "", errProtoDeep},
		{"\xfe\xff\xff\xff\x0f", "", errProtoDeep},
		{"", "", errProtoWire},
		{"\x04\x02", "", errProtoWire},
	} {
		m, rest, err := file.pick([]byte(c.head + boolText(c.err == nil)))
		if !errors.Is(err, c.err) {
			t.Errorf("%x: %v, want %v", c.head, err, c.err)
			continue
		}
		if err == nil && (string(rest) != "rest" || m != fileMessage(file, c.want)) {
			t.Errorf("%x: another message than %s, rest %q", c.head, c.want, rest)
		}
	}
}

func boolText(with bool) string {
	if with {
		return "rest"
	}
	return ""
}

func fileMessage(f *protoFile, name string) *protoMessage {
	at := map[string]*protoMessage{
		"example.Event": f.messages[0].message, "example.Nested": f.messages[1].message,
		"example.Other": f.messages[2].message, "example.Nested.Deep": f.messages[1].nested[0].message,
	}
	return at[name]
}
