package bridge

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/envelope"
)

// Milliseconds since the Unix epoch of the times that RFC 3339 can write:
// years 1 to 9999.
const (
	minMilli = -62_135_596_800_000
	maxMilli = 253_402_300_799_999
)

// parseEventTime reads an event time field, given as plain text and whether it
// was written as text (a string), and returns milliseconds since the Unix
// epoch. What is below a millisecond is cut.
func parseEventTime(text []byte, isText bool, unit string) (int64, error) {
	if !isText && unit == "rfc3339" {
		return 0, fmt.Errorf("not an RFC 3339 string")
	}
	if unit == "rfc3339" {
		t, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			return 0, fmt.Errorf("not an RFC 3339 time")
		}
		return inRange(t.UnixMilli())
	}
	perSecond := map[string]int64{"seconds": 1, "milliseconds": 1e3, "microseconds": 1e6}[unit]
	n, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case err == nil && perSecond >= 1e3:
		return inRange(floorDiv(n, perSecond/1e3))
	case err == nil && n >= minMilli/1000 && n <= maxMilli/1000:
		return n * 1000, nil
	}
	return parseFraction(string(text), perSecond)
}

// parseFraction is the slow way for numbers with a fraction or an exponent.
func parseFraction(text string, perSecond int64) (int64, error) {
	if _, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n > 20 || n < -20 {
			return 0, fmt.Errorf("not a time in the years 1 to 9999")
		}
	}
	if strings.Contains(text, "/") || len(text) > 64 {
		return 0, fmt.Errorf("not a number")
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, fmt.Errorf("not a number")
	}
	r.Mul(r, big.NewRat(1000, perSecond))
	n := new(big.Int).Div(r.Num(), r.Denom()) // Denom is positive: this rounds down
	if !n.IsInt64() {
		return 0, fmt.Errorf("not a time in the years 1 to 9999")
	}
	return inRange(n.Int64())
}

func inRange(milli int64) (int64, error) {
	if milli < minMilli || milli > maxMilli {
		return 0, fmt.Errorf("not a time in the years 1 to 9999")
	}
	return milli, nil
}

func floorDiv(n, d int64) int64 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}

// appendTime appends a time attribute.
func appendTime(dst []byte, milli int64) []byte {
	return time.UnixMilli(milli).UTC().AppendFormat(dst, envelope.TimeLayout)
}

// clock writes time attributes. Records that follow each other are often of
// one minute, whose text it keeps.
type clock struct {
	minute int64 // since the epoch
	text   []byte
}

// append appends a time attribute.
func (c *clock) append(dst []byte, milli int64) []byte {
	minute := floorDiv(milli, 60_000)
	if c.text == nil || minute != c.minute {
		c.minute, c.text = minute, appendTime(c.text[:0], minute*60_000)
	}
	at := len(dst)
	dst = append(dst, c.text...)
	in := milli - minute*60_000
	second, ms := in/1000, in%1000
	tail := dst[at+len("2006-01-02T15:04:"):]
	tail[0], tail[1] = byte('0'+second/10), byte('0'+second%10)
	tail[3], tail[4], tail[5] = byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10)
	return dst
}
