package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// specsFile is the reference of specs, in docs.
const specsFile = "specs-reference.md"

const specsIntro = `# Specs

Every kind of document and every field of it, with its type, its default and what
it means. ` + "`kappa explain KIND.FIELD`" + ` says the same in a terminal, ` + "`kappa schema`" + `
prints it for editors, and ` + "`kappa help specs`" + ` is about the language: variables,
inheritance, and the errors.

A field of a list's items is written ` + "`list[].field`" + `, one of a mapping by name
` + "`mapping.NAME.field`" + `. A field without a default is empty where it is not given.

`

// specsPage returns the reference of specs: what all documents have, and then
// a part for each kind.
func specsPage() (string, error) {
	var kinds []*jobspecs.Explanation
	for _, kind := range jobspecs.Kinds() {
		x, err := jobspecs.Explain(kind, true)
		if err != nil {
			return "", fmt.Errorf("explain %s: %w", kind, err)
		}
		kinds = append(kinds, x)
	}
	var b strings.Builder
	b.WriteString(generated + specsIntro + "| kind | what it is for |\n| --- | --- |\n")
	for _, x := range kinds {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", x.Path, anchorOf(x.Path), prose(x.Doc))
	}
	b.WriteString("\n## Every document\n\n")
	header := *kinds[0]
	header.Fields = nil
	for _, f := range kinds[0].Fields {
		switch lastOf(f.Path) {
		case "kind":
			f.Enum = jobspecs.Kinds()
		case "spec":
			f.Fields = nil
			f.Doc += " Below, by kind."
		}
		header.Fields = append(header.Fields, f)
	}
	table(&b, header.Fields)
	for _, x := range kinds {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", x.Path, prose(x.Doc))
		for _, f := range x.Fields {
			if lastOf(f.Path) == "spec" {
				specPart(&b, f)
			}
		}
	}
	return b.String(), nil
}

// specPart writes the fields of a spec, and a part for each that has fields.
func specPart(b *strings.Builder, spec jobspecs.Explanation) {
	direct := make([]jobspecs.Explanation, 0, len(spec.Fields))
	for _, f := range spec.Fields {
		if len(f.Fields) > 0 {
			f.Doc += fmt.Sprintf(" [Its fields](#%s).", anchorOf(f.Path))
			f.Fields = nil
		}
		direct = append(direct, f)
	}
	b.WriteByte('\n')
	table(b, direct)
	for _, f := range spec.Fields {
		if len(f.Fields) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n### %s\n\n%s\n\n", f.Path, prose(f.Doc))
		table(b, f.Fields)
	}
}

// table writes fields, and those within them, as the rows of a table.
func table(b *strings.Builder, fields []jobspecs.Explanation) {
	b.WriteString("| field | type | default | meaning |\n| --- | --- | --- | --- |\n")
	rows(b, "", fields)
}

func rows(b *strings.Builder, prefix string, fields []jobspecs.Explanation) {
	for _, f := range fields {
		name := prefix + lastOf(f.Path)
		def := ""
		switch {
		case f.Required:
			def = "required"
		case f.Default != nil:
			def = code(*f.Default)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(name), f.Type, def, meaning(f))
		rows(b, name+within(f.Type), f.Fields)
	}
}

// within is what stands between the name of a field of a type and that of a
// field within it.
func within(typ string) string {
	switch {
	case strings.HasPrefix(typ, "list of "):
		return "[]."
	case strings.HasPrefix(typ, "mapping of names "):
		return ".NAME."
	}
	return "."
}

// meaning is the text of a field with the rules for its value.
func meaning(f jobspecs.Explanation) string {
	text := prose(f.Doc)
	if f.Pipeline != "" {
		text += " Only with " + code("pipeline: "+f.Pipeline) + "."
	}
	if len(f.Enum) > 0 {
		values := make([]string, len(f.Enum))
		for i, v := range f.Enum {
			values[i] = code(v)
		}
		text += " One of " + strings.Join(values, ", ") + "."
	}
	if f.Minimum != nil {
		text += " At least " + strconv.FormatInt(*f.Minimum, 10) + "."
	}
	if f.Pattern != "" {
		text += " Matches " + code(f.Pattern) + "."
	}
	return text
}

// prose escapes what Markdown would take for its own in a table.
func prose(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
}

// code writes text as code in a table: a bar would end the cell even there.
func code(text string) string {
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// anchorOf is the anchor of a heading, as GitHub makes it.
func anchorOf(title string) string {
	return strings.NewReplacer(".", "", " ", "-").Replace(strings.ToLower(title))
}

func lastOf(path string) string { return path[strings.LastIndex(path, ".")+1:] }
