package compare

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Identifiers cannot be query parameters. These allow-lists are narrower than
// BigQuery's own: no backtick, backslash, space or control character passes.
var (
	projectPattern = regexp.MustCompile(`^[a-z][-a-z0-9:.]{4,61}[a-z0-9]$`)
	datasetPattern = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	tablePattern   = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	columnPattern  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)
)

// column quotes the name of a column that checkIdentifiers has let pass.
func column(name string) string { return "`" + name + "`" }

// table is a quoted table name.
type table string

func quoteTable(project, dataset, name string) table {
	return table("`" + project + "`.`" + dataset + "`.`" + name + "`")
}

// checkIdentifier refuses a name that does not match the allow-list.
func checkIdentifier(what, name string, allowed *regexp.Regexp) error {
	if !allowed.MatchString(name) {
		return exit.Usagef("%s %q is not a name that can be quoted safely", what, name).
			WithHint("use letters, digits and underscores")
	}
	return nil
}

// stringLiteral writes s as a GoogleSQL string literal, for SQL that people
// copy; queries that we run take parameters.
func stringLiteral(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r == 0x2028 || r == 0x2029 || r >= 0x80 && r < 0xa0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

func timestampLiteral(t time.Time) string {
	return "TIMESTAMP '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "+00'"
}
