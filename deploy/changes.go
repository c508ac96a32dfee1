package deploy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file compares, without I/O, the spec that a job was launched with and
// the one that is wanted. No StreamJob holds a secret, so values are shown.

// Change is a field in which two specs differ.
type Change struct {
	Path string `json:"path"`           // spec.horizon; spec.aggregations[by_origin].window
	From string `json:"from,omitempty"` // JSON value; empty: it is not there
	To   string `json:"to,omitempty"`   // JSON value; empty: it is not there
}

// identity is what of a StreamJob makes a job another one. What is written for
// people alone, for the linter, or for whoever replaces a job does not.
func identity(job *jobspecs.StreamJob) *jobspecs.StreamJob {
	plain := *job
	plain.Metadata.Description = ""
	plain.Ignore = nil
	plain.Spec.Update = jobspecs.Update{}
	plain.Spec.Journal = ""
	return &plain
}

// tree is the identity of a StreamJob as mappings, lists and scalars.
func tree(job *jobspecs.StreamJob) (any, error) {
	doc, err := jobspecs.Marshal(identity(job))
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(doc, &v); err != nil {
		return nil, err
	}
	return v, nil
}

// resolved reads a resolved spec, with the defaults of this version where the
// one that has written it had none.
func resolved(name string, doc []byte) (*jobspecs.StreamJob, error) {
	set, err := jobspecs.Parse(name, doc, jobspecs.Vars{})
	if err != nil {
		return nil, err
	}
	if len(set.StreamJobs) != 1 {
		return nil, fmt.Errorf("%s: %d StreamJobs instead of one", name, len(set.StreamJobs))
	}
	return set.StreamJobs[0], nil
}

// changes are the fields in which the identities of two StreamJobs differ.
func changes(from, to *jobspecs.StreamJob) ([]Change, error) {
	f, err := tree(from)
	if err != nil {
		return nil, err
	}
	t, err := tree(to)
	if err != nil {
		return nil, err
	}
	return differences(f, t), nil
}

// differences are the places in which two documents differ, mappings by key in
// alphabetical order; none if and only if they are equal. The items of a list
// of mappings are told apart by their name where all have one, else by their
// place; a list of scalars that has become longer or shorter is one value.
func differences(from, to any) []Change {
	var c comparing
	c.value("", from, to)
	return c.changes
}

type comparing struct{ changes []Change }

// missing is the value of what is not there.
type missing struct{}

func (c *comparing) add(path string, from, to any) {
	c.changes = append(c.changes, Change{Path: path, From: literal(from), To: literal(to)})
}

func (c *comparing) value(path string, from, to any) {
	fm, ok1 := from.(map[string]any)
	tm, ok2 := to.(map[string]any)
	if ok1 && ok2 {
		c.mapping(path, fm, tm)
		return
	}
	fl, ok1 := from.([]any)
	tl, ok2 := to.([]any)
	if ok1 && ok2 {
		c.list(path, fl, tl)
		return
	}
	if !reflect.DeepEqual(from, to) {
		c.add(path, from, to)
	}
}

func (c *comparing) mapping(path string, from, to map[string]any) {
	keys := maps.Clone(from)
	maps.Copy(keys, to)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		below := key
		if path != "" {
			below = path + "." + key
		}
		c.value(below, entry(from, key), entry(to, key))
	}
}

func entry(m map[string]any, key string) any {
	if v, ok := m[key]; ok {
		return v
	}
	return missing{}
}

func (c *comparing) list(path string, from, to []any) {
	fn, ok1 := namesOf(from)
	tn, ok2 := namesOf(to)
	if ok1 && ok2 {
		c.named(path, from, to, fn, tn)
		return
	}
	if len(from) != len(to) && !hasMappings(from) && !hasMappings(to) {
		c.add(path, from, to)
		return
	}
	for i := range max(len(from), len(to)) {
		c.value(fmt.Sprintf("%s[%d]", path, i), item(from, i), item(to, i))
	}
}

func item(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return missing{}
}

// named compares lists whose items have names. A change of their order is one
// change: that of the names.
func (c *comparing) named(path string, from, to []any, fn, tn []string) {
	both := func(names, others []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(others, n) })
	}
	if !slices.Equal(both(fn, tn), both(tn, fn)) {
		c.add(path, fn, tn)
	}
	for i, name := range fn {
		c.value(path+"["+name+"]", from[i], item(to, index(tn, name)))
	}
	for i, name := range tn {
		if !slices.Contains(fn, name) {
			c.value(path+"["+name+"]", missing{}, to[i])
		}
	}
}

// index is the place of a name; beyond the end if it is not there.
func index(names []string, name string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	return len(names)
}

// namesOf are the names of the items of a list, if all are mappings with a name
// of their own.
func namesOf(list []any) ([]string, bool) {
	names := make([]string, 0, len(list))
	for _, v := range list {
		m, _ := v.(map[string]any)
		name, ok := m["name"].(string)
		if !ok || slices.Contains(names, name) {
			return nil, false
		}
		names = append(names, name)
	}
	return names, len(names) > 0
}

func hasMappings(list []any) bool {
	return slices.ContainsFunc(list, func(v any) bool { _, ok := v.(map[string]any); return ok })
}

// literal writes a value as JSON; what is not there as nothing.
func literal(v any) string {
	if _, ok := v.(missing); ok {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v) // not a number, or infinite: JSON has none of these
	}
	return strings.TrimSuffix(b.String(), "\n")
}
