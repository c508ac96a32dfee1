package compare

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
)

type junitSuite struct {
	XMLName    xml.Name        `xml:"testsuite"`
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
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
	Failure *junitProblem `xml:"failure,omitempty"`
	Error   *junitProblem `xml:"error,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the gate as a JUnit suite for CI: one case per rule; NO
// DATA is an error, so that nothing to judge never shows as a pass.
func (r *Result) WriteJUnit(w io.Writer) error {
	s := junitSuite{Name: "kappa compare " + r.Comparison, Time: strconv.FormatFloat(r.Seconds, 'f', 3, 64), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{{"verdict", r.Verdict.Verdict}, {"keys", strconv.FormatInt(r.Counts.Total, 10)},
			{"exact", strconv.FormatInt(r.Counts.Exact, 10)}, {"unexplained", strconv.FormatInt(r.Causes.Unexplained, 10)}, {"spec_hash", r.SpecHash}}}
	if r.Verdict.Verdict == NoData {
		s.Cases, s.Errors = []junitCase{{Name: "data", Class: r.Comparison, Error: &junitProblem{r.Verdict.Rule}}}, 1
	}
	for _, c := range r.Verdict.Checks {
		tc := junitCase{Name: c.Rule, Class: r.Comparison}
		if !c.OK {
			tc.Failure = &junitProblem{fmt.Sprintf("%s, wanted %s", c.Got, c.Want)}
			s.Failures++
		}
		s.Cases = append(s.Cases, tc)
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}
