package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/expression"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// formulas are the compiled expressions of an aggregation.
type formulas struct {
	filter   *expression.Program   // nil: every event is taken
	measures []*expression.Program // one for each measure; nil: it has none

	event formulaEvent
}

// formulaEvent is a packed event as expressions read it.
type formulaEvent struct {
	plan   *Plan
	used   []int // by index in Plan.Fields: index in Plan.Used, -1 for none
	values []Value
}

// Field implements expression.Event.
func (e *formulaEvent) Field(i int) expression.Value {
	v := e.values[e.used[i]]
	switch {
	case !v.Valid:
		return nil
	case e.plan.Fields[i].Kind == String:
		return v.Str
	case e.plan.Fields[i].Kind == Timestamp:
		return time.UnixMicro(v.Int).UTC()
	default:
		return v.Int
	}
}

// formulas compiles the expressions of an aggregation; nil if it has none.
func (p *Plan) formulas(agg *Aggregation) (*formulas, error) {
	f := &formulas{measures: make([]*expression.Program, len(agg.Measures)), event: formulaEvent{plan: p, used: make([]int, len(p.Fields))}}
	fields := make([]expression.Field, len(p.Fields))
	for i, field := range p.Fields {
		fields[i] = expression.Field{Name: field.Name, Type: field.Kind.String()}
		f.event.used[i] = -1
	}
	for at, i := range p.Used {
		f.event.used[i] = at
	}
	some := false
	compile := func(source string, kind expression.Kind) (*expression.Program, error) {
		if source == "" {
			return nil, nil
		}
		some = true
		return expression.Compile(source, fields, kind)
	}
	var err error
	if f.filter, err = compile(agg.Filter, expression.Bool); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	for i, m := range agg.Measures {
		if f.measures[i], err = compile(m.Expression, m.Op.gives()); err != nil {
			return nil, fmt.Errorf("measure %s: %w", m.Name, err)
		}
	}
	if !some {
		return nil, nil
	}
	return f, nil
}

// gives is the type of an expression of a measure.
func (o Op) gives() expression.Kind { return jobspecs.Measure{Type: o.String()}.Gives() }

// useFormulas makes the fields that the expressions of an aggregation read
// travel with the events.
func (p *Plan) useFormulas(agg *Aggregation) error {
	f, err := p.formulas(agg)
	if err != nil || f == nil {
		return err
	}
	for _, program := range append([]*expression.Program{f.filter}, f.measures...) {
		if program == nil {
			continue
		}
		for _, i := range program.Fields() {
			p.use(i)
		}
	}
	return nil
}

// takes reports whether the event is one of those that are aggregated: not if
// the filter is false or null.
func (f *formulas) takes(e *packed) (bool, error) {
	if f.filter == nil {
		return true, nil
	}
	f.event.values = e.values
	r, err := f.filter.Eval(&f.event)
	return r.Valid && r.Bool, err
}

// partialOf is what the event adds to the i-th measure, whose expression it
// evaluates: to a count one or nothing, to the others the value, or nothing for
// null. A count is never null.
func (f *formulas) partialOf(i int, op Op, e *packed) (partial, error) {
	f.event.values = e.values
	r, err := f.measures[i].Eval(&f.event)
	switch {
	case err != nil:
		return partial{}, err
	case op != Count:
		return partial{valid: r.Valid, value: r.Int}, nil
	case r.Valid && r.Bool:
		return partial{valid: true, value: 1}, nil
	default:
		return partial{valid: true}, nil
	}
}

// unevaluated fails the job for good: an event whose expression has no value
// can neither be counted nor left out. invariant P2
func (p *Plan) unevaluated(ctx context.Context, agg *Aggregation, what string, e *packed, err error) error {
	var d dimensions
	p.dimensions(&d, agg, e)
	key := agg.appendKey(nil, everything, &d)
	err = fmt.Errorf("aggregation %s, %s, event %s, key (%s), time %s: %w", agg.Name, what, idText(e.id),
		p.describeKey(agg, key), time.UnixMicro(e.time).UTC().Format(time.RFC3339Nano), err)
	return p.failed(ctx, exit.With(exit.Failed, err).
		WithHint("let the expression give a value, or null, for such events too, and replace the job"))
}

// idText is an event id as the bridge writes it.
func idText(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// failed records why the run fails.
func (p *Plan) failed(ctx context.Context, err error) error {
	rt, open := openRuntime(ctx, p)
	if open != nil {
		return errors.Join(err, open)
	}
	return rt.fail(err)
}
