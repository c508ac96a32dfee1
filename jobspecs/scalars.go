package jobspecs

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time, written as Go does, with d for days: 90m, 4h, 2d.
type Duration time.Duration

// D returns d as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// String writes d as ParseDuration reads it, as short as can be: 4d, 90m, 1h30m.
func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	if d > 0 && d%day == 0 && d/day <= maxDays {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// maxDays is the most days that a Duration is written with.
const maxDays = 1<<16 - 1

// ParseDuration reads a Duration. Negative spans are refused: no field has a use for them.
func ParseDuration(s string) (Duration, error) {
	rest := strings.TrimSpace(s)
	var days time.Duration
	if head, tail, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration such as 20ms, 90m, 4h or 2d", s)
		}
		days, rest = time.Duration(n)*24*time.Hour, tail
		if rest == "" {
			return Duration(days), nil
		}
	}
	v, err := time.ParseDuration(rest)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is not a duration such as 20ms, 90m, 4h or 2d", s)
	}
	if days+v < days {
		return 0, fmt.Errorf("%q is too long a duration", s)
	}
	return Duration(days + v), nil
}

// Bytes is a number of bytes, written plainly or with a unit: 1000, 64KiB, 10MB, 1GiB.
type Bytes int64

var bytesPattern = regexp.MustCompile(`^([0-9]{1,19})\s*([KMGT]i?B|B)?$`)

var byteUnits = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// ParseBytes reads Bytes.
func ParseBytes(s string) (Bytes, error) {
	m := bytesPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as 1000, 64KiB, 10MB or 1GiB", s)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := byteUnits[m[2]]
	if err != nil || n > (1<<62)/unit {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return Bytes(n * unit), nil
}

func (b Bytes) String() string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n := byteUnits[u]; b != 0 && int64(b)%n == 0 {
			return strconv.FormatInt(int64(b)/n, 10) + u
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Decimal is an exact decimal number, kept as it was written (rule C2).
type Decimal string

var decimalPattern = regexp.MustCompile(`^-?[0-9]{1,38}(\.[0-9]{1,38})?$`)

// ParseDecimal reads a Decimal: digits with an optional fraction, no exponent.
func ParseDecimal(s string) (Decimal, error) {
	if !decimalPattern.MatchString(s) {
		return "", fmt.Errorf("%q is not a decimal number such as 95 or 99.95", s)
	}
	return Decimal(s), nil
}

// Rat returns the value of d; zero for the empty Decimal.
func (d Decimal) Rat() *big.Rat {
	r, ok := new(big.Rat).SetString(string(d))
	if !ok {
		return new(big.Rat)
	}
	return r
}

// Instant is a point in time as a spec writes it: 2006-01-02, its first moment in
// UTC, or RFC 3339. Empty: none.
type Instant string

var instantPattern = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2}))?$`)

// ParseInstant reads an Instant.
func ParseInstant(s string) (Instant, error) {
	if instantPattern.MatchString(s) && !Instant(s).Time().IsZero() {
		return Instant(s), nil
	}
	return "", fmt.Errorf("%q is not a time; write 2006-01-02 or 2006-01-02T15:04:05Z", s)
}

// Time is the point in time, in UTC; zero for none.
func (i Instant) Time() time.Time {
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if t, err := time.Parse(layout, string(i)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
