package compare

import (
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file lays the known differences of a spec over the keys that differ,
// without I/O. A known difference is a person's word: it takes only keys that no
// cause explains, never more than its limit, and never once it has expired.

// known attributes known differences to the unexplained keys. Where several match
// a key, the first of them in the spec that holds takes it.
func (q queries) known(diffs []difference, now time.Time) []KnownDifference {
	out := []KnownDifference{}
	for _, k := range q.spec.Known {
		matches := q.matcher(k)
		var hits []*difference
		for i := range diffs {
			if d := &diffs[i]; d.status == Unexplained && d.class != ClassTolerated && matches(d) {
				hits = append(hits, d)
			}
		}
		state := KnownUsed
		switch {
		case !now.Before(k.Expires.Time()):
			state = KnownExpired
		case len(hits) > k.Limit:
			state = KnownOverLimit
		case len(hits) == 0:
			state = KnownUnused
		}
		if state == KnownUsed {
			for _, d := range hits {
				d.cause, d.status, d.known = k.Name, Known, k.Name
				d.evidence = "a known difference of " + k.Owner + ", until " + date(k.Expires.Time()) + ": " + k.Reason
			}
		}
		out = append(out, KnownDifference{Name: k.Name, Owner: k.Owner, Reason: k.Reason, Expires: k.Expires.Time(), Limit: int64(k.Limit), Hits: int64(len(hits)), State: state})
	}
	return out
}

// matcher says which keys a known difference is about.
func (q queries) matcher(k jobspecs.KnownDifference) func(*difference) bool {
	classes := map[string]bool{}
	for _, c := range k.Classes {
		classes[c] = true
	}
	values := map[int]string{}
	for i, key := range q.spec.Keys {
		if v, ok := k.Keys[key.Name]; ok {
			values[i] = q.masked(key.Name, canonical(key.Type, v))
		}
	}
	from, to := k.From.Time(), k.To.Time()
	return func(d *difference) bool {
		if len(classes) > 0 && !classes[d.class] || !from.IsZero() && d.window.Before(from) || !to.IsZero() && !d.window.Before(to) {
			return false
		}
		for i, want := range values {
			if got := keyText(d.keys[i]); got == nil || *got != want {
				return false
			}
		}
		return true
	}
}

// canonical is the text by which results show a value that a spec writes. A value
// that is none of its type matches no key.
func canonical(typ, text string) string {
	switch typ {
	case "INT64":
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
			return strconv.FormatInt(n, 10)
		}
	case "BOOL":
		return strings.ToLower(text)
	case "TIMESTAMP":
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return stamp(t)
		}
	}
	return text
}
