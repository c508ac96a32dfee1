package flights

import (
	"bytes"
	"compress/gzip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/kappa-migrate/kappa/internal/exit"
)

const header = "scheduled,delay,distance,origin,destination\n"

func at(s string) int64 {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UnixMicro()
}

func gz(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.Bytes()
}

func TestRead(t *testing.T) {
	two := []Flight{
		{at("2001-01-08T00:01:00Z"), 3, 2345, "ANC", "LAX"},
		{at("2001-01-08T00:03:00Z"), -4, 1515, "LAS", "ORD"},
	}
	const rows = "2001-01-08T00:01:00Z,3,2345,ANC,LAX\n2001-01-08T00:03:00Z,-4,1515,LAS,ORD\n"
	for _, tc := range []struct {
		name string
		in   []byte
		want []Flight
	}{
		{"plain", []byte(header + rows), two},
		{"gzipped", gz(header + rows), two},
		{"no newline at the end", []byte(header + strings.TrimSuffix(rows, "\n")), two},
		{"CRLF and byte order mark", []byte("\xef\xbb\xbf" + strings.ReplaceAll(header+rows, "\n", "\r\n")), two},
		{"columns in another order, with others between",
			[]byte("origin,x,destination,date,distance,delay\nANC,?,LAX,2001-01-08T00:01:00Z,2345,3\n"), two[:1]},
		{"zone and fraction", []byte(header + "2001-01-08T02:01:00.5+02:00,0,1,A,B\n"),
			[]Flight{{at("2001-01-08T00:01:00.5Z"), 0, 1, "A", "B"}}},
		{"scheduled wins over date", []byte("date,scheduled,delay,distance,origin,destination\nx,2001-01-08T00:01:00Z,3,2345,ANC,LAX\n"), two[:1]},
		{"identical rows stay", []byte(header + rows[:36] + rows[:36]), []Flight{two[0], two[0]}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ReadBytes("f", tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	const row = "2001-01-08T00:01:00Z,3,2345,ANC,LAX\n"
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "the file is empty"},
		{"header alone", header, "no rows below the header"},
		{"missing column", "scheduled,distance,origin,destination\n" + row, "line 1: missing column delay"},
		{"missing columns", "a,b\n1,2\n", "missing column scheduled, delay, distance, origin, destination; the columns are: a, b"},
		{"column twice", "origin," + header + "x," + row, `two columns are named "origin"`},
		{"bad time", header + row + "08.01.2001,3,1,A,B\n", `line 3: column scheduled: "08.01.2001" is not a time`},
		{"bad delay", header + row + row + "2001-01-08T00:01:00Z,3.5,1,A,B\n", `line 4: column delay: "3.5" is not a whole number of minutes`},
		{"empty number", header + "2001-01-08T00:01:00Z,3,,A,B\n", `line 2: column distance: "" is not a whole number`},
		{"number out of range", header + "2001-01-08T00:01:00Z,99999999999,1,A,B\n", `line 2: column delay: "99999999999" is not within ten years`},
		{"distance out of range", header + "2001-01-08T00:01:00Z,1,99999999999,A,B\n", `line 2: column distance`},
		{"before Kafka's first time", header + "1969-12-31T00:00:00Z,3,1,A,B\n", "line 2: column scheduled"},
		{"arrival before Kafka's first time", header + "1970-01-01T00:01:00Z,-3,1,A,B\n", "line 2: column scheduled"},
		{"no origin", header + "2001-01-08T00:01:00Z,3,1,,B\n", `line 2: column origin: "" is not an airport code`},
		{"origin not UTF-8", header + "2001-01-08T00:01:00Z,3,1,\xff,B\n", "line 2: column origin"},
		{"field missing", header + row + "2001-01-08T00:01:00Z,3,1\n", "line 3: wrong number of fields"},
		{"bare quote", header + "2001-01-08T00:01:00Z,3,1,A\"x,B\n", "line 2"},
		{"line after a quoted line break", header + "2001-01-08T00:01:00Z,3,1,\"A\nB\",C\nx,3,1,A,B\n", "line 4: column scheduled"},
		{"gzip cut off", string(gz(header + strings.Repeat(row, 5000))[:60]), "gzipped"},
		{"Parquet cut off", "PAR1....", "damaged Parquet file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ReadBytes("in.csv", []byte(tc.in))
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "in.csv") {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
			if exit.Of(err) != exit.Usage {
				t.Errorf("exit code %d, want %d", exit.Of(err), exit.Usage)
			}
		})
	}
}

func TestReadFileRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ path, want string }{
		{dir, "is not a file"},
		{filepath.Join(dir, "none"), "no such file"},
	} {
		if _, err := ReadFile(tc.path); err == nil || !strings.Contains(err.Error(), tc.want) || exit.Of(err) != exit.Usage {
			t.Errorf("%s: error %v, want %q", tc.path, err, tc.want)
		}
	}
}

func TestArrival(t *testing.T) {
	f := Flight{Scheduled: at("2001-01-08T00:01:00.123456Z"), Delay: -3}
	if got, want := f.ArrivesAt(), time.Date(2001, 1, 7, 23, 58, 0, 123e6, time.UTC); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

type parquetRow struct {
	Origin      string    `parquet:"origin,dict"`
	Date        time.Time `parquet:"date,timestamp(millisecond)"`
	Delay       int32     `parquet:"delay"`
	Other       []int64   `parquet:"other,list"`
	Distance    *int64    `parquet:"distance,optional"`
	Destination string    `parquet:"destination"`
}

func parquetFile[T any](t *testing.T, rows ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadParquet(t *testing.T) {
	miles := int64(7)
	when := time.Date(2001, 1, 8, 0, 1, 0, 5e6, time.UTC)
	data := parquetFile(t,
		parquetRow{"ANC", when, 3, []int64{1, 2}, &miles, "LAX"},
		parquetRow{"LAS", when.Add(time.Hour), -3, nil, &miles, "ORD"})
	got, err := ReadBytes("f", data)
	if err != nil {
		t.Fatal(err)
	}
	want := []Flight{{when.UnixMicro(), 3, 7, "ANC", "LAX"}, {when.Add(time.Hour).UnixMicro(), -3, 7, "LAS", "ORD"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadParquetRefuses(t *testing.T) {
	type wrongType struct {
		Scheduled   int64   `parquet:"scheduled"`
		Delay       float64 `parquet:"delay"`
		Distance    int64   `parquet:"distance"`
		Origin      string  `parquet:"origin"`
		Destination string  `parquet:"destination"`
	}
	type noTime struct {
		Scheduled   int64  `parquet:"scheduled"`
		Delay       int64  `parquet:"delay"`
		Distance    int64  `parquet:"distance"`
		Origin      string `parquet:"origin"`
		Destination string `parquet:"destination"`
	}
	when := time.Date(2001, 1, 8, 0, 1, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		in   []byte
		want string
	}{
		{"null", parquetFile(t, parquetRow{"A", when, 1, nil, new(int64), "B"}, parquetRow{"A", when, 1, nil, nil, "B"}), "row 2: column distance is null"},
		{"fraction", parquetFile(t, wrongType{}), "column delay is DOUBLE, not an integer"},
		{"time without a unit", parquetFile(t, noTime{}), "column scheduled is INT(64,true), not a TIMESTAMP"},
		{"missing", parquetFile(t, struct {
			Origin string `parquet:"origin"`
		}{"A"}), "missing column scheduled, delay, distance, destination"},
		{"no rows", parquetFile[parquetRow](t), "no rows"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ReadBytes("f", tc.in)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(header + "2001-01-08T00:01:00Z,3,2345,ANC,LAX\n"))
	f.Add(gz(header + "2001-01-08T00:01:00Z,3,2345,ANC,LAX\n"))
	f.Add([]byte("PAR1"))
	f.Add([]byte("\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		got, err := ReadBytes("f", data)
		if err != nil {
			if exit.Of(err) != exit.Usage {
				t.Fatalf("exit code %d for %v", exit.Of(err), err)
			}
			return
		}
		for _, fl := range got {
			if fl.Origin == "" || fl.ArrivesAt().UnixMilli() < 0 {
				t.Fatalf("accepted %+v", fl)
			}
		}
	})
}

func TestWeek(t *testing.T) {
	got, err := ReadFile(filepath.Join("..", "..", "..", "examples", "flights", "flights-week.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 115245 {
		t.Errorf("%d flights, want 115245", len(got))
	}
}
