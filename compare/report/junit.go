package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"

	"github.com/kappa-migrate/kappa/compare"
)

type junitSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Time     string     `xml:"time,attr"`
	Suite    junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitProblem `xml:"failure,omitempty"`
	Error   *junitProblem `xml:"error,omitempty"`
	Skipped *junitSkipped `xml:"skipped,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the gate as a JUnit suite for CI: a case for the verdict, one
// per rule and one per day. The suite passes if and only if the verdict is GO; NO
// DATA is an error, so that nothing to judge never shows as a pass. Days that the
// gate does not count, and that do not meet it, are skipped.
func WriteJUnit(w io.Writer, r *compare.Result) error {
	seconds := strconv.FormatFloat(r.Seconds, 'f', 3, 64)
	s := junitSuite{Name: "kappa compare " + plain(r.Comparison), Time: seconds, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Properties: junitProperties(r), Cases: junitCases(r)}
	s.Tests, s.Cases[0].Time = len(s.Cases), seconds
	for _, c := range s.Cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(junitSuites{Name: s.Name, Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Skipped: s.Skipped, Time: seconds, Suite: s}); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitProperties(r *compare.Result) []junitProperty {
	ps := []junitProperty{{"verdict", r.Verdict.Verdict}, {"rule", plain(r.Verdict.Rule)}, {"keys", strconv.FormatInt(r.Counts.Total, 10)}}
	for _, c := range compare.Classes {
		ps = append(ps, junitProperty{c, strconv.FormatInt(r.Counts.Of(c), 10)})
	}
	return append(ps, junitProperty{"exact_percent", r.Exact.Percent(2)}, junitProperty{"unexplained", strconv.FormatInt(r.Causes.Unexplained, 10)},
		junitProperty{"windows", strconv.FormatInt(r.Scope.Windows, 10)}, junitProperty{"bytes_billed", strconv.FormatInt(r.Cost.Billed, 10)}, junitProperty{"spec_hash", r.SpecHash})
}

func junitCases(r *compare.Result) []junitCase {
	of := func(name, group string) junitCase {
		return junitCase{Name: plain(name), Class: plain(r.Comparison) + "." + group, Time: "0"}
	}
	problem := func(kind, why string) *junitProblem {
		return &junitProblem{Message: plain(why), Type: kind, Text: plain(headline(r))}
	}
	verdict := of("verdict", "gate")
	switch r.Verdict.Verdict {
	case compare.Go:
	case compare.Hold:
		verdict.Failure = problem(compare.Hold, r.Verdict.Rule)
	default: // invariant C3
		verdict.Error = problem(compare.NoData, r.Verdict.Rule)
	}
	cases := []junitCase{verdict}
	for _, c := range r.Verdict.Checks {
		tc := of(c.Rule, "gate")
		if !c.OK {
			tc.Failure = problem(compare.Hold, fmt.Sprintf("%s: %s, wanted %s", c.Rule, c.Got, c.Want))
		}
		cases = append(cases, tc)
	}
	from := len(r.Days) - countedDays(r)
	for i, d := range r.Days {
		tc := of(dayText(r, d), "days")
		switch why := fmt.Sprintf("%s: %s", dayText(r, d), d.Why); {
		case d.OK:
		case i < from || r.Verdict.Verdict == compare.Go:
			tc.Skipped = &junitSkipped{plain(why) + " (the gate does not count it)"}
		default:
			tc.Failure = problem(compare.Hold, why)
		}
		cases = append(cases, tc)
	}
	return cases
}
