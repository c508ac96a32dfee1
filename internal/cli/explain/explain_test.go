package explain

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/kappa-migrate/kappa/internal/cli/app/apptest"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/goldentest"
	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestText(t *testing.T) {
	for file, args := range map[string][]string{
		"kinds.txt":     {},
		"kind.txt":      {"comparison"},
		"field.txt":     {"Bridge.spec.limits"},
		"scalar.txt":    {"StreamJob.spec.aggregations[0].measures[1].type"},
		"recursive.txt": {"BatchLoad", "--recursive"},
	} {
		t.Run(file, func(t *testing.T) {
			out, stderr, err := apptest.Run(t, "text", New, args...)
			if err != nil || stderr != "" {
				t.Fatalf("%v\n%s", err, stderr)
			}
			goldentest.Check(t, "testdata/"+file, out)
			for line := range strings.Lines(out) {
				if len([]rune(line)) > 81 && !strings.Contains(line, "Matches: ") {
					t.Errorf("a line of %d characters: %s", len([]rune(line))-1, line)
				}
			}
		})
	}
}

// Every kind, all of it, can be written.
func TestAllKinds(t *testing.T) {
	out, _, err := apptest.Run(t, "text", New, "--recursive")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range jobspecs.Kinds() {
		if !strings.Contains("\n"+out, "\n"+kind+": document\n") {
			t.Errorf("no %s:\n%s", kind, out)
		}
	}
}

// What is printed as JSON is what the types say.
func TestJSON(t *testing.T) {
	out, _, err := apptest.Run(t, "json", New, "StreamJob.spec.sinks", "--recursive")
	if err != nil {
		t.Fatal(err)
	}
	var got jobspecs.Explanation
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	want, err := jobspecs.Explain("StreamJob.spec.sinks", true)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	out, _, err = apptest.Run(t, "json", New, []string{}...)
	var kinds []jobspecs.Explanation
	if jerr := json.Unmarshal([]byte(out), &kinds); err != nil || jerr != nil || len(kinds) != len(jobspecs.Kinds()) || kinds[0].Doc == "" || kinds[0].Fields != nil {
		t.Errorf("kinds: %v, %v\n%s", err, jerr, out)
	}
}

func TestRefused(t *testing.T) {
	for arg, hint := range map[string]string{
		"StremJob":              "did you mean StreamJob?",
		"Bridge.spec.limts":     "did you mean limits?",
		"Bridge.spec.limits.xy": "its fields are memory, ",
	} {
		out, _, err := apptest.Run(t, "text", New, arg)
		var e *exit.Error
		if !errors.As(err, &e) || e.Code != exit.Usage || !strings.Contains(e.Hint, hint) || out != "" {
			t.Errorf("%s: %v, %q", arg, err, out)
		}
	}
	if _, _, err := apptest.Run(t, "text", New, "Bridge", "spec"); err == nil {
		t.Error("two arguments are taken")
	}
}

func TestComplete(t *testing.T) {
	for _, c := range []struct {
		typed string
		args  []string
		want  []string
	}{
		{typed: "Str", want: jobspecs.Kinds()},
		{typed: "BatchLoad.spec.source.ur", want: []string{"BatchLoad.spec.source.uri\tstring, required", "BatchLoad.spec.source.batch\tduration", "BatchLoad.spec.source.format\tstring"}},
		{typed: "BatchLoad.spec.nope.u"},
		{typed: "Bridge.spec.project."},
		{typed: "", args: []string{"Bridge"}},
	} {
		got, directive := complete(nil, c.args, c.typed)
		if d := cmp.Diff(c.want, got); d != "" || directive&cobra.ShellCompDirectiveNoFileComp == 0 {
			t.Errorf("%q: %v (-want +got)\n%s", c.typed, directive, d)
		}
	}
}
