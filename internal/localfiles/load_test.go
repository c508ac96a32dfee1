package localfiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

// folder writes files into a folder of its own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var types = map[string]string{"origin": "STRING", "flights": "INT64"}

func source(dir string, patterns ...string) Source {
	return Source{Name: "batch", Patterns: patterns, Dir: dir, Time: "window_start", Types: types}
}

func load(t *testing.T, c *bigquery.Client, table string, s Source) (*Loaded, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Load(ctx, c.Dataset("d").Table(table), s, func(int64, int64) {})
}

func client(t *testing.T) *bigquery.Client {
	t.Helper()
	c, _ := bigquerytest.Start(t, "kappa-test", "d")
	return c
}

func read(t *testing.T, c *bigquery.Client, sql string) [][]bigquery.Value {
	t.Helper()
	it, err := c.Query(sql).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out [][]bigquery.Value
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range row {
			if r, ok := v.(*big.Rat); ok {
				row[i] = r.FloatString(9)
			}
		}
		out = append(out, row)
	}
}

// The same rows in every format give the same table.
func TestFormats(t *testing.T) {
	day := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	type row struct {
		Origin  *string   `parquet:"origin,optional" avro:"origin"`
		Start   time.Time `parquet:"window_start,timestamp(microsecond)" avro:"window_start"`
		Flights int64     `parquet:"flights" avro:"flights"`
	}
	zrh := "Zürich, \"ZRH\"\n"
	in := []row{{&zrh, day, 7}, {nil, day.Add(time.Hour), -3}}
	var pq, av bytes.Buffer
	w := parquet.NewGenericWriter[row](&pq)
	if _, err := w.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	aw, err := ocf.NewWriter(&av, avro.MustParse(`{"type": "record", "name": "r", "fields": [{"name": "origin", "type": ["null", "string"]},
		{"name": "window_start", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "flights", "type": "long"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range in {
		if err := aw.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := aw.Close(); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{
		"a/x.parquet": pq.String(), "a/x.avro": av.String(),
		"a/x.csv":  "\ufeffwindow_start,origin,flights\n2001-01-08T00:00:00Z,\"Zürich, \"\"ZRH\"\"\n\",7\n2001-01-08 02:00:00+01,,-3\n",
		"a/x.json": `{"origin":"Zürich, \"ZRH\"\n","window_start":"2001-01-08","flights":7}` + "\n\n" + `{"flights":-3.0,"window_start":"2001-01-08 01:00:00 UTC","origin":null}`,
	})
	c := client(t)
	want := [][]bigquery.Value{{zrh, day, int64(7)}, {nil, day.Add(time.Hour), int64(-3)}}
	for _, format := range []string{Avro, Parquet, CSV, JSON} {
		loaded, err := load(t, c, format, source(dir, "a/*."+format))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if loaded.Rows != 2 || loaded.Format != format || len(loaded.Columns) != 3 {
			t.Errorf("%s: %+v", format, loaded)
		}
		if diff := cmp.Diff(want, read(t, c, "SELECT origin, window_start, flights FROM d."+format+" ORDER BY window_start")); diff != "" {
			t.Errorf("%s:\n%s", format, diff)
		}
		md, err := c.Dataset("d").Table(format).Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if md.TimePartitioning == nil || md.TimePartitioning.Field != "window_start" {
			t.Errorf("%s is not partitioned: %+v", format, md.TimePartitioning)
		}
	}
}

// What is not said is guessed from all values, and never as floating point.
func TestGuesses(t *testing.T) {
	dir := folder(t, map[string]string{
		"1.csv": "window_start,origin,flights,code,share,many,ok,on,note,wide name,none\n2001-01-08,ATL,1,007,1,1,true,2001-01-08,a,x,\n",
		"2.csv": "window_start,origin,flights,code,share,many,ok,on,note,wide name,none\n2001-01-09,ATL,2,11,0.1,12345678901234567890,FALSE,2001-01-08 06:00:00,\"b,\nc\",y,\n",
	})
	c := client(t)
	loaded, err := load(t, c, "t", source(dir, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var guessed []string
	for _, col := range loaded.Columns {
		if col.Guessed {
			guessed = append(guessed, col.Name+" "+col.Type)
		}
	}
	if diff := cmp.Diff([]string{"window_start DATE", "code STRING", "share NUMERIC", "many NUMERIC", "ok BOOL", "on TIMESTAMP", "note STRING", "none STRING"}, guessed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"wide name (its name is no column name: letters, digits and _ are)"}, loaded.LeftOut); diff != "" {
		t.Error(diff)
	}
	got := read(t, c, "SELECT code, share, many, ok, note, none FROM d.t ORDER BY flights")
	want := [][]bigquery.Value{{"007", "1.000000000", "1.000000000", true, "a", nil}, {"11", "0.100000000", "12345678901234567890.000000000", false, "b,\nc", nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Bad files are refused with where and what, and never taken as rows that are equal.
func TestBadFiles(t *testing.T) {
	const head = "window_start,origin,flights\n"
	dir := folder(t, map[string]string{
		"number.csv":    head + "2001-01-08,ATL,1\n2001-01-08,ORD,1.5\n",
		"lines.csv":     head + "2001-01-08,\"A\nTL\",1\n2001-01-08,ORD,x\n",
		"short.csv":     head + "2001-01-08,ATL\n",
		"time.csv":      head + "2001-01-08,ATL,1\nMonday,ATL,1\n",
		"notime.csv":    head + ",ATL,1\n",
		"fine.csv":      head + "2001-01-08 00:00:00.0000001,ATL,1\n",
		"quote.csv":     head + "2001-01-08,\"ATL,1\n",
		"twice.csv":     "origin,origin\n",
		"header.csv":    head,
		"nothing.csv":   "",
		"other.csv":     "window_start,origin\n2001-01-08,ATL\n",
		"good.csv":      head + "2001-01-08,ATL,1\n",
		"bad.json":      `{"window_start":"2001-01-08","origin":"ATL","flights":1}` + "\n[1]\n",
		"nested.json":   `{"window_start":"2001-01-08","origin":["ATL"],"flights":1}`,
		"big.json":      `{"window_start":"2001-01-08","origin":"ATL","flights":9223372036854775808}`,
		"cut.parquet":   "PAR1 and nothing more",
		"cut.avro":      "Obj",
		"folder/x.csv":  head,
		"noformat.data": head,
	})
	c := client(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	for i, tt := range []struct {
		patterns []string
		code     exit.Code
		want     string
	}{
		{[]string{"number.csv"}, exit.Environment, at("number.csv") + `:3: flights is "1.5", which is no INT64`},
		{[]string{"lines.csv"}, exit.Environment, at("lines.csv") + `:4: flights is "x", which is no INT64`},
		{[]string{"short.csv"}, exit.Environment, at("short.csv") + ":2: the row has not as many fields as the header, 3"},
		{[]string{"time.csv"}, exit.Environment, at("time.csv") + `:3: window_start is "Monday", which is no time`},
		{[]string{"notime.csv"}, exit.Environment, at("notime.csv") + ":2: window_start is empty"},
		{[]string{"fine.csv"}, exit.Environment, at("fine.csv") + ":2: window_start is"},
		{[]string{"quote.csv"}, exit.Environment, at("quote.csv") + ":2: "},
		{[]string{"twice.csv"}, exit.Environment, at("twice.csv") + `:1: two columns are named "origin"`},
		{[]string{"header.csv", "nothing.csv"}, exit.NoData, "NO DATA: the files of the batch side hold no rows"},
		{[]string{"nothing.csv"}, exit.NoData, "NO DATA"},
		{[]string{"good.csv", "other.csv"}, exit.Environment, at("other.csv") + " has no column flights, which " + at("good.csv") + " has"},
		{[]string{"other.csv"}, exit.Environment, "batch.files: there is no column flights; there are window_start, origin"},
		{[]string{"bad.json"}, exit.Environment, at("bad.json") + ":2: the line is no JSON object"},
		{[]string{"nested.json"}, exit.Environment, at("nested.json") + ":1: origin is a list or an object"},
		{[]string{"big.json"}, exit.Environment, at("big.json") + `:1: flights is "9223372036854775808", which is no INT64`},
		{[]string{"cut.parquet"}, exit.Environment, at("cut.parquet") + ": it cannot be read"},
		{[]string{"cut.avro"}, exit.Environment, at("cut.avro") + ": it cannot be read"},
		{[]string{"*.tsv"}, exit.Environment, "batch.files: no file matches *.tsv"},
		{[]string{"good.csv", "missing/*.csv"}, exit.Environment, "batch.files: no file matches missing/*.csv"},
		{[]string{"folder"}, exit.Environment, at("folder") + " is no file"},
		{[]string{"noformat.data"}, exit.Usage, "does not tell its format"},
		{[]string{"good.csv", "bad.json"}, exit.Usage, "the files of a side have one format"},
		{[]string{"[a"}, exit.Usage, "is not a pattern"},
	} {
		_, err := load(t, c, fmt.Sprintf("t%d", i), source(dir, tt.patterns...))
		if err == nil || !strings.Contains(err.Error(), tt.want) || exit.Of(err) != tt.code {
			t.Errorf("%v: %v (code %d), want %q (code %d)", tt.patterns, err, exit.Of(err), tt.want, tt.code)
		}
	}
	for name, want := range map[string]string{"number.csv": ":3: flights is a value, which is no INT64", "time.csv": ":3: window_start is a value, which is no time"} {
		s := source(dir, name)
		s.Hidden = []string{"flights", "window_start"}
		if _, err := load(t, c, "hidden_"+name[:4], s); err == nil || !strings.Contains(err.Error(), at(name)+want) {
			t.Errorf("%s, hidden: %v", name, err)
		}
	}
}

// The names of a folder stand for themselves, and a format can be given.
func TestMatch(t *testing.T) {
	dir := folder(t, map[string]string{"a[1]/x.txt": "", "a[1]/y.txt": "", "a1/x.txt": ""})
	s := Source{Name: "batch", Patterns: []string{"*.txt", "x.txt"}, Dir: filepath.Join(dir, "a[1]"), Format: CSV}
	paths, format, err := s.match()
	want := []string{filepath.Join(dir, "a[1]/x.txt"), filepath.Join(dir, "a[1]/y.txt")}
	if diff := cmp.Diff(want, paths); err != nil || format != CSV || diff != "" {
		t.Errorf("%v, %s:\n%s", err, format, diff)
	}
}
