package localfiles

import (
	"fmt"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// column is a column as a file describes it.
type column struct{ name, typ string }

// columnsOf reads the schema that a file holds.
func columnsOf(path, format string) (cols []column, err error) {
	// The Parquet library panics on some files that are cut off or damaged.
	defer func() {
		if p := recover(); p != nil {
			cols, err = nil, damaged(path, fmt.Errorf("%v", p))
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, exit.Environmentf("open the file: %w", err)
	}
	defer f.Close()
	if format == Parquet {
		st, err := f.Stat()
		if err != nil {
			return nil, exit.Environmentf("open the file: %w", err)
		}
		file, err := parquet.OpenFile(f, st.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		if err != nil {
			return nil, damaged(path, err)
		}
		for _, n := range file.Schema().Fields() {
			typ := "group"
			if n.Leaf() {
				typ = n.Type().String()
			}
			cols = append(cols, column{n.Name(), typ})
		}
		return cols, nil
	}
	r, err := ocf.NewReader(f)
	if err != nil {
		return nil, damaged(path, err)
	}
	root := r.Schema().Root()
	if root.Type != "record" {
		return nil, exit.Environmentf("%s: its rows are %s, not records", path, root.Type)
	}
	for i := range root.Fields {
		cols = append(cols, column{root.Fields[i].Name, avroText(&root.Fields[i].Type)})
	}
	return cols, nil
}

func damaged(path string, err error) error {
	return exit.Environmentf("%s: it cannot be read: %w", path, err).WithHint("is it complete, and of that format?")
}

// avroText names an Avro type; that a value may be missing makes no other type.
func avroText(n *avro.SchemaNode) string {
	if n.Type == "union" {
		var parts []string
		for i := range n.Branches {
			if n.Branches[i].Type != "null" {
				parts = append(parts, avroText(&n.Branches[i]))
			}
		}
		return strings.Join(parts, " or ")
	}
	switch n.LogicalType {
	case "":
		return n.Type
	case "decimal":
		return fmt.Sprintf("%s (decimal %d,%d)", n.Type, n.Precision, n.Scale)
	}
	return n.Type + " (" + n.LogicalType + ")"
}

// sameColumns refuses a file whose schema is not the first one's: what one file
// lacks would be NULL, and compared as such.
func sameColumns(first string, want []column, path string, have []column) error {
	types := map[string]string{}
	for _, c := range have {
		types[c.name] = c.typ
	}
	for _, c := range want {
		switch typ, ok := types[c.name]; {
		case !ok:
			return exit.Environmentf("%s has no column %s, which %s has: the files of a side have one schema", path, c.name, first)
		case typ != c.typ:
			return exit.Environmentf("column %s is %s in %s and %s in %s: the files of a side have one schema", c.name, c.typ, first, typ, path)
		}
		delete(types, c.name)
	}
	for _, c := range have {
		if _, more := types[c.name]; more {
			return exit.Environmentf("%s has a column %s, which %s has not: the files of a side have one schema", path, c.name, first)
		}
	}
	return nil
}
