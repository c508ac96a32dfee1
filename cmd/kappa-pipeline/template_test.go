package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestTemplateParameters: the metadata of the flex template declares the flags
// that a launch gives, requires those that are always given, and says nothing
// else.
func TestTemplateParameters(t *testing.T) {
	data, err := os.ReadFile("../../examples/flex-template/metadata.json")
	if err != nil {
		t.Fatal(err)
	}
	var metadata struct {
		Name, Description string
		Parameters        []struct {
			Name, Label, HelpText string
			IsOptional            bool
			Regexes               []string
		}
	}
	if err := json.Unmarshal(data, &metadata); err != nil {
		t.Fatal(err)
	}
	if metadata.Name == "" || metadata.Description == "" {
		t.Error("the template has no name or description")
	}
	var flags []string
	for _, m := range regexp.MustCompile(`--([a-z-]+)=[A-Z]|--(shadow)\b`).FindAllStringSubmatch(usage, -1) {
		if name := m[1] + m[2]; !slices.Contains(flags, name) {
			flags = append(flags, name)
		}
	}
	// Of the runner, of a parent process, and of whoever looks for a fault.
	flags = slices.DeleteFunc(flags, func(f string) bool { return f == "runner" || f == "control" || f == "log-level" })
	if len(flags) < 10 {
		t.Fatalf("only %q found in the usage", flags)
	}
	required := []string{"jobspec", "job", "generation"}
	for _, p := range metadata.Parameters {
		i := slices.Index(flags, p.Name)
		if i < 0 {
			t.Errorf("kappa-pipeline has no flag --%s", p.Name)
			continue
		}
		flags = slices.Delete(flags, i, i+1)
		if p.IsOptional == slices.Contains(required, p.Name) {
			t.Errorf("%s: optional: %v", p.Name, p.IsOptional)
		}
		if p.Label == "" || p.HelpText == "" {
			t.Errorf("%s says nothing", p.Name)
		}
		for _, r := range p.Regexes {
			if _, err := regexp.Compile(r); err != nil {
				t.Error(err)
			}
		}
	}
	if len(flags) > 0 {
		t.Errorf("the template has no parameters for %q", flags)
	}
}
