package load

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func doc() *jobspecs.BatchLoad {
	return &jobspecs.BatchLoad{
		Metadata: jobspecs.Metadata{Name: "flights"},
		Spec: jobspecs.BatchLoadSpec{
			Platform: jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"},
			Source:   jobspecs.BatchSource{URI: "gs://b/flights/", Batch: jobspecs.Duration(4 * time.Hour), Format: "avro"},
			Dataset:  "kappa", Table: "batch_flights",
			Keys:    []jobspecs.Field{{Name: "origin", Type: "STRING"}},
			Metrics: []jobspecs.Field{{Name: "flights", Type: "INT64"}},
		},
	}
}

func at(hours int) time.Time { return time.Date(2001, 1, 8, hours, 0, 0, 0, time.UTC) }

func folder(hours int, generation int64) Folder {
	name := at(hours).Format(folderLayout)
	return Folder{URI: "gs://b/flights/" + name + "/", Start: at(hours),
		Objects: []Object{{"flights/" + name + "/part-00000.avro", generation}}}
}

func row(f Folder) tables.BatchLoad {
	return tables.BatchLoad{Load: "flights", Target: "batch_flights", RangeStart: f.Start, RangeEnd: f.Start.Add(4 * time.Hour),
		RowCount: 7, Source: f.Source(), JobID: "job", LoadedAt: at(24)}
}

func TestPlan(t *testing.T) {
	a, b := folder(0, 1), folder(4, 1)
	got, err := plan(doc(), []Folder{a, b}, []tables.BatchLoad{row(a)}, []window{{at(0), 5}, {at(3), 2}, {at(4), 1}, {at(7), 2}, {at(8), 9}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Batch{
		{Folder: a.URI, RangeStart: at(0), RangeEnd: at(4), Files: 1, Rows: 7, JobID: "job", State: Already, folder: a, source: a.Source()},
		{Folder: b.URI, RangeStart: at(4), RangeEnd: at(8), Files: 1, folder: b, source: b.Source(), orphans: 3},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(Batch{})); d != "" {
		t.Error(d)
	}
}

func TestPlanRefuses(t *testing.T) {
	a, b, c := folder(0, 1), folder(4, 1), folder(8, 1)
	changed := folder(4, 2)
	more := folder(8, 1)
	more.Objects = append(more.Objects, Object{"flights/x/part-00001.avro", 1})
	_, err := plan(doc(), []Folder{a, changed, more}, []tables.BatchLoad{row(a), row(b), row(c)}, nil)
	if err == nil {
		t.Fatal("restated batches are taken")
	}
	for _, want := range []string{"2 of the batches changed", changed.URI, more.URI, b.hash(), changed.hash()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), a.URI) {
		t.Errorf("error %q names a batch that is as it was", err)
	}
	var e *exit.Error
	if e, _ = err.(*exit.Error); e == nil || !strings.Contains(e.Hint, "DELETE FROM kappa.batch_flights WHERE window_start >= '2001-01-08T04:00:00Z' AND window_start < '2001-01-08T08:00:00Z'") ||
		!strings.Contains(e.Hint, "DELETE FROM kappa.batch_loads WHERE target = 'batch_flights' AND range_start >= '2001-01-08T04:00:00Z'") {
		t.Errorf("hint %+v", e)
	}

	if _, err := plan(doc(), []Folder{a, folder(3, 1)}, nil, nil); err == nil || !strings.Contains(err.Error(), "batches overlap") {
		t.Errorf("overlapping batches: %v", err)
	}
}

// A job's id is the same for the same batch and spec, another one for anything
// else, and always one that BigQuery takes.
func TestJobID(t *testing.T) {
	id := func(d *jobspecs.BatchLoad, f Folder, attempt int) string {
		t.Helper()
		s, err := jobID(d, f, attempt)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	base := id(doc(), folder(0, 1), 0)
	if again := id(doc(), folder(0, 1), 0); again != base {
		t.Errorf("%s, then %s", base, again)
	}
	other := doc()
	other.Spec.Table = "other"
	seen := map[string]string{base: "the first"}
	for name, s := range map[string]string{
		"attempt": id(doc(), folder(0, 1), 1), "folder": id(doc(), folder(4, 1), 0),
		"generation": id(doc(), folder(0, 2), 0), "spec": id(other, folder(0, 1), 0),
	} {
		if was := seen[s]; was != "" {
			t.Errorf("another %s has the id of %s", name, was)
		}
		seen[s] = name
		if strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
		}) {
			t.Errorf("id %q", s)
		}
	}
}

func TestFolders(t *testing.T) {
	got, err := folders("gs://b/p/", []Object{
		{"p/", 1}, {"p/_SUCCESS", 1}, {"p/.staging/x", 1}, {"p/2001-01-08T04/_SUCCESS", 1}, {"p/2001-01-08T04/", 1},
		{"p/2001-01-08T04/part-00001.avro", 3}, {"p/2001-01-08T04/part-00000.avro", 2}, {"p/2001-01-08T00/part-00000.avro", 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Folder{
		{"gs://b/p/2001-01-08T00/", at(0), []Object{{"p/2001-01-08T00/part-00000.avro", 1}}},
		{"gs://b/p/2001-01-08T04/", at(4), []Object{{"p/2001-01-08T04/part-00000.avro", 2}, {"p/2001-01-08T04/part-00001.avro", 3}}},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

func TestFoldersRefuses(t *testing.T) {
	for _, name := range []string{"p/x.avro", "p/2001-1-8/x.avro", "p/2001-01-08T04/deep/x.avro", "p/2001-01-08T04/x.parquet"} {
		_, err := folders("gs://b/p/", []Object{{"p/2001-01-08T00/part-00000.avro", 1}, {name, 1}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var many []Object
	for range 50 {
		many = append(many, Object{"p/x", 1})
	}
	if _, err := folders("gs://b/p/", many); err == nil || !strings.Contains(err.Error(), "and 40 more") {
		t.Errorf("many: %v", err)
	}
}

// The hash of a folder changes with every object, its name and its generation.
func TestSource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.Custom(func(t *rapid.T) Object {
			return Object{rapid.StringMatching(`[ab]{1,3}`).Draw(t, "name"), rapid.Int64Range(1, 3).Draw(t, "generation")}
		})
		list := rapid.SliceOfNDistinct(object, 0, 4, func(o Object) string { return o.Name })
		a := Folder{URI: "gs://b/f/", Objects: list.Draw(t, "a")}
		b := Folder{URI: "gs://b/f/", Objects: list.Draw(t, "b")}
		if (a.Source() == b.Source()) != cmp.Equal(a.Objects, b.Objects, cmpopts.EquateEmpty()) {
			t.Fatalf("%v and %v have the sources %s and %s", a.Objects, b.Objects, a.Source(), b.Source())
		}
	})
}
