package transform

import (
	"context"
	"errors"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoFile holds the messages of a schema of the registry.
type protoFile struct{ messages []*protoNested }

// protoNested is a message and those declared in it.
type protoNested struct {
	message *protoMessage
	nested  []*protoNested
}

var (
	errProtoIndex = errors.New("the record names a message that its schema does not have")
	errProtoDeep  = errors.New("the record names a message nested too deep")
)

// pick reads which message of the file the record holds: their number, and
// the index of each on the way from the file to it; a single 0 stands for the
// first of the file.
func (p *protoFile) pick(b []byte) (*protoMessage, []byte, error) {
	count, i, err := readAvroLong(b, 0) // Confluent writes these as Avro does
	if err != nil {
		return nil, nil, errProtoWire
	}
	if count == 0 {
		if len(p.messages) == 0 {
			return nil, nil, errProtoIndex
		}
		return p.messages[0].message, b[i:], nil
	}
	if count < 0 || count > maxDepth {
		return nil, nil, errProtoDeep
	}
	level := p.messages
	var m *protoMessage
	for range count {
		var n int64
		if n, i, err = readAvroLong(b, i); err != nil {
			return nil, nil, errProtoWire
		}
		if n < 0 || n >= int64(len(level)) {
			return nil, nil, errProtoIndex
		}
		m, level = level[n].message, level[n].nested
	}
	return m, b[i:], nil
}

// protoBuiltin are files that Confluent's registry knows without a reference.
var protoBuiltin = map[string]string{
	"confluent/meta.proto": `syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
`,
	"confluent/type/decimal.proto": `syntax = "proto3";
package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
`,
}

// compileProto compiles the text of a schema of the registry.
func compileProto(s *registered) (*protoFile, error) {
	const main = "record.schema.kappa.proto" // not the name of a reference
	sources := map[string]string{main: s.text}
	for name, text := range protoBuiltin {
		sources[name] = text
	}
	for _, r := range s.references {
		sources[r.name] = r.text
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			Accessor: protocompile.SourceAccessorFromMap(sources),
		}),
	}
	files, err := compiler.Compile(context.Background(), main)
	if err != nil {
		return nil, err
	}
	types := make(protoTypes)
	return &protoFile{messages: types.nested(files[0].Messages())}, nil
}

func (c protoTypes) nested(mds protoreflect.MessageDescriptors) []*protoNested {
	out := make([]*protoNested, mds.Len())
	for i := range out {
		md := mds.Get(i)
		out[i] = &protoNested{message: c.message(md), nested: c.nested(md.Messages())}
	}
	return out
}
