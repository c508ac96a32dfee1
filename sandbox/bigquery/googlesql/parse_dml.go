package googlesql

// target parses a table that is changed, with its alias.
func (p *parser) target() (tableRef, error) {
	ref, err := p.tablePath()
	if err != nil {
		return ref, err
	}
	if !p.isWords("SET") && !p.isWords("VALUES") {
		ref.alias, err = p.alias()
	}
	return ref, err
}

func (p *parser) insert() (*insertStmt, error) {
	st := &insertStmt{at: p.tok().at}
	p.i++
	p.words("INTO")
	var err error
	if st.target, err = p.tablePath(); err != nil {
		return nil, err
	}
	if p.isPunct("(") && !p.parenIsQuery() {
		if st.cols, err = p.identList(); err != nil {
			return nil, err
		}
	}
	if !p.words("VALUES") {
		st.q, err = p.query()
		return st, err
	}
	for {
		row, err := p.valueRow()
		if err != nil {
			return nil, err
		}
		st.rows = append(st.rows, row)
		if !p.punct(",") {
			return st, nil
		}
	}
}

// valueRow parses (expr | DEFAULT, …).
func (p *parser) valueRow() ([]expr, error) {
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	var row []expr
	for {
		x, err := p.exprOrDefault()
		if err != nil {
			return nil, err
		}
		row = append(row, x)
		if !p.punct(",") {
			return row, p.expectPunct(")")
		}
	}
}

func (p *parser) exprOrDefault() (expr, error) {
	if p.words("DEFAULT") {
		return nil, nil
	}
	return p.expr()
}

func (p *parser) assignments() ([]assignment, error) {
	if err := p.expectWords("SET"); err != nil {
		return nil, err
	}
	var set []assignment
	for {
		id, err := p.ident()
		if err != nil {
			return nil, err
		}
		if p.punct(".") {
			// alias.column; a field of a STRUCT column is found out later.
			if id, err = p.anyIdent(); err != nil {
				return nil, err
			}
			if p.isPunct(".") {
				return nil, unsupported(id.at, "setting a field of a STRUCT")
			}
		}
		if err := p.expectPunct("="); err != nil {
			return nil, err
		}
		x, err := p.exprOrDefault()
		if err != nil {
			return nil, err
		}
		set = append(set, assignment{id, x})
		if !p.punct(",") {
			return set, nil
		}
	}
}

func (p *parser) update() (*updateStmt, error) {
	st := &updateStmt{at: p.tok().at}
	p.i++
	var err error
	if st.target, err = p.target(); err != nil {
		return nil, err
	}
	if st.set, err = p.assignments(); err != nil {
		return nil, err
	}
	if p.words("FROM") {
		if st.from, err = p.fromClause(); err != nil {
			return nil, err
		}
	}
	if !p.words("WHERE") {
		return nil, invalid(st.at, "UPDATE must have a WHERE clause")
	}
	st.where, err = p.expr()
	return st, err
}

func (p *parser) delete() (*deleteStmt, error) {
	st := &deleteStmt{at: p.tok().at}
	p.i++
	p.words("FROM")
	var err error
	if st.target, err = p.target(); err != nil {
		return nil, err
	}
	if !p.words("WHERE") {
		return nil, invalid(st.at, "DELETE must have a WHERE clause")
	}
	st.where, err = p.expr()
	return st, err
}

func (p *parser) truncate() (*truncateStmt, error) {
	st := &truncateStmt{at: p.tok().at}
	p.i++
	if !p.words("TABLE") {
		return nil, p.unexpected("keyword TABLE")
	}
	var err error
	st.target, err = p.tablePath()
	return st, err
}

func (p *parser) merge() (*mergeStmt, error) {
	st := &mergeStmt{at: p.tok().at}
	p.i++
	p.words("INTO")
	var err error
	if st.target, err = p.target(); err != nil {
		return nil, err
	}
	if err := p.expectWords("USING"); err != nil {
		return nil, err
	}
	if st.source, err = p.fromPrimary(); err != nil {
		return nil, err
	}
	if err := p.expectWords("ON"); err != nil {
		return nil, err
	}
	if st.on, err = p.expr(); err != nil {
		return nil, err
	}
	for p.isWords("WHEN") {
		w, err := p.mergeWhen()
		if err != nil {
			return nil, err
		}
		st.whens = append(st.whens, w)
	}
	if len(st.whens) == 0 {
		return nil, p.unexpected("keyword WHEN")
	}
	return st, nil
}

func (p *parser) mergeWhen() (mergeWhen, error) {
	w := mergeWhen{at: p.tok().at}
	p.i++
	switch {
	case p.words("MATCHED"):
		w.matched = "MATCHED"
	case p.words("NOT", "MATCHED", "BY", "SOURCE"):
		w.matched = "NOT MATCHED BY SOURCE"
	case p.words("NOT", "MATCHED", "BY", "TARGET"), p.words("NOT", "MATCHED"):
		w.matched = "NOT MATCHED"
	default:
		return w, p.unexpected("keyword MATCHED")
	}
	var err error
	if p.words("AND") {
		if w.cond, err = p.expr(); err != nil {
			return w, err
		}
	}
	if err := p.expectWords("THEN"); err != nil {
		return w, err
	}
	insert := w.matched == "NOT MATCHED"
	switch {
	case !insert && p.words("UPDATE"):
		w.action = "UPDATE"
		w.set, err = p.assignments()
		return w, err
	case !insert && p.words("DELETE"):
		w.action = "DELETE"
		return w, nil
	case insert && p.words("INSERT"):
		w.action = "INSERT"
		if p.isPunct("(") {
			if w.cols, err = p.identList(); err != nil {
				return w, err
			}
		}
		if p.words("ROW") {
			w.action = "INSERT ROW"
			return w, nil
		}
		if !p.words("VALUES") {
			return w, p.unexpected("keyword VALUES or keyword ROW")
		}
		w.values, err = p.valueRow()
		return w, err
	}
	return w, p.unexpected("an action")
}
