package deploy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// began is when the tests' watches begin.
var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// after is so many seconds after that.
func after(seconds float64) time.Time {
	return began.Add(time.Duration(seconds * float64(time.Second)))
}

// at is a look at a job that runs, with the watermark of each source so many
// seconds after the watch began, or as said.
func at(seconds float64, watermarks ...any) reading {
	r := reading{at: after(seconds), state: pbRunning}
	for i, w := range watermarks {
		s := SourceWatermark{Source: fmt.Sprintf("s-%d", i)}
		switch w := w.(type) {
		case int:
			s.Watermark = after(float64(w))
		case string:
			s.Maximum = w == "maximum" // else unknown
		}
		r.sources = append(r.sources, s)
	}
	return r
}

func (r reading) with(change func(*reading)) reading { change(&r); return r }

func TestWatch(t *testing.T) {
	say := func(v string) func(*watch, time.Time) outcome {
		return func(w *watch, at time.Time) outcome { return w.judge(at, Verdict{Verdict: v, Rule: "the rule"}) }
	}
	type look struct {
		reading
		want  outcome
		judge func(*watch, time.Time) outcome // asked at this look; nil: not
		then  outcome
	}
	moving := conditions{healthyFor: 30 * time.Second, within: 5 * time.Minute, maxErrors: -1}
	aged := conditions{within: time.Minute, maxAge: time.Minute, maxErrors: -1}
	quiet := conditions{within: time.Minute, maxErrors: 0}
	gated := conditions{within: time.Minute, maxErrors: -1, comparison: "trips"}
	state := func(s pb.JobState) func(*reading) { return func(r *reading) { r.state = s } }
	for _, c := range []struct {
		name       string
		conditions conditions
		looks      []look
		last       string // part of what is said of the last look
	}{
		{name: "running is enough", conditions: conditions{within: time.Minute, maxErrors: -1}, looks: []look{{reading: at(0), want: isHealthy}}},
		{name: "it does not run", conditions: conditions{within: time.Minute, maxErrors: -1},
			looks: []look{{reading: at(0).with(state(pb.JobState_JOB_STATE_DRAINING))}, {reading: at(61).with(state(pb.JobState_JOB_STATE_DRAINING)), want: unhealthy}},
			last:  "running: is DRAINING"},
		{name: "its state cannot be read (D3)", conditions: conditions{within: time.Minute, maxErrors: -1},
			looks: []look{{reading: at(0).with(func(r *reading) { r.unread = "no answer" })}}, last: "running: its state cannot be read: no answer"},

		{name: "the watermark moves", conditions: moving, looks: []look{
			{reading: at(0, 0)}, {reading: at(2, 0)}, {reading: at(4, 3)}, {reading: at(20, 19)}, {reading: at(33, 30)}, {reading: at(34, 30), want: isHealthy}}, last: "s-0 is at 2026-03-01T12:00:30Z"},
		{name: "it moves once, which is not enough", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(4, 3)}, {reading: at(34, 3)}},
			last: "healthy for 30s of 30s"},
		{name: "it moves once and then stands", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(4, 3)}, {reading: at(35, 3)}},
			last: "waiting: watermark moving: s-0 has stood at 2026-03-01T12:00:03Z for 31s"},
		{name: "it has not moved yet", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(30, 0)}}, last: "s-0 is at 2026-03-01T12:00:00Z and has not moved yet"},
		{name: "it never moves", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(100, 0)}, {reading: at(300, 0)}, {reading: at(301, 0), want: unhealthy}},
			last: "not healthy within 5m:\n  watermark moving: s-0 has stood at 2026-03-01T12:00:00Z for 5m1s"},
		{name: "going back is no move", conditions: moving, looks: []look{{reading: at(0, 9)}, {reading: at(2, 5)}, {reading: at(4, 6)}}, last: "s-0 is at 2026-03-01T12:00:09Z and has not moved yet"},
		{name: "every source has to", conditions: moving, looks: []look{{reading: at(0, 0, 0)}, {reading: at(2, 1, 0)}, {reading: at(40, 30, 0)}}, last: "waiting: watermark moving: s-1 has stood at"},
		{name: "a source at its maximum need not", conditions: moving, looks: []look{{reading: at(0, 0, "maximum")}, {reading: at(2, 1, "maximum")}, {reading: at(32, 30, "maximum"), want: isHealthy}}},
		{name: "all are", conditions: moving, looks: []look{{reading: at(0, "maximum")}, {reading: at(30, "maximum"), want: isHealthy}}, last: "at the maximum"},
		{name: "the service shows none", conditions: moving, looks: []look{{reading: at(0, "unknown")}, {reading: at(29)}, {reading: at(30, "unknown"), want: isHealthy}},
			last: "the service shows no watermark"},
		{name: "it shows one, but no more (D3)", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(2, 1)}, {reading: at(4, "unknown")}}, last: "waiting: watermark moving: s-0 is shown no more"},
		{name: "it cannot be read (D3)", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(2, 1)}, {reading: at(4, 3).with(func(r *reading) { r.unseen = "no answer" })}, {reading: at(33, 30)}, {reading: at(62, 60)}, {reading: at(63, 61), want: isHealthy}}},
		{name: "a break begins it anew", conditions: moving, looks: []look{
			{reading: at(0, 0)}, {reading: at(2, 1)}, {reading: at(20, 18).with(state(pb.JobState_JOB_STATE_PENDING))}, {reading: at(22, 20)}, {reading: at(33, 30)}, {reading: at(52, 50), want: isHealthy}}},
		{name: "all hold, but too late", conditions: moving, looks: []look{{reading: at(0, 0)}, {reading: at(290, 280)}, {reading: at(301, 290), want: unhealthy}},
			last: "not healthy for 30s within 5m: all conditions hold, but only for 11s"},
		{name: "a short time: a watermark may stand for as long as the service takes to say it", conditions: conditions{healthyFor: time.Second, within: time.Minute, maxErrors: -1},
			looks: []look{{reading: at(0, 0)}, {reading: at(1, 1)}, {reading: at(6, 1)}, {reading: at(7, 6), want: isHealthy}}},

		{name: "young enough", conditions: aged, looks: []look{{reading: at(60, 0, 30), want: isHealthy}}, last: "s-0 is 1m behind, at most 1m"},
		{name: "too old", conditions: aged, looks: []look{{reading: at(10, -51)}, {reading: at(61, -51), want: unhealthy}}, last: "watermark age: s-0 is 1m52s behind, at most 1m"},
		{name: "no age at the maximum", conditions: aged, looks: []look{{reading: at(10, "maximum"), want: isHealthy}}},
		{name: "the age is not known (D3)", conditions: aged, looks: []look{{reading: at(0)}, {reading: at(2, 0, "unknown")}}, last: "watermark age: the service shows no watermark of s-1"},
		{name: "no watermark has no age (D3)", conditions: aged, looks: []look{{reading: at(0)}}, last: "watermark age: the service shows no watermark"},
		{name: "the age cannot be read (D3)", conditions: aged, looks: []look{{reading: at(0).with(func(r *reading) { r.unseen = "no answer" })}}, last: "watermark age: the watermarks cannot be read: no answer"},

		{name: "quiet", conditions: quiet, looks: []look{{reading: at(0), want: isHealthy}}, last: "0 in the last minute, at most 0"},
		{name: "too many errors", conditions: quiet, looks: []look{{reading: at(0).with(func(r *reading) { r.errors, r.newest = 2, "boom" })}}, last: "errors: 2 in the last minute, at most 0: boom"},
		{name: "the messages cannot be read (D3)", conditions: quiet, looks: []look{{reading: at(0).with(func(r *reading) { r.unheard = "no answer" })}}, last: "errors: its messages cannot be read: no answer"},

		{name: "GO", conditions: gated, looks: []look{{reading: at(0), want: askGate, judge: say(VerdictGo)}, {reading: at(1), want: isHealthy}}, last: "GO: the rule"},
		{name: "HOLD stops at once", conditions: gated, looks: []look{{reading: at(0), want: askGate, judge: say(VerdictHold), then: unhealthy}}, last: "comparison trips says HOLD: the rule"},
		{name: "NO DATA is asked again, not at once", conditions: gated, looks: []look{{reading: at(0), want: askGate, judge: say(VerdictNoData)}, {reading: at(9)},
			{reading: at(10), want: askGate, judge: say(VerdictGo)}, {reading: at(11), want: isHealthy}}},
		{name: "NO DATA to the end", conditions: gated, looks: []look{{reading: at(0), want: askGate, judge: say(VerdictNoData)}, {reading: at(61), want: unhealthy}},
			last: "not healthy within 1m:\n  comparison trips: NO DATA: the rule"},
		{name: "GO is worth nothing after a break", conditions: gated, looks: []look{{reading: at(0), want: askGate, judge: say(VerdictGo)},
			{reading: at(1).with(state(pb.JobState_JOB_STATE_PENDING))}, {reading: at(2), want: askGate}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatch(c.conditions, 10*time.Second, began)
			var o outcome
			for n, l := range c.looks {
				if o = w.add(l.reading); o != l.want {
					t.Fatalf("look %d: outcome %d, want %d: %s; %+v", n, o, l.want, w.progress(), w.checks)
				}
				if l.judge != nil {
					if o = l.judge(w, l.at); o != l.then {
						t.Fatalf("verdict at look %d: outcome %d, want %d", n, o, l.then)
					}
				}
			}
			said := w.progress()
			switch o {
			case isHealthy:
				said = w.health(o).summary()
			case unhealthy:
				said = w.failure()
			}
			if !strings.Contains(said, c.last) {
				t.Errorf("says %q, want %q", said, c.last)
			}
		})
	}
}

func TestConditionsOfCanary(t *testing.T) {
	c := conditions{healthyFor: time.Second, within: time.Minute, maxAge: time.Hour, maxErrors: 3, comparison: "trips"}
	got := c.ofCanary(jobspecs.Rollout{CanaryFor: jobspecs.Duration(10 * time.Minute)})
	want := conditions{healthyFor: 10 * time.Minute, within: 11 * time.Minute, maxAge: time.Hour, maxErrors: 3, comparison: "trips"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(conditions{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever is read and when: a job is healthy only if every look of the last
// healthyFor found it running, with a watermark that the service could show and
// that had moved, and few errors; and not after within without having been so.
func TestWatchRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := conditions{
			healthyFor: time.Duration(rapid.IntRange(0, 20).Draw(rt, "healthyFor")) * time.Second,
			within:     time.Duration(rapid.IntRange(20, 60).Draw(rt, "within")) * time.Second,
			maxAge:     time.Duration(rapid.SampledFrom([]int{0, 5}).Draw(rt, "maxAge")) * time.Second,
			maxErrors:  rapid.SampledFrom([]int{-1, 1}).Draw(rt, "maxErrors"),
		}
		w := newWatch(c, 10*time.Second, began)
		var looks []reading
		now, watermark := 0.0, 0
		for {
			now += rapid.SampledFrom([]float64{0.5, 1, 2, 4}).Draw(rt, "pause")
			watermark = max(watermark, int(now)-rapid.IntRange(0, 9).Draw(rt, "behind"))
			r := at(now, watermark)
			switch rapid.IntRange(0, 12).Draw(rt, "fault") {
			case 0:
				r.unseen = "no answer"
			case 1:
				r.unread = "no answer"
			case 2:
				r.state = pb.JobState_JOB_STATE_PENDING
			case 3:
				r.errors = 2
			case 4:
				r.sources[0] = SourceWatermark{Source: "s-0"}
			}
			looks = append(looks, r)
			o := w.add(r)
			if o == notYet {
				if r.at.Sub(began) > c.within {
					rt.Fatalf("still not unhealthy after %s", r.at.Sub(began))
				}
				continue
			}
			if o == unhealthy {
				if r.at.Sub(began) <= c.within || w.failure() == "" {
					rt.Fatalf("unhealthy after %s: %s", r.at.Sub(began), w.failure())
				}
				return
			}
			// The looks without a break that end here.
			from, moved := r.at, false
			for n := len(looks) - 1; n >= 0; n-- {
				l, shown := looks[n], !looks[n].sources[0].Watermark.IsZero()
				if l.unread != "" || l.state != pbRunning || c.maxErrors >= 0 && l.errors > c.maxErrors || c.healthyFor > 0 && l.unseen != "" ||
					c.maxAge > 0 && (!shown || l.unseen != "" || l.at.Sub(l.sources[0].Watermark) > c.maxAge) {
					break
				}
				from = l.at
				moved = moved || shown && l.sources[0].Watermark.Before(looks[len(looks)-1].sources[0].Watermark)
			}
			if r.at.Sub(from) < c.healthyFor {
				rt.Fatalf("healthy after %s without a break", r.at.Sub(from))
			}
			if c.healthyFor > 0 && !moved && !r.sources[0].Watermark.IsZero() {
				rt.Fatalf("healthy, though the watermark stands")
			}
			return
		}
	})
}
