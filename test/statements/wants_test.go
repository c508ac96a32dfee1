package statements

import (
	"math/big"
)

// wants are the rows that a reconciliation of decimalKeys gives, worked out here by
// arithmetic of whole fractions: a row of each key that is not exact, and of each class
// one of the window and one of the total.
func wants() []map[string]*string {
	var out []map[string]*string
	sums := map[string]map[string]*big.Rat{} // by class and column; a sum of NULLs alone is NULL
	for _, k := range decimalKeys {
		if sums[k.class] == nil {
			sums[k.class] = map[string]*big.Rat{"batch0": nil, "batch1": nil, "stream0": nil, "stream1": nil}
		}
		row := map[string]*big.Rat{"keys": big.NewRat(1, 1)}
		for m, metric := range []string{"0", "1"} {
			b, s := rational(k.batch, m), rational(k.stream, m)
			weight := new(big.Rat).Abs(zero(b))
			if a := new(big.Rat).Abs(zero(s)); a.Cmp(weight) > 0 {
				weight = a
			}
			row["batch"+metric], row["stream"+metric], row["weight"+metric] = b, s, weight
			row["abs"+metric] = new(big.Rat).Abs(new(big.Rat).Sub(zero(s), zero(b)))
		}
		for name, v := range row {
			if v != nil {
				sums[k.class][name] = new(big.Rat).Add(zero(sums[k.class][name]), v)
			}
		}
		switch k.class {
		case "exact", "tolerated": // has no row of its own
		default:
			out = append(out, wanted("key", k.class, &k.region, row))
		}
	}
	for class, of := range sums {
		for _, level := range []string{"total", "window"} {
			out = append(out, wanted(level, class, nil, of))
		}
	}
	return out
}

func wanted(level, class string, key *string, values map[string]*big.Rat) map[string]*string {
	row := map[string]*string{"level": &level, "class": &class, "k0": key}
	for name, v := range values {
		row[name] = plainDecimal(v)
	}
	return row
}

// rational is a value of a side; nil: NULL, or no row.
func rational(values []any, i int) *big.Rat {
	if values == nil || values[i] == nil {
		return nil
	}
	r, ok := new(big.Rat).SetString(values[i].(string))
	if !ok {
		panic(values[i])
	}
	return r
}

func zero(r *big.Rat) *big.Rat {
	if r == nil {
		return new(big.Rat)
	}
	return r
}

func plainDecimal(r *big.Rat) *string {
	if r == nil {
		return nil
	}
	n, _ := r.FloatPrec()
	s := r.FloatString(n)
	return &s
}
