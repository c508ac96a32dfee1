package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

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
