package compare

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// This file says which keys are forms of each other: equal but for case, space, the
// Unicode normal form, and NULL in the place of an empty text. It does no I/O.

var folder = cases.Fold()

// keyFold is what the forms of a key have in common.
func keyFold(keys []bigquery.Value) string {
	var b strings.Builder
	for _, k := range keys {
		var text string
		switch k := k.(type) {
		case nil:
		case string:
			text = norm.NFKC.String(folder.String(norm.NFKC.String(k)))
			text = strings.Join(strings.Fields(text), " ")
		case time.Time:
			text = stamp(k)
		default:
			text = fmt.Sprint(k)
		}
		fmt.Fprintf(&b, "%d:%s", len(text), text)
	}
	return b.String()
}

// merged is several keys taken for one on both sides.
func merged(rules []metricRule, members []*difference) [2]sideValue {
	var out [2]sideValue
	for s := range out {
		out[s].values = make([]*big.Rat, len(rules))
	}
	for _, d := range members {
		for s, has := range [2]sideValue{d.batch, d.stream} {
			if !has.present {
				continue
			}
			out[s].present = true
			for i, m := range rules {
				out[s].values[i] = m.join(out[s].values[i], has.values[i])
			}
		}
	}
	return out
}

// join merges two values of the metric.
func (m metricRule) join(a, b *big.Rat) *big.Rat {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case m.merge == mergeMin && a.Cmp(b) <= 0, m.merge == mergeMax && a.Cmp(b) >= 0:
		return a
	case m.merge == mergeMin || m.merge == mergeMax:
		return b
	}
	return new(big.Rat).Add(a, b)
}
