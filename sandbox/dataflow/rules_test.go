package dataflow

import (
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestCompileRefuses(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Call: "lunch", Answer: "503"}, `call "lunch" is none of launch, get,`},
		{Rule{Call: CallGet}, "nothing happens"},
		{Rule{Call: CallGet, Job: "flights-[", Answer: "503"}, "[ without ]"},
		{Rule{Call: CallGet, Answer: "503", From: -1}, "not negative"},
		{Rule{Call: CallGet, Answer: "503", While: "SLEEPING"}, `state "SLEEPING" is neither`},
		{Rule{Call: CallLaunch, Answer: "503", While: "RUNNING"}, "a launch is of no job that is in a state"},
		{Rule{Call: CallGet, Answer: "200"}, "answer 200 is no error"},
		{Rule{Call: CallGet, Answer: "OK"}, `answer "OK" is neither a number`},
		{Rule{Call: CallGet, Answer: "away"}, `answer "away" is neither a number`},
		{Rule{Call: CallGet, State: "-5"}, `state "-5" is neither`},
		{Rule{Call: CallDrain, State: "99"}, "state: the call is drain, and must be one of get, list, read"},
		{Rule{Call: CallGet, Stuck: true}, "stuck: the call is get, and must be one of drain, cancel"},
		{Rule{Call: CallCancel, Fails: true}, "fails: the call is cancel, and must be one of launch, drain"},
		{Rule{Call: CallLaunch, Vanishes: true}, "vanishes: the call is launch"},
		{Rule{Call: CallGet, Watermarks: &Watermarks{None: true}}, "watermarks: the call is get, and must be one of metrics"},
		{Rule{Call: CallDrain, Stuck: true, Answer: "503"}, "answer and stuck: a rule does one thing"},
		{Rule{Call: CallDrain, Stuck: true, Message: "no"}, "message says something only beside answer or fails"},
		{Rule{Call: CallDrain, Delay: time.Second, Lost: true}, "lost says something only beside answer"},
		{Rule{Call: CallDrain, Answer: "503", For: time.Second}, "for says something only beside stuck"},
		{Rule{Call: CallDrain, Stuck: true, After: time.Second}, "after says something only beside fails"},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{Name: "nom"}}, `name "nom" is none of stage, context, suffix`},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{Unit: "years"}}, `unit "years"`},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{Value: "roman"}}, `value "roman"`},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{None: true, Unit: unitMillis}}, "with none, nothing else"},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{Readings: map[string][]string{"a": nil}}}, "there are none"},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{Readings: map[string][]string{"[": {"maximum"}}}}, "[ without ]"},
		{Rule{Call: CallMetrics, Watermarks: &Watermarks{Readings: map[string][]string{"a": {"noon"}}}}, `"noon" is neither unknown, maximum nor a time`},
	} {
		if _, err := Rules(c.rule); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "rule 1: ") {
			t.Errorf("%+v: got %v, want %q", c.rule, err, c.want)
		}
	}
}

func TestParseCode(t *testing.T) {
	for _, c := range []struct {
		text string
		call Call
		want codes.Code
	}{
		{"409", CallLaunch, codes.AlreadyExists}, {"409", CallDrain, codes.Aborted}, {"429", CallGet, codes.ResourceExhausted},
		{"503", CallGet, codes.Unavailable}, {"FAILED_PRECONDITION", CallCancel, codes.FailedPrecondition},
	} {
		if got, err := parseCode(c.text, c.call); err != nil || got != c.want {
			t.Errorf("%s of %s: %v, %v, want %v", c.text, c.call, got, err, c.want)
		}
	}
}

func TestRuleMatches(t *testing.T) {
	r := func(r Rule) rule {
		t.Helper()
		r.Delay = time.Second
		out, err := compile(r)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, c := range []struct {
		what string
		rule rule
		call Call
		name string
		n    int
		want bool
	}{
		{"all", r(Rule{Call: CallAny}), CallMetrics, "flights-1", 7, true},
		{"a list of all", r(Rule{Call: CallList}), CallList, "", 1, true},
		{"a list of all, for some", r(Rule{Call: CallList, Job: "flights-*"}), CallList, "", 1, false},
		{"another call", r(Rule{Call: CallGet}), CallList, "flights-1", 1, false},
		{"a get is a reading", r(Rule{Call: CallRead}), CallGet, "flights-1", 1, true},
		{"a list is a reading", r(Rule{Call: CallRead}), CallList, "flights-1", 1, true},
		{"metrics are no reading", r(Rule{Call: CallRead}), CallMetrics, "flights-1", 1, false},
		{"a glob", r(Rule{Call: CallGet, Job: "flights-?"}), CallGet, "flights-1", 1, true},
		{"another job", r(Rule{Call: CallGet, Job: "flights-?"}), CallGet, "flights-10", 1, false},
		{"too early", r(Rule{Call: CallGet, From: 3}), CallGet, "flights-1", 2, false},
		{"the first", r(Rule{Call: CallGet, From: 3, Times: 2}), CallGet, "flights-1", 3, true},
		{"the last", r(Rule{Call: CallGet, From: 3, Times: 2}), CallGet, "flights-1", 4, true},
		{"used up", r(Rule{Call: CallGet, From: 3, Times: 2}), CallGet, "flights-1", 5, false},
	} {
		if got := c.rule.isAbout(c.call) && c.rule.isFor(c.name) && c.rule.holds(c.n); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// metric is a metric as text: its name and its stage in the context, and its value.
func metrics(m *pb.JobMetrics) map[string]any {
	out := map[string]any{}
	for _, u := range m.GetMetrics() {
		name := u.GetName().GetName()
		if s := u.GetName().GetContext()["stage"]; s != "" {
			name += " of " + s
		}
		out[name] = u.GetScalar().AsInterface()
	}
	return out
}

func TestWatermarkForms(t *testing.T) {
	at := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	answer := func() *pb.JobMetrics {
		m := &pb.JobMetrics{}
		for name, v := range map[string]float64{
			"F39-windmill-data-watermark": micros(at, false), "F39-windmill-system-watermark": micros(at, false),
			"F40-windmill-data-watermark": watermarkMaximum, "F41-windmill-data-watermark": watermarkUnknown, "events": 7,
		} {
			m.Metrics = append(m.Metrics, &pb.MetricUpdate{Name: &pb.MetricStructuredName{Name: name}, Scalar: structpb.NewNumberValue(v)})
		}
		return m
	}
	us, ms := float64(at.UnixMicro()), float64(at.UnixMilli())
	for _, c := range []struct {
		name string
		w    Watermarks
		n    int
		want map[string]any
	}{
		{"none", Watermarks{None: true}, 0, map[string]any{"events": 7.0}},
		{"as they are", Watermarks{Name: nameStage, Unit: unitMicros, Value: valueNumber}, 0, map[string]any{
			"F39-windmill-data-watermark": us, "F39-windmill-system-watermark": us, "F40-windmill-data-watermark": -2.0, "F41-windmill-data-watermark": -1.0, "events": 7.0,
		}},
		{"in the context, milliseconds", Watermarks{Name: nameContext, Unit: unitMillis}, 0, map[string]any{
			"windmill-data-watermark of F39": ms, "windmill-system-watermark of F39": ms, "windmill-data-watermark of F40": -2.0,
			"windmill-data-watermark of F41": -1.0, "events": 7.0,
		}},
		{"suffix, text", Watermarks{Name: nameSuffix, Value: valueText}, 0, map[string]any{
			"F39DataWatermark": "978912000000000", "F39SystemWatermark": "978912000000000", "F40DataWatermark": "-2", "F41DataWatermark": "-1", "events": 7.0,
		}},
		{"readings: the first", Watermarks{Readings: map[string][]string{"flights-*": {"maximum", "unknown"}, "flights-1": {"2001-01-08T00:00:00Z"}}}, 0, map[string]any{
			"F39-windmill-data-watermark": -2.0, "F39-windmill-system-watermark": us, "F40-windmill-data-watermark": us, "F41-windmill-data-watermark": -1.0, "events": 7.0,
		}},
		{"readings: the last stays", Watermarks{Readings: map[string][]string{"flights-*": {"maximum", "unknown"}}}, 5, map[string]any{
			"F39-windmill-data-watermark": -1.0, "F39-windmill-system-watermark": us, "F40-windmill-data-watermark": -1.0, "F41-windmill-data-watermark": -1.0, "events": 7.0,
		}},
	} {
		r, err := compile(Rule{Call: CallMetrics, Watermarks: &c.w})
		if err != nil {
			t.Fatal(err)
		}
		m := answer()
		r.change(m, []string{"projects/p/subscriptions/flights-0", "projects/p/subscriptions/flights-1"}, c.n)
		if diff := cmp.Diff(c.want, metrics(m)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestParseRules(t *testing.T) {
	rules, err := parseRules("f.yaml", []byte(`# comment
rules:
  - {call: launch, job: flights-*, times: 2, answer: 503, delay: 2s}
  - call: read
    state: 99
  - call: metrics
    watermarks:
      readings:
        flights-0: [unknown, 2001-01-08T00:00:00Z, maximum]
`))
	want := []Rule{
		{Call: CallLaunch, Job: "flights-*", Times: 2, Answer: "503", Delay: 2 * time.Second},
		{Call: CallRead, State: "99"},
		{Call: CallMetrics, Watermarks: &Watermarks{Readings: map[string][]string{"flights-0": {"unknown", "2001-01-08T00:00:00Z", "maximum"}}}},
	}
	if diff := cmp.Diff(want, rules); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, c := range []struct{ text, want string }{
		{"", "f.yaml:1: there are no rules"},
		{"# nothing\n", "f.yaml:1: there are no rules"},
		{"rules: 3\n", "f.yaml:1: there are no rules"},
		{"rules: []\n", "f.yaml:1: there are no rules"},
		{"- call: get\n", "f.yaml:1: sequence was used where mapping is expected"},
		{"rule:\n  - {call: get, delay: 1s}\n", `f.yaml:1: unknown field "rule"`},
		{"rules:\n  - call: launch\n    anser: 503\n", `f.yaml:3: unknown field "anser"`},
		{"rules:\n  - call: metrics\n    watermarks:\n      nmae: x\n", `f.yaml:4: unknown field "nmae"`},
		{"rules:\n  - {call: get, delay: 1s}\n  - call: get\n    answer: 200\n", "f.yaml:3: rule 2: answer 200 is no error"},
		{"rules:\n  - call: launch\n    call: get\n", `f.yaml:3: mapping key "call" already defined`},
		{"rules:\n  - call: launch\n    times: many\n", "f.yaml:3: cannot unmarshal string"},
		{"rules:\n  - call: get\n    delay: soon\n", "f.yaml:2: time: invalid duration"},
		{"rules: [3]\n", "f.yaml:1: int was used where mapping is expected"},
		{"rules: [*x]\n", `f.yaml:1: could not find alias "x"`},
		{"rules:\n\t- x", "f.yaml:2: found character"},
		{"rules: [{call: get, delay: 1s}]\n---\na: b\n", "f.yaml:3: more than one document"},
	} {
		if _, err := parseRules("f.yaml", []byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
	if _, err := LoadScript("no/such.yaml"); err == nil || !strings.Contains(err.Error(), "no/such.yaml") {
		t.Errorf("got %v", err)
	}
}
