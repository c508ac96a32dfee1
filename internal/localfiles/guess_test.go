package localfiles

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestConvert(t *testing.T) {
	for _, tt := range []struct {
		typ, text, want string // want empty: it is none
	}{
		{typeInt, "7", "7"}, {typeInt, "-9223372036854775808", "-9223372036854775808"}, {typeInt, "9223372036854775808", ""},
		{typeInt, "3.0", "3"}, {typeInt, "3e2", "300"}, {typeInt, "3.5", ""}, {typeInt, "", ""}, {typeInt, "1_000", ""}, {typeInt, "0x10", ""}, {typeInt, " 7", ""},
		{typeNumeric, "0.1", "0.1"}, {typeNumeric, "+1", "1"}, {typeNumeric, "99999999999999999999999999999.999999999", "99999999999999999999999999999.999999999"},
		{typeNumeric, "100000000000000000000000000000", ""}, {typeNumeric, "0.0000000001", ""}, {typeNumeric, "1.0000000000", "1.000000000"},
		{typeNumeric, "5.", "5.000000000"}, {typeNumeric, ".5", "0.500000000"}, {typeNumeric, "1e-9", "0.000000001"}, {typeNumeric, "1e999", ""}, {typeNumeric, "--1", ""},
		{typeNumeric, "NaN", ""}, {typeNumeric, "-", ""}, {typeNumeric, ".", ""}, {typeNumeric, "1.2.3", ""},
		{typeFloat, "0.1", "0.1"}, {typeFloat, "NaN", "NaN"}, {typeFloat, "0x1p3", ""}, {typeFloat, "x", ""},
		{typeBool, "TRUE", "true"}, {typeBool, "false", "false"}, {typeBool, "1", ""},
		{typeDate, "2001-02-28", "2001-02-28"}, {typeDate, "2001-02-29", ""}, {typeDate, "2001-1-8", ""},
		{typeTimestamp, "2001-01-08", "2001-01-08T00:00:00Z"}, {typeTimestamp, "2001-01-08T06:00:00.5+01:00", "2001-01-08T05:00:00.5Z"},
		{typeTimestamp, "2001-01-08 06:00 UTC", "2001-01-08T06:00:00Z"}, {typeTimestamp, "2001-01-08 06:00:00 +01:30", "2001-01-08T04:30:00Z"},
		{typeTimestamp, "2001-01-08 25:00:00", ""}, {typeTimestamp, "979_000_000", ""}, {typeTimestamp, "08.01.2001", ""}, {typeTimestamp, "0000-01-01", ""},
		{typeDatetime, "2001-01-08 06:00:00", "2001-01-08T06:00:00"}, {typeDatetime, "2001-01-08T06:00:00Z", ""},
	} {
		layout := 0
		got, ok := convert(tt.text, tt.typ, &layout)
		if ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%q as %s = %q, %t; want %q", tt.text, tt.typ, got, ok, tt.want)
		}
	}
}

// invariant C2: a decimal is loaded as it is written, digit for digit, or not.
func TestNumericIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[+-]?[0-9]{0,31}(\.[0-9]{0,11})?(e-?[0-9])?`).Draw(t, "text")
		got, ok := numeric(text)
		want, valid := new(big.Rat).SetString(text)
		if !ok {
			return
		}
		have, parsed := new(big.Rat).SetString(got)
		if !valid || !parsed || have.Cmp(want) != 0 {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestGuessNarrowsDown(t *testing.T) {
	for _, tt := range []struct {
		values []string
		quoted bool
		want   string
	}{
		{nil, false, typeString},
		{[]string{"1", "2"}, false, typeInt},
		{[]string{"1", "2"}, true, typeString},
		{[]string{"1", "2.5"}, false, typeNumeric},
		{[]string{"2.5", "1e300"}, false, typeString},
		{[]string{"0", "01"}, false, typeString},
		{[]string{"0.5", "-0.5"}, false, typeNumeric},
		{[]string{"2001-01-08", "2001-01-09"}, true, typeDate},
		{[]string{"2001-01-08", "2001-01-09T00:00:00Z"}, true, typeTimestamp},
		{[]string{"2001-01-08", "soon"}, true, typeString},
		{[]string{"true", "1"}, false, typeString},
	} {
		g := newGuess()
		for _, v := range tt.values {
			g.see(v, tt.quoted)
		}
		if got := g.typ(); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.values, got, tt.want)
		}
	}
}
