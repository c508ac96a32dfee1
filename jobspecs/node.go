package jobspecs

// node is a value in a document. It knows where it stands, and still does
// after it was merged into another document.
type node struct {
	src       *source
	line, col int // from 1, in characters
	width     int // characters of the text on its first line
	kind      nodeKind
	text      string // of a scalar, as written, without quotes and escapes
	quoted    bool   // in quotes, or a block scalar
	expanded  bool   // a variable was put into it
	broken    bool   // a variable of it has no value: text means nothing
	entries   []entry
	items     []*node
}

type entry struct{ key, value *node }

type nodeKind int

const (
	null nodeKind = iota
	scalar
	sequence
	mapping
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a mapping"}[k]
}

// get returns the entry of a mapping; the zero entry if there is none.
func (n *node) get(key string) entry {
	if n != nil {
		for _, e := range n.entries {
			if e.key.text == key {
				return e
			}
		}
	}
	return entry{}
}

// str returns the text of a scalar entry, or "".
func (n *node) str(key string) string {
	if v := n.get(key).value; v != nil && v.kind == scalar {
		return v.text
	}
	return ""
}

// fields returns the entries of a mapping; none of anything else.
func (n *node) fields() []entry {
	if n == nil {
		return nil
	}
	return n.entries
}

// clone copies a tree, so that expanding variables in one document does not
// change another that shares parts of it.
func (n *node) clone() *node {
	if n == nil {
		return nil
	}
	out := *n
	out.entries, out.items = nil, nil
	for _, e := range n.entries {
		out.entries = append(out.entries, entry{e.key.clone(), e.value.clone()})
	}
	for _, v := range n.items {
		out.items = append(out.items, v.clone())
	}
	return &out
}

// merge returns base with the entries of over laid on it: mappings are merged
// by key, everything else of over replaces what base has. Fields keep the
// order of base, new ones follow.
func merge(base, over *node) *node {
	if base == nil || over == nil || base.kind != mapping || over.kind != mapping {
		if over == nil {
			return base.clone()
		}
		return over.clone()
	}
	out := *over // errors about the mapping as a whole point at the document that was asked for
	out.entries = nil
	for _, b := range base.entries {
		o := over.get(b.key.text)
		if o.key == nil {
			out.entries = append(out.entries, entry{b.key.clone(), b.value.clone()})
			continue
		}
		out.entries = append(out.entries, entry{o.key.clone(), merge(b.value, o.value)})
	}
	for _, o := range over.entries {
		if base.get(o.key.text).key == nil {
			out.entries = append(out.entries, entry{o.key.clone(), o.value.clone()})
		}
	}
	return &out
}
