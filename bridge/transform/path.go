package transform

import (
	"errors"
	"strings"
)

// Path is a compiled path to a field: its name, or, for a field of a nested
// record, the names on the way to it.
type Path struct {
	source string
	names  [][]byte
}

// String returns the path as it was written.
func (p *Path) String() string { return p.source }

// ParsePath reads a path as specs write it: a.b.c; a dot that belongs to a
// name is written \. and a backslash \\.
func ParsePath(source string) (*Path, error) {
	p := &Path{source: source}
	var name []byte
	for i := 0; i < len(source); i++ {
		switch c := source[i]; c {
		case '\\':
			i++
			if i == len(source) || source[i] != '.' && source[i] != '\\' {
				return nil, errors.New(`after a backslash only a dot or a backslash may stand`)
			}
			name = append(name, source[i])
		case '.':
			p.names = append(p.names, name)
			name = nil
		default:
			name = append(name, c)
		}
	}
	p.names = append(p.names, name)
	for _, n := range p.names {
		if len(n) == 0 {
			return nil, errors.New("a name in it is empty")
		}
	}
	return p, nil
}

// last returns the name of the field itself.
func (p *Path) last() []byte { return p.names[len(p.names)-1] }

// parents returns the names of the records that hold the field.
func (p *Path) parents() [][]byte { return p.names[:len(p.names)-1] }

// joinNames writes names as a path.
func joinNames(names [][]byte) string {
	escape := strings.NewReplacer(`.`, `\.`, `\`, `\\`)
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = escape.Replace(string(n))
	}
	return strings.Join(parts, ".")
}

// key is a text that two paths share only if they are the same.
func (p *Path) key() string {
	var b strings.Builder
	for _, n := range p.names {
		b.Write(n)
		b.WriteByte(0)
	}
	return b.String()
}

// within reports whether p is the path of a field inside the one at q.
func (p *Path) within(q *Path) bool {
	if len(p.names) <= len(q.names) {
		return false
	}
	for i, n := range q.names {
		if string(n) != string(p.names[i]) {
			return false
		}
	}
	return true
}
