package transform

import (
	"cmp"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Options is what New needs beside the spec.
type Options struct {
	// Needed are the paths of fields that others read after the transform: of
	// ids, keys, the event time and attributes.
	Needed []string
	// HTTP reaches a schema registry; nil: a client of its own.
	HTTP *http.Client
	// Log takes what concerns more than one record; nil: nothing is logged.
	Log *slog.Logger
	// Secret reads a secret; required only for a registry that asks for one.
	Secret func(jobspecs.Secret) (string, error)
}

// Program is a compiled spec.transform. It is immutable and shared between
// goroutines, each of which has a Machine of its own.
type Program struct {
	format  format  // nil: the bytes pass unread
	encoder encoder // nil: what was read is passed on as it is
	decodes bool
	changes changes
	events  *Path // nil: the record is the event
	filter  *expression
	needed  []*Path // that lead into nested records

	registers int
}

// New compiles a spec's transform. Its errors are exit.Error.
func New(spec jobspecs.Transform, opts Options) (*Program, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if spec.Decode == "" || spec.Decode == "none" {
		if err := passes(spec, opts); err != nil {
			return nil, err
		}
		return &Program{}, nil
	}
	p := &Program{}
	if err := p.compile(spec); err != nil {
		return nil, err
	}
	for _, source := range opts.Needed {
		path, err := p.Path(source)
		if err != nil {
			return nil, err
		}
		if len(path.names) > 1 {
			p.needed = append(p.needed, path)
		}
	}
	if err := p.formats(spec, opts); err != nil {
		return nil, err
	}
	p.decodes = p.encoder != nil || p.events != nil || p.filter != nil || len(opts.Needed) > 0
	return p, nil
}

// passes checks that nothing needs the fields of records that are not decoded.
func passes(spec jobspecs.Transform, opts Options) error {
	mend := "set transform.decode: json"
	switch {
	case len(spec.Rename)+len(spec.Drop)+len(spec.Set) > 0 || spec.Filter != "" || spec.Events != "":
		return exit.Usagef("spec.transform: events, filter, rename, drop and set need the record's fields").WithHint("%s", mend)
	case spec.Encode == "json" || spec.Encode == "avro":
		return exit.Usagef("spec.transform: encode %s needs the record's fields", spec.Encode).WithHint("%s", mend)
	case len(opts.Needed) > 0:
		return exit.Usagef("spec: field %q is read: ids, keys, event times and attributes from fields need the record's fields", opts.Needed[0]).WithHint("%s", mend)
	}
	return nil
}

// formats picks format and encoder.
func (p *Program) formats(spec jobspecs.Transform, opts Options) (err error) {
	switch spec.Decode {
	case "json":
		p.format = jsonFormat{}
	case "avro":
		p.format, err = newAvroFormat(spec.Schema, opts)
	case "protobuf":
		p.format, err = newProtobufFormat(spec.Schema, opts)
	default:
		err = exit.Usagef("spec.transform.decode: there is no format %q", spec.Decode).WithHint("use none, json, avro or protobuf")
	}
	if err != nil {
		return err
	}
	to := spec.Encode
	if to == "" || to == "same" {
		to = spec.Decode
	}
	switch {
	case to == "original":
		if p.changes.any() {
			return exit.Usagef("spec.transform: fields are renamed, dropped or set, but encode original passes the record's own bytes").
				WithHint("set transform.encode: same, json or avro")
		}
	case to == spec.Decode && !p.changes.any() && (p.events == nil || to != "avro") && spec.Output == "":
	case to == "json":
		p.encoder = &jsonEncoder{in: p.format, text: spec.Decode == "json"}
	case to == "avro":
		p.encoder, err = newAvroEncoder(spec, p.format, &p.changes, opts)
	case to == "protobuf":
		return exit.Usagef("spec.transform: records of decode protobuf cannot be written as protobuf again with other fields").
			WithHint("set transform.encode: json or avro")
	default:
		return exit.Usagef("spec.transform.encode: there is no format %q", to).WithHint("use same, original, json or avro")
	}
	return err
}

// compile compiles what does not depend on the format.
func (p *Program) compile(spec jobspecs.Transform) (err error) {
	if spec.Events != "" {
		if p.events, err = ParsePath(spec.Events); err != nil {
			return exit.Usagef("spec.transform.events: %q: %w", spec.Events, err)
		}
	}
	if spec.Filter != "" {
		if p.filter, err = compile(spec.Filter, true); err != nil {
			return exit.Usagef("spec.transform.filter: %w", err)
		}
		p.registers = p.filter.registers
	}
	if err := p.edits(spec); err != nil {
		return err
	}
	return p.sets(spec)
}

// edits compiles rename and drop.
func (p *Program) edits(spec jobspecs.Transform) error {
	var dropped []*Path
	for _, source := range spec.Drop {
		path, err := ParsePath(source)
		if err != nil {
			return exit.Usagef("spec.transform.drop: %q: %w", source, err)
		}
		dropped = append(dropped, path)
		p.changes.at(path).drop = true
	}
	news := make(map[string]string) // old path by the path with the new name
	for _, source := range slices.Sorted(maps.Keys(spec.Rename)) {
		path, err := ParsePath(source)
		if err != nil {
			return exit.Usagef("spec.transform.rename: %q: %w", source, err)
		}
		for _, d := range dropped {
			if path.key() == d.key() {
				return exit.Usagef("spec.transform: field %q is both renamed and dropped", source)
			}
			if path.within(d) {
				return exit.Usagef("spec.transform: field %q is renamed, but %q, which holds it, is dropped", source, d)
			}
		}
		name := spec.Rename[source]
		if name == "" {
			return exit.Usagef("spec.transform.rename: %q: the new name is empty", source)
		}
		to := &Path{names: slices.Clone(path.names)}
		to.names[len(to.names)-1] = []byte(name)
		if other, twice := news[to.key()]; twice {
			return exit.Usagef("spec.transform.rename: fields %q and %q are both renamed to %q", other, source, name)
		}
		news[to.key()] = source
		if !p.changes.rename(path, name) {
			return exit.Usagef("spec.transform.rename: field %q comes twice", source)
		}
	}
	return nil
}

// sets compiles set.
func (p *Program) sets(spec jobspecs.Transform) error {
	for source, text := range spec.Set {
		path, err := ParsePath(source)
		if err != nil {
			return exit.Usagef("spec.transform.set: %q: %w", source, err)
		}
		e, err := compile(text, false)
		if err != nil {
			return exit.Usagef("spec.transform.set.%s: %w", source, err)
		}
		p.registers = max(p.registers, e.registers)
		p.changes.sets = append(p.changes.sets, setField{path: path, quote: appendQuoted(nil, path.last()), expr: e})
	}
	slices.SortFunc(p.changes.sets, func(a, b setField) int { return cmp.Compare(a.path.source, b.path.source) })
	for _, a := range p.changes.sets {
		for _, b := range p.changes.sets {
			if a.path != b.path && a.path.key() == b.path.key() || b.path.within(a.path) {
				return exit.Usagef("spec.transform.set: %q and %q set the same field", a.path, b.path)
			}
		}
	}
	return nil
}

// Path compiles a path, for Machine.Field. Its errors are exit.Error.
func (p *Program) Path(source string) (*Path, error) {
	path, err := ParsePath(source)
	if err != nil {
		return nil, exit.Usagef("spec: %q is not the path of a field: %w", source, err)
	}
	return path, nil
}

// Decodes reports whether anything needs the fields of records. If not, they
// pass as they are, unread, and a Machine is of no use.
func (p *Program) Decodes() bool { return p.decodes }

// Rewrites reports whether messages have data of their own. If not, the data
// of a message is the record's value as it is.
func (p *Program) Rewrites() bool { return p.encoder != nil || p.events != nil }
