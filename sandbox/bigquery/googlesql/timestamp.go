package googlesql

import (
	"fmt"
	"strings"
	"time"
)

// ParseDate reads YYYY-MM-DD.
func ParseDate(text string) (time.Time, error) {
	var p timeParser
	p.s = text
	y, m, d, ok := p.date()
	if !ok || p.i != len(text) {
		return time.Time{}, fmt.Errorf("invalid date: '%s'", text)
	}
	return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC), nil
}

// ParseDatetime reads YYYY-MM-DD[( |T)HH:MM:SS[.ffffff]] as microseconds since
// 1970-01-01 in no time zone.
func ParseDatetime(text string) (int64, error) {
	us, zone, ok := parseTime(text, false)
	if !ok || zone {
		return 0, fmt.Errorf("invalid datetime string \"%s\"", text)
	}
	return us, nil
}

// ParseTimestamp reads a GoogleSQL timestamp as microseconds since the epoch:
// YYYY-MM-DD[( |T)HH:MM[:SS[.ffffff]]][zone]; without a zone it is UTC. Zones
// are Z, UTC and offsets.
func ParseTimestamp(text string) (int64, error) {
	us, _, ok := parseTime(text, false)
	if !ok {
		return 0, fmt.Errorf("invalid timestamp: '%s'", text)
	}
	return us, nil
}

// ParseTimestampTruncating is ParseTimestamp, but drops digits beyond
// microseconds, as loading and streaming do.
func ParseTimestampTruncating(text string) (int64, error) {
	us, _, ok := parseTime(text, true)
	if !ok {
		return 0, fmt.Errorf("invalid timestamp: '%s'", text)
	}
	return us, nil
}

// timeParser scans the parts of a timestamp. It is on the path of every
// streamed row, so it does without time.Parse.
type timeParser struct {
	s string
	i int
}

// num reads between lo and hi digits.
func (p *timeParser) num(lo, hi int) (int, bool) {
	n, start := 0, p.i
	for p.i < len(p.s) && p.i-start < hi && isDigit(p.s[p.i]) {
		n = n*10 + int(p.s[p.i]-'0')
		p.i++
	}
	return n, p.i-start >= lo
}

func (p *timeParser) byte(set string) bool {
	if p.i < len(p.s) && strings.IndexByte(set, p.s[p.i]) >= 0 {
		p.i++
		return true
	}
	return false
}

func (p *timeParser) date() (y, m, d int, ok bool) {
	if y, ok = p.num(4, 4); !ok || !p.byte("-") {
		return y, m, d, false
	}
	if m, ok = p.num(1, 2); !ok || !p.byte("-") {
		return y, m, d, false
	}
	d, ok = p.num(1, 2)
	return y, m, d, ok && y >= 1 && m >= 1 && m <= 12 && d >= 1 && d <= daysIn(y, m)
}

func daysIn(y, m int) int {
	return time.Date(y, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func parseTime(text string, truncate bool) (us int64, zone, ok bool) {
	p := timeParser{s: text}
	y, mo, d, ok := p.date()
	if !ok {
		return 0, false, false
	}
	var h, mi, s, frac int
	if p.i+1 < len(p.s) && strings.IndexByte(" Tt", p.s[p.i]) >= 0 && isDigit(p.s[p.i+1]) {
		p.i++
		if h, ok = p.num(1, 2); !ok || h > 23 || !p.byte(":") {
			return 0, false, false
		}
		if mi, ok = p.num(1, 2); !ok || mi > 59 {
			return 0, false, false
		}
		if p.byte(":") {
			if s, ok = p.num(1, 2); !ok || s > 59 {
				return 0, false, false
			}
			if p.byte(".") {
				start := p.i
				if frac, ok = p.num(0, 6); !ok {
					return 0, false, false
				}
				for n := p.i - start; n < 6; n++ {
					frac *= 10
				}
				beyond := "0" // more digits are an error, unless they say nothing
				if truncate {
					beyond = "0123456789"
				}
				for p.byte(beyond) {
				}
			}
		}
	}
	us = time.Date(y, time.Month(mo), d, h, mi, s, 0, time.UTC).Unix()*1e6 + int64(frac)
	if p.i == len(p.s) {
		return us, false, true
	}
	offset, ok := zoneOffset(p.s[p.i:])
	us -= offset
	if !ok || us < minTimestamp || us > maxTimestamp {
		return 0, false, false
	}
	return us, true, true
}

// The range of TIMESTAMP: years 1 to 9999.
const (
	minTimestamp = -62135596800 * 1_000_000
	maxTimestamp = 253402300800*1_000_000 - 1
)

// zoneOffset returns the offset of a zone's text in microseconds.
func zoneOffset(z string) (int64, bool) {
	z = strings.TrimPrefix(z, " ")
	if z == "Z" || z == "z" || strings.EqualFold(z, "UTC") {
		return 0, true
	}
	if strings.HasPrefix(strings.ToUpper(z), "UTC") {
		z = z[3:]
	}
	p := timeParser{s: z}
	neg := strings.HasPrefix(z, "-")
	if !p.byte("+-") {
		return 0, false
	}
	h, ok := p.num(1, 2)
	m := 0
	if ok && p.byte(":") {
		m, ok = p.num(2, 2)
	}
	if !ok || p.i != len(z) || h > 14 || m > 59 {
		return 0, false
	}
	off := int64(h*3600+m*60) * 1e6
	if neg {
		off = -off
	}
	return off, true
}
