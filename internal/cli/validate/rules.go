package validate

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Rules is the result of --list-rules as it prints with --output json.
type Rules struct {
	Rules []jobspecs.Rule `json:"rules"`
}

// list prints the rules that warnings come from.
func list(a *app.App) error {
	rules := jobspecs.Rules()
	if a.JSON() {
		return a.PrintJSON(Rules{Rules: rules})
	}
	var b strings.Builder
	for i, r := range rules {
		if i > 0 {
			b.WriteString("\n")
		}
		kinds := strings.Join(r.Kinds, ", ")
		if len(r.Kinds) == len(jobspecs.Kinds()) {
			kinds = "all kinds"
		}
		fmt.Fprintf(&b, "%s (%s)\n", r.Name, kinds)
		for _, part := range []struct{ label, text string }{{"finds", r.Finds}, {"why", r.Why}, {"mend", r.Mend}} {
			fmt.Fprintf(&b, "  %-5s  %s\n", part.label, fill(part.text, 72, "\n         "))
		}
	}
	_, err := a.Out.Write([]byte(b.String()))
	return err
}

// fill breaks a text into lines of at most width characters.
func fill(text string, width int, line string) string {
	var b strings.Builder
	n := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case n+1+len(word) > width:
			b.WriteString(line)
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}
