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

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

type bigqueryValue = bigquery.Value

var partOptions = []cmp.Option{
	cmp.AllowUnexported(part{}, partMetric{}, partWindow{}, windowWeight{}, partSegment{}, difference{}, sideValue{}),
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
		{part{}, "settled counts metrics windows segments batchRows streamRows copies conflicts ignored differences unexamined evidence lowerBound jobs"},
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

// What a partition was found by is in the name of its checkpoint: none is used for
// anything else.
func TestCheckpointsAreOfWhatTheyWereFoundBy(t *testing.T) {
	type found struct {
		comparison, spec string
		q                query
		standings        []tables.Standing
		loads            []tables.BatchLoad
		written          []time.Time
	}
	of := found{"flights", "hash", query{sql: "SELECT @from", params: []bigquery.QueryParameter{{Name: "from", Value: hours(1)}}},
		[]tables.Standing{{Counts: true}}, []tables.BatchLoad{{RangeStart: hours(1), LoadedAt: hours(2)}}, []time.Time{hours(3)}}
	key := func(edit func(*found)) string {
		f := of
		edit(&f)
		k, err := checkpointKey(f.comparison, f.spec, f.q, f.standings, f.loads, f.written)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := key(func(*found) {})
	seen := map[string]string{same: "what it is"}
	if again := key(func(*found) {}); again != same {
		t.Error("a checkpoint is never found again")
	}
	for name, edit := range map[string]func(*found){
		"another comparison": func(f *found) { f.comparison = "fares" },
		"another spec":       func(f *found) { f.spec = "other" },
		"another query":      func(f *found) { f.q.sql += " " },
		"another range":      func(f *found) { f.q.params = []bigquery.QueryParameter{{Name: "from", Value: hours(2)}} },
		"other writers":      func(f *found) { f.standings = []tables.Standing{{}} },
		"a load again":       func(f *found) { f.loads = []tables.BatchLoad{{RangeStart: hours(1), LoadedAt: hours(4)}} },
		"a table rewritten":  func(f *found) { f.written = []time.Time{hours(3).Add(time.Millisecond)} },
	} {
		k := key(edit)
		if seen[k] != "" {
			t.Errorf("%s has the checkpoints of %s", name, seen[k])
		}
		seen[k] = name
	}
}

// Tables of which loads or writers say what is complete may be written to.
func TestTablesWhoseWritesMatter(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*jobspecs.ComparisonSpec)
		want []time.Time
	}{
		{"loads and a job", func(*jobspecs.ComparisonSpec) {}, nil},
		{"loads and a plain table", func(s *jobspecs.ComparisonSpec) { s.Stream.Job = "" }, []time.Time{hours(2)}},
		{"by the clock", func(s *jobspecs.ComparisonSpec) { s.Batch.SettledBy, s.Stream.Job = jobspecs.SettledByClock, "" }, []time.Time{hours(1), hours(2)}},
		{"by the clock, and a job", func(s *jobspecs.ComparisonSpec) { s.Batch.SettledBy = jobspecs.SettledByClock }, []time.Time{hours(1)}},
		{"a shadow", func(s *jobspecs.ComparisonSpec) { s.Batch.Shadow = "flights_shadow_a" }, nil},
	} {
		q := testQueries(t, tt.edit)
		q.batch.changed, q.stream.changed = hours(1), hours(2)
		if diff := cmp.Diff(tt.want, q.written()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
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
