package operations

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/bridge/transform"
	"github.com/kappa-migrate/kappa/internal/cli"
	"github.com/kappa-migrate/kappa/internal/cli/app"
	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
)

var (
	fence   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	inline  = regexp.MustCompile("`(kappa [^`]+)`")
	place   = regexp.MustCompile(`^(?:\./)?(?:bin/)?kappa$`)
	link    = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	spacing = regexp.MustCompile(`\s+`)
)

func tree() *cobra.Command {
	return cli.New(&app.App{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
}

// parseCommand parses the words after kappa as the program would.
func parseCommand(args []string) error {
	cmd, rest, err := tree().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if !cmd.Runnable() {
		return fmt.Errorf("kappa %s does nothing by itself", strings.Join(args, " "))
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// TestGuideCommands: every command of the guide is one that kappa has, with
// flags that it has.
func TestGuideCommands(t *testing.T) {
	page := read(t, guide)
	found := 0
	parse := func(line string, mention bool) {
		words, err := apptest.Split(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			return
		}
		if len(words) == 0 || !place.MatchString(words[0]) {
			return
		}
		found++
		if cmd, rest, err := tree().Find(words[1:]); mention && err == nil && cmd.Runnable() && len(rest) == 0 {
			return // its name alone
		}
		if err := parseCommand(words[1:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, b := range fence.FindAllStringSubmatch(page, -1) {
		if b[1] != "sh" && b[1] != "console" {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(b[2], "\\\n", " ")) {
			parse(strings.TrimSpace(strings.TrimPrefix(line, "$ ")), false)
		}
	}
	for _, m := range inline.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		parse(spacing.ReplaceAllString(m[1], " "), true)
	}
	if found < 15 {
		t.Errorf("only %d commands found", found)
	}
}

const smallest = `{apiVersion: kappa/v1, kind: Bridge, metadata: {name: orders}, spec: {project: example-project,
  sources: {onprem: {brokers: ["kafka:9092"], topics: [orders], group: kappa-orders}},
  split: {topicPrefix: orders-, count: 4}, deadLetter: {topic: orders-dead-letters}}}`

// TestGuideSpecs: every spec of the guide loads; one without apiVersion is a
// part of spec, put into a small whole one.
func TestGuideSpecs(t *testing.T) {
	whole, parts := 0, 0
	for _, b := range fence.FindAllStringSubmatch(read(t, guide), -1) {
		if b[1] != "yaml" {
			continue
		}
		if strings.Contains(b[2], "apiVersion:") {
			whole++
			load(t, "whole.yaml", b[2])
			continue
		}
		parts++
		var doc, part map[string]any
		if err := yaml.Unmarshal([]byte(smallest), &doc); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(b[2]), &part); err != nil {
			t.Errorf("%v\n%s", err, b[2])
			continue
		}
		spec := doc["spec"].(map[string]any)
		if part["route"] != nil {
			delete(spec, "split")
		}
		if needsFields(part) && part["transform"] == nil {
			spec["transform"] = map[string]any{"decode": "json"}
		}
		maps.Copy(spec, part)
		text, err := yaml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		load(t, "part.yaml", string(text))
	}
	if whole < 1 || parts < 8 {
		t.Errorf("only %d specs and %d parts found", whole, parts)
	}
}

// needsFields: such a part means something only where records are decoded.
func needsFields(part map[string]any) bool {
	for _, k := range []string{"eventTime", "ids", "split", "route", "ordering", "bundle", "attributes"} {
		if part[k] != nil {
			return true
		}
	}
	return false
}

// TestGuideMetrics: the guide's table has every metric of a bridge, with its
// type and labels, and no other.
func TestGuideMetrics(t *testing.T) {
	known := map[string]string{}
	for n, m := range registry(t) {
		if strings.HasPrefix(n, "kappa_bridge_") && !strings.Contains(m.kind, "_") {
			known[n] = m.kind + " " + strings.Join(m.labels(), ", ")
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(kappa_bridge_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\| ([^|]+) \\|$").FindAllStringSubmatch(read(t, guide), -1) {
		var labels []string
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		if want, got := known[row[1]], row[2]+" "+strings.Join(labels, ", "); want != got {
			t.Errorf("%s: the guide says %q, the bridge %q", row[1], got, want)
		}
		delete(known, row[1])
	}
	for n := range known {
		t.Errorf("the guide's table lacks %s", n)
	}
}

// TestGuideTransform: the guide's own transform does what the guide says.
func TestGuideTransform(t *testing.T) {
	var part struct {
		Transform map[string]any
	}
	for _, b := range fence.FindAllStringSubmatch(read(t, guide), -1) {
		if b[1] == "yaml" && strings.Contains(b[2], "amount_cents") {
			if err := yaml.Unmarshal([]byte(b[2]), &part); err != nil {
				t.Fatal(err)
			}
		}
	}
	program := compile(t, part.Transform)
	for _, c := range []struct{ in, want string }{
		{`{"status":"new","amount":2,"card":"4","cust":{"id":7,"address":"x"}}`, `{"status":"new","amount":2,"cust":{"customer_id":7,"region":"eu"},"amount_cents":200}`},
		{`{"status":"new","amount":2.5,"cust":{}}`, `{"status":"new","amount":2.5,"cust":{"region":"eu"},"amount_cents":250}`},
		{`{"status":"test","amount":2,"cust":{}}`, "filtered"},
		{`{"status":"new","amount":2}`, "dead letter"},                    // no cust to set region in
		{`{"status":"new","amount":"2 apples","cust":{}}`, "dead letter"}, // no number
	} {
		if got := apply(t, program, c.in); got != c.want {
			t.Errorf("%s becomes %s, not %s", c.in, got, c.want)
		}
	}
	part.Transform["filter"] = "record.cust.id == 7" // the name before the rename
	if got := apply(t, compile(t, part.Transform), `{"amount":2,"cust":{"id":7}}`); !strings.Contains(got, `"customer_id":7`) {
		t.Errorf("a filter by the name before the rename: %s", got)
	}
	delete(part.Transform, "filter")
	part.Transform["set"] = map[string]any{"cents": "record.amount * 100.0"}
	if got := apply(t, compile(t, part.Transform), `{"amount":2}`); got != "dead letter" {
		t.Errorf("CEL mixes an int and a double: %s", got)
	}
}

func compile(t *testing.T, spec map[string]any) *transform.Program {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(smallest), &doc); err != nil {
		t.Fatal(err)
	}
	doc["spec"].(map[string]any)["transform"] = spec
	text, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	program, err := transform.New(load(t, "transform.yaml", string(text)).Spec.Transform, transform.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func apply(t *testing.T, program *transform.Program, value string) string {
	t.Helper()
	m := program.NewMachine()
	n, err := m.Apply(t.Context(), []byte(value))
	var data []byte
	if err == nil && n == 1 {
		data, err = m.AppendData(nil, 0)
	}
	var wrong *transform.DataError
	switch {
	case errors.As(err, &wrong):
		return "dead letter"
	case err != nil:
		t.Fatal(err)
	case n == 0:
		return "filtered"
	}
	return string(data)
}

// TestGuideReasons: the guide's table has every reason of a dead letter.
func TestGuideReasons(t *testing.T) {
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\treason[A-Z]\w+\s*= "(\w+)"`).FindAllStringSubmatch(read(t, "../../bridge/message.go"), -1) {
		want = append(want, m[1])
	}
	_, table, _ := strings.Cut(read(t, guide), "| `kappa-reason` |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(table, -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) || len(want) < 5 {
		t.Errorf("the guide has %q, the bridge %q", got, want)
	}
}
