package apptest

import (
	"fmt"
	"strings"
)

// Split splits a line of a shell into words, up to a comment, a pipe, an & or a >.
func Split(line string) (words []string, err error) {
	word, quote, in := "", rune(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word += string(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ':
			if in {
				words, word, in = append(words, word), "", false
			}
		case !in && strings.ContainsRune("#|&>", c):
			return words, nil
		default:
			word, in = word+string(c), true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quotation mark is not closed")
	}
	if in {
		words = append(words, word)
	}
	return words, nil
}
