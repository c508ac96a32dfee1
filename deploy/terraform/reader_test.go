package terraform

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// A reader of as much HCL as is written here, by the words of its
// specification and not by those of quote.

// token is a string, or a word or sign between strings. A comment is none.
type token struct {
	text string
	str  bool // a string, unescaped; interpolations are kept as ${…}
}

func tokenize(s string) ([]token, error) {
	var out []token
	for s != "" {
		switch r, n := utf8.DecodeRuneInString(s); {
		case r == '#':
			end := strings.IndexByte(s, '\n')
			if end < 0 {
				return nil, errors.New("a comment without an end of line")
			}
			s = s[end:]
		case r == '"':
			text, rest, err := readString(s[1:])
			if err != nil {
				return nil, err
			}
			out, s = append(out, token{text, true}), rest
		case strings.ContainsRune(" \n", r):
			s = s[n:]
		case strings.ContainsRune("{}[]()=,.:", r):
			out, s = append(out, token{text: string(r)}), s[n:]
		case r == '_', r == '-', r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			end := strings.IndexFunc(s, func(r rune) bool {
				return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
			})
			if end < 0 {
				end = len(s)
			}
			out, s = append(out, token{text: s[:end]}), s[end:]
		default:
			return nil, fmt.Errorf("%q means nothing here", r)
		}
	}
	return out, nil
}

// readString reads a string after its first quote.
func readString(s string) (text, rest string, err error) {
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '"':
			return b.String(), s[n:], nil
		case r == '\n' || r == '\r':
			return "", "", errors.New("a line ends within a string")
		case strings.HasPrefix(s, "$${") || strings.HasPrefix(s, "%%{"):
			b.WriteString(s[1:3])
			s = s[3:]
			continue
		case strings.HasPrefix(s, "${"):
			end := strings.IndexByte(s, '}')
			if end < 0 || strings.ContainsAny(s[:end], "\"\n\\") {
				return "", "", fmt.Errorf("an interpolation in %q", s)
			}
			b.WriteString(s[:end+1])
			s = s[end+1:]
			continue
		case strings.HasPrefix(s, "%{"):
			return "", "", fmt.Errorf("a directive in %q", s)
		case r == '\\':
			c, n, err := escape(s[1:])
			if err != nil {
				return "", "", err
			}
			b.WriteRune(c)
			s = s[1+n:]
			continue
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return "", "", errors.New("a string without an end")
}

func escape(s string) (r rune, n int, err error) {
	if s == "" {
		return 0, 0, errors.New("nothing after a backslash")
	}
	if i := strings.IndexByte("nrt\"\\", s[0]); i >= 0 {
		return rune("\n\r\t\"\\"[i]), 1, nil
	}
	digits := map[byte]int{'u': 4, 'U': 8}[s[0]]
	if digits == 0 || len(s) <= digits {
		return 0, 0, fmt.Errorf("the escape \\%.1s", s)
	}
	code, err := strconv.ParseUint(s[1:1+digits], 16, 32)
	return rune(code), 1 + digits, err
}

// balanced reports a bracket without another.
func balanced(tokens []token) error {
	var open []string
	for _, k := range tokens {
		if k.str {
			continue
		}
		switch k.text {
		case "{", "[", "(":
			open = append(open, k.text)
		case "}", "]", ")":
			want := map[string]string{"}": "{", "]": "[", ")": "("}[k.text]
			if len(open) == 0 || open[len(open)-1] != want {
				return fmt.Errorf("%s closes nothing", k.text)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%s is never closed", open[len(open)-1])
	}
	return nil
}

// decodeAll reads a JSON list of base64, as lists of bytes.
func decodeAll(t *testing.T, text string) []string {
	t.Helper()
	var list, out []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(b))
	}
	return out
}
