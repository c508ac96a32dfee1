package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// mutation breaks a rule.
type mutation struct {
	Rule   string // as docs/rules.md has it
	Breaks string // what then becomes of the user's data
	File   string // from the root of the module
	Old    string // stands in File exactly once
	New    string // takes its place
	Test   string // that must fail; TestName or TestName/sub-test
	In     string // folder of Test's package; empty: that of File
	// Hangs says that the test notices by waiting in vain: it is given this long
	// and must not have ended. Zero: it must end by itself.
	Hangs time.Duration
}

// pkg is the folder of the test's package.
func (m mutation) pkg() string {
	if m.In != "" {
		return m.In
	}
	return path.Dir(m.File)
}

func (m mutation) test() test { return test{m.pkg(), m.Test} }

// test names a test.
type test struct {
	pkg  string
	name string
}

func (t test) String() string { return t.pkg + "." + t.name }

// pattern is what -test.run takes for this test alone.
func (t test) pattern() string {
	levels := strings.Split(t.name, "/")
	for i, l := range levels {
		levels[i] = "^" + regexp.QuoteMeta(l) + "$"
	}
	return strings.Join(levels, "/")
}

// apply returns the file's text with the mutation in it.
func (m mutation) apply(source string) (string, error) {
	switch n := strings.Count(source, m.Old); {
	case m.Old == "" || m.Old == m.New:
		return "", fmt.Errorf("it changes nothing")
	case n == 0:
		return "", fmt.Errorf("%s no longer has the text %q", m.File, m.Old)
	case n > 1:
		return "", fmt.Errorf("%s has the text %q %d times", m.File, m.Old, n)
	}
	return strings.Replace(source, m.Old, m.New, 1), nil
}

// selected are the mutations of rules (none: of all) whose words or test match.
func selected(all []mutation, rules []string, match *regexp.Regexp) []mutation {
	var out []mutation
	for _, m := range all {
		if (len(rules) == 0 || slices.Contains(rules, m.Rule)) && match.MatchString(m.Breaks+" "+m.test().String()) {
			out = append(out, m)
		}
	}
	return out
}

var ruleRow = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \|`)

// documented are the rules that docs/rules.md has, in its order.
func documented(doc string) []string {
	var rules []string
	for _, m := range ruleRow.FindAllStringSubmatch(doc, -1) {
		rules = append(rules, m[1])
	}
	return rules
}
