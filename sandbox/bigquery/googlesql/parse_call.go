package googlesql

import (
	"slices"
	"strings"
)

// dateParts are the parts that INTERVAL, EXTRACT and the date functions take.
var dateParts = []string{
	"MICROSECOND", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "ISOWEEK", "MONTH", "QUARTER",
	"YEAR", "ISOYEAR", "DAYOFWEEK", "DAYOFYEAR", "DATE",
}

var weekdays = []string{"SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"}

// datePart parses DAY or WEEK(MONDAY); ok is false if none is next.
func (p *parser) datePart() (datePart, bool) {
	t := p.tok()
	if t.kind != tokIdent || !slices.Contains(dateParts, t.up) {
		return datePart{}, false
	}
	d := datePart{name: t.up, at: t.at}
	if t.up == "WEEK" && p.peek(1).text == "(" && slices.Contains(weekdays, p.peek(2).up) && p.peek(3).text == ")" {
		d.weekday = p.peek(2).up
		p.i += 3
	}
	p.i++
	return d, true
}

func (p *parser) extract() (expr, error) {
	e := &extractExpr{node: node{p.tok().at}}
	p.i++
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	var ok bool
	if e.part, ok = p.datePart(); !ok {
		return nil, unsupported(p.tok().at, "date part %s", p.tok().text)
	}
	if err := p.expectWords("FROM"); err != nil {
		return nil, err
	}
	var err error
	if e.x, err = p.expr(); err != nil {
		return nil, err
	}
	if p.words("AT") {
		if err := p.timeZone(); err != nil {
			return nil, err
		}
	}
	return e, p.expectPunct(")")
}

// timeZone takes TIME ZONE 'UTC'.
func (p *parser) timeZone() error {
	if !p.words("TIME", "ZONE") {
		return p.unexpected("keyword TIME ZONE")
	}
	if t := p.tok(); t.kind != tokString || !isUTC(t.text) {
		return unsupported(t.at, "a time zone other than UTC")
	}
	p.i++
	return nil
}

func isUTC(zone string) bool {
	switch strings.ToUpper(zone) {
	case "UTC", "ETC/UTC", "+00:00", "+00", "Z":
		return true
	}
	return false
}

func (p *parser) interval() (expr, error) {
	iv := &intervalExpr{node: node{p.tok().at}}
	p.i++
	var err error
	if iv.x, err = p.expr(); err != nil {
		return nil, err
	}
	var ok bool
	if iv.part, ok = p.datePart(); !ok {
		return nil, p.unexpected("a date part")
	}
	if p.isWords("TO") {
		return nil, unsupported(p.tok().at, "INTERVAL with a range of parts")
	}
	return iv, nil
}

// pathOrCall parses a name and, if a parenthesis follows, the call.
func (p *parser) pathOrCall() (expr, error) {
	path := &pathExpr{node: node{p.tok().at}}
	id, err := p.ident()
	if err != nil {
		return nil, err
	}
	path.parts = []ident{id}
	if p.isPunct("(") {
		return p.call(path.node, strings.ToUpper(id.name))
	}
	// A dotted function name: SAFE.f(…), NET.f(…), dataset.f(…).
	for n := 1; p.peek(n-1).text == "." && p.peek(n-1).kind == tokPunct && p.peek(n).kind == tokIdent; n += 2 {
		if next := p.peek(n + 1); next.kind == tokPunct && next.text == "(" {
			name := strings.ToUpper(id.name)
			for m := 1; m <= n; m += 2 {
				name += "." + strings.ToUpper(p.peek(m).text)
			}
			return nil, unsupported(path.at, "function %s", name)
		}
	}
	return path, nil
}

// call parses the arguments and modifiers of a function; the name is taken.
func (p *parser) call(n node, name string) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	c := &callExpr{node: n, name: name}
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	if err := p.callArgs(c); err != nil {
		return nil, err
	}
	if err := p.expectPunct(")"); err != nil {
		return nil, err
	}
	if p.isWords("WITHIN") || p.isWords("FILTER") {
		return nil, unsupported(p.tok().at, "%s after a function call", p.tok().up)
	}
	if p.words("OVER") {
		if p.isIdent() {
			id, err := p.ident()
			if err != nil {
				return nil, err
			}
			c.over = &windowSpec{at: id.at, base: id.name}
			return c, nil
		}
		var err error
		c.over, err = p.window()
		return c, err
	}
	return c, nil
}

func (p *parser) callArgs(c *callExpr) error {
	if p.isPunct("*") {
		p.i++
		c.star = true
		return nil
	}
	c.distinct = p.words("DISTINCT")
	for !p.isPunct(")") && !p.isWords("ORDER", "BY") && !p.isWords("LIMIT") {
		if part, ok := p.partArg(c); ok {
			c.part = &part
		} else {
			x, err := p.expr()
			if err != nil {
				return err
			}
			if p.isPunct("=>") {
				return unsupported(p.tok().at, "a named argument")
			}
			c.args = append(c.args, x)
		}
		if !p.punct(",") {
			break
		}
	}
	var err error
	for _, mode := range []string{"IGNORE", "RESPECT"} {
		if p.words(mode, "NULLS") {
			c.nulls = mode
		}
	}
	if p.words("HAVING") {
		c.having = p.tok().up
		if c.having != "MAX" && c.having != "MIN" {
			return p.unexpected("keyword MAX or keyword MIN")
		}
		p.i++
		if c.havingX, err = p.expr(); err != nil {
			return err
		}
	}
	if p.words("ORDER", "BY") {
		if c.orderBy, err = p.orderList(); err != nil {
			return err
		}
	}
	if p.words("LIMIT") {
		if c.limit, err = p.limitValue(); err != nil {
			return err
		}
	}
	return nil
}

// partArg takes an argument that is a bare date part: the last one (or the one
// before a time zone) of the functions that have one.
func (p *parser) partArg(c *callExpr) (datePart, bool) {
	if len(c.args) == 0 || c.part != nil ||
		!strings.HasSuffix(c.name, "_TRUNC") && !strings.HasSuffix(c.name, "_DIFF") && c.name != "LAST_DAY" {
		return datePart{}, false
	}
	save := p.i
	part, ok := p.datePart()
	if ok && (p.isPunct(")") || p.isPunct(",")) {
		return part, true
	}
	p.i = save
	return datePart{}, false
}

// window parses ([base] [PARTITION BY …] [ORDER BY …] [frame]) or a name.
func (p *parser) window() (*windowSpec, error) {
	w := &windowSpec{at: p.tok().at}
	if err := p.expectPunct("("); err != nil {
		return nil, err
	}
	var err error
	if p.isIdent() && !p.isWords("PARTITION") {
		id, err := p.ident()
		if err != nil {
			return nil, err
		}
		w.base = id.name
	}
	if p.words("PARTITION", "BY") {
		if w.partitionBy, err = p.exprList(); err != nil {
			return nil, err
		}
	}
	if p.words("ORDER", "BY") {
		if w.orderBy, err = p.orderList(); err != nil {
			return nil, err
		}
	}
	if p.isWords("ROWS") || p.isWords("RANGE") {
		f := &frame{unit: p.tok().up}
		p.i++
		between := p.words("BETWEEN")
		if f.start, err = p.frameBound(); err != nil {
			return nil, err
		}
		f.end = frameBound{kind: "CURRENT ROW"}
		if between {
			if err := p.expectWords("AND"); err != nil {
				return nil, err
			}
			if f.end, err = p.frameBound(); err != nil {
				return nil, err
			}
		}
		w.frame = f
	}
	return w, p.expectPunct(")")
}

func (p *parser) frameBound() (frameBound, error) {
	switch {
	case p.words("UNBOUNDED", "PRECEDING"):
		return frameBound{kind: "UNBOUNDED PRECEDING"}, nil
	case p.words("UNBOUNDED", "FOLLOWING"):
		return frameBound{kind: "UNBOUNDED FOLLOWING"}, nil
	case p.words("CURRENT", "ROW"):
		return frameBound{kind: "CURRENT ROW"}, nil
	}
	x, err := p.binary(0)
	if err != nil {
		return frameBound{}, err
	}
	switch {
	case p.words("PRECEDING"):
		return frameBound{"PRECEDING", x}, nil
	case p.words("FOLLOWING"):
		return frameBound{"FOLLOWING", x}, nil
	}
	return frameBound{}, p.unexpected("keyword PRECEDING or keyword FOLLOWING")
}
