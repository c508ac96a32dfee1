package pipeline

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Op is how a measure is computed and how its partial values merge.
type Op uint8

// The operations: count and sum add up, min and max keep the extreme.
const (
	Count Op = iota
	Sum
	Min
	Max
)

var opNames = [...]string{Count: "count", Sum: "sum", Min: "min", Max: "max"}

// String is the name of the operation.
func (o Op) String() string { return opNames[o] }

func opOf(t string) (Op, error) {
	if i := slices.Index(opNames[:], t); i >= 0 {
		return Op(i), nil
	}
	return 0, fmt.Errorf("type %q is not count, sum, min or max", t)
}

// partial is the value of a measure over some events; without any value to
// aggregate it is null.
type partial struct {
	valid bool
	value int64
}

// errOverflow says that a value does not fit INT64. Nothing is ever wrapped.
var errOverflow = fmt.Errorf("the value does not fit INT64")

// merge adds o to p.
func (p *partial) merge(op Op, o partial) error {
	if !o.valid {
		return nil
	}
	if !p.valid {
		*p = o
		return nil
	}
	switch op {
	case Count, Sum:
		if (o.value > 0 && p.value > math.MaxInt64-o.value) || (o.value < 0 && p.value < math.MinInt64-o.value) {
			return errOverflow
		}
		p.value += o.value
	case Min:
		p.value = min(p.value, o.value)
	case Max:
		p.value = max(p.value, o.value)
	}
	return nil
}

// partialOf is what one event adds to a measure without an expression.
func partialOf(m Measure, values []Value) partial {
	if m.Op == Count {
		return partial{valid: true, value: 1}
	}
	v := values[m.Field]
	return partial{valid: v.Valid, value: v.Int}
}

func appendPartials(b []byte, ps []partial) []byte {
	for _, p := range ps {
		if p.valid {
			b = binary.AppendVarint(append(b, 1), p.value)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

// readPartials reads len(ps) partials and returns the rest.
func readPartials(b []byte, ps []partial) ([]byte, error) {
	for i := range ps {
		v, rest, err := readPackedValue(b, Int64)
		if err != nil {
			return nil, err
		}
		ps[i], b = partial{valid: v.Valid, value: v.Int}, rest
	}
	return b, nil
}
