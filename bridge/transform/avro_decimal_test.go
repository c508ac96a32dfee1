package transform

import (
	"bytes"
	"math/big"
	"testing"

	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// TestDecimalRoundTrip: a decimal's text is exact, what is read as the text
// is written is the same number, and the short way is the long way.
func TestDecimalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unscaled := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "unscaled")
		scale := rapid.IntRange(0, 12).Draw(t, "scale")
		text, err := appendDecimal(nil, unscaled, scale)
		if err != nil {
			t.Fatal(err)
		}
		want := avro.RatFromBytes(unscaled, scale)
		got, ok := new(big.Rat).SetString(string(text))
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s, want %s", text, want.FloatString(scale))
		}
		if string(text) != want.FloatString(scale) {
			t.Fatalf("%s, want %s", text, want.FloatString(scale))
		}
		precision := rapid.IntRange(1, 50).Draw(t, "precision")
		long, err := parseDecimal(text, precision, scale)
		if small, ok := parseSmall(text, precision, scale); ok {
			if err != nil || !long.IsInt64() || long.Int64() != small {
				t.Fatalf("%s: %d, %v %v", text, small, long, err)
			}
			width := rapid.SampledFrom([]int{-1, 1, 2, 8, 9, 16}).Draw(t, "width")
			want, err := appendUnscaled(nil, long, width)
			got, ok := appendSmall(nil, small, width)
			if ok != (err == nil) || ok && !bytes.Equal(want, got) {
				t.Fatalf("%d in %d bytes: %x, want %x, %v", small, width, got, want, err)
			}
		}
		if err != nil {
			if digits := new(big.Int).Abs(new(big.Int).Div(new(big.Int).Mul(want.Num(), power10(scale)), want.Denom())); digits.Cmp(power10(precision)) < 0 {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		again, err := appendUnscaled(nil, long, -1)
		if err != nil || avro.RatFromBytes(again, scale).Cmp(want) != 0 {
			t.Fatalf("%s became %x", text, again)
		}
	})
}
