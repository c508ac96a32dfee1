package jobspecs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Rule is a rule of kappa validate about what is allowed and probably wrong.
// It only warns, and a document can ignore it (Header.Ignore).
type Rule struct {
	Name  string   `json:"name"`  // never changes
	Kinds []string `json:"kinds"` // of the documents that its warnings stand in
	Finds string   `json:"finds"` // what it finds
	Why   string   `json:"why"`   // why that matters
	Mend  string   `json:"mend"`  // the hint of its warnings

	check func(*linter)
}

// Rules returns all rules, by kind of document and then by what they are about.
func Rules() []Rule {
	return slices.Concat(commonRules(), bridgeRules(), clusterRules(), streamRules(), aggregationRules(), deployRules(), rolloutRules(), updateRules(), streamSetRules(), compareRules(), duplicateRules())
}

// RuleNames returns the names of all rules, in the order of Rules.
func RuleNames() []string {
	var names []string
	for _, r := range Rules() {
		names = append(names, r.Name)
	}
	return names
}

// Warning is one place where a document breaks a rule.
type Warning struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // from 1
	Column   int    `json:"column"` // from 1, in characters
	Rule     string `json:"rule"`
	Kind     string `json:"kind"`     // of the document that may ignore the rule
	Document string `json:"document"` // its name
	Path     string `json:"path"`     // of the field, such as spec.split.count
	Message  string `json:"message"`
	Hint     string `json:"hint"`   // how to mend it
	Source   string `json:"source"` // the line
	Width    int    `json:"width"`  // characters of the text that is meant, from Column
}

// String renders the warning for people, as an Error is rendered, with the name
// of the rule in the place of the code.
func (w *Warning) String() string {
	e := Error{File: w.File, Line: w.Line, Column: w.Column, Width: w.Width, Source: w.Source,
		Code: Code(w.Rule), Message: w.Message, Hint: w.Hint}
	return e.Error()
}

// Warnings are those of one load, in the order of documents, then of places.
type Warnings []*Warning

// linter holds the documents of one load against one rule at a time. Its checks
// see only documents without errors.
type linter struct {
	docs []*document
	doc  *document // the one that is looked at
	rule Rule
	out  map[*document]Warnings
	seen map[[3]string]bool // two documents may inherit one line
}

// lint returns the warnings of each document. What another document of the load
// has is looked at too, so a rule may speak only if documents are loaded
// together.
func lint(docs []*document) map[*document]Warnings {
	l := &linter{docs: docs, out: map[*document]Warnings{}, seen: map[[3]string]bool{}}
	for _, doc := range docs {
		for _, r := range Rules() {
			if slices.Contains(r.Kinds, doc.kind) && !slices.Contains(doc.ignore, r.Name) {
				l.doc, l.rule = doc, r
				r.check(l)
			}
		}
		slices.SortStableFunc(l.out[doc], func(a, b *Warning) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
	}
	return l.out
}

// warn adds a warning that stands at a path's value, or, where it has none in
// the file, at the nearest mapping that holds it.
func (l *linter) warn(path, format string, args ...any) {
	n := (&checker{d: l.doc.d}).place(path)
	if n == nil {
		n = l.doc.own
	}
	w := &Warning{
		File: n.src.name, Line: n.line, Column: n.col, Width: n.width, Source: n.src.text(n.line),
		Rule: l.rule.Name, Kind: l.doc.kind, Document: metadata(l.doc.value).Name,
		Path: path, Message: fmt.Sprintf(format, args...), Hint: l.rule.Mend,
	}
	key := [3]string{fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column), w.Rule, w.Message}
	if !l.seen[key] {
		l.seen[key] = true
		l.out[l.doc] = append(l.out[l.doc], w)
	}
}

// given reports whether the document has a value of its own at path.
func (l *linter) given(path string) bool { return l.doc.d.where[path] != nil }

// others calls f with every document of T's kind but the one that is looked at.
func others[T any](l *linter, f func(*T)) {
	for _, doc := range l.docs {
		if v, ok := doc.value.(*T); ok && doc != l.doc {
			f(v)
		}
	}
}

// earlier is as others, with those alone that come before: of two documents
// that are in each other's way, the second is warned about.
func earlier[T any](l *linter, f func(*T)) {
	for _, doc := range l.docs {
		if doc == l.doc {
			return
		}
		if v, ok := doc.value.(*T); ok {
			f(v)
		}
	}
}

// on makes a check of a function over documents of one kind.
func on[T any](f func(*linter, *T)) func(*linter) {
	return func(l *linter) {
		if v, ok := l.doc.value.(*T); ok {
			f(l, v)
		}
	}
}

// ignored checks what a document ignores: a misspelt name would silence nothing.
func (k *checker) ignored(names []string) {
	k.uniqueStrings("rule", "ignore", names)
	known := RuleNames()
	for i, name := range names {
		if path := at("ignore", i); !slices.Contains(known, name) && k.ok(path) {
			hint := "kappa validate --list-rules lists them"
			if s := suggest.Closest(name, known); s != "" {
				hint = "did you mean " + s + "?"
			}
			k.fail(CodeBadValue, path, hint, "there is no rule %q", name)
		}
	}
}

// commonRules are about documents of every kind.
func commonRules() []Rule {
	return []Rule{{
		Name: "placeholder-name", Kinds: Kinds(),
		Finds: "a project or bucket in production whose name stands for one, such as my-project or your-bucket",
		Why:   "It was copied from an example. Names of projects and buckets are shared by the whole world: there may be one of that name, and it is not yours.",
		Mend:  "put your own name there",
		check: (*linter).placeholders,
	}}
}

func (l *linter) placeholders() {
	look := func(p Platform, path, what, name string) {
		if p.Environment == production && placeholder(name) {
			l.warn(path, "%s %q looks like a placeholder", what, name)
		}
	}
	switch v := l.doc.value.(type) {
	case *Bridge:
		look(v.Spec.Platform, "spec.project", "project", v.Spec.Project)
	case *StreamJob:
		look(v.Spec.Platform, "spec.project", "project", v.Spec.Project)
		look(v.Spec.Platform, "spec.template", "bucket", bucket(v.Spec.Template))
		look(v.Spec.Platform, "spec.staging", "bucket", bucket(v.Spec.Staging))
	case *BatchLoad:
		look(v.Spec.Platform, "spec.project", "project", v.Spec.Project)
		look(v.Spec.Platform, "spec.source.uri", "bucket", bucket(v.Spec.Source.URI))
	case *Comparison:
		look(v.Spec.Platform, "spec.project", "project", v.Spec.Project)
	case *DuplicateMonitor:
		look(v.Spec.Platform, "spec.project", "project", v.Spec.Project)
	}
}

// production is the value of Platform.Environment that rules about safety are for.
const production = "production"

// bucket is the bucket of gs://BUCKET/OBJECT.
func bucket(uri string) string {
	b, _, _ := strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	return b
}

// placeholder reports whether a name is one that examples and manuals use.
func placeholder(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"my-project", "my-gcp-", "my-google-", "my-bucket", "your-", "example-", "changeme", "change-me", "placeholder", "todo-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"project", "project-id", "project_id", "bucket", "bucket-name", "example", "xxxxxx", "kappa-demo"}, name)
}
