package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/googleapi"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Values of keys that the spec calls sensitive leave this package as hashes only
// (rule A4). They are replaced in a part as soon as its causes are known, before
// anything is written down, so nothing that comes after can show them.
//
// The hash is plain, so that SQL can find a row by it: "#" and the first 16 hex
// digits of SHA-256 of "kappa:KEY:VALUE". It hides values from those who read
// reports. It does not hold against somebody who can list all values that a key
// may have.

const hashDigits = 16

// hashed is the hash of a value of a key.
func hashed(name, text string) string {
	sum := sha256.Sum256([]byte("kappa:" + name + ":" + text))
	return "#" + hex.EncodeToString(sum[:])[:hashDigits]
}

// sensitive reports whether the values of a key are not to be shown.
func (q queries) sensitive(name string) bool { return slices.Contains(q.spec.Sensitive, name) }

// masked is a value of a key as it may be shown.
func (q queries) masked(name, text string) string {
	if q.sensitive(name) {
		return hashed(name, text)
	}
	return text
}

// hashCondition is SQL that finds the rows of a hash. The column or expression is
// brought to the text that a result would show.
func hashCondition(name, expression, typ, hash string) string {
	text := "CAST(" + expression + " AS STRING)"
	if typ == "TIMESTAMP" {
		text = "FORMAT_TIMESTAMP('%FT%H:%M:%E*SZ', " + expression + ")"
	}
	return fmt.Sprintf("SUBSTR(TO_HEX(SHA256(CONCAT('kappa:%s:', %s))), 1, %d) = '%s'", name, text, hashDigits, hash[1:])
}

// withoutValues leaves out of an error what the service says of a query that has
// failed: it quotes the value that an expression could not take, which may be of a
// sensitive key. What a dry run says is of the spec alone. invariant A4
func withoutValues(sensitive []string, err error) error {
	var api *googleapi.Error
	var job *bigquery.Error
	said, reason := "", ""
	switch {
	case err == nil || len(sensitive) == 0:
		return err
	case errors.As(err, &job):
		said, reason = job.Error(), job.Reason
	case errors.As(err, &api) && api.Code == http.StatusBadRequest:
		said = api.Error()
		if len(api.Errors) > 0 {
			reason = api.Errors[0].Reason
		}
	default:
		return err
	}
	before, _, _ := strings.Cut(err.Error(), said)
	out := exit.With(exit.Of(err), fmt.Errorf("%sit failed (%s)", before, reason)).
		WithHint("why is in BigQuery's list of jobs; it is not shown, for it may hold values of sensitive keys")
	var e *exit.Error
	if errors.As(err, &e) && e.Hint != "" {
		out.Hint = e.Hint
	}
	return out
}

// mask replaces the sensitive values of a part. invariant A4
func (q queries) mask(p *part) {
	if len(q.spec.Sensitive) == 0 {
		return
	}
	for i := range p.differences {
		for k, v := range p.differences[i].keys {
			if text := keyText(v); text != nil && q.sensitive(q.spec.Keys[k].Name) {
				p.differences[i].keys[k] = bigquery.Value(hashed(q.spec.Keys[k].Name, *text))
			}
		}
	}
	for n, columns := range q.segments() {
		for _, v := range p.segments[n].worst {
			for i, text := range v.Values {
				if text != nil && q.sensitive(columns[i]) {
					h := hashed(columns[i], *text)
					v.Values[i] = &h
				}
			}
		}
	}
	p.finish() // the order of the values would say something of them
}
