package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kappa-migrate/kappa/compare"
	"github.com/kappa-migrate/kappa/internal/exit"
)

// A file that is not what a run has written is refused with what is wrong.
func TestReadJSONRefusesDamage(t *testing.T) {
	hold, pass := render(t, jsonOf(fixture())), render(t, jsonOf(passed()))
	edit := func(doc string, change func(map[string]any)) string {
		var v map[string]any
		if err := json.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatal(err)
		}
		change(v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	at := func(v map[string]any, name string) map[string]any { return v[name].(map[string]any) }
	first := func(v any) map[string]any { return v.([]any)[0].(map[string]any) }
	for _, c := range []struct{ name, doc, want string }{
		{"empty", " \n", "it is empty"},
		{"text", "HOLD  flights", "it is not the JSON of a result"},
		{"a list", "[]", "it is not the JSON of a result"},
		{"null", "null", "it has no version"},
		{"another document", `{"status": "ok"}`, "it has no version"},
		{"cut off", hold[:len(hold)/2], "it is not the JSON of a result"},
		{"two results", hold + hold, "it is not the JSON of a result"},
		{"an older version", edit(hold, func(v map[string]any) { v["version"] = 1 }), "it has version 1, and this kappa reads version 2"},
		{"a newer version", edit(hold, func(v map[string]any) { v["version"] = 3; v["keys"] = "many" }), "it has version 3, and this kappa reads version 2"},
		{"another type", edit(hold, func(v map[string]any) { v["keys"] = "many" }), "it is not the JSON of a result"},
		{"no name", edit(hold, func(v map[string]any) { v["comparison"] = "" }), "it names no comparison"},
		{"no spec", edit(hold, func(v map[string]any) { delete(v, "spec_hash") }), "it has no spec_hash"},
		{"no time", edit(hold, func(v map[string]any) { delete(v, "started") }), "it does not say when it was started"},
		{"no verdict", edit(hold, func(v map[string]any) { delete(v, "verdict") }), `verdict "" is none of`},
		{"another verdict", edit(hold, func(v map[string]any) { at(v, "verdict")["verdict"] = "MAYBE" }), `verdict "MAYBE" is none of`},
		{"HOLD made GO", edit(hold, func(v map[string]any) { at(v, "verdict")["verdict"] = compare.Go }), "the verdict is GO, but a rule is not met"},
		{"GO without a rule", edit(pass, func(v map[string]any) { at(v, "verdict")["checks"] = []any{} }), "the verdict is GO without a rule"},
		{"GO of nothing", edit(pass, func(v map[string]any) { delete(v, "keys") }), "the verdict is GO without a key"},
		{"classes", edit(hold, func(v map[string]any) { at(v, "keys")["exact"] = 3 }), "keys: the classes add up to 451 of 16464 keys"},
		{"negative", edit(hold, func(v map[string]any) { at(v, "keys")["missing"] = -1 }), "keys: -1 of 16464 keys are missing, which does not add up"},
		{"more than all", edit(hold, func(v map[string]any) { at(v, "keys")["missing"] = 1e12 }), "keys: 1000000000000 of 16464 keys are missing"},
		{"share", edit(hold, func(v map[string]any) { at(v, "exact")["num"] = "16464" }), "exact and agree are not the shares of the keys"},
		{"causes", edit(hold, func(v map[string]any) { first(at(v, "causes")["entries"])["keys"] = 1 }), "the causes do not add up"},
		{"unexplained", edit(hold, func(v map[string]any) { at(v, "causes")["unexplained"] = 0 }), "the causes do not add up"},
		{"unexplained made proven", edit(hold, func(v map[string]any) { first(at(v, "causes")["entries"])["status"] = compare.Proven }), "the causes do not add up"},
		{"a negative cause", edit(hold, func(v map[string]any) { first(at(v, "causes")["entries"])["keys"] = -2 }), `cause "unexplained" has -2 keys`},
		{"window", edit(hold, func(v map[string]any) { at(first(v["windows"]), "keys")["extra"] = 5 }), "window 2001-01-08T00:00:00Z: 5 of 98 keys are extra"},
		{"day", edit(hold, func(v map[string]any) { at(first(v["days"]), "keys")["extra"] = 500 }), "day 2001-01-07T00:00:00Z: 500 of 90 keys are extra"},
		{"rows of the map", edit(hold, func(v map[string]any) { at(v, "heat")["differing"] = []any{} }), "heat: rows and values differ in number"},
		{"columns of the map", edit(hold, func(v map[string]any) { at(v, "heat")["starts"] = []any{} }), "heat: columns and starts differ in number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, err := ReadJSON(strings.NewReader(c.doc))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %s", err, c.want)
			}
			var e *exit.Error
			if res != nil || !errors.As(err, &e) || e.Code != exit.Usage || e.Hint == "" {
				t.Errorf("result %v and error %#v, want none and a usage error with a hint", res, err)
			}
		})
	}
	if _, err := ReadJSON(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want that of the reader", err)
	}
}

// Later programs add fields without a new version.
func TestReadJSONLeavesUnknownFieldsAlone(t *testing.T) {
	doc := strings.Replace(render(t, jsonOf(fixture())), `"comparison"`, `"later": {"a": [1]}, "comparison"`, 1)
	if _, err := ReadJSON(strings.NewReader(doc)); err != nil {
		t.Error(err)
	}
}

// What is read can be shown and written again, and says the same then; it is never
// a GO that a run could not have given.
func FuzzReadJSON(f *testing.F) {
	for _, r := range fixtures() {
		r.Windows, r.Trend = r.Windows[:min(3, len(r.Windows))], r.Trend[:min(3, len(r.Trend))] // small ones are read fast
		f.Add([]byte(render(f, jsonOf(r))))
	}
	f.Add([]byte(`{"version": 2, "comparison": "x", "spec_hash": "y", "started": "2001-01-08T00:00:00Z", "verdict": {"verdict": "NO DATA"}, "exact": {"num": "0", "den": "0"}, "agree": {"num": "0", "den": "0"}, "heat": {"values": [[]], "starts": [], "differing": [[]], "unexplained": [[]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		res, err := ReadJSON(bytes.NewReader(data))
		if err != nil {
			return
		}
		if res.Verdict.Verdict == compare.Go && (res.Counts.Total <= 0 || res.Verdict.ExitCode() != exit.OK) {
			t.Fatalf("GO of %d keys", res.Counts.Total)
		}
		for name, write := range views(res) {
			var b bytes.Buffer
			if err := write(&b); err != nil && name != "json" {
				t.Fatalf("%s: %v", name, err)
			}
		}
		var b bytes.Buffer
		if err := WriteJSON(&b, res); err != nil {
			return // a year that RFC 3339 cannot say
		}
		again, err := ReadJSON(&b)
		if err != nil {
			t.Fatalf("read back: %v", err)
		}
		if d := cmp.Diff(fmt.Sprint(res.Verdict, res.Counts), fmt.Sprint(again.Verdict, again.Counts)); d != "" {
			t.Fatal(d)
		}
		if d := cmp.Diff(res.Metrics, again.Metrics, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}
