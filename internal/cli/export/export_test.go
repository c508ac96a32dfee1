package export

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/deploy/terraform"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
)

const flights = "../../../jobspecs/examples/flights"

func run(t *testing.T, output string, args ...string) (string, error) {
	t.Helper()
	t.Setenv("KAFKA_BROKERS", "kafka:9092")
	out, _, err := apptest.Run(t, output, New, append([]string{"terraform"}, args...)...)
	return out, err
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestStream(t *testing.T) {
	out, err := run(t, "text", "-f", flights)
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, name := range terraform.FileNames() {
		i := strings.Index(out, "# File: "+name+"\n"+terraform.Marker+"\n")
		if i <= at {
			t.Errorf("%s is at %d, after %d", name, i, at)
		}
		at = i
	}
	if strings.Contains(out, "google_bigquery_table") {
		t.Error("tables without --tables")
	}
	if out, err = run(t, "text", "-f", flights, "--tables"); err != nil || !strings.Contains(out, `"google_bigquery_table" "kappa_stream_flights"`) {
		t.Errorf("--tables: %v", err)
	}
}

func TestJSON(t *testing.T) {
	out, err := run(t, "json", "-f", flights)
	var r Report
	if jerr := json.Unmarshal([]byte(out), &r); err != nil || jerr != nil {
		t.Fatal(err, jerr)
	}
	if len(r.Files) != len(terraform.FileNames()) || r.Files[0].Text == "" || len(r.Notes) == 0 {
		t.Errorf("%+v", r)
	}
	want := terraform.Resource{
		Address: "google_pubsub_topic.flights", Type: "google_pubsub_topic", File: "pubsub.tf",
		Instances: []string{"flights-0", "flights-1", "flights-2", "flights-3", "flights-4", "flights-5"},
	}
	if d := cmp.Diff(want, r.Resources[0]); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "infra")
	out, err := run(t, "text", "-f", flights, "--out", dir)
	if err != nil || !strings.Contains(out, "wrote    "+filepath.Join(dir, "bigtable.tf")+"  4 resources\n") || !strings.Contains(out, "note: ") {
		t.Fatalf("%v\n%s", err, out)
	}
	if d := cmp.Diff([]string{"bigquery.tf", "bigtable.tf", "iam.tf", "main.tf", "outputs.tf", "pubsub.tf", "storage.tf", "variables.tf"}, list(t, dir)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// Someone's own file beside them is no one's business.
	if err := os.WriteFile(filepath.Join(dir, "network.tf"), []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// With fewer documents there are fewer files.
	out, err = run(t, "json", "-f", flights+"/load.yaml", "--out", dir)
	var r Report
	if jerr := json.Unmarshal([]byte(out), &r); err != nil || jerr != nil {
		t.Fatal(err, jerr)
	}
	if len(r.Removed) != 3 || r.Files[0].Path != filepath.Join(dir, "main.tf") || r.Files[0].Text != "" {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff([]string{"bigquery.tf", "iam.tf", "main.tf", "network.tf", "outputs.tf", "variables.tf"}, list(t, dir)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "main.tf")
	for name, text := range map[string]string{"text": "# mine\n", "nothing": "", "a long line": strings.Repeat("x", 1<<17)} {
		if err := os.WriteFile(mine, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := run(t, "text", "-f", flights, "--out", dir)
		if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), mine) {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff([]string{"main.tf"}, list(t, dir)); d != "" {
			t.Errorf("%s: written nevertheless (-want +got)\n%s", name, d)
		}
	}
	if _, err := run(t, "text", "-f", flights, "--out", dir, "--overwrite"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(mine); err != nil || !strings.HasPrefix(string(b), terraform.Marker) {
		t.Errorf("%v: %.100s", err, b)
	}
}

func TestErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
		code exit.Code
	}{
		{nil, "no spec given", exit.Usage},
		{[]string{"-f", flights, "--name", "fligths"}, `no document is named "fligths"`, exit.Usage},
		{[]string{"-f", flights, "--overwrite"}, "--overwrite is given without --out", exit.Usage},
		{[]string{"-f", flights, "--out", file}, "file", exit.Environment},
		{[]string{"-f", "../../../jobspecs/examples/two-step", "--name", "interactions-transform"}, "need nothing on Google Cloud", exit.Usage},
		{[]string{"-f", "../../../jobspecs/examples/compare-files"}, "need nothing on Google Cloud", exit.Usage},
	} {
		if _, err := run(t, "text", c.args...); exit.Of(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.args, err)
		}
	}
}

func TestName(t *testing.T) {
	out, err := run(t, "text", "-f", "../../../jobspecs/examples/two-step", "--name", "interactions-publish")
	if err != nil || !strings.Contains(out, `resource "google_pubsub_topic" "interactions_publish"`) {
		t.Errorf("%v\n%s", err, out)
	}
}
