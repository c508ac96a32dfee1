package main

import (
	"regexp"
	"strings"
)

// outcome is how a test ended.
type outcome int

const (
	passed outcome = iota
	failed
	crashed // the program ended while the test ran
	hung    // it did not end in time
	skipped // it says that it cannot run here
	absent  // there is no such test
	unclear // the run failed, but not this test
)

func (o outcome) String() string {
	return [...]string{
		"passes", "fails", "crashes", "does not end in time", "is skipped",
		"is not there", "does not say how it ended",
	}[o]
}

// red reports whether the test has noticed what a mutation broke.
func (o outcome) red(m mutation) bool {
	return o == failed || o == crashed || o == hung && m.Hangs > 0
}

var (
	crash  = regexp.MustCompile(`(?m)^(panic|fatal error): .*`)
	reason = regexp.MustCompile(`(?m)^\s*(?:\S+_test\.go:\d+|panic|fatal error): (.*)$`)
)

// classify reads the output of a test binary that ran one test with -test.v.
// It ended well if ok; late: it was ended because it did not end by itself.
func classify(name, output string, ok, late bool) outcome {
	line := func(prefix, after string) bool {
		return regexp.MustCompile(`(?m)^\s*` + prefix + regexp.QuoteMeta(name) + after).MatchString(output)
	}
	switch {
	case !line(`=== RUN   `, `$`):
		return absent
	case late || strings.Contains(output, "panic: test timed out after"):
		return hung
	case line(`--- FAIL: `, ` `):
		return failed
	case line(`--- SKIP: `, ` `):
		return skipped
	case line(`--- PASS: `, ` `) && ok:
		return passed
	case line(`--- PASS: `, ` `):
		return unclear
	case crash.MatchString(output):
		return crashed
	}
	return unclear
}

// why is the first thing that a failed test said.
func why(output string) string {
	for _, m := range reason.FindAllStringSubmatch(output, -1) {
		if s := strings.TrimSpace(m[1]); !strings.HasPrefix(s, "time=") { // lines of the code's own log
			return s
		}
	}
	return ""
}
