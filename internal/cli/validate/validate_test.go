package validate

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

const bridge = `apiVersion: kappa/v1
kind: Bridge
metadata: {name: trips}
spec:
  project: acme-data
  sources:
    main: {brokers: ["kafka-1:9093"], tls: {enabled: true, certFile: c, keyFile: k}, topics: [trips], group: g}
  split: {topicPrefix: trips-, count: 2}
  deadLetter: {file: /var/dead.jsonl}
  listen: 0.0.0.0:9090
`

// execute runs the command and returns what it prints.
func execute(t *testing.T, format string, args ...string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := New(&app.App{In: strings.NewReader(""), Out: &o, Err: &e, Output: format})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.Execute()
	return o.String(), e.String(), err
}

func TestWarnings(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"warned.yaml": bridge,
		"clean.yaml":  strings.Replace(bridge, "metadata:", "ignore: [dead-letter-file] # shipped by an agent\nmetadata:", 1),
		"wrong.yaml":  strings.Replace(bridge, "count: 2", "count: 0", 1),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const warning = `warning: warned.yaml:9:22: dead letters go to the file /var/dead.jsonl of one machine (dead-letter-file)
  9 |   deadLetter: {file: /var/dead.jsonl}
    |                      ^^^^^^^^^^^^^^^
  hint: name a Pub/Sub topic in spec.deadLetter.topic, or a Kafka topic in spec.deadLetter.kafka
`
	for _, c := range []struct {
		args      string
		out, errs string
		code      exit.Code
	}{
		{"clean.yaml", "ok  clean.yaml:1  Bridge trips\n", "", exit.OK},
		{"clean.yaml --strict", "ok  clean.yaml:1  Bridge trips\n", "", exit.OK},
		{"warned.yaml", "ok  warned.yaml:1  Bridge trips (1 warning)\n", warning, exit.OK},
		{"warned.yaml --strict", "ok  warned.yaml:1  Bridge trips (1 warning)\n", warning, exit.Usage},
		{"wrong.yaml", "", "", exit.Usage},
	} {
		out, errs, err := execute(t, "text", strings.Fields(c.args)...)
		if d := cmp.Diff([]any{c.out, c.errs, c.code}, []any{out, errs, exit.Of(err)}); d != "" {
			t.Errorf("%s: (-want +got)\n%s%v", c.args, d, err)
		}
		out, errs, err = execute(t, "json", strings.Fields(c.args)...)
		var r Report
		if jerr := json.Unmarshal([]byte(out), &r); jerr != nil || errs != "" || exit.Of(err) != c.code || r.Valid != (c.code == exit.OK) {
			t.Errorf("%s as JSON: %v, code %d: %s%s", c.args, jerr, exit.Of(err), out, errs)
		}
		if warned := strings.HasPrefix(c.args, "warned"); warned != (len(r.Warnings) == 1) || !strings.Contains(out, `"warnings": [`) {
			t.Errorf("%s as JSON: %s", c.args, out)
		}
	}
}

func TestListRules(t *testing.T) {
	out, errs, err := execute(t, "text", "--list-rules")
	if err != nil || errs != "" {
		t.Fatal(err, errs)
	}
	goldentest.Check(t, filepath.Join("testdata", "rules.golden"), out)
	for _, line := range strings.Split(out, "\n") {
		if len([]rune(line)) > 81 {
			t.Errorf("longer than a terminal is wide: %s", line)
		}
	}
	out, _, err = execute(t, "json", "--list-rules")
	var r Rules
	if jerr := json.Unmarshal([]byte(out), &r); err != nil || jerr != nil {
		t.Fatal(err, jerr)
	}
	var names []string
	for _, rule := range r.Rules {
		names = append(names, rule.Name)
	}
	if d := cmp.Diff(jobspecs.RuleNames(), names); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if _, _, err := execute(t, "text", "--list-rules", "x.yaml"); err == nil {
		t.Error("--list-rules takes a path")
	}
}
