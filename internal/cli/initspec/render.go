package initspec

import (
	"bytes"
	"embed"
	"fmt"
	"strconv"
	"strings"
	"text/template"
)

//go:embed templates/*.tmpl
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"word": word}).ParseFS(templateFiles, "templates/*.tmpl"))

// word quotes a name that YAML, in one version or another, would take for
// something else than a string.
func word(name string) string {
	switch name {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return strconv.Quote(name)
	}
	return name
}

const readme = "README.md"

// names are the files, in the order in which they are used.
var names = []string{"bridge.yaml", "stream.yaml", "batch.yaml", "compare.yaml", readme}

// file is a file that is written.
type file struct {
	name string
	text []byte
}

// values are what the templates use.
type values struct {
	options
	LastSplit int
	Jobs      int
	Table     string // the name as the part of a table's name
}

// render returns the files.
func render(o options) ([]file, error) {
	v := values{options: o, LastSplit: o.Splits - 1, Jobs: min(o.Splits, 2), Table: strings.ReplaceAll(o.Name, "-", "_")}
	var files []file
	for _, name := range names {
		var b bytes.Buffer
		if err := templates.ExecuteTemplate(&b, name+".tmpl", v); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		files = append(files, file{name, b.Bytes()})
	}
	return files, nil
}
