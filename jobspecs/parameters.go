package jobspecs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/suggest"
)

// Placeholders of StreamJobSpec.Parameters.
const (
	PlaceholderJob           = "job"
	PlaceholderGeneration    = "generation"
	PlaceholderProject       = "project"
	PlaceholderRegion        = "region"
	PlaceholderSubscription  = "subscription"
	PlaceholderSubscriptions = "subscriptions"
)

// Placeholders are the names that may stand in braces in a value of
// StreamJobSpec.Parameters.
func Placeholders() []string {
	return []string{PlaceholderJob, PlaceholderGeneration, PlaceholderProject, PlaceholderRegion, PlaceholderSubscription, PlaceholderSubscriptions}
}

// PlaceholderError is a brace in a parameter that stands for nothing.
type PlaceholderError struct {
	Text    string // the offending text, as it stands in the value
	Message string
	Hint    string
}

func (e *PlaceholderError) Error() string { return e.Message + ": " + e.Hint }

// ExpandParameter puts what value returns in the place of each {NAME} in a
// parameter's text; {{ and }} become braces. A brace that stands for nothing is
// a *PlaceholderError.
func ExpandParameter(text string, value func(placeholder string) string) (string, error) {
	const literal = "write {{ and }} for braces"
	var b strings.Builder
	for rest := text; ; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			b.WriteString(rest)
			return b.String(), nil
		}
		b.WriteString(rest[:i])
		brace := rest[i : i+1]
		rest = rest[i:]
		if strings.HasPrefix(rest, brace+brace) {
			b.WriteString(brace)
			rest = rest[2:]
			continue
		}
		if brace == "}" {
			return "", &PlaceholderError{Text: "}", Message: "a brace is closed that was not opened", Hint: literal}
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return "", &PlaceholderError{Text: rest, Message: "a brace is not closed", Hint: literal}
		}
		name := rest[1:end]
		if !slices.Contains(Placeholders(), name) {
			hint := "they are " + strings.Join(Placeholders(), ", ") + "; " + literal
			if s := suggest.Closest(name, Placeholders()); s != "" {
				hint = "did you mean {" + s + "}?"
			}
			return "", &PlaceholderError{Text: rest[:end+1], Message: fmt.Sprintf("{%s} stands for nothing", name), Hint: hint}
		}
		b.WriteString(value(name))
		rest = rest[end+1:]
	}
}

// placeholdersOf are the placeholders in a text, as far as it is right.
func placeholdersOf(text string) []string {
	var names []string
	_, _ = ExpandParameter(text, func(name string) string { // what is wrong is reported by the checker
		names = append(names, name)
		return ""
	})
	return names
}
