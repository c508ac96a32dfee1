package transform

// changes is what rename, drop and set do to a record, compiled. An encoder
// derives the schema of its output from it.
type changes struct {
	fields  map[string]*edit // by old name
	renames []*edit          // those of fields with a new name
	sets    []setField       // ordered by path
}

// any reports whether a record can change at all.
func (c *changes) any() bool { return len(c.fields)+len(c.sets) > 0 }

// edit is what becomes of one field.
type edit struct {
	drop   bool
	name   []byte           // new name; nil: as it was
	quote  []byte           // new name as JSON text
	fields map[string]*edit // what is done in the nested record, by old name

	renames []*edit // those of fields with a new name
}

// setField is a field that an expression computes. Its path is that after
// renaming; the records on the way to it must be there.
type setField struct {
	path  *Path
	quote []byte // last name of the path as JSON text
	expr  *expression
}

// at returns the edit of the field at a path, made if need be.
func (c *changes) at(p *Path) *edit {
	fields := &c.fields
	for i, name := range p.names {
		if *fields == nil {
			*fields = make(map[string]*edit)
		}
		e := (*fields)[string(name)]
		if e == nil {
			e = &edit{}
			(*fields)[string(name)] = e
		}
		if i == len(p.names)-1 {
			return e
		}
		fields = &e.fields
	}
	return nil // a path has a name
}

// rename gives the field at a path a new name; false if it has one.
func (c *changes) rename(p *Path, name string) bool {
	e := c.at(p)
	if e.name != nil {
		return false
	}
	e.name, e.quote = []byte(name), appendQuoted(nil, name)
	list := &c.renames
	if len(p.names) > 1 {
		list = &c.at(&Path{names: p.parents()}).renames
	}
	*list = append(*list, e)
	return true
}
