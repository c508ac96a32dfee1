package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/wholefile"
)

// FileWidth is the width of text reports that no terminal bounds.
const FileWidth = 160

// Files are the reports that WriteFiles writes.
var Files = []string{"compare.txt", "compare.json", "compare.html", "compare.md", "compare.junit.xml"}

// WriteFiles writes every view of the result into a folder, which it makes if
// need be. A file is replaced in one step, so a reader never sees half of one.
func WriteFiles(dir string, r *compare.Result) error {
	views := []func(io.Writer, *compare.Result) error{
		func(w io.Writer, r *compare.Result) error { return WriteText(w, r, FileWidth, false) },
		WriteJSON, WriteHTML, WriteMarkdown, WriteJUnit,
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write reports: %w", err)
	}
	for i, name := range Files {
		var b bytes.Buffer
		if err := views[i](&b, r); err != nil {
			return err
		}
		if err := wholefile.Write(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write reports: %w", err)
		}
	}
	return nil
}
