package operations

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// deployPages are the pages about deploying and comparing, and how many commands each
// has at least.
var deployPages = map[string]int{
	"deploying.md": 20, "strategies.md": 5, "flex-template.md": 4, "redeploys.md": 15, "scheduling.md": 10, "iam.md": 15, "specs.md": 3,
	"cutover.md": 25, "causes.md": 1, "duplicates.md": 2, "compare-files.md": 2, "comparison-json.md": 1, "contracts.md": 4,
}

const flexTemplate = "../../examples/flex-template"

// TestDeployCommands: every command of these pages is one that kappa has, with
// flags that it has.
func TestDeployCommands(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(deployPages)) {
		page := read(t, filepath.Join("../../docs", name))
		found := 0
		parse := func(line string, mention bool) {
			if program, _, _ := strings.Cut(line, " "); !place.MatchString(program) {
				return
			}
			words, err := apptest.Split(line)
			if err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
				return
			}
			if len(words) < 2 {
				return
			}
			found++
			cmd, rest, err := tree().Find(words[1:])
			if mention && err == nil && len(rest) == 0 {
				return // its name alone
			}
			if mention && err == nil { // in a sentence, arguments may be left out
				if err = cmd.ParseFlags(rest); err != nil {
					err = cmd.ParseFlags(append(rest, "0")) // its last flag's value is
				}
			} else if err == nil {
				err = parseCommand(words[1:])
			}
			if err != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
		}
		for _, b := range fence.FindAllStringSubmatch(page, -1) {
			if b[1] != "sh" && b[1] != "console" {
				continue
			}
			for line := range strings.Lines(strings.ReplaceAll(b[2], "\\\n", " ")) {
				shown, command := strings.CutPrefix(strings.TrimSpace(line), "$ ")
				if b[1] == "sh" || command {
					parse(shown, false)
				}
			}
		}
		for _, m := range inline.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
			parse(spacing.ReplaceAllString(m[1], " "), true)
		}
		if found < deployPages[name] {
			t.Errorf("%s: only %d commands found", name, found)
		}
	}
}

// smallestJob is what parts of a StreamJob are put into.
const smallestJob = `{apiVersion: kappa/v1, kind: StreamJob, metadata: {name: flights}, spec: {project: acme-data,
  region: europe-west1, template: gs://acme-templates/t.json, staging: gs://acme-staging/jobs, sources: {subscriptionPrefix: flights-, count: 1},
  event: {fields: [{name: origin, type: STRING}]}, horizon: 4d,
  aggregations: [{name: a, dimensions: [origin], window: 1h, measures: [{name: n, type: count}], table: t}],
  sinks: {bigquery: {dataset: kappa, raw: raw, late: late}, bigtable: {instance: acme-serving, table: aggregates}}}}`

// smallestComparison is what parts of a Comparison are put into.
const smallestComparison = `{apiVersion: kappa/v1, kind: Comparison, metadata: {name: flights}, spec: {project: acme-data,
  window: 1h, metrics: [{name: flights, type: count}]}}`

// TestDeploySpecs: every spec of these pages loads, and what is whole breaks no
// rule of kappa validate; a part is put into a small whole one.
func TestDeploySpecs(t *testing.T) {
	whole, parts := 0, 0
	for _, name := range slices.Sorted(maps.Keys(deployPages)) {
		for _, b := range fence.FindAllStringSubmatch(read(t, filepath.Join("../../docs", name)), -1) {
			if b[1] != "yaml" {
				continue
			}
			text := b[2]
			if strings.Contains(text, "\nspec:") && strings.Contains(text, "apiVersion:") {
				whole++
			} else if strings.HasPrefix(text, "spec:") {
				parts++
				text = withPart(t, text)
			} else {
				continue // of a head
			}
			file := filepath.Join(t.TempDir(), "spec.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, docs, err := jobspecs.LoadDocuments([]string{file}, jobspecs.Vars{Lookup: func(string) (string, bool) { return "", false }})
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, text)
				continue
			}
			for _, d := range docs {
				for _, w := range d.Warnings {
					if strings.Contains(b[2], "apiVersion:") {
						t.Errorf("%s: %s", name, w)
					}
				}
			}
		}
	}
	if whole < 4 || parts < 3 {
		t.Errorf("only %d specs and %d parts found", whole, parts)
	}
}

func withPart(t *testing.T, text string) string {
	t.Helper()
	var doc, part map[string]any
	if err := yaml.Unmarshal([]byte(text), &part); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	smallest := smallestJob
	if part["spec"].(map[string]any)["batch"] != nil {
		smallest = smallestComparison
	}
	if err := yaml.Unmarshal([]byte(smallest), &doc); err != nil {
		t.Fatal(err)
	}
	maps.Copy(doc["spec"].(map[string]any), part["spec"].(map[string]any))
	out, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestFlexTemplate: the files that the image is built from are there, the program
// is put where the launcher looks for it, and Go is that of the module.
func TestFlexTemplate(t *testing.T) {
	text := read(t, flexTemplate+"/Dockerfile")
	ignored := read(t, flexTemplate+"/Dockerfile.dockerignore")
	copied := regexp.MustCompile(`(?m)^COPY ([^-\n].*) (\S+)$`).FindAllStringSubmatch(text, -1)
	if len(copied) < 4 {
		t.Fatalf("only %d files are copied", len(copied))
	}
	for _, c := range copied {
		for _, from := range strings.Fields(c[1]) {
			if _, err := os.Stat(filepath.Join("../..", from)); err != nil {
				t.Errorf("the Dockerfile copies %s: %v", from, err)
			}
			if !strings.Contains(ignored, "\n!"+from+"\n") {
				t.Errorf("%s is not sent to the build", from)
			}
		}
	}
	built := regexp.MustCompile(`go build .* -o (\S+) (\S+)`).FindStringSubmatch(text)
	put := regexp.MustCompile(`(?m)^COPY --from=build (\S+) (\S+)$`).FindStringSubmatch(text)
	env := regexp.MustCompile(`(?m)^ENV FLEX_TEMPLATE_GO_BINARY=(\S+)$`).FindStringSubmatch(text)
	if built == nil || put == nil || env == nil || built[1] != put[1] || put[2] != env[1] || built[2] != "./cmd/kappa-pipeline" {
		t.Errorf("built as %q, copied as %q, looked for as %q", built, put, env)
	}
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../../go.mod"))
	image := regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+)`).FindStringSubmatch(text)
	if module == nil || image == nil || module[1] != image[1] {
		t.Errorf("the module wants Go %q, the image has %q", module, image)
	}
	var build map[string]any
	if err := yaml.Unmarshal([]byte(read(t, flexTemplate+"/cloudbuild.yaml")), &build); err != nil || build["steps"] == nil {
		t.Errorf("cloudbuild.yaml: %v", err)
	}

	// The page names files that are there, and its template is one.
	page := read(t, "../../docs/flex-template.md")
	for _, m := range regexp.MustCompile(`(?:-f |--config=|--metadata-file=)(examples/\S+)`).FindAllStringSubmatch(page, -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Error(err)
		}
	}
	for _, b := range fence.FindAllStringSubmatch(page, -1) {
		if b[1] == "json" && !json.Valid([]byte(b[2])) {
			t.Errorf("no JSON:\n%s", b[2])
		}
	}
}
