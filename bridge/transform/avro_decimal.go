package transform

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"strconv"
)

var (
	errDecimalLong  = errors.New("a decimal has more digits than its precision")
	errDecimalScale = errors.New("a decimal has more digits after the point than its scale")
	errDecimalText  = errors.New("a text is not a decimal number")
)

// maxDecimalBytes bounds the unscaled value of a decimal: writing one in
// decimal takes more than linear time.
const maxDecimalBytes = 1024

// appendDecimal appends a decimal, unscaled as two's complement, big end
// first, as text with scale digits after the point. It is exact.
func appendDecimal(dst, unscaled []byte, scale int) ([]byte, error) {
	if len(unscaled) > maxDecimalBytes || scale > maxDecimalBytes {
		return dst, errDecimalLong
	}
	var digits []byte
	negative := len(unscaled) > 0 && unscaled[0] >= 0x80
	if len(unscaled) <= 8 {
		var v int64
		if negative {
			v = -1
		}
		for _, b := range unscaled {
			v = v<<8 | int64(b)
		}
		digits = strconv.AppendInt(make([]byte, 0, 24), v, 10)
	} else {
		v := new(big.Int).SetBytes(unscaled)
		if negative {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
		}
		digits = v.Append(nil, 10)
	}
	if negative {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	if scale <= 0 {
		return append(dst, digits...), nil
	}
	whole := len(digits) - scale
	if whole <= 0 {
		dst = append(dst, '0', '.')
		for range -whole {
			dst = append(dst, '0')
		}
		return append(dst, digits...), nil
	}
	dst = append(dst, digits[:whole]...)
	dst = append(dst, '.')
	return append(dst, digits[whole:]...), nil
}

// parseDecimal reads a decimal number as JSON writes numbers, and returns its
// unscaled value. What it would have to round it refuses.
func parseDecimal(text []byte, precision, scale int) (*big.Int, error) {
	if len(text) > maxDecimalBytes || len(text) == 0 || number(text, 0) != len(text) {
		return nil, errDecimalText
	}
	exponent := 0
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(text[e+1:])); err != nil || exponent > maxDecimalBytes || exponent < -maxDecimalBytes {
			return nil, errDecimalLong
		}
		text = text[:e]
	}
	digits := text
	if point := bytes.IndexByte(text, '.'); point >= 0 {
		exponent -= len(text) - point - 1
		digits = slices.Concat(text[:point], text[point+1:])
	}
	v, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return nil, errDecimalText
	}
	switch shift := exponent + scale; {
	case v.Sign() == 0:
	case shift >= 0:
		v.Mul(v, power10(shift))
	default:
		var rest big.Int
		if v.QuoRem(v, power10(-shift), &rest); rest.Sign() != 0 {
			return nil, errDecimalScale
		}
	}
	if v.CmpAbs(power10(precision)) >= 0 {
		return nil, errDecimalLong
	}
	return v, nil
}

// parseSmall is parseDecimal for what needs no more than 64 bits; false: it
// does, or is written with an exponent, or is not a number.
func parseSmall(text []byte, precision, scale int) (v int64, ok bool) {
	digits, after, point := 0, 0, false
	for i, c := range text {
		switch {
		case c == '-' && i == 0:
		case c == '.' && !point && digits > 0:
			point = true
		case c >= '0' && c <= '9':
			v = v*10 + int64(c-'0')
			if digits++; point {
				after++
			}
		default:
			return 0, false
		}
		if digits > 18 {
			return 0, false
		}
	}
	if digits == 0 || point && after == 0 || digits+scale-after > 18 || after > scale || digits+scale-after > precision {
		return 0, false
	}
	for range scale - after {
		v *= 10
	}
	if text[0] == '-' {
		v = -v
	}
	return v, true
}

// appendSmall is appendUnscaled for 64 bits.
func appendSmall(dst []byte, v int64, width int) ([]byte, bool) {
	least := 1
	for w := v; w > 127 || w < -128; w >>= 8 {
		least++
	}
	if width < 0 {
		width = least
	}
	for i := width - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>min(8*i, 63)))
	}
	return dst, least <= width
}

func power10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// appendUnscaled appends v as two's complement, big end first: in width bytes,
// or, where width is negative, in as few as it takes.
func appendUnscaled(dst []byte, v *big.Int, width int) ([]byte, error) {
	bits := v.BitLen()
	if v.Sign() < 0 {
		bits = new(big.Int).Not(v).BitLen()
	}
	least := bits/8 + 1
	if width < 0 {
		width = least
	}
	if least > width {
		return dst, errDecimalLong
	}
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*width)))
	}
	start := len(dst)
	dst = append(dst, make([]byte, width)...)
	v.FillBytes(dst[start:])
	return dst, nil
}
