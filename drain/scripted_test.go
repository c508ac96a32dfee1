package drain_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/drain"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
)

// Whatever the service does, a drain ends as it should: on record as drained only
// if the service has said DRAINED (D3), void only after a cancel, and never as a
// wait without an end.
func TestScripted(t *testing.T) {
	const forever = 20 * time.Second // no drain here takes so long
	short := func(c *drain.Config) { c.Timeout = 300 * time.Millisecond }
	cancels := func(c *drain.Config) { short(c); c.OnTimeout, c.ForceAfter = drain.Cancel, 200*time.Millisecond }
	waits := func(c *drain.Config) { short(c); c.OnTimeout = drain.Wait }
	for _, c := range []struct {
		name   string
		rules  string
		change func(*drain.Config)
		code   exit.Code
		text   string
		// What is on record: drained, void or nothing.
		recorded string
	}{
		{name: "409 to a drain", rules: `- {call: drain, times: 2, answer: 409}`, recorded: "drained"},
		{name: "429 to a drain", rules: `- {call: drain, times: 2, answer: 429}`, recorded: "drained"},
		{name: "503 to a drain", rules: `- {call: drain, times: 2, answer: 503}`, recorded: "drained"},
		{name: "403 to a drain", rules: `- {call: drain, answer: 403, message: dataflow.jobs.updateContents}`, code: exit.Environment, text: "dataflow.jobs.updateContents"},
		{name: "503 to everything at times", rules: `- {call: any, from: 3, times: 3, answer: 503}`, recorded: "drained"},
		{name: "503 to metrics", rules: `- {call: metrics, answer: 503}`, recorded: "drained"},
		{name: "404 to metrics", rules: `- {call: metrics, answer: 404}`, recorded: "drained"},
		{name: "503 for ever", rules: `- {call: get, from: 2, answer: 503}`, change: short, code: exit.DrainTimeout, text: "its drain was not requested"},
		{name: "lost answer", rules: `- {call: drain, answer: 503, lost: true}`, recorded: "drained"},
		{name: "lost answer to a drain that is stuck", rules: "- {call: drain, times: 1, answer: 503, lost: true}\n- {call: drain, answer: 503}\n- {call: get, while: DRAINED, state: DRAINING}", change: short, code: exit.DrainTimeout, text: "its drain goes on"},
		{name: "slow answers", rules: `- {call: any, delay: 50ms}`, recorded: "drained"},
		{name: "slow drain", rules: `- {call: drain, delay: 1h}`, change: short, code: exit.DrainTimeout, text: "flights-0 is"},
		{name: "stuck", rules: `- {call: drain, stuck: true}`, change: short, code: exit.DrainTimeout, text: "flights-0 is DRAINING after 300ms; its drain goes on"},
		{name: "stuck for a while", rules: `- {call: drain, stuck: true, for: 600ms}`, change: waits, recorded: "drained"},
		{name: "stuck and cancelled", rules: `- {call: drain, stuck: true}`, change: cancels, code: exit.DrainTimeout, text: "was cancelled", recorded: "void"},
		{name: "stuck cancel", rules: "- {call: drain, stuck: true}\n- {call: cancel, times: 1, stuck: true}", change: cancels, code: exit.DrainTimeout, text: "was cancelled", recorded: "void"},
		{name: "stuck forced cancel", rules: "- {call: drain, stuck: true}\n- {call: cancel, stuck: true}", change: cancels, code: exit.DrainTimeout, text: "a forced cancel included"},
		{name: "lost answer to the cancel", rules: "- {call: drain, stuck: true}\n- {call: cancel, times: 1, answer: 503, lost: true}", change: cancels, code: exit.DrainTimeout, text: "is recorded as void", recorded: "void"},
		{name: "drained just before the cancel", rules: "- {call: drain, stuck: true, for: 500ms}\n- {call: cancel, answer: 412}", change: cancels, recorded: "drained"},
		{name: "fails", rules: `- {call: drain, fails: true, after: 200ms, message: "The disk is full."}`, code: exit.Failed, text: "became FAILED instead of DRAINED:\nThe disk is full."},
		{name: "fails without words", rules: "- {call: drain, fails: true}\n- {call: messages, answer: 403}", code: exit.Failed, text: "its messages cannot be read"},
		{name: "unknown state on the way", rules: `- {call: get, from: 2, times: 4, state: 99}`, recorded: "drained"},
		{name: "unknown state in the list", rules: `- {call: list, state: 99}`, recorded: "drained"},
		{name: "unknown state for ever", rules: `- {call: get, state: 99}`, change: short, code: exit.DrainTimeout, text: "is 99 after"},
		{name: "UPDATED on the way", rules: `- {call: get, while: DRAINING, state: UPDATED}`, code: exit.Failed, text: "became UPDATED instead of DRAINED"},
		{name: "vanishes while it drains", rules: `- {call: get, while: DRAINING, vanishes: true}`, code: exit.Environment, text: "could not be found"},
		{name: "vanishes when it has drained", rules: `- {call: get, while: DRAINED, vanishes: true}`, code: exit.Environment, text: "could not be found"},
		{name: "vanished", rules: `- {call: list, vanishes: true}`, code: exit.Environment, text: "there is no job named flights-0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules, on := dataflowtest.Script(t, c.rules), &atomic.Bool{} // off while the job starts
			f := startScripted(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: 100 * time.Millisecond}},
				func(ctx context.Context, req any, handle dataflow.Handler) (any, error) {
					if on.Load() {
						return rules(ctx, req, handle)
					}
					return handle(ctx, req)
				}, "flights-0")
			on.Store(true)
			rec := &recorder{}
			cfg := f.config(rec, "flights-0")
			if c.change != nil {
				c.change(&cfg)
			}
			ctx, cancel := context.WithTimeout(t.Context(), forever)
			defer cancel()
			_, err := drain.Run(ctx, cfg)
			if ctx.Err() != nil {
				t.Fatalf("hangs: %v", err)
			}
			if exit.Of(err) != c.code || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (code %d), want %q (code %d)", err, exit.Of(err), c.text, c.code)
			}
			recorded := ""
			for what, rows := range map[string][]record{"drained": rec.rows, "void": rec.void} {
				if len(rows) > 0 {
					recorded += what
				}
				for _, r := range rows {
					if r.ID != f.ids["flights-0"] || r.Generation != 4 {
						t.Errorf("recorded %+v", r)
					}
				}
			}
			if recorded != c.recorded {
				t.Errorf("on record: %q, want %q", recorded, c.recorded)
			}
		})
	}
}

// The last watermark before the maximum is the same in every form in which the
// service gives it, and a service that gives none is waited out.
func TestScriptedWatermarks(t *testing.T) {
	readings := "readings: {flights-0: [unknown, '2001-01-08T09:00:00Z', '2001-01-08T10:00:00Z', maximum]}"
	for _, c := range []struct{ name, watermarks, want string }{
		{"as they are", readings, "2001-01-08T10:00:00Z"},
		{"in the context", "name: context, " + readings, "2001-01-08T10:00:00Z"},
		{"as a suffix", "name: suffix, " + readings, "2001-01-08T10:00:00Z"},
		{"milliseconds", "unit: milliseconds, " + readings, "2001-01-08T10:00:00Z"},
		{"text", "value: text, " + readings, "2001-01-08T10:00:00Z"},
		{"all of it", "name: context, unit: milliseconds, value: text, " + readings, "2001-01-08T10:00:00Z"},
		{"never known", "readings: {flights-0: [unknown]}", "unknown"},
		{"back from the maximum", "readings: {flights-0: [maximum, unknown]}", "unknown"},
		{"none", "none: true", "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := startScripted(t, map[string]dataflowtest.Behaviour{"": {DrainTakes: 300 * time.Millisecond}},
				dataflowtest.Script(t, "- {call: metrics, watermarks: {"+c.watermarks+"}}"), "flights-0")
			res, err := drain.Run(t.Context(), f.config(&recorder{}, "flights-0"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, res.Jobs[0].Watermark.String()); diff != "" {
				t.Errorf("last watermark (-want +got):\n%s", diff)
			}
		})
	}
}
