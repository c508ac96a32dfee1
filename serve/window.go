package serve

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"cloud.google.com/go/bigtable"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Window is what a key has in a window.
type Window struct {
	Key    []*string // one for each dimension of the set, as text; nil is null
	Start  time.Time
	Values []*int64 // one for each measure; nil is null
}

// window merges the cells of a row; false if none counts.
func (r *Reader) window(row bigtable.Row) (Window, bool, error) {
	name, dims, start, err := tables.ParseRowKey(row.Key())
	if err != nil {
		return Window{}, false, err
	}
	if name != r.space || len(dims) != len(r.set) {
		return Window{}, false, fmt.Errorf("row key %q is not of aggregation %s with %d dimensions", row.Key(), r.space, len(r.set))
	}
	merged := make([]partial, len(r.aggregation.Measures))
	for _, item := range row[tables.Family] {
		cell, err := tables.ParseQualifier(strings.TrimPrefix(item.Column, tables.Family+":"))
		if err != nil {
			return Window{}, false, fmt.Errorf("row %q: %w", row.Key(), err)
		}
		m, asked := r.measures[cell.Measure]
		standing, listed := r.standings[tables.Writer{Job: cell.Job, Generation: cell.Generation}]
		if !asked || !listed || !standing.CountsAt(start) { // invariant P2
			continue
		}
		v, err := tables.DecodeValue(item.Value)
		if err != nil {
			return Window{}, false, fmt.Errorf("row %q, column %s: %w", row.Key(), item.Column, err)
		}
		merged[m].add(r.aggregation.Measures[m].Merge(), v)
	}
	w := Window{Key: dims, Start: start, Values: make([]*int64, len(merged))}
	found := false
	for i, p := range merged {
		if !p.there {
			continue
		}
		v, ok := p.value()
		if !ok {
			return Window{}, false, fmt.Errorf("row %q: %s is beyond an INT64", row.Key(), r.aggregation.Measures[i].Name)
		}
		w.Values[i], found = &v, true
	}
	return w, found, nil
}

// partial is a merged value: a number of 128 bits in two's complement, so that
// a sum is right if it fits, though its parts may not on the way.
type partial struct {
	there bool
	high  int64
	low   uint64
}

func (p *partial) add(merge string, v int64) {
	high := v >> 63 // the sign, in every bit
	switch {
	case !p.there:
		*p = partial{true, high, uint64(v)}
	case merge == jobspecs.MergeLeast:
		if v < int64(p.low) {
			p.high, p.low = high, uint64(v)
		}
	case merge == jobspecs.MergeGreatest:
		if v > int64(p.low) {
			p.high, p.low = high, uint64(v)
		}
	default:
		var carry uint64
		p.low, carry = bits.Add64(p.low, uint64(v), 0)
		p.high += high + int64(carry)
	}
}

// value is the value if it fits.
func (p *partial) value() (int64, bool) {
	v := int64(p.low)
	return v, p.high == v>>63
}
