package compare

import (
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// nullWord is how people write a NULL; in quotes it is a text.
const nullWord = "NULL"

// parseKey reads a key as people write it: NAME=VALUE for each key column, separated
// by commas, or of one column the value alone. A value that holds a comma or quotes, or
// is the text NULL, stands in double quotes, as strconv.Unquote reads them.
func (q queries) parseKey(text string) ([]bigquery.Value, error) {
	if len(q.spec.Keys) == 1 && !strings.HasPrefix(text, q.spec.Keys[0].Name+"=") {
		v, err := q.keyValue(0, text)
		return []bigquery.Value{v}, err
	}
	keys := make([]bigquery.Value, len(q.spec.Keys))
	given := make([]bool, len(keys))
	for _, part := range splitKey(text) {
		name, value, ok := strings.Cut(part, "=")
		i := q.keyIndex(strings.TrimSpace(name))
		if !ok || i < 0 {
			return nil, exit.Usagef("%q names no key of the comparison", part).WithHint("write %s", q.keyUsage())
		}
		if given[i] {
			return nil, exit.Usagef("the key %s is given twice", q.spec.Keys[i].Name)
		}
		v, err := q.keyValue(i, value)
		if err != nil {
			return nil, err
		}
		keys[i], given[i] = v, true
	}
	for i, ok := range given {
		if !ok {
			return nil, exit.Usagef("the key %s is missing", q.spec.Keys[i].Name).WithHint("write %s; NULL is a value too", q.keyUsage())
		}
	}
	return keys, nil
}

func (q queries) keyUsage() string {
	var parts []string
	for _, k := range q.spec.Keys {
		parts = append(parts, k.Name+"=VALUE")
	}
	return strings.Join(parts, ",")
}

// splitKey splits at the commas that are not in quotes.
func splitKey(text string) []string {
	var parts []string
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			parts, from = append(parts, text[from:i]), i+1
		}
	}
	return append(parts, text[from:])
}

// keyValue reads the value of a key column by its type.
func (q queries) keyValue(i int, text string) (bigquery.Value, error) {
	k := q.spec.Keys[i]
	if text == nullWord {
		return nil, nil
	}
	if len(text) > 1 && strings.HasPrefix(text, `"`) {
		s, err := strconv.Unquote(text)
		if err != nil {
			return nil, exit.Usagef("the value %s of the key %s is not a text in quotes", text, k.Name)
		}
		text = s
	}
	var v bigquery.Value
	var err error
	switch k.Type {
	case "INT64":
		v, err = strconv.ParseInt(text, 10, 64)
	case "TIMESTAMP":
		var t time.Time
		t, err = time.Parse(time.RFC3339Nano, text)
		v = t.UTC()
	case "DATE":
		v, err = civil.ParseDate(text)
	case "BOOL":
		v, err = strconv.ParseBool(strings.ToLower(text))
	default:
		v = text
	}
	if err != nil {
		return nil, exit.Usagef("%q is not a value of the key %s, which is %s", text, k.Name, k.Type).
			WithHint("write an INT64 in digits, a TIMESTAMP as 2001-01-08T06:00:00Z, a DATE as 2001-01-08, a BOOL as true or false, or NULL")
	}
	return v, nil
}
