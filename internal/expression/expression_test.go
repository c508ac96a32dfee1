package expression_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/expression"
)

var fields = []expression.Field{{Name: "origin", Type: "STRING"}, {Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}, {Name: "due", Type: "TIMESTAMP"}}

type event []any

func (e event) Field(i int) expression.Value { return e[i] }

func TestEval(t *testing.T) {
	due := time.Date(2001, 1, 8, 6, 30, 0, 0, time.UTC)
	full, none := event{"ATL", int64(20), int64(400), due}, event{nil, nil, nil, nil}
	delayed := event{"ATL", int64(20), nil, nil}
	yes, no := expression.Result{Valid: true, Bool: true}, expression.Result{Valid: true}
	null := expression.Result{}
	n := func(n int64) expression.Result { return expression.Result{Valid: true, Int: n} }
	for _, c := range []struct {
		source string
		kind   expression.Kind
		event  event
		want   expression.Result
		fails  string
	}{
		{"event.delay > 15", expression.Bool, full, yes, ""},
		{"event.delay > 20", expression.Bool, full, no, ""},
		{"event.delay > 15", expression.Bool, none, null, ""},
		{"event.delay > 1.5", expression.Bool, full, yes, ""},
		{"!(event.delay > 15)", expression.Bool, none, null, ""},
		{"event.delay == 20", expression.Bool, none, no, ""},
		{"event.delay != 20", expression.Bool, none, yes, ""},
		{"event.delay == null", expression.Bool, none, yes, ""},
		{"event.delay != null", expression.Bool, full, yes, ""},
		{"event.due == null", expression.Bool, none, yes, ""},
		{"has(event.delay)", expression.Bool, none, no, ""},
		{"has(event.delay)", expression.Bool, full, yes, ""},
		{"event.delay in [1, 20]", expression.Bool, full, yes, ""},
		{"event.origin.startsWith('A')", expression.Bool, full, yes, ""},
		{"event.origin.startsWith('A')", expression.Bool, none, null, ""},
		{"event.origin.lowerAscii() == 'atl'", expression.Bool, full, yes, ""},
		{"event.origin < 'B'", expression.Bool, none, null, ""},
		{"event.distance > 1 || event.delay > 1", expression.Bool, delayed, yes, ""},
		{"event.delay > 1 || event.distance > 1", expression.Bool, delayed, yes, ""},
		{"event.distance > 1 && event.delay > 1", expression.Bool, delayed, null, ""},
		{"event.distance > 1 && event.delay > 100", expression.Bool, delayed, no, ""},
		{"has(event.distance) && event.distance > 1", expression.Bool, delayed, no, ""},
		{"[event.delay, event.distance].exists(x, x > 5)", expression.Bool, delayed, yes, ""},
		{"event.due < timestamp('2001-01-09T00:00:00Z')", expression.Bool, full, yes, ""},
		{"event.due.getHours() == 6", expression.Bool, full, yes, ""},
		{"event.due < timestamp('2001-01-09T00:00:00Z')", expression.Bool, none, null, ""},
		{"event.delay", expression.Int, full, n(20), ""},
		{"event.delay", expression.Int, none, null, ""},
		{"7", expression.Int, none, n(7), ""},
		{"event.delay * 60", expression.Int, full, n(1200), ""},
		{"event.delay * 60", expression.Int, none, null, ""},
		{"event.distance / event.delay", expression.Int, delayed, null, ""},
		{"-event.delay", expression.Int, none, null, ""},
		{"event.delay > 15 ? event.delay : null", expression.Int, full, n(20), ""},
		{"event.delay > 20 ? event.delay : null", expression.Int, full, null, ""},
		{"event.delay > 15 ? 1 : 0", expression.Int, none, null, ""},
		{"has(event.delay) ? event.delay : 0", expression.Int, none, n(0), ""},
		{"event.delay > 15 ? dyn(event.delay - 15) : null", expression.Int, full, n(5), ""},
		{"event.origin.size()", expression.Int, full, n(3), ""},
		{"size(event.origin)", expression.Int, none, null, ""},
		{"int(event.origin)", expression.Int, event{"12", nil, nil, nil}, n(12), ""},
		{"int(event.due)", expression.Int, full, n(due.Unix()), ""},

		{"event.delay / (event.distance - 400)", expression.Int, full, null, "division by zero"},
		{"event.delay % (event.distance - 400) == 0", expression.Bool, full, null, "modulus by zero"},
		{"event.delay + 1", expression.Int, event{nil, int64(math.MaxInt64), nil, nil}, null, "integer overflow"},
		{"int(event.origin)", expression.Int, event{"x", nil, nil, nil}, null, "type conversion error from 'string' to 'int'"},
		{"dyn(event.origin) + 1", expression.Int, full, null, "no such overload"},
		{"dyn(event.origin)", expression.Int, full, null, "it gives a string, not an int"},
		{"dyn(event.delay)", expression.Bool, full, null, "it gives an int, not a bool"},
	} {
		p, err := expression.Compile(c.source, fields, c.kind)
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		got, err := p.Eval(c.event)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || text != c.fails {
			t.Errorf("%s over %v: %+v, %q; want %+v, %q", c.source, c.event, got, text, c.want, c.fails)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, c := range []struct {
		source string
		kind   expression.Kind
		want   expression.Problems
	}{
		{"event.delay", expression.Bool, expression.Problems{{"it must give a bool, but gives an int", 1, 0}}},
		{"event.origin", expression.Int, expression.Problems{{"it must give an int, but gives a string", 1, 0}}},
		{"event.delay > 'a'", expression.Bool, expression.Problems{{"found no matching overload for '_>_' applied to '(int, string)'", 1, 12}}},
		{"event.delya > 1", expression.Bool, expression.Problems{{"undefined field 'delya'", 1, 5}}},
		{"record.delay > 1", expression.Bool, expression.Problems{{"undeclared reference to 'record'", 1, 0}}},
		{"event.delay >", expression.Bool, expression.Problems{{"mismatched input '<EOF>'", 1, 13}}},
		{"event.delay > 1 &&\n  event.x > 1 || y", expression.Bool, expression.Problems{{"undefined field 'x'", 2, 7}, {"undeclared reference to 'y'", 2, 17}}},
		{"event.delay * 1.5", expression.Int, expression.Problems{{"found no matching overload for '_*_' applied to '(int, double)'", 1, 12}}},
		{"event.origin.matches('(')", expression.Bool, expression.Problems{{"error parsing regexp: missing closing ): `(`", 1, 0}}},
		{"1 / 0", expression.Int, expression.Problems{{"division by zero", 1, 0}}},
		{"", expression.Bool, expression.Problems{{"mismatched input '<EOF>'", 1, 0}}},
	} {
		_, err := expression.Compile(c.source, fields, c.kind)
		var got expression.Problems
		if !errors.As(err, &got) {
			t.Errorf("%q: %v", c.source, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q (-want +got)\n%s", c.source, diff)
		}
	}
	if _, err := expression.Compile("true", []expression.Field{{Name: "a", Type: "FLOAT64"}}, expression.Bool); err == nil {
		t.Error("a type that events do not have is taken")
	}
}

func TestFields(t *testing.T) {
	p, err := expression.Compile("has(event.due) && event.delay > 1 && event.delay < 5", fields, expression.Bool)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{3, 1}, p.Fields()); diff != "" {
		t.Error(diff)
	}
}

func TestIsRatio(t *testing.T) {
	for source, want := range map[string]bool{
		"event.delay / event.distance":                             true,
		"event.delay * 60 / (1 + event.distance)":                  true,
		"event.distance > 0 ? event.delay / event.distance : 0":    true,
		"event.delay / 60":                                         false,
		"event.delay % event.distance":                             false,
		"event.delay > 0 ? event.distance : event.delay / (2 * 3)": false,
	} {
		p, err := expression.Compile(source, fields, expression.Int)
		if err != nil || p.IsRatio() != want {
			t.Errorf("%s: %v, %v", source, p.IsRatio(), err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	p, err := expression.Compile("event.delay > 15 && event.origin != 'ATL'", fields, expression.Bool)
	if err != nil {
		b.Fatal(err)
	}
	e := event{"JFK", int64(20), int64(400), nil}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Eval(e); err != nil {
			b.Fatal(err)
		}
	}
}
