package jobspecs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// maxFile bounds a spec file: beyond it, it is not one.
const maxFile = 256 << 10

// source is a file's text, kept for the lines that errors show.
type source struct {
	name  string
	lines []string
}

// text returns line n, from 1.
func (s *source) text(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// chunk is the text of one document of a file.
type chunk struct {
	text  string
	first int // line of the file that the text starts at, from 1
}

// newSource checks a file's bytes and splits it into documents, so that a
// syntax error in one does not hide those of the others.
func newSource(name string, data []byte, c *collector) (*source, []chunk) {
	s := &source{name: name}
	fail := func(line, col int, hint, format string, args ...any) (*source, []chunk) {
		c.at(&node{src: s, line: line, col: col, width: 1}, CodeSyntax, "", hint, format, args...)
		return s, nil
	}
	if len(data) > maxFile {
		return fail(0, 0, "", "the file is larger than %d bytes, the most that a spec may have", maxFile)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return fail(0, 0, "save it as UTF-8", "the file is UTF-16")
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	s.lines = strings.Split(text, "\n")
	for i, line := range s.lines {
		if col, what := illegal(line); col > 0 {
			s.lines[i] = strings.ToValidUTF8(strings.Map(printable, line), "?")
			return fail(i+1, col, "", "%s", what)
		}
	}
	return s, split(s.lines)
}

// illegal finds what no spec may hold: bytes that are not UTF-8, and control
// characters other than the tab.
func illegal(line string) (col int, what string) {
	for i, r := range line {
		col++
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(line[i:]); size <= 1 {
				return col, "the text is not UTF-8"
			}
		}
		if (r < 0x20 && r != '\t') || (r >= 0x7f && r < 0xa0) || r == '\ufeff' || r == '\u2028' || r == '\u2029' {
			return col, fmt.Sprintf("control character U+%04X", r)
		}
	}
	return 0, ""
}

func printable(r rune) rune {
	if col, _ := illegal(string(r)); col > 0 {
		return '?'
	}
	return r
}

// split cuts a file at the lines `---` and `...`.
func split(lines []string) []chunk {
	var chunks []chunk
	var cur []string
	first := 1
	flush := func(next int) {
		chunks = append(chunks, chunk{text: strings.Join(cur, "\n") + "\n", first: first})
		cur, first = nil, next
	}
	for i, line := range lines {
		switch marker, rest := line[:min(3, len(line))], strings.TrimLeft(line[min(3, len(line)):], " \t"); {
		case marker == "---" && (len(line) == 3 || line[3] == ' ' || line[3] == '\t'):
			flush(i + 1)
			// What follows on the line belongs to the document; it keeps its column.
			cur = append(cur, strings.Repeat(" ", len(line)-len(rest))+rest)
		case marker == "..." && rest == "":
			flush(i + 2)
		default:
			cur = append(cur, line)
		}
	}
	flush(0)
	return chunks
}

// find lists the files that the paths name: files as given, folders with all
// their YAML files, sorted. A file that is named twice is loaded once.
func find(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, exit.Usagef("no spec file given")
	}
	var files []string
	seen := map[string]bool{}
	add := func(p string) {
		if key := absolute(p); !seen[key] {
			seen[key] = true
			files = append(files, p)
		}
	}
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return nil, exit.Environmentf("read specs: %w", err)
		}
		if !st.IsDir() {
			add(p)
			continue
		}
		var inside []string
		err = filepath.WalkDir(p, func(f string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && isYAML(f) {
				inside = append(inside, f)
			}
			return err
		})
		if err != nil {
			return nil, exit.Environmentf("read specs: %w", err)
		}
		if len(inside) == 0 {
			return nil, exit.Usagef("no spec in folder %s: it holds no file *.yaml or *.yml", p)
		}
		slices.Sort(inside)
		for _, f := range inside {
			add(f)
		}
	}
	return files, nil
}

// read reads a file that the user named; it may be a pipe, but not without end.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// readRegular reads a file that a spec named; anything but a regular file
// might wait for ever.
func readRegular(file string) ([]byte, error) {
	st, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return read(file)
}

func isYAML(file string) bool {
	return strings.HasSuffix(file, ".yaml") || strings.HasSuffix(file, ".yml")
}

func absolute(p string) string {
	if a, err := filepath.Abs(p); err == nil {
		return a
	}
	return filepath.Clean(p)
}
