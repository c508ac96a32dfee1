package jobspecs

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Vars are what a load depends on beside the files: the values of variables,
// and the environment whose overlays are laid over the documents.
type Vars struct {
	Set         map[string]string           // from --set; wins
	Lookup      func(string) (string, bool) // the process's environment; nil: os.LookupEnv
	Environment string                      // from --env; empty: no overlays
}

// value returns the value of a declared variable: from Set, else from the
// environment, else its default.
func (v Vars) value(name string, decl Variable) (string, bool) {
	if s, ok := v.Set[name]; ok {
		return s, true
	}
	lookup := v.Lookup
	if lookup == nil {
		lookup = os.LookupEnv
	}
	if s, ok := lookup(name); ok {
		return s, true
	}
	if decl.Default != nil {
		return *decl.Default, true
	}
	return "", false
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// expander puts the values of variables into one document.
type expander struct {
	c        *collector
	vars     Vars
	declared map[string]Variable
	missing  map[string]bool // reported already
	partial  bool            // an abstract document: values may be missing
}

// document expands all of a document but its header, which says what the
// variables are.
func (x *expander) document(root *node) {
	for _, e := range root.entries {
		switch e.key.text {
		case "apiVersion", "kind", "extends", "abstract", "variables":
		default:
			x.node(e.value, e.key.text)
		}
	}
}

func (x *expander) node(n *node, path string) {
	switch n.kind {
	case scalar:
		x.text(n, path)
	case sequence:
		for _, v := range n.items {
			x.node(v, path)
		}
	case mapping:
		for _, e := range n.entries {
			p := join(path, e.key.text)
			x.key(e.key, p)
			x.node(e.value, p)
		}
	}
}

// key refuses variables in keys: two keys could become one. `$${` stands for
// `${` there as well.
func (x *expander) key(k *node, path string) {
	if strings.Contains(strings.ReplaceAll(k.text, "$${", ""), "${") {
		x.c.at(k, CodeBadValue, path, "write $${ for a literal ${", "a variable cannot be used in a key")
		k.broken = true
	}
	k.text = strings.ReplaceAll(k.text, "$${", "${")
}

// text expands ${NAME} in a scalar, and turns `$${` into a literal `${`.
func (x *expander) text(n *node, path string) {
	var b strings.Builder
	rest := n.text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			n.text = b.String() + rest
			return
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		name, after, closed := strings.Cut(rest[i+2:], "}")
		if !closed || !variableName.MatchString(name) {
			x.c.at(n, CodeBadValue, path, "write ${NAME} for a variable, $${ for a literal ${", "%s holds ${ without the name of a variable", path)
			n.broken = true
			return
		}
		value, ok := x.lookup(n, path, name)
		if !ok {
			n.broken = true
		}
		b.WriteString(value)
		rest, n.expanded = after, true
	}
}

// lookup returns the value of a variable, or reports that there is none.
func (x *expander) lookup(n *node, path, name string) (string, bool) {
	decl, ok := x.declared[name]
	if !ok {
		names := slices.Sorted(maps.Keys(x.declared))
		hint := "declare it: variables: {" + name + ": {description: …}}"
		if s := suggest.Closest(name, names); s != "" {
			hint = "did you mean " + s + "?"
		}
		x.c.at(n, CodeUnknownVariable, path, hint, "variable %s is not declared in this document", name)
		return "", false
	}
	s, ok := x.vars.value(name, decl)
	if !ok && !x.partial && !x.missing[name] {
		x.missing[name] = true
		hint := "give it with --set " + name + "=VALUE, or in the environment"
		if decl.Description != "" {
			hint += "; it is: " + decl.Description
		}
		x.c.at(n, CodeMissingVariable, path, hint, "variable %s has no value", name)
	}
	return s, ok
}

// unusedSets reports the names of --set that no document declares.
func unusedSets(c *collector, v Vars, declared map[string]bool) {
	names := slices.Sorted(maps.Keys(declared))
	for _, name := range slices.Sorted(maps.Keys(v.Set)) {
		if declared[name] {
			continue
		}
		hint := "no document declares any variable"
		if len(names) > 0 {
			hint = "declared are " + strings.Join(names, ", ")
		}
		if s := suggest.Closest(name, names); s != "" {
			hint = "did you mean " + s + "?"
		}
		c.add(Error{File: "--set " + name, Code: CodeUnknownVariable, Hint: hint, Message: "no document declares the variable " + name})
	}
}
