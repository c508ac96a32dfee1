// Package suggest finds the name that somebody probably meant by a misspelt
// one: fields and values of specs, commands and flags.
package suggest

import "strings"

// Closest returns the candidate that word was probably meant to be, or "" if
// none is near enough. Equal but for case wins; after that the fewest edits,
// the first candidate among equals.
func Closest(word string, candidates []string) string {
	best, fewest := "", maxEdits(word)+1
	folded := strings.ToLower(word)
	for _, c := range candidates {
		if c == "" || c == word {
			continue
		}
		if strings.EqualFold(word, c) {
			return c
		}
		if len(word) == 2 && len(c) != 3 {
			continue // of so short a word only a letter can be missing
		}
		if d := distance(folded, strings.ToLower(c), fewest); d < fewest {
			best, fewest = c, d
		}
	}
	return best
}

// maxEdits is how many edits still look like a slip and not like another word.
func maxEdits(word string) int {
	switch n := len(word); {
	case n <= 1:
		return 0
	case n <= 5:
		return 1
	case n <= 9:
		return 2
	default:
		return 3
	}
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b; limit or more is returned as limit.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if abs(len(x)-len(y)) >= limit {
		return limit
	}
	var before []int
	prev, cur := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, make([]int, len(y)+1)
	}
	return min(prev[len(y)], limit)
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
