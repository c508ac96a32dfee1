package jobspecs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checker checks the rules over several fields of one document. A rule is
// silent where a field that it looks at is already wrong.
type checker struct {
	c *collector
	d *decoder
}

// checkDocument checks the rules of doc's kind.
func checkDocument(doc *document) {
	k := &checker{c: doc.d.c, d: doc.d}
	k.labels(metadata(doc.value).Labels)
	switch v := doc.value.(type) {
	case *Bridge:
		k.bridge(&v.Spec)
	case *StreamJob:
		k.streamJob(&v.Spec)
	case *BatchLoad:
		k.batchLoad(&v.Spec)
	case *Comparison:
		k.comparison(&v.Spec)
	case *DuplicateMonitor:
		k.duplicateMonitor(&v.Spec)
	}
}

const labelKeyPattern = `[a-z][-_a-z0-9]{0,62}`

var labelKey = regexp.MustCompile("^" + labelKeyPattern + "$")

// labels: Google Cloud takes no other keys.
func (k *checker) labels(labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if path := join("metadata.labels", key); k.ok(path) && !k.d.keys[path].broken && !labelKey.MatchString(key) {
			k.c.at(k.d.keys[path], CodeBadValue, path, "it must match "+labelKeyPattern, "%q cannot be the key of a label", key)
		}
	}
}

// ok reports whether none of the paths, nothing below and nothing above them
// has an error.
func (k *checker) ok(paths ...string) bool {
	for bad := range k.d.bad {
		for _, p := range paths {
			if bad == p || below(bad, p) || below(p, bad) {
				return false
			}
		}
	}
	return true
}

// below reports whether path a lies within path b.
func below(a, b string) bool {
	return strings.HasPrefix(a, b) && len(a) > len(b) && (a[len(b)] == '.' || a[len(b)] == '[')
}

// fail reports an error at a path's value, or, where it has none in the file,
// at the nearest mapping that holds it.
func (k *checker) fail(code Code, path, hint, format string, args ...any) {
	k.c.at(k.place(path), code, path, hint, format, args...)
}

func (k *checker) place(path string) *node {
	for p := path; p != ""; p = parent(p) {
		if n := k.d.where[p]; n != nil {
			if n.kind == mapping && k.d.keys[p] != nil {
				return k.d.keys[p]
			}
			return n
		}
	}
	return nil
}

// parent cuts the last step off a path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// at is the path of item i of a list.
func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// unique reports what occurs twice in a list; name returns the name of item i
// and the path it stands at.
func (k *checker) unique(what string, n int, name func(i int) (string, string)) {
	first := map[string]string{}
	for i := range n {
		s, path := name(i)
		if s == "" || !k.ok(path) {
			continue
		}
		if p, ok := first[s]; ok {
			if n := k.d.where[path]; n != nil && n.kind == scalar {
				s = n.text
			}
			k.fail(CodeDuplicateName, path, "", "%s %q is there twice; the first is %s", what, s, p)
			continue
		}
		first[s] = path
	}
}

// uniqueStrings reports what occurs twice in a list of strings.
func (k *checker) uniqueStrings(what, path string, list []string) {
	k.unique(what, len(list), func(i int) (string, string) { return list[i], at(path, i) })
}

// checkNames reports documents of one kind with one name.
func checkNames(c *collector, docs []*document) {
	first := map[string]*document{}
	for _, doc := range docs {
		k := &checker{c: c, d: doc.d}
		name := metadata(doc.value).Name
		if name == "" || !k.ok("metadata.name") {
			continue
		}
		key := doc.kind + " " + name
		if f, ok := first[key]; ok {
			k.fail(CodeDuplicateName, "metadata.name", "", "%s is there twice; the first stands in %s", key, fmt.Sprintf("%s:%d", f.src.name, f.own.line))
			continue
		}
		first[key] = doc
	}
}
