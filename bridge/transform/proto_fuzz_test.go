package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// FuzzProtobuf: whatever the bytes, reading ends, without a panic, in a value
// or an error.
func FuzzProtobuf(f *testing.F) {
	md := protoEvent(f)
	root := make(protoTypes).message(md)
	p := &protoFormat{root: root}
	f.Add([]byte{8, 1, 18, 1, 'u', 24, 2})
	f.Add([]byte{0x22, 3, 1, 2, 3, 0x3a, 5, 10, 1, 'k', 16, 9})
	f.Add([]byte{0x4a, 2, 0x12, 0, 0x4a, 2, 0x0a, 0, 0xc2, 1, 2, 8, 1})
	f.Add(bytes.Repeat([]byte{0x4a, 0x80, 1}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, err := p.fields(root, data, nil)
		if err != nil {
			return
		}
		for i := range fields {
			var r result
			text, err := p.appendJSON(nil, &fields[i])
			if err == nil && !json.Valid(text) {
				t.Fatalf("not JSON: %s", text)
			}
			if again := p.decode(&fields[i], &r); (again == nil) != (err == nil) && !errors.Is(err, errNotFinite) {
				t.Fatalf("appendJSON: %v, decode: %v", err, again)
			}
			_, _ = p.appendPlain(nil, &fields[i])
			_ = p.kindOf(&fields[i])
			_, _ = p.fields(fields[i].typ, fields[i].value, nil)
			_, _ = p.items(fields[i].typ, fields[i].value, nil)
		}
	})
}

// BenchmarkProtoToJSON reads records of 20 fields and writes them as JSON.
func BenchmarkProtoToJSON(b *testing.B) {
	md := protoEvent(b)
	m := dynamicpb.NewMessage(md)
	for i := range md.Fields().Len() {
		switch fd := md.Fields().Get(i); {
		case fd.IsList() || fd.IsMap():
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(strings.Repeat("text ", 80)))
		case fd.Kind() == protoreflect.Int64Kind:
			m.Set(fd, protoreflect.ValueOfInt64(1_700_000_000_000))
		}
	}
	data, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	root := make(protoTypes).message(md)
	p := &protoFormat{root: root}
	e := &jsonEncoder{in: p}
	var fields []field
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if fields, err = p.fields(root, data, fields[:0]); err != nil {
			b.Fatal(err)
		}
		if dst, err = e.encode(dst[:0], &record{body: data, typ: root, fields: fields}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestProtoWideNumbers: a number with more bits than its type is cut, and any
// boolean but 0 is true, as everywhere in Protobuf.
func TestProtoWideNumbers(t *testing.T) {
	md := protoEvent(t)
	p := &protoFormat{root: make(protoTypes).message(md)}
	for name, wide := range map[string]uint64{"flag": 2, "z32": 1<<33 | 5, "u32": 1<<40 | 7, "kind": 1<<35 | 2} {
		data := protowire.AppendVarint(protowire.AppendTag(nil, md.Fields().ByName(protoreflect.Name(name)).Number(), protowire.VarintType), wide)
		fields, err := p.fields(p.root, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.appendJSON(nil, (&record{fields: fields}).find([]byte(name)))
		if want := map[string]string{"flag": "true", "z32": "-3", "u32": "7", "kind": `"VIEW"`}[name]; err != nil || string(got) != want {
			t.Errorf("%s: %s %v, want %s", name, got, err, want)
		}
		var r result
		if err := p.decode((&record{fields: fields}).find([]byte("flag")), &r); err != nil || r.num > 1 {
			t.Errorf("a boolean of %d, %v", r.num, err)
		}
	}
}
