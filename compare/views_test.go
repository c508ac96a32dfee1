package compare_test

import (
	"bytes"
	"fmt"
	"io"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/compare/report"
)

// The results of all tests of this package are shown by package report, which imports
// this one.
func init() {
	compare.Views = func(r *compare.Result) map[string]func(io.Writer) error {
		views := map[string]func(io.Writer) error{"text": func(w io.Writer) error { return report.WriteText(w, r, 80, false) }}
		for name, write := range map[string]func(io.Writer, *compare.Result) error{"JSON": report.WriteJSON, "HTML": report.WriteHTML, "Markdown": report.WriteMarkdown, "JUnit": report.WriteJUnit} {
			views[name] = func(w io.Writer) error { return write(w, r) }
		}
		return views
	}
	compare.ReadJSON = report.ReadJSON
	compare.Text = func(v any, width int) string {
		var b bytes.Buffer
		err := fmt.Errorf("no text of a %T", v)
		switch v := v.(type) {
		case *compare.Why:
			err = report.WriteWhy(&b, v, width, false)
		case *compare.Plan:
			err = report.WritePlan(&b, v)
		case *compare.Duplicates:
			err = report.WriteDuplicates(&b, v)
		}
		if err != nil {
			panic(err)
		}
		return b.String()
	}
}
