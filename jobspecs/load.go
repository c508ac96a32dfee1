package jobspecs

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Set is what was loaded, in the order of files and documents. Every document
// is resolved: defaults are filled in, Extends, Abstract, Variables, Ignore and
// Overlays are zero.
type Set struct {
	Bridges     []*Bridge
	StreamJobs  []*StreamJob
	BatchLoads  []*BatchLoad
	Comparisons []*Comparison
	Monitors    []*DuplicateMonitor
}

// Document says where a document of a load stands.
type Document struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Abstract bool   `json:"abstract,omitempty"`

	// Environments are those for which it, or what it extends, has an overlay.
	Environments []string `json:"environments,omitempty"`

	// Warnings are what lint rules find in it, if it has no errors.
	Warnings Warnings `json:"-"`
}

// kinds are all kinds of documents: a new value of each, and where the loaded
// one is kept.
var kinds = map[string]struct {
	typ reflect.Type
	add func(*Set, any)
}{
	KindBridge:           {reflect.TypeFor[Bridge](), func(s *Set, d any) { s.Bridges = append(s.Bridges, d.(*Bridge)) }},
	KindStreamJob:        {reflect.TypeFor[StreamJob](), func(s *Set, d any) { s.StreamJobs = append(s.StreamJobs, d.(*StreamJob)) }},
	KindBatchLoad:        {reflect.TypeFor[BatchLoad](), func(s *Set, d any) { s.BatchLoads = append(s.BatchLoads, d.(*BatchLoad)) }},
	KindComparison:       {reflect.TypeFor[Comparison](), func(s *Set, d any) { s.Comparisons = append(s.Comparisons, d.(*Comparison)) }},
	KindDuplicateMonitor: {reflect.TypeFor[DuplicateMonitor](), func(s *Set, d any) { s.Monitors = append(s.Monitors, d.(*DuplicateMonitor)) }},
}

// Kinds returns the names of all kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Load loads files, and all files *.yaml and *.yml of folders and the folders
// in them. Errors in specs come as Errors inside an exit.Error with exit.Usage;
// a path that is not there, or cannot be read, has exit.Environment.
func Load(paths []string, v Vars) (*Set, error) {
	set, _, err := LoadDocuments(paths, v)
	return set, err
}

// LoadDocuments is Load, and says also which documents there were: all that
// could be read, those with errors included.
func LoadDocuments(paths []string, v Vars) (*Set, []Document, error) {
	files, err := find(paths)
	if err != nil {
		return nil, nil, err
	}
	l := newLoader(v)
	for _, f := range files {
		data, err := read(f)
		if err != nil {
			return nil, nil, exit.Environmentf("read spec: %w", err)
		}
		l.parse(f, data)
	}
	return l.finish(files)
}

// Parse loads the documents of one file from memory; file is its name in
// errors and where extends is relative to.
func Parse(file string, data []byte, v Vars) (*Set, error) {
	l := newLoader(v)
	l.parse(file, data)
	set, _, err := l.finish([]string{file})
	return set, err
}

// document is a document on its way to a Go value.
type document struct {
	src      *source
	own      *node       // as written
	layers   []*document // the document itself, what it extends, what that extends, …
	laid     *node       // result of lay, once there is one
	depth    int         // how many documents it extends, one after the other
	baseless bool        // what it extends was looked for, and cannot be laid under it
	below    []*document // the layers of laid
	root     *node       // with what it extends
	value    any         // pointer to the Go value; nil until decoded
	kind     string
	abstract bool
	ignore   []string // names of rules
	clean    bool     // no error was found in it alone
	d        *decoder
}

// name is the document's name as written, before variables.
func (doc *document) name() string { return doc.root.get("metadata").value.str("name") }

type loader struct {
	c       collector
	vars    Vars
	docs    []*document            // of the files that were asked for
	files   map[string][]*document // by absolute path, those that were only extended included
	entered map[string]bool        // names of variables that any document declares

	overlays map[overlayCheck]bool // done
	unread   bool                  // some document could not be read, or what it extends not be found
}

func newLoader(v Vars) *loader {
	return &loader{vars: v, files: map[string][]*document{}, entered: map[string]bool{}, overlays: map[overlayCheck]bool{}}
}

func (l *loader) parse(file string, data []byte) {
	l.docs = append(l.docs, l.parseFile(file, data)...)
}

// parseFile splits a file into documents whose kind is known.
func (l *loader) parseFile(file string, data []byte) []*document {
	before := len(l.c.errs)
	src, chunks := newSource(file, data, &l.c)
	var docs []*document
	for _, ch := range chunks {
		root := parseYAML(src, ch, &l.c)
		if root == nil {
			continue
		}
		if root.kind != mapping {
			l.c.at(root, CodeWrongType, "", "it starts with apiVersion: "+APIVersion, "a document must be a mapping, not %s", root.kind)
			continue
		}
		if kind, ok := l.kind(root); ok {
			docs = append(docs, &document{src: src, own: root, root: root, kind: kind})
		}
	}
	if len(docs) == 0 && len(l.c.errs) == before {
		l.c.add(Error{File: file, Code: CodeEmptyFile, Message: "the file holds no document",
			Hint: "a document starts with apiVersion: " + APIVersion + " and kind: " + strings.Join(Kinds(), "|")})
	}
	l.files[absolute(file)] = docs
	l.unread = l.unread || len(l.c.errs) > before
	return docs
}

// kind reads the kind of a document; without it nothing else can be checked.
func (l *loader) kind(root *node) (string, bool) {
	e := root.get("kind")
	if e.key == nil {
		hint := "it is one of " + strings.Join(Kinds(), ", ")
		l.c.at(root, CodeMissingField, "kind", hint, `the document has no field "kind", which is required`)
		return "", false
	}
	if e.value.kind != scalar {
		l.c.at(e.value, CodeWrongType, "kind", "", "kind must be a string, not %s", e.value.kind)
		return "", false
	}
	if _, ok := kinds[e.value.text]; !ok {
		hint := "it is one of " + strings.Join(Kinds(), ", ")
		if s := suggest.Closest(e.value.text, Kinds()); s != "" {
			hint = "did you mean " + s + "?"
		}
		l.c.at(e.value, CodeUnknownKind, "kind", hint, "there is no kind %q", e.value.text)
		return "", false
	}
	return e.value.text, true
}

// finish resolves, decodes and checks all documents.
func (l *loader) finish(files []string) (*Set, []Document, error) {
	for _, doc := range l.docs {
		if l.extend(doc) {
			l.decode(doc)
		}
	}
	var ready, clean []*document
	for _, doc := range l.docs {
		if doc.value != nil && !doc.abstract {
			ready = append(ready, doc)
			if doc.clean {
				clean = append(clean, doc)
			}
		}
	}
	warnings := lint(clean)
	var listed []Document
	for _, doc := range l.docs {
		listed = append(listed, Document{
			File: doc.src.name, Line: doc.own.line, Kind: doc.kind, Name: doc.name(), Abstract: doc.abstract,
			Environments: environments([]*document{doc}), Warnings: warnings[doc],
		})
	}
	checkNames(&l.c, ready)
	checkReferences(&l.c, ready)
	l.checkEnvironment()
	if len(l.docs) > 0 {
		unusedSets(&l.c, l.vars, l.entered)
	}
	if errs := l.c.sorted(files); len(errs) > 0 {
		return nil, listed, exit.With(exit.Usage, errs)
	}
	set := &Set{}
	for _, doc := range ready {
		kinds[doc.kind].add(set, doc.value)
	}
	return set, listed, nil
}

// decode turns a document whose extends and overlays are resolved into a Go value and checks
// the rules over its fields.
func (l *loader) decode(doc *document) {
	before := l.c.added
	doc.abstract = doc.own.str("abstract") == "true"
	doc.root = doc.root.clone()
	declared := l.variables(doc)
	l.checkOverlays(doc, declared)
	x := &expander{c: &l.c, vars: l.vars, declared: declared, missing: map[string]bool{}, partial: doc.abstract}
	x.document(doc.root)

	v := reflect.New(kinds[doc.kind].typ)
	doc.d = newDecoder(&l.c, doc.abstract)
	doc.d.runs = pipelineOf(doc.root, doc.abstract)
	doc.d.structure(v.Elem(), doc.root, "")
	doc.value = v.Interface()
	doc.ignore = header(doc.value).Ignore
	(&checker{c: &l.c, d: doc.d}).ignored(doc.ignore)
	header(doc.value).resolved()
	if !doc.abstract {
		checkDocument(doc)
	}
	if b, ok := doc.value.(*Bridge); ok {
		b.normalize()
	}
	doc.clean = l.c.added == before
}

// variables reads the declarations of a document.
func (l *loader) variables(doc *document) map[string]Variable {
	var h Header
	e := doc.root.get("variables")
	if e.value == nil {
		return nil
	}
	// What is wrong in them is reported when the whole document is decoded.
	d := newDecoder(&collector{}, false)
	for _, f := range fieldsOf(reflect.TypeFor[Header]()) {
		if f.name == "variables" {
			d.value(reflect.ValueOf(&h).Elem().FieldByIndex(f.index), e.value, f.name, f)
		}
	}
	for _, v := range e.value.entries {
		l.entered[v.key.text] = true
		if !variableName.MatchString(v.key.text) {
			l.c.at(v.key, CodeBadValue, "variables."+v.key.text, "", "%q cannot be the name of a variable: use letters, digits and _", v.key.text)
		}
	}
	if h.Variables == nil {
		h.Variables = map[string]Variable{}
	}
	return h.Variables
}

// header returns the header of a document's value.
func header(doc any) *Header {
	return reflect.ValueOf(doc).Elem().FieldByName("Header").Addr().Interface().(*Header)
}

// metadata returns the metadata of a document's value.
func metadata(doc any) *Metadata {
	return reflect.ValueOf(doc).Elem().FieldByName("Metadata").Addr().Interface().(*Metadata)
}

// resolved forgets what a resolved document no longer needs.
func (h *Header) resolved() {
	h.Extends, h.Abstract, h.Variables, h.Ignore, h.Overlays = "", false, nil, nil, nil
}
