package localfiles

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Types of columns, as BigQuery names them.
const (
	typeBool      = "BOOL"
	typeInt       = "INT64"
	typeNumeric   = "NUMERIC"
	typeFloat     = "FLOAT64"
	typeDate      = "DATE"
	typeDatetime  = "DATETIME"
	typeTimestamp = "TIMESTAMP"
	typeString    = "STRING"
)

// guesses are the types that a column of text can turn out to have, the
// narrowest first. FLOAT64 is none of them: it cannot be compared exactly, so it
// must be asked for (invariant C2).
var guesses = []string{typeBool, typeInt, typeNumeric, typeDate, typeTimestamp}

// guess narrows down the type of a column while its values go by.
type guess struct {
	possible [5]bool // by the index in guesses
	seen     bool
	layout   int // of times: the one that fitted last
}

func newGuess() *guess { return &guess{possible: [...]bool{true, true, true, true, true}} }

// see takes a value that is not NULL. quoted says that the format told text from
// numbers, and this is text.
func (g *guess) see(text string, quoted bool) {
	g.seen = true
	for i, typ := range guesses {
		if !g.possible[i] {
			continue
		}
		number := typ == typeInt || typ == typeNumeric
		if quoted && (number || typ == typeBool) || number && padded(text) {
			g.possible[i] = false // a code of digits is no number: 007 is not 7
			continue
		}
		if _, ok := convert(text, typ, &g.layout); !ok {
			g.possible[i] = false
		}
	}
}

// padded reports whether digits begin with a zero or a plus that a number would
// lose.
func padded(text string) bool {
	text = strings.TrimPrefix(text, "-")
	return strings.HasPrefix(text, "+") || len(text) > 1 && text[0] == '0' && text[1] != '.'
}

// typ is the type that all values have. Without a value it is STRING, in which
// nothing can go wrong.
func (g *guess) typ() string {
	if g.seen {
		for i, typ := range guesses {
			if g.possible[i] {
				return typ
			}
		}
	}
	return typeString
}

var plainNumber = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$`)

// convert writes text as a value of typ in JSON, without its quotes, and
// reports whether it is one.
func convert(text, typ string, layout *int) (string, bool) {
	switch typ {
	case typeString:
		return text, true
	case typeBool:
		switch strings.ToLower(text) {
		case "true":
			return "true", true
		case "false":
			return "false", true
		}
	case typeInt:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return strconv.FormatInt(n, 10), true
		}
		// 3.0 and 3e2 are whole numbers too.
		if r := rational(text); r != nil && r.IsInt() && r.Num().IsInt64() {
			return r.Num().String(), true
		}
	case typeNumeric:
		return numeric(text)
	case typeFloat:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.ContainsAny(text, "xXpP_") {
			return "", false
		}
		return strconv.FormatFloat(f, 'g', -1, 64), true
	case typeDate:
		if t, err := time.Parse(time.DateOnly, text); err == nil {
			return t.Format(time.DateOnly), true
		}
	case typeDatetime:
		if t, ok := instant(text, datetimes, layout); ok {
			return t.Format("2006-01-02T15:04:05.999999"), true
		}
	case typeTimestamp:
		if t, ok := instant(text, timestamps, layout); ok {
			return t.UTC().Format("2006-01-02T15:04:05.999999Z"), true
		}
	}
	return "", false
}

func rational(text string) *big.Rat {
	if !plainNumber.MatchString(text) {
		return nil
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil
	}
	return r
}

// numericLimit is the first whole number that NUMERIC cannot hold.
var numericLimit = new(big.Int).Exp(big.NewInt(10), big.NewInt(29), nil)

// numeric is an exact NUMERIC: 29 digits before the point and 9 after it.
func numeric(text string) (string, bool) {
	digits := strings.TrimLeft(text, "+-")
	whole, fraction, point := strings.Cut(digits, ".")
	if len(text)-len(digits) <= 1 && len(whole) > 0 && len(whole) <= 29 && len(fraction) <= 9 && point == (fraction != "") && onlyDigits(whole) && onlyDigits(fraction) {
		return strings.TrimPrefix(text, "+"), true
	}
	r := rational(text)
	if r == nil {
		return "", false
	}
	out := r.FloatString(9)
	if back, ok := new(big.Rat).SetString(out); !ok || back.Cmp(r) != 0 {
		return "", false // it has more digits
	}
	return out, new(big.Int).Quo(new(big.Int).Abs(r.Num()), r.Denom()).Cmp(numericLimit) < 0
}

func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Layouts of times; Go reads fractions of seconds after any of them.
var (
	datetimes  = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly}
	timestamps = append([]string{"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05Z07",
		"2006-01-02 15:04:05 Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04 UTC", "2006-01-02 15:04Z07:00"}, datetimes...)
)

// instant reads a time in one of the layouts, the one that fitted last first.
// What is finer than a microsecond is refused rather than cut off.
func instant(text string, layouts []string, last *int) (time.Time, bool) {
	fits := func(i int) (time.Time, bool) {
		t, err := time.Parse(layouts[i], text)
		if err != nil {
			return t, false
		}
		*last = i
		return t, t.Nanosecond()%1000 == 0 && t.Year() > 0
	}
	if len(text) < len(time.DateOnly) || text[4] != '-' {
		return time.Time{}, false
	}
	if *last < len(layouts) {
		if t, ok := fits(*last); ok {
			return t, true
		}
	}
	for i := range layouts {
		if t, ok := fits(i); ok {
			return t, true
		}
	}
	return time.Time{}, false
}
