package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

func file(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadInput(t *testing.T) {
	const csv = "date,origin,delay,distance\n2001-01-08T05:00:00Z,ATL,3,100\n2001-01-08T07:59:59+02:00,ATL,-4,50\n2001-01-08T06:00:00Z,ATL,1,1\n1969-12-31T23:30:00Z,LAS,1,1\n"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte(csv))
	_ = z.Close()
	type row struct {
		Date     time.Time `parquet:"date,timestamp(microsecond)"`
		Delay    int32     `parquet:"delay"`
		Distance int64     `parquet:"distance,optional"`
		Origin   string    `parquet:"origin"`
	}
	var pq bytes.Buffer
	w := parquet.NewGenericWriter[row](&pq)
	_, err := w.Write([]row{{hour, 3, 100, "ATL"}, {hour.Add(time.Hour - time.Second), -4, 50, "ATL"}, {hour.Add(time.Hour), 1, 1, "ATL"}, {time.Unix(-1800, 0), 1, 1, "LAS"}})
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	want := map[key]sums{k("ATL", 0): {2, -1, 150}, k("ATL", 1): {1, 1, 1}, {"LAS", -3600}: {1, 1, 1}}
	for name, data := range map[string][]byte{"csv": []byte(csv), "gzip": zipped.Bytes(), "parquet": pq.Bytes()} {
		got, err := readInput(file(t, data), time.Hour)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got.byKey); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestUsage(t *testing.T) {
	good := file(t, []byte("scheduled,origin,delay,distance\n"))
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"--input is needed", nil},
		{"not defined", []string{"--nonsense"}},
		{"unexpected argument", []string{"--input", good, "x"}},
		{"--window", []string{"--input", good, "--window", "0s"}},
		{"--window", []string{"--input", good, "--window", "1500ms"}},
		{"--output", []string{"--input", good, "--output", "xml"}},
		{"--timeout", []string{"--input", good, "--timeout", "0s"}},
		{"no such file", []string{"--input", good + "x"}},
		{"is a directory", []string{"--input", filepath.Dir(good)}},
		{"columns scheduled", []string{"--input", file(t, []byte("a,b\n"))}},
		{"line 2", []string{"--input", file(t, []byte("scheduled,origin,delay,distance\nx,y,z,1\n"))}},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), tc.args, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), tc.want) {
			t.Errorf("%q: exit code %d, %q, want %q", tc.args, code, errs.String(), tc.want)
		}
	}
}
