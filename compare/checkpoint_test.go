package compare

import (
	"bytes"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/civil"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

type bigqueryValue = bigquery.Value

var partOptions = []cmp.Option{
	cmp.AllowUnexported(part{}, sideRows{}, partMetric{}, partWindow{}, windowWeight{}, partSegment{}, difference{}, sideValue{}),
	cmp.Comparer(func(a, b *big.Rat) bool { return a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0 }), cmpopts.EquateEmpty(),
}

func byID(a, b QueryJob) int { return strings.Compare(a.ID, b.ID) }
func byFrom(a, b Range) int  { return a.From.Compare(b.From) }

// What is saved is what is loaded.
func TestPartsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := randomPart(t, 3)
		p.differences[0].keys = append(p.differences[0].keys, civil.Date{Year: 2004, Month: 2, Day: 29}, "ü\u0000\"")
		p.metrics[0].batch = big.NewRat(1, 3)
		p.segments[0].truncated = true
		data, err := savePart(p)
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := loadPart(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, loaded, partOptions...); diff != "" {
			t.Fatalf("(-saved +loaded):\n%s", diff)
		}
	})
}

// A field that a part gets must be saved as well: this test, and the codec, must be
// told of it.
func TestEveryFieldOfAPartIsSaved(t *testing.T) {
	for _, tt := range []struct {
		of   any
		want string
	}{
		{part{}, "settled counts metrics windows segments batch stream copies conflicts ignored differences unexamined evidence lowerBound jobs"},
		{partMetric{}, "batch stream difference absolute weight skipped"},
		{partWindow{}, "WindowResult weight"},
		{partSegment{}, "worst truncated approximate"}, // the last is of merged parts
		{difference{}, "class keys window batchRows streamRows batch stream cause status evidence known batchTexts streamTexts"},
		{sideValue{}, "present values"},
	} {
		var names []string
		for i := range reflect.TypeOf(tt.of).NumField() {
			names = append(names, reflect.TypeOf(tt.of).Field(i).Name)
		}
		if diff := cmp.Diff(tt.want, strings.Join(names, " ")); diff != "" {
			t.Errorf("%T (-saved +has):\n%s", tt.of, diff)
		}
	}
}

func TestKeysOfOtherTypesAreNotSaved(t *testing.T) {
	if _, err := savePart(&part{differences: []difference{{keys: []bigqueryValue{1.5}}}}); err == nil {
		t.Error("a key that could not be loaded was saved")
	}
	if _, err := loadPart([]byte(`{"differences":[{"keys":[{"t":"GEOGRAPHY","v":"x"}]}]}`)); err == nil {
		t.Error("a key of an unknown type was loaded")
	}
}

func TestCheckpoints(t *testing.T) {
	dir, now := t.TempDir(), hours(0)
	var log bytes.Buffer
	c, err := openCheckpoints(dir, "flights", func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.Repeat("a", 64)
	if p := c.load(key); p != nil || log.Len() > 0 {
		t.Fatalf("loaded %v before anything was saved, log %s", p, &log)
	}
	save := func() []byte {
		t.Helper()
		if err := c.save(key, &part{counts: Counts{Total: 7}}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(c.path(key))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	data := save()
	if st, err := os.Stat(c.path(key)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if p := c.load(key); p == nil || p.counts.Total != 7 {
		t.Fatalf("loaded %+v", p)
	}
	bad := map[string]func(){
		"is damaged":         func() { write(t, c.path(key), bytes.Replace(data, []byte(`"total":7`), []byte(`"total":8`), 1)) },
		"of something else":  func() { write(t, c.path(key), bytes.Replace(data, []byte(`"key":"a`), []byte(`"key":"b`), 1)) },
		"unexpected end":     func() { write(t, c.path(key), data[:len(data)/2]) },
		"older than 24h0m0s": func() { now = now.Add(25 * time.Hour) },
	}
	for want, spoil := range bad {
		t.Run(want, func(t *testing.T) {
			now = hours(0)
			save()
			log.Reset()
			spoil()
			if p := c.load(key); p != nil || !strings.Contains(log.String(), want) {
				t.Errorf("loaded %v, log %s", p, &log)
			}
		})
	}
	now = hours(0)
	save()
	c.remove([]partition{{key: key}, {key: strings.Repeat("b", 64)}})
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := c.save(key, &part{}); err != nil { // another run of the comparison, whose folder this one has removed
		t.Error(err)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStateThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	if _, err := openCheckpoints(file, "flights", time.Now, nil); err == nil || !strings.Contains(err.Error(), "folder of checkpoints") {
		t.Errorf("error %v", err)
	}
}
