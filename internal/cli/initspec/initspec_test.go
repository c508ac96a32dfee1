package initspec

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// none is an environment that has no variables.
func none(string) (string, bool) { return "", false }

// contents are the files below a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What is written is valid without any variable being given, and is what the
// flags say.
func TestWritten(t *testing.T) {
	long := "n" + strings.Repeat("-0", 19) + "n"
	for name, c := range map[string]struct {
		args                       []string
		id, project, region, topic string
		splits, jobs               int
		table                      string
		environment                string // empty: not given
	}{
		"defaults": {id: "events", project: "kappa-demo", region: "us-central1", topic: "events", splits: 4, jobs: 2, table: "stream_events"},
		"all": {
			args: []string{"--name", "shop-orders", "--project", "my-project", "--region", "europe-west1", "--topic", "shop.orders_v2", "--splits", "64"},
			id:   "shop-orders", project: "my-project", region: "europe-west1", topic: "shop.orders_v2", splits: 64, jobs: 2, table: "stream_shop_orders",
		},
		"one split":       {args: []string{"--splits", "1"}, id: "events", project: "kappa-demo", region: "us-central1", topic: "events", splits: 1, jobs: 1, table: "stream_events"},
		"longest name":    {args: []string{"--name", long}, id: long, project: "kappa-demo", region: "us-central1", topic: long, splits: 4, jobs: 2, table: "stream_" + strings.ReplaceAll(long, "-", "_")},
		"shortest name":   {args: []string{"--name", "y"}, id: "y", project: "kappa-demo", region: "us-central1", topic: "y", splits: 4, jobs: 2, table: "stream_y"},
		"words of YAML":   {args: []string{"--name", "null", "--topic", "-1", "--project", "true-1"}, id: "null", project: "true-1", region: "us-central1", topic: "-1", splits: 4, jobs: 2, table: "stream_null"},
		"longest topic":   {args: []string{"--topic", strings.Repeat("t", 249)}, id: "events", project: "kappa-demo", region: "us-central1", topic: strings.Repeat("t", 249), splits: 4, jobs: 2, table: "stream_events"},
		"as a production": {environment: "production", id: "events", project: "kappa-demo", region: "us-central1", topic: "events", splits: 4, jobs: 2, table: "stream_events"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			out, stderr, err := apptest.Run(t, "text", New, append(c.args, "--", dir)...)
			if err != nil || stderr != "" {
				t.Fatalf("%v\n%s", err, stderr)
			}
			for _, f := range names {
				if !strings.Contains(out, "wrote "+filepath.Join(dir, f)+"\n") {
					t.Errorf("%s is not named:\n%s", f, out)
				}
			}
			vars := jobspecs.Vars{Lookup: none, Set: map[string]string{}}
			want := "sandbox"
			if c.environment != "" {
				vars.Set["KAPPA_ENVIRONMENT"], want = c.environment, c.environment
			}
			set, docs, err := jobspecs.LoadDocuments([]string{dir}, vars)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs { // in production there are some: there is more to say there
				for _, w := range d.Warnings {
					if want == "sandbox" {
						t.Errorf("a warning: %s", w)
					}
				}
			}
			if len(set.Bridges) != 1 || len(set.StreamJobs) != 1 || len(set.BatchLoads) != 1 || len(set.Comparisons) != 1 {
				t.Fatalf("%+v", set)
			}
			b, s, l, cmp := set.Bridges[0], set.StreamJobs[0], set.BatchLoads[0], set.Comparisons[0]
			if b.Metadata.Name != c.id || s.Metadata.Name != c.id || l.Metadata.Name != c.id || cmp.Metadata.Name != c.id {
				t.Errorf("names %s, %s, %s, %s", b.Metadata.Name, s.Metadata.Name, l.Metadata.Name, cmp.Metadata.Name)
			}
			for _, p := range []jobspecs.Platform{b.Spec.Platform, s.Spec.Platform, l.Spec.Platform, cmp.Spec.Platform} {
				if p.Project != c.project || p.Environment != want {
					t.Errorf("platform %+v", p)
				}
			}
			if got := b.Spec.Sources["main"].Topics; !slices.Equal(got, []string{c.topic}) {
				t.Errorf("topics %q", got)
			}
			// Topic i feeds subscription i of the same name.
			if !slices.Equal(b.Spec.Split.Topics(), s.Spec.Sources.Names()) || s.Spec.Sources.Count != c.splits || s.Spec.Jobs != c.jobs || s.Spec.Region != c.region {
				t.Errorf("%+v\n%+v", b.Spec.Split, s.Spec)
			}
			if got := s.Spec.Aggregations[0].Table; got != c.table || cmp.Spec.Stream.Table != c.table || l.Spec.Table != cmp.Spec.Batch.Table {
				t.Errorf("tables %s, %s, %s, %s", got, cmp.Spec.Stream.Table, l.Spec.Table, cmp.Spec.Batch.Table)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	out, _, err := apptest.Run(t, "json", New, dir)
	if err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Result{Folder: dir, Files: names}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Without a folder the specs are written where one is.
func TestHere(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if _, _, err := apptest.Run(t, "text", New, []string{}...); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); len(got) != len(names) {
		t.Errorf("%d files", len(got))
	}
}

// A file that is there is not overwritten, and nothing is written beside it.
func TestRefusesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := apptest.Run(t, "text", New, dir); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	out, _, err := apptest.Run(t, "text", New, dir, "--name", "other")
	if exit.Of(err) != exit.Usage || out != "" {
		t.Errorf("a second run: %v\n%s", err, out)
	}
	for _, f := range names {
		if err == nil || !strings.Contains(err.Error(), f) {
			t.Errorf("%s is not named: %v", f, err)
		}
	}
	if d := cmp.Diff(before, contents(t, dir)); d != "" {
		t.Errorf("a second run changed files (-want +got)\n%s", d)
	}
	for _, name := range names { // each alone
		dir := t.TempDir()
		if err := os.Symlink("/nonexistent", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		_, _, err := apptest.Run(t, "text", New, dir)
		entries, rerr := os.ReadDir(dir)
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), " holds "+name+" already") || rerr != nil || len(entries) != 1 {
			t.Errorf("%s: %v, %v", name, err, entries)
		}
	}
	// Anything else may be there.
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "other.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := apptest.Run(t, "text", New, dir); err != nil {
		t.Error(err)
	}
}

// What was written before a file that cannot be written is removed again.
func TestAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	files := []file{{"a.yaml", []byte("a")}, {filepath.Join("nope", "b.yaml"), []byte("b")}}
	if err := write(dir, files); exit.Of(err) != exit.Environment {
		t.Errorf("%v", err)
	}
	if got := contents(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := apptest.Run(t, "text", New, name); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("a file as the folder: %v", err)
	}
}

func TestBadFlags(t *testing.T) {
	for _, c := range []struct{ flag, value, want string }{
		{"--name", "", `--name "" cannot be the name`},
		{"--name", "Orders", "cannot be the name"},
		{"--name", "orders-", "cannot be the name"},
		{"--name", "orders\n", "cannot be the name"},
		{"--name", "a: b", "cannot be the name"},
		{"--name", strings.Repeat("n", maxName+1), "has 41 characters"},
		{"--name", "google", "begins with goog"},
		{"--project", "p", "cannot be the project"},
		{"--project", "${X}-12345", "cannot be the project"},
		{"--project", "example.com:my-project", "names of buckets"},
		{"--region", "mars", "cannot be the region"},
		{"--region", "us-central1-a", "cannot be the region"},
		{"--topic", "a b", "cannot be the topic"},
		{"--topic", `a"b`, "cannot be the topic"},
		{"--topic", "..", "Kafka refuses"},
		{"--topic", strings.Repeat("t", 250), "cannot be the topic"},
		{"--splits", "0", "is not between"},
		{"--splits", "65", "is not between"},
	} {
		dir := filepath.Join(t.TempDir(), "new")
		_, _, err := apptest.Run(t, "text", New, dir, c.flag, c.value)
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v", c.flag, c.value, err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s %q: the folder was made: %v", c.flag, c.value, err)
		}
	}
	if _, _, err := apptest.Run(t, "text", New, "a", "b"); err == nil {
		t.Error("two folders are taken")
	}
}
