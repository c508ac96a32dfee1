package jobspecs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// extend lays doc over what it extends. It reports false, after an error, if
// that cannot be found: checking the rest would only report what is inherited.
func (l *loader) extend(doc *document) bool {
	root, ok := l.lay(doc, nil)
	doc.root = root
	return ok
}

// lay returns the root of doc laid over its bases; chain are the documents
// that led here.
func (l *loader) lay(doc *document, chain []*document) (*node, bool) {
	e := doc.own.get("extends")
	if e.key == nil || e.value.kind != scalar || e.value.text == "" {
		return doc.own, true // a wrong type is reported when decoding
	}
	if slices.Contains(chain, doc) {
		l.c.at(e.value, CodeBadExtends, "extends", "", "the document extends itself%s", through(chain))
		return doc.own, false
	}
	base := l.base(doc, e.value)
	if base == nil {
		return doc.own, false
	}
	under, ok := l.lay(base, append(chain, doc))
	if !ok {
		return doc.own, false
	}
	// Not inherited: who extends whom, and that the base is abstract.
	stripped := *under
	stripped.entries = slices.DeleteFunc(slices.Clone(under.entries), func(e entry) bool {
		return e.key.text == "extends" || e.key.text == "abstract"
	})
	return merge(&stripped, doc.own), true
}

func through(chain []*document) string {
	var names []string
	for _, d := range chain[1:] {
		names = append(names, d.src.name+":"+d.own.str("extends"))
	}
	if len(names) == 0 {
		return ""
	}
	return " (through " + strings.Join(names, ", ") + ")"
}

// base finds the document that doc extends, or reports why there is none.
func (l *loader) base(doc *document, ref *node) *document {
	name := ref.text
	if strings.Contains(name, "${") {
		l.c.at(ref, CodeBadExtends, "extends", "", "a variable cannot be used in extends")
		return nil
	}
	if !strings.Contains(name, "/") && !isYAML(name) {
		return l.sibling(doc, ref)
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(doc.src.name), path)
	}
	docs, ok := l.files[absolute(path)]
	if !ok {
		data, err := readRegular(path)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err // the path stands in the message already
			}
			l.c.at(ref, CodeBadExtends, "extends", "the path is relative to the file of this document", "cannot read %s: %s", name, err)
			return nil
		}
		docs = l.parseFile(path, data)
	}
	var same []*document
	for _, d := range docs {
		if d.kind == doc.kind {
			same = append(same, d)
		}
	}
	if len(same) != 1 {
		l.c.at(ref, CodeBadExtends, "extends", "the file must hold exactly one, beside documents of other kinds", "%s holds %d readable documents of kind %s", name, len(same), doc.kind)
		return nil
	}
	return same[0]
}

// sibling finds a document of the same kind in the same file by its name.
func (l *loader) sibling(doc *document, ref *node) *document {
	var names []string
	var found []*document
	for _, d := range l.files[absolute(doc.src.name)] {
		n := d.own.get("metadata").value.str("name")
		if d == doc || d.kind != doc.kind || n == "" {
			continue
		}
		names = append(names, n)
		if n == ref.text {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0]
	case len(found) > 1:
		l.c.at(ref, CodeBadExtends, "extends", "", "%d documents of kind %s in this file are named %q", len(found), doc.kind, ref.text)
	case doc.own.get("metadata").value.str("name") == ref.text:
		l.c.at(ref, CodeBadExtends, "extends", "", "the document extends itself")
	default:
		hint := "to extend a file, write its name with .yaml, or its path"
		if s := suggest.Closest(ref.text, names); s != "" {
			hint = "did you mean " + s + "?"
		}
		l.c.at(ref, CodeBadExtends, "extends", hint, "no document of kind %s in this file is named %q", doc.kind, ref.text)
	}
	return nil
}
