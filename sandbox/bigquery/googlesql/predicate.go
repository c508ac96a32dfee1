package googlesql

import "slices"

// predicate is what a condition says about partition columns, for pruning:
// comparisons of a bare partition column with constants, under AND, OR and
// NOT. nil says nothing.
type predicate struct {
	op     string // AND, OR, NOT; =, <>, <, <=, >, >=, IN
	kids   []*predicate
	scans  []*Scan  // whose partition column is compared
	consts []string // DuckDB expressions of the column's type
}

// comparison is the predicate of a comparison, if one side is a bare
// partition column and the other a constant.
func comparison(op string, x, y *rexpr) *predicate {
	flip := map[string]string{"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
	if _, ok := flip[op]; !ok {
		return nil
	}
	switch {
	case len(x.origins) > 0 && y.konst:
		return &predicate{op: op, scans: x.origins, consts: []string{y.sql}}
	case len(y.origins) > 0 && x.konst:
		return &predicate{op: flip[op], scans: y.origins, consts: []string{x.sql}}
	}
	return nil
}

func combine(op string, preds []*predicate) *predicate {
	known := slices.ContainsFunc(preds, func(p *predicate) bool { return p != nil })
	if !known {
		return nil
	}
	return &predicate{op: op, kids: preds}
}

func negate(p *predicate) *predicate {
	if p == nil {
		return nil
	}
	return &predicate{op: "NOT", kids: []*predicate{p}}
}

// mentioned are the scans that p says something about.
func (p *predicate) mentioned() []*Scan {
	if p == nil {
		return nil
	}
	out := slices.Clone(p.scans)
	for _, k := range p.kids {
		for _, s := range k.mentioned() {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// addFilter records that rows of the scans behind rels matter only where p may
// be true.
func addFilter(p *predicate, rels []*relation) {
	for _, s := range p.mentioned() {
		for _, rel := range rels {
			if slices.ContainsFunc(rel.cols, func(c *column) bool { return slices.Contains(c.origins, s) }) {
				s.filters = append(s.filters, p)
				break
			}
		}
	}
}

// Constants returns the DuckDB expressions that pruning s needs the values of.
func (s *Scan) Constants() []string {
	var out []string
	var walk func(p *predicate)
	walk = func(p *predicate) {
		if p == nil {
			return
		}
		if slices.Contains(p.scans, s) {
			for _, c := range p.consts {
				if !slices.Contains(out, c) {
					out = append(out, c)
				}
			}
		}
		for _, k := range p.kids {
			walk(k)
		}
	}
	for _, f := range s.filters {
		walk(f)
	}
	return out
}

// Filtered reports whether a condition on the partition column was found.
func (s *Scan) Filtered() bool { return len(s.filters) > 0 }

// Reads reports whether rows whose partition column is in [lo, hi) can matter.
// null says that the partition holds the rows without a value instead.
// constant gives the value of one of s.Constants(), ok false for NULL.
func (s *Scan) Reads(lo, hi int64, null bool, constant func(string) (v int64, ok bool)) bool {
	for _, f := range s.filters {
		if may, _ := s.eval(f, lo, hi, null, constant); !may {
			return false
		}
	}
	return true
}

// eval returns whether p can be true, and whether it can be false, for a row
// of the partition.
func (s *Scan) eval(p *predicate, lo, hi int64, null bool, constant func(string) (int64, bool)) (mayTrue, mayFalse bool) {
	if p == nil {
		return true, true
	}
	switch p.op {
	case "AND":
		mayTrue = true
		for _, k := range p.kids {
			t, f := s.eval(k, lo, hi, null, constant)
			mayTrue, mayFalse = mayTrue && t, mayFalse || f
		}
		return mayTrue, mayFalse
	case "OR":
		mayFalse = true
		for _, k := range p.kids {
			t, f := s.eval(k, lo, hi, null, constant)
			mayTrue, mayFalse = mayTrue || t, mayFalse && f
		}
		return mayTrue, mayFalse
	case "NOT":
		t, f := s.eval(p.kids[0], lo, hi, null, constant)
		return f, t
	}
	if !slices.Contains(p.scans, s) {
		return true, true
	}
	if null {
		return false, false // NULL compares as NULL
	}
	if p.op == "IN" {
		anyNull := false
		mayFalse = true
		for _, c := range p.consts {
			v, ok := constant(c)
			if !ok {
				anyNull = true
				continue
			}
			t, f := compareRange("=", lo, hi, v)
			mayTrue, mayFalse = mayTrue || t, mayFalse && f
		}
		return mayTrue, mayFalse && !anyNull
	}
	v, ok := constant(p.consts[0])
	if !ok {
		return false, false
	}
	return compareRange(p.op, lo, hi, v)
}

// compareRange compares every value of [lo, hi) with v.
func compareRange(op string, lo, hi, v int64) (mayTrue, mayFalse bool) {
	switch op {
	case "=":
		return lo <= v && v < hi, !(lo == v && hi == v+1)
	case "<>":
		t, f := compareRange("=", lo, hi, v)
		return f, t
	case "<":
		return lo < v, hi-1 >= v
	case "<=":
		return lo <= v, hi-1 > v
	case ">":
		return hi-1 > v, lo <= v
	default: // >=
		return hi-1 >= v, lo < v
	}
}
