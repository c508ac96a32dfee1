package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/jobspecs/examples"
	"github.com/kappa-migrate/kappa/sandbox/bigquery/bigquerytest"
)

const cutoverPage = "../docs/cutover.md"

var (
	pageFence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	pageSQL   = regexp.MustCompile("(?s)\n *```sql\n(.*?)\n *```\n")
	pageCurl  = regexp.MustCompile(`(?s)^curl .*?"http://\$BIGQUERY_EMULATOR_HOST(/[^"]+)".*? -d '(.*)'\n$`)
)

// step is a block of commands of the page, and what the page says that it prints.
type step struct {
	commands string
	shown    []string
}

// cutoverSteps are the blocks of the page that a reader types, in order.
func cutoverSteps(t *testing.T) (steps []step) {
	t.Helper()
	page, err := os.ReadFile(cutoverPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range pageFence.FindAllStringSubmatch(string(page), -1) {
		switch f[1] {
		case "sh":
			steps = append(steps, step{commands: f[2]})
		case "text":
			if len(steps) == 0 || len(steps[len(steps)-1].shown) > 0 {
				t.Fatalf("output that belongs to no commands:\n%s", f[2])
			}
			for line := range strings.Lines(f[2]) {
				if line = strings.TrimSpace(line); line != "" && line != "…" {
					steps[len(steps)-1].shown = append(steps[len(steps)-1].shown, line)
				}
			}
		}
	}
	if len(steps) < 15 {
		t.Fatalf("only %d blocks of commands found", len(steps))
	}
	return steps
}

// TestCutover follows docs/cutover.md from the first comparison to the decision:
// every command of it, in order, as a reader would type them, over the week of
// flights that the demo leaves in the sandbox. What the page shows is what is printed,
// and the verdicts are HOLD, until everything is explained or answered for.
func TestCutover(t *testing.T) {
	client, addr := bigquerytest.Start(t, "kappa-demo", "kappa")
	fillWithFlights(t, client)
	dir := cutoverFolder(t, addr)
	for i, s := range cutoverSteps(t) {
		if m := pageCurl.FindStringSubmatch(s.commands); m != nil {
			post(t, "http://"+addr+m[1], m[2])
			continue
		}
		out := typed(t, dir, addr, s.commands)
		rest := out
		for _, line := range s.shown {
			at := strings.Index(rest, line)
			if at < 0 {
				t.Errorf("block %d:\n%s\ndoes not print, after what the page shows before it:\n%s\nbut:\n%s", i+1, s.commands, line, out)
				continue
			}
			rest = rest[at+len(line):]
		}
	}
	for _, page := range []string{"causes.md", "duplicates.md"} {
		for _, commands := range shown(t, page) {
			typed(t, dir, addr, commands)
		}
	}
	seam(t, client)
	want := []string{"HOLD", "HOLD", "HOLD", "GO"}
	for i, name := range []string{"first", "second", "third", "fourth"} {
		var res struct {
			Verdict struct{ Verdict string }
			Keys    struct{ Total, Exact int }
			Causes  struct{ Unexplained int }
		}
		text, err := os.ReadFile(filepath.Join(dir, "out/cutover", name, "compare.json"))
		if err == nil {
			err = json.Unmarshal(text, &res)
		}
		if err != nil {
			t.Fatal(err)
		}
		if res.Verdict.Verdict != want[i] || res.Keys.Total != 16_461 || res.Keys.Exact != 15_728 {
			t.Errorf("the %s run: %+v, want %s over 16,461 keys, 15,728 of them exact", name, res, want[i])
		}
	}
}

// shown are the blocks of commands of another page that the same reader may type.
func shown(t *testing.T, page string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(cutoverPage), page))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range pageFence.FindAllStringSubmatch(string(text), -1) {
		if f[1] == "sh" {
			blocks = append(blocks, f[2])
		}
	}
	if len(blocks) == 0 {
		t.Errorf("%s has no commands", page)
	}
	return blocks
}

// cutoverFolder is where the reader stands: the repository after `kappa demo --keep`.
func cutoverFolder(t *testing.T, addr string) string {
	t.Helper()
	dir := t.TempDir()
	specs := filepath.Join(dir, "out/demo/specs")
	if err := os.MkdirAll(specs, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := examples.Flights.ReadDir("flights")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := examples.Flights.ReadFile("flights/" + f.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(specs, f.Name()), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	variables := "export BIGQUERY_EMULATOR_HOST=" + addr + "\n"
	if err := os.WriteFile(filepath.Join(dir, "out/demo/sandbox.env"), []byte(variables), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"bin": filepath.Dir(kappa), "flights": specs, "duplicates.yaml": filepath.Join(specs, "duplicates.yaml")} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// typed runs a block of commands as they stand on the page.
func typed(t *testing.T, dir, addr, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\n"+commands)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + filepath.Dir(kappa) + string(os.PathListSeparator) + os.Getenv("PATH"), "BIGQUERY_EMULATOR_HOST=" + addr} // what the first block sets
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s\n%v\n%s%s", commands, err, out.String(), errs.String())
	}
	t.Logf("%s(%s)", commands, time.Since(began).Round(time.Millisecond))
	return out.String() + errs.String()
}

// seam runs the page's query of both sides: windows before the seam come from the
// batch side, and those from it on from the stream side, each once.
func seam(t *testing.T, client *bigquery.Client) {
	t.Helper()
	page, err := os.ReadFile(cutoverPage)
	if err != nil {
		t.Fatal(err)
	}
	found := pageSQL.FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no query")
	}
	type row struct {
		Origin  string    `bigquery:"origin"`
		Start   time.Time `bigquery:"window_start"`
		Flights int64     `bigquery:"flights"`
	}
	at := time.Date(2001, 1, 12, 0, 0, 0, 0, time.UTC)
	whole := client.Dataset("kappa").Table("whole_flights") // stands in for the reader's view
	schema, err := bigquery.InferSchema(row{})
	if err == nil {
		err = whole.Create(t.Context(), &bigquery.TableMetadata{Schema: schema})
	}
	if err == nil {
		err = whole.Inserter().Put(t.Context(), []row{{"NEW", at.Add(-time.Hour), 1}, {"NEW", at, 2}})
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := client.Query(string(found[1])).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	batch, stream := 0, 0
	for {
		var r row
		if err := rows.Next(&r); errors.Is(err, iterator.Done) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch {
		case r == row{"NEW", at, 2}:
			stream++
		case r.Origin != "NEW" && r.Start.Before(at):
			batch++
		default:
			t.Errorf("%+v is on the wrong side of the seam", r)
		}
	}
	if batch < 9_000 || stream != 1 {
		t.Errorf("%d rows of the batch side, %d of the stream side", batch, stream)
	}
}

// post is what the page has curl do: a test needs no curl.
func post(t *testing.T, url, body string) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ InsertErrors []any }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK || len(answer.InsertErrors) > 0 {
		t.Fatalf("%s: %s, %+v, %v", url, res.Status, answer, err)
	}
}
