package compare

import (
	"io"

	"github.com/kappa-migrate/kappa/internal/report"
)

// WriteJSON writes the result as indented JSON. Its form is versioned by the
// field version (see ResultVersion); counts are numbers, values of metrics are
// decimal texts, times are RFC 3339, shares have num, den and percent.
func (r *Result) WriteJSON(w io.Writer) error {
	return report.WriteJSON(w, r)
}
