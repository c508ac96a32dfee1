package jobspecs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// maxExtends is how many documents may extend each other in a row.
const maxExtends = 64

// extend lays doc over what it extends, each with its overlay. It reports
// false, after an error, if that cannot be found: checking the rest would only
// report what is inherited.
func (l *loader) extend(doc *document) bool {
	root, ok := l.lay(doc, nil, &doc.layers)
	doc.root = root
	l.unread = l.unread || !ok
	return ok
}

// lay returns the root of doc, with its overlay of the chosen environment, laid
// over its bases, each of them with its own; chain are the documents that led
// here. It adds doc and its bases to layers.
func (l *loader) lay(doc *document, chain []*document, layers *[]*document) (*node, bool) {
	if doc.laid != nil {
		*layers = append(*layers, doc.below...)
		return doc.laid, true
	}
	first := len(*layers)
	*layers = append(*layers, doc)
	own := l.overlaid(doc)
	e := doc.own.get("extends")
	if e.key == nil || e.value.kind != scalar || e.value.text == "" {
		return own, true // a wrong type is reported when decoding
	}
	if slices.Contains(chain, doc) {
		l.c.at(e.value, CodeBadExtends, "extends", "", "the document extends itself%s", through(chain))
		return own, false
	}
	if doc.baseless {
		return own, false // reported already
	}
	base := l.base(doc, e.value)
	if doc.baseless = base == nil; doc.baseless {
		return own, false
	}
	under, ok := l.lay(base, append(chain, doc), layers)
	if !ok {
		doc.baseless = base.baseless // those of a circle each report it
		return own, false
	}
	doc.depth = base.depth + 1
	if doc.baseless = doc.depth == maxExtends; doc.baseless {
		l.c.at(e.value, CodeBadExtends, "extends", "extend fewer documents, each with more in it", "%d documents extend each other in a row: that is too many", maxExtends)
		return own, false
	}
	// Not inherited: who extends whom, that the base is abstract, what it ignores.
	// Its overlays are no longer there: one of them may have been laid over it.
	stripped := *under
	stripped.entries = slices.DeleteFunc(slices.Clone(under.entries), func(e entry) bool {
		return e.key.text == "extends" || e.key.text == "abstract" || e.key.text == "ignore"
	})
	// Kept, since a chain would otherwise be walked again for each document of it.
	doc.laid, doc.below = merge(&stripped, own), slices.Clone((*layers)[first:])
	return doc.laid, true
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
