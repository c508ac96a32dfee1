package jobspecs

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/expression"
	"github.com/kappa-migrate/kappa/internal/suggest"
)

// maxValues is the most values, sets of dimensions times measures, that an
// event can touch in one aggregation: each is a partial value in a worker, and
// each set a row to BigQuery and to Bigtable.
const maxValues = 500

func (k *checker) aggregation(path string, a Aggregation, event Event, types map[string]string) {
	k.window(path+".window", a.Window)
	for i, d := range a.Dimensions {
		if _, ok := types[d]; !ok {
			k.notDeclared(at(path+".dimensions", i), "dimension", d, types)
		}
	}
	taken := aggregateColumns
	if len(a.Rollups) > 0 {
		taken = append(slices.Clone(taken), RollupColumn)
	}
	var dimensions, measures []named
	for _, d := range a.Dimensions {
		dimensions = append(dimensions, named{d, ""})
	}
	k.columns("dimension", path+".dimensions", dimensions, taken)
	for i, m := range a.Measures {
		k.measured(at(path+".measures", i), m, event, types)
		measures = append(measures, named{m.Name, ".name"})
	}
	k.columns("measure", path+".measures", measures, slices.Concat(taken, a.Dimensions))
	k.eventExpression(path+".filter", a.Filter, event, expression.Bool)
	k.rollups(path, a)
}

// rollups: each is a set of dimensions, and none is there twice.
func (k *checker) rollups(path string, a Aggregation) {
	first := map[string]string{Rollup(a.Dimensions): path + ".dimensions"}
	for i, r := range a.Rollups {
		p := at(path+".rollups", i)
		k.uniqueStrings("dimension", p, r)
		for n, d := range r {
			if slices.Contains(a.Dimensions, d) || !k.ok(path+".dimensions", at(p, n)) {
				continue
			}
			k.fail(CodeDanglingReference, at(p, n), meant(d, "they are", a.Dimensions), "%q is not a dimension of the aggregation", d)
		}
		if !k.ok(path+".dimensions", p) || len(a.ordered(r)) != len(r) {
			continue
		}
		set := Rollup(a.ordered(r))
		if other, ok := first[set]; ok {
			k.fail(CodeDuplicateName, p, "remove it: the order of a set does not matter", "%s is the set of dimensions of %s", p, other)
			continue
		}
		first[set] = p
	}
	if n := len(a.Sets()) * len(a.Measures); n > maxValues && k.ok(path+".rollups", path+".measures") {
		k.fail(CodeBadValue, path+".rollups", "make it several aggregations, or leave sets out",
			"%d sets of dimensions with %d measures each are %d values for an event: the most is %d", len(a.Sets()), len(a.Measures), n, maxValues)
	}
}

// measured: a measure is made from a field or from an expression.
func (k *checker) measured(path string, m Measure, event Event, types map[string]string) {
	if m.Expression == "" {
		k.measure(path, m.Type, m.Field, types)
		return
	}
	if m.Field != "" && k.ok(path+".field", path+".expression") {
		k.fail(CodeConflict, path+".expression", "remove one of them", "%s has a field and an expression", path)
		return
	}
	if k.ok(path + ".type") {
		k.eventExpression(path+".expression", m.Expression, event, m.Gives())
	}
}

// eventExpression checks that the expression at path is one over the event's
// fields that gives the wanted type.
func (k *checker) eventExpression(path, text string, event Event, want expression.Kind) {
	if text == "" || !k.ok(path, "spec.event.fields") {
		return
	}
	_, err := expression.Compile(text, event.ExpressionFields(), want)
	var problems expression.Problems
	if err != nil && !errors.As(err, &problems) {
		k.fail(CodeBadValue, path, "", "%s: %v", path, err)
		return
	}
	for _, p := range problems {
		n := k.place(path)
		if n != nil {
			n = n.inside(p.Line, p.Column)
		}
		k.c.at(n, CodeBadValue, path, k.fieldMeant(p.Message, event), "%s: %s", path, p.Message)
	}
	if len(problems) > 0 {
		k.d.bad[path] = true
	}
}

// fieldMeant is the hint for an expression that names no field of the event.
func (k *checker) fieldMeant(message string, event Event) string {
	names := map[string]bool{}
	for _, f := range event.Fields {
		names[f.Name] = true
	}
	list := slices.Sorted(maps.Keys(names))
	if name, ok := strings.CutPrefix(message, "undefined field '"); ok {
		return meant(strings.TrimSuffix(name, "'"), "declare it in spec.event.fields; there are", list)
	}
	if rest, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		if !names[name] {
			name = suggest.Closest(name, list)
		}
		if name != "" {
			return "fields stand in event: event." + name
		}
		return "there is one variable, event, which has the fields"
	}
	return ""
}
