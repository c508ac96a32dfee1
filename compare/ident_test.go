package compare

import (
	"strings"
	"testing"
)

func TestStringLiteral(t *testing.T) {
	tests := map[string]string{"ORD": `'ORD'`, `O'Hare`: `'O\'Hare'`, "a\\b\nc\x00": `'a\\b\nc\x00'`, "é\u2028": `'é\u2028'`}
	for in, want := range tests {
		if got := stringLiteral(in); got != want {
			t.Errorf("stringLiteral(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestIdentifiersAreRefused(t *testing.T) {
	for _, bad := range []string{"a`b", `a\b`, "a b", "a\nb", "", "1a", "ä", strings.Repeat("a", 301)} {
		spec := flightsSpec()
		spec.Spec.Keys[0].Name = bad
		if _, err := newQueries(&spec.Spec); err == nil {
			t.Errorf("column %q is let through", bad)
		}
	}
	for _, bad := range []string{"a`b", "a.b.c.d", "a\x00", ""} {
		spec := flightsSpec()
		spec.Spec.Stream.Table = bad
		if _, err := newQueries(&spec.Spec); err == nil {
			t.Errorf("table %q is let through", bad)
		}
	}
}
