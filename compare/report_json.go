package compare

import (
	"encoding/json"
	"io"
)

// WriteJSON writes the result as indented JSON. Its form is versioned by the
// field version (see ResultVersion); counts are numbers, values of metrics are
// decimal texts, times are RFC 3339, shares have num, den and percent.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}
