package transform

import (
	"context"
	"errors"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// protoFormat reads binary Protobuf. Fields have the names that the schema
// gives them (not their JSON names) and come in the order of the schema. A
// field that has no presence of its own is always there, with its default;
// one that has is there if it is set. Unknown fields are left out.
type protoFormat struct {
	root     *protoMessage
	registry *registry[*protoFile] // nil with a descriptor set
}

func newProtobufFormat(spec jobspecs.Schemas, opts Options) (format, error) {
	if spec.Registry.URL != "" {
		client, err := newRegistryClient(spec.Registry, opts)
		if err != nil {
			return nil, err
		}
		return &protoFormat{registry: newRegistry(client, "PROTOBUF", compileProto)}, nil
	}
	const path = "spec.transform.schema.file"
	data, err := os.ReadFile(spec.File)
	if err != nil {
		return nil, exit.Environmentf("%s: %w", path, err)
	}
	root, err := readDescriptorSet(data, spec.Message)
	if err != nil {
		return nil, exit.Usagef("%s: %s: %w", path, spec.File, err).
			WithHint("make it with protoc --descriptor_set_out=FILE --include_imports")
	}
	return &protoFormat{root: root}, nil
}

// readDescriptorSet finds a message in a descriptor set.
func readDescriptorSet(data []byte, message string) (*protoMessage, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		return nil, errors.New("it is not a Protobuf descriptor set")
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, err
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(message))
	if err != nil {
		return nil, errors.New("it has no message " + message)
	}
	md, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, errors.New(message + " is not a message")
	}
	return make(protoTypes).message(md), nil
}

func (p *protoFormat) open(ctx context.Context, value []byte, blocked func(string)) ([]byte, any, error) {
	if p.registry == nil {
		return value, p.root, nil
	}
	file, body, err := p.registry.open(ctx, value, blocked)
	if err != nil {
		return nil, nil, err
	}
	m, body, err := file.pick(body)
	if err != nil {
		return nil, nil, err
	}
	return body, m, nil
}

func (p *protoFormat) fields(typ any, value []byte, dst []field) ([]field, error) {
	if m, ok := typ.(*protoMessage); ok {
		return m.split(value, dst)
	}
	f, value, err := typ.(*protoField).unwrap(value)
	switch {
	case err != nil:
		return dst, err
	case f.shape == protoMap:
		return f.entries(value, dst)
	case f.shape == protoSingle && f.message != nil && f.message.special == protoPlain:
		return f.message.split(value, dst)
	default:
		return dst, errNotRecord
	}
}

func (p *protoFormat) items(typ any, value []byte, dst []field) ([]field, error) {
	f, ok := typ.(*protoField)
	if !ok {
		return dst, errNotList
	}
	f, value, err := f.unwrap(value)
	if err != nil {
		return dst, err
	}
	if f.shape != protoList {
		return dst, errNotList
	}
	err = f.each(value, func(payload []byte) error {
		dst = append(dst, field{value: payload, typ: f.item})
		return nil
	})
	return dst, err
}

func (p *protoFormat) kindOf(f *field) kind {
	if _, ok := f.typ.(*protoMessage); ok {
		return kindMap
	}
	t, _, err := f.typ.(*protoField).unwrap(f.value)
	if err != nil {
		return kindNull // decode says what is wrong
	}
	return t.resultKind()
}

func (p *protoFormat) decode(f *field, out *result) error {
	r := newProtoReader(f.value)
	return r.value(typeOf(f.typ), f.value, 0, out)
}

func (p *protoFormat) appendPlain(dst []byte, f *field) ([]byte, error) {
	if k := p.kindOf(f); k == kindList || k == kindMap {
		return p.appendJSON(dst, f)
	}
	var out result
	if err := p.decode(f, &out); err != nil {
		return dst, err
	}
	return out.appendPlain(dst)
}

// appendJSON appends the value of f as JSON text: what protojson writes with
// UseProtoNames and EmitDefaultValues, but for integers of 64 bits, which are
// numbers here. The fields of a message come in the order of the schema, the
// entries of a map by name.
func (p *protoFormat) appendJSON(dst []byte, f *field) ([]byte, error) {
	r := newProtoReader(f.value)
	return r.appendJSON(dst, typeOf(f.typ), f.value, 0)
}

// typeOf returns the type of a value; a whole record is like a field that
// holds it.
func typeOf(typ any) *protoField {
	if m, ok := typ.(*protoMessage); ok {
		return m.self
	}
	return typ.(*protoField)
}
