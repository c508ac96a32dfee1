package jobspecs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// KappaPipeline returns an error if the jobs run another pipeline than kappa's:
// then what they write is not known, and nothing can be done with it. What is it
// that is to be done, for the message: "backfill", say.
func (j *StreamJob) KappaPipeline(what string) error {
	if j.Spec.Pipeline != PipelineOther {
		return nil
	}
	return exit.Usagef("%s: StreamJob %s has pipeline: %s, and what its jobs write is not kappa's to read", what, j.Metadata.Name, PipelineOther).
		WithHint("kappa deploys, drains, replaces and records such jobs; their numbers are for the tools of their own")
}

// parameters checks the rules over the parameters of another pipeline.
func (k *checker) parameters(s *StreamJobSpec) {
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		path := join("spec.parameters", name)
		if !k.ok(path) {
			continue
		}
		var used []string
		_, err := ExpandParameter(s.Parameters[name], func(p string) string {
			used = append(used, p)
			return ""
		})
		var wrong *PlaceholderError
		if errors.As(err, &wrong) {
			k.c.at(k.textIn(path, wrong.Text), CodeBadValue, path, wrong.Hint, "%s: %s", path, wrong.Message)
			continue
		}
		if slices.Contains(used, PlaceholderSubscription) && k.ok("spec.jobs", "spec.sources.count") && s.Sources.Count > s.Jobs {
			k.c.at(k.textIn(path, "{"+PlaceholderSubscription+"}"), CodeConflict, path,
				fmt.Sprintf("write {subscriptions}, or spec.jobs: %d", s.Sources.Count),
				"%s: {subscription} stands for one, but with %s for %s some job reads several", path, counted(s.Sources.Count, "subscription"), counted(s.Jobs, "job"))
		}
	}
}

// textIn is where a text first stands within the value at a path; where it
// cannot be told (it is escaped, or comes from a variable), the value.
func (k *checker) textIn(path, text string) *node {
	n := k.place(path)
	if n == nil || n.kind != scalar || n.expanded {
		return n
	}
	line := []rune(n.src.text(n.line))
	end := n.col - 1 + n.width
	if end > len(line) {
		return n
	}
	before, _, found := strings.Cut(string(line[n.col-1:end]), text)
	if !found {
		return n
	}
	out := *n
	out.col, out.width = n.col+len([]rune(before)), len([]rune(text))
	return &out
}
