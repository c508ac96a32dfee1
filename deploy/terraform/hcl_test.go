package terraform

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":                 `""`,
		"flights-0":        `"flights-0"`,
		`a"b\c`:            `"a\"b\\c"`,
		"a\nb\r\t":         `"a\nb\r\t"`,
		"${var.x}":         `"$${var.x}"`,
		"%{if x}":          `"%%{if x}"`,
		"$ 5 % {x}":        `"$ 5 % {x}"`,
		"$%{x}":            `"$%%{x}"`,
		"$${x}":            `"$$\u007bx}"`,
		"$$":               `"$$"`,
		"é\x00\u200b😀":     `"é\u0000\u200b😀"`,
		"a\xffb":           `"a` + "\uFFFD" + `b"`,
		"\U000E0001":       `"\U000e0001"`,
		"projects/p\u00a0": `"projects/p\u00a0"`,
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// texts are made of what a reader of HCL might take for something else.
var texts = rapid.Custom(func(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.OneOf(
		rapid.SampledFrom([]string{"$", "%", "{", "}", "\"", "\\", "\n", "\r", "\t", "${", "%{", "$${", "%%{", "~", "u007b", "#", "//", "/*", "<<EOT", "x", "\x00", "\u2028"}),
		rapid.String(),
	), 0, 12).Draw(t, "parts")
	return strings.ToValidUTF8(strings.Join(parts, ""), "\uFFFD")
})

// Whatever the text, it is one string, and the same text when it is read.
func TestQuoteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := texts.Draw(t, "text")
		body := lines([]item{comment(s), block("resource", []string{s, "b"}, attr("a", str(s)), attr("l", list(str(s), object(member(s, str(s))))))})
		tokens, err := tokenize(strings.Join(body, "\n") + "\n")
		if err == nil {
			err = balanced(tokens)
		}
		if err != nil {
			t.Fatalf("%q: %v\n%s", s, err, strings.Join(body, "\n"))
		}
		var got []string
		for _, k := range tokens {
			if k.str {
				got = append(got, k.text)
			}
		}
		want := []string{s, "b", s, s, s, s}
		if len(got) != len(want) {
			t.Fatalf("%d strings in %v, want %d", len(got), tokens, len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("read %q, want %q", got[i], want[i])
			}
		}
	})
}

// Where there is a terraform, it reads the same.
func TestQuoteForTerraform(t *testing.T) {
	tool, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("there is no terraform here; TestQuoteRoundTrip reads strings by a reader of its own")
	}
	var expressions, want []string
	for _, s := range []string{"${var.x}", "%{if x}", "$${x}", "$$${x}", "%%{x}", "$%{", "a\"\\\n\r\t", "é😀\u200b\u2028\u0007", "\\u007b", "$", "%", "$$", "~}"} {
		expressions = append(expressions, quote(s))
		want = append(want, fmt.Sprint([]byte(s)))
	}
	cmd := exec.CommandContext(t.Context(), tool, "console")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1") // it asks for newer versions otherwise
	cmd.Stdin = strings.NewReader("jsonencode([for s in [" + strings.Join(expressions, ", ") + "] : base64encode(s)])\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("terraform console: %v", err)
	}
	text, err := strconv.Unquote(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := decodeAll(t, text); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("terraform read\n%s\nwant\n%s", got, want)
	}
}

func TestNames(t *testing.T) {
	n := names{}
	if a, b, again := n.take("x", "a_b", "a.b"), n.take("x", "a_b", "a-b"), n.take("x", "a_b", "a.b"); a != "a_b" || b == a || again != a {
		t.Errorf("%q, %q, %q", a, b, again)
	}
	if b := n.take("x", "a_b", "a-b"); b != "a_b_"+digest("a-b") {
		t.Errorf("%q", b)
	}
	for in, want := range map[string]string{"a-b.c": "a_b_c", "": "_", "0a": "_0a", "é": "_"} {
		if got := identifier(in); got != want {
			t.Errorf("identifier(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAccountID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z]([-a-z0-9]{0,60}[a-z0-9])?`).Draw(t, "name")
		id := accountID("bridge", name)
		if len(id) < 6 || len(id) > maxAccount || strings.HasSuffix(id, "-") {
			t.Fatalf("%q", id)
		}
		if other := accountID("bridge", name+"x"); other == id {
			t.Fatalf("%q twice", id)
		}
	})
	if got := accountID("deploy", ""); got != "kappa-deploy" {
		t.Error(got)
	}
}

func TestClusterID(t *testing.T) {
	for _, name := range []string{"ka", "kappa", strings.Repeat("k", 33)} {
		if id := clusterID(name); len(id) < 6 || len(id) > 30 {
			t.Errorf("%q", id)
		}
	}
}

func TestComment(t *testing.T) {
	for _, l := range comment(strings.Repeat("word ", 40) + "\nresource \"x\" {").lines {
		if !strings.HasPrefix(l, "# ") || utf8.RuneCountInString(l) > 80 {
			t.Errorf("%q", l)
		}
	}
}
