package localfiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// Formats of files.
const (
	Avro    = "avro"
	Parquet = "parquet"
	CSV     = "csv"
	JSON    = "json"
)

// extensions are the formats by the ends of names.
var extensions = map[string]string{".avro": Avro, ".parquet": Parquet, ".csv": CSV, ".json": JSON, ".jsonl": JSON, ".ndjson": JSON}

// Source says what files make a table.
type Source struct {
	Name     string            // of the side, in messages
	Patterns []string          // paths, with * ? and [ ] where several are meant
	Dir      string            // that relative ones start from
	Format   string            // empty: by the names of the files
	Time     string            // column that the table is partitioned by
	Types    map[string]string // BigQuery types that columns must have; others are guessed where the format has none
	Hidden   []string          // columns whose values are not shown
}

// match finds the files, each once, by name, and their format.
func (s Source) match() (paths []string, format string, err error) {
	for _, pattern := range s.Patterns {
		full := pattern
		if !filepath.IsAbs(full) {
			// The folder's own name is no pattern.
			full = filepath.Join(escape(s.Dir), full)
		}
		found, err := filepath.Glob(full)
		if err != nil {
			return nil, "", exit.Usagef("%s.files: %q is not a pattern", s.Name, pattern).WithHint(`write * for any part of a name, and \ before a character that stands for itself`)
		}
		before := len(paths)
		for _, path := range found {
			st, err := os.Stat(path)
			if err != nil {
				return nil, "", exit.Environmentf("%s.files: %w", s.Name, err)
			}
			if st.Mode().IsRegular() {
				paths = append(paths, path)
			}
		}
		if len(paths) == before {
			return nil, "", s.nothing(pattern, found)
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	if format = s.Format; format != "" {
		return paths, format, nil
	}
	for _, path := range paths {
		f, ok := extensions[strings.ToLower(filepath.Ext(path))]
		switch {
		case !ok:
			return nil, "", exit.Usagef("%s.files: the name of %s does not tell its format", s.Name, path).
				WithHint("give %s.format: avro, parquet, csv or json", s.Name)
		case format == "":
			format = f
		case f != format:
			return nil, "", exit.Usagef("%s.files: %s is %s and %s is %s: the files of a side have one format", s.Name, paths[0], format, path, f)
		}
	}
	return paths, format, nil
}

// nothing says why a pattern gives no file.
func (s Source) nothing(pattern string, found []string) error {
	if len(found) > 0 {
		return exit.Environmentf("%s.files: %s is no file", s.Name, found[0]).
			WithHint("name the files in it, as %s", filepath.Join(pattern, "*"))
	}
	dir := s.Dir
	if filepath.IsAbs(pattern) {
		dir = "/"
	}
	e := exit.Environmentf("%s.files: no file matches %s", s.Name, pattern)
	if _, err := os.Stat(filepath.Join(dir, filepath.Dir(pattern))); errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(filepath.Dir(pattern), `*?[`) {
		return e.WithHint("there is no folder %s; paths are relative to the spec", filepath.Join(dir, filepath.Dir(pattern)))
	}
	return e.WithHint("paths are relative to the spec, which is in %s", absolute(s.Dir))
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// escape makes a path a pattern that matches it alone.
func escape(path string) string {
	var b strings.Builder
	for _, r := range path {
		if strings.ContainsRune(`*?[\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
