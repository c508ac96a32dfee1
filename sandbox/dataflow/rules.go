package dataflow

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
)

// This file holds what a rule is and which calls it is about, without I/O. What
// happens to those calls is in rules_calls.go, to metrics in rules_metrics.go; how
// rules are read from a file is in rules_load.go.

// A Call is a kind of call that clients make.
type Call string

// The calls.
const (
	CallLaunch   Call = "launch"
	CallGet      Call = "get"      // of a job
	CallList     Call = "list"     // of jobs; in rules about states, each job that it answers with
	CallRead     Call = "read"     // get or list
	CallDrain    Call = "drain"    // a request to drain
	CallCancel   Call = "cancel"   // a request to cancel, forced or not
	CallResize   Call = "resize"   // changed bounds of the workers
	CallMetrics  Call = "metrics"  // of a job
	CallMessages Call = "messages" // of a job
	CallAny      Call = "any"
)

var calls = []Call{
	CallLaunch, CallGet, CallList, CallRead, CallDrain, CallCancel, CallResize, CallMetrics, CallMessages, CallAny,
}

// Rule says what happens to some calls, instead of what the service does. It is
// one of Answer, Stuck, Fails, State, Vanishes and Watermarks, or a Delay alone; a
// Delay goes with any of them. The zero values of Job, While, From and Times are
// all jobs, any state, the first call, and for ever.
type Rule struct {
	Call  Call   `yaml:"call"`  // which calls
	Job   string `yaml:"job"`   // of jobs whose name is like this: * is any text, ? any letter
	While string `yaml:"while"` // only while the job is in this state: RUNNING, DRAINED, …
	From  int    `yaml:"from"`  // from the n-th of these calls on, counted for every job name, from 1
	Times int    `yaml:"times"` // so many of them

	// Delay is how much later the answer comes. What was asked for is done at once.
	Delay time.Duration `yaml:"delay"`

	// Answer is an error, by number (409, 429, 503) or by name (UNAVAILABLE).
	Answer  string `yaml:"answer"`
	Message string `yaml:"message"` // of the answer, or of the job that fails
	Lost    bool   `yaml:"lost"`    // what was asked for is done before the answer is given

	// Stuck requests (drain, cancel) are taken, and the job is DRAINING or
	// CANCELLING for ever, or For so long. A forced cancel ends a stuck one.
	Stuck bool          `yaml:"stuck"`
	For   time.Duration `yaml:"for"`

	// Fails lets a job that is launched be PENDING, or one that is drained be
	// DRAINING, until it is FAILED, After so long.
	Fails bool          `yaml:"fails"`
	After time.Duration `yaml:"after"`

	// State is the state that the job is shown in (get, list), by name or number.
	State string `yaml:"state"`

	// Vanishes lets the service forget the job with the first of these calls: no
	// call finds it any more. If it runs, it goes on, and keeps its name.
	Vanishes bool `yaml:"vanishes"`

	// Watermarks says how the watermarks look in the answers (metrics).
	Watermarks *Watermarks `yaml:"watermarks"`
}

// rule is a valid rule with what its texts mean.
type rule struct {
	Rule
	answer codes.Code
	state  pb.JobState
	while  pb.JobState // -1: any

	readings []readings
}

// compile checks a rule.
func compile(r Rule) (rule, error) {
	out := rule{Rule: r, while: -1}
	if out.Job == "" {
		out.Job = "*"
	}
	out.From = max(out.From, 1)
	if !slices.Contains(calls, r.Call) {
		return out, fmt.Errorf("call %q is none of %s", r.Call, list(calls))
	}
	if _, err := path.Match(r.Job, ""); err != nil {
		return out, fmt.Errorf("job %q: [ without ]", r.Job)
	}
	if r.From < 0 || r.Times < 0 || r.Delay < 0 || r.For < 0 || r.After < 0 {
		return out, fmt.Errorf("from, times, delay, for and after are not negative")
	}
	if r.While != "" {
		s, err := parseState(r.While)
		if err != nil {
			return out, fmt.Errorf("while: %w", err)
		}
		if r.Call == CallLaunch || r.Call == CallList {
			return out, fmt.Errorf("while: a %s is of no job that is in a state", r.Call)
		}
		out.while = s
	}
	if err := out.effect(); err != nil {
		return out, err
	}
	for _, v := range []struct {
		field string
		set   bool
		with  bool
		what  string
	}{
		{"message", r.Message != "", r.Answer != "" || r.Fails, "answer or fails"},
		{"lost", r.Lost, r.Answer != "", "answer"},
		{"for", r.For != 0, r.Stuck, "stuck"},
		{"after", r.After != 0, r.Fails, "fails"},
	} {
		if v.set && !v.with {
			return out, fmt.Errorf("%s says something only beside %s", v.field, v.what)
		}
	}
	return out, nil
}

// effect checks that the rule does one thing, and that its calls can have it.
func (r *rule) effect() (err error) {
	var found []string
	for _, e := range []struct {
		field string
		set   bool
		calls []Call
	}{
		{"answer", r.Answer != "", calls},
		{"stuck", r.Stuck, []Call{CallDrain, CallCancel}},
		{"fails", r.Fails, []Call{CallLaunch, CallDrain}},
		{"state", r.State != "", []Call{CallGet, CallList, CallRead}},
		{"vanishes", r.Vanishes, []Call{CallGet, CallList, CallRead, CallDrain, CallCancel, CallResize, CallMetrics, CallMessages}},
		{"watermarks", r.Watermarks != nil, []Call{CallMetrics}},
	} {
		if !e.set {
			continue
		}
		found = append(found, e.field)
		if !slices.Contains(e.calls, r.Call) {
			return fmt.Errorf("%s: the call is %s, and must be one of %s", e.field, r.Call, list(e.calls))
		}
	}
	switch {
	case len(found) > 1:
		return fmt.Errorf("%s: a rule does one thing; make two rules of it", strings.Join(found, " and "))
	case len(found) == 0 && r.Delay == 0:
		return fmt.Errorf("nothing happens: say answer, delay, stuck, fails, state, vanishes or watermarks")
	case r.Answer != "":
		r.answer, err = parseCode(r.Answer, r.Call)
	case r.State != "":
		r.state, err = parseState(r.State)
	case r.Watermarks != nil:
		r.readings, err = r.Watermarks.compile()
	}
	return err
}

func list(cs []Call) string {
	var names []string
	for _, c := range cs {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

// isAbout reports whether the rule is about calls of a kind.
func (r *rule) isAbout(c Call) bool {
	return r.Call == c || r.Call == CallAny || r.Call == CallRead && (c == CallGet || c == CallList)
}

// ofJobs reports whether the rule changes how jobs are shown, not what a call does.
func (r *rule) ofJobs() bool { return r.State != "" || r.Vanishes }

// isFor reports whether the rule is for jobs of that name. A call that is about no
// single job has no name: only a rule for all jobs is about it.
func (r *rule) isFor(name string) bool {
	if name == "" {
		return r.Job == "*"
	}
	ok, _ := path.Match(r.Job, name) // the pattern was checked
	return ok
}

// holds reports whether the rule holds for the n-th call, counted from 1.
func (r *rule) holds(n int) bool { return n >= r.From && (r.Times == 0 || n < r.From+r.Times) }

// httpCodes are the codes by the numbers that they have over HTTP. What is refused
// as 409 depends on the call: a name that is taken, or a job that changes just now.
var httpCodes = map[int]codes.Code{
	400: codes.InvalidArgument, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 404: codes.NotFound, 409: codes.Aborted,
	412: codes.FailedPrecondition, 429: codes.ResourceExhausted, 499: codes.Canceled, 500: codes.Internal, 501: codes.Unimplemented,
	503: codes.Unavailable, 504: codes.DeadlineExceeded,
}

func parseCode(s string, call Call) (codes.Code, error) {
	if n, err := strconv.Atoi(s); err == nil {
		c, ok := httpCodes[n]
		if !ok {
			return 0, fmt.Errorf("answer %d is no error that the service gives", n)
		}
		if n == 409 && call == CallLaunch {
			c = codes.AlreadyExists
		}
		return c, nil
	}
	var c codes.Code
	if err := c.UnmarshalJSON([]byte(strconv.Quote(s))); err != nil || c == codes.OK {
		return 0, fmt.Errorf("answer %q is neither a number as of HTTP nor the name of an error: 429, 503, UNAVAILABLE, …", s)
	}
	return c, nil
}

// parseState reads a state by its name or number; a number may be one that nobody
// knows.
func parseState(s string) (pb.JobState, error) {
	if n, err := strconv.ParseInt(s, 10, 32); err == nil && n >= 0 {
		return pb.JobState(n), nil
	}
	if n, ok := pb.JobState_value["JOB_STATE_"+strings.TrimPrefix(s, "JOB_STATE_")]; ok {
		return pb.JobState(n), nil
	}
	return 0, fmt.Errorf("state %q is neither a number nor the name of a state: RUNNING, DRAINED, …", s)
}
