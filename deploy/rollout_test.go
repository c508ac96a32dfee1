package deploy

import (
	"slices"
	"testing"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRollout(t *testing.T) {
	ended := &Ended{Generation: 1, State: "void"}
	drains := &Drains{Generation: 1}
	keep, adopt := Action{Kind: Keep}, Action{Kind: Adopt}
	launch, relaunch := Action{Kind: Launch}, Action{Kind: Launch, Ended: ended}
	replace, retire := Action{Kind: Replace, Drains: drains}, Action{Kind: Retire, Drains: drains}
	gone := Action{Kind: Retire, Ended: ended}
	resize := Action{Kind: Resize, Resize: &Bounds{Min: 1, Max: 2}}
	for _, c := range []struct {
		name    string
		jobs    []Action
		reshard bool
		want    []step
	}{
		{name: "nothing"},
		{name: "all run", jobs: []Action{keep, adopt}, want: []step{{takeSettle, 0}, {takeSettle, 1}}},
		{name: "the first time", jobs: []Action{launch, launch}, want: []step{{takeLaunch, 0}, {takeLaunch, 1}}},
		{name: "one after the other (D4)", jobs: []Action{replace, replace},
			want: []step{{takeDrain, 0}, {takeLaunch, 0}, {takeDrain, 1}, {takeLaunch, 1}}},
		{name: "what is away comes back first (D4)", jobs: []Action{replace, relaunch, keep},
			want: []step{{takeEnd, 1}, {takeSettle, 2}, {takeLaunch, 1}, {takeDrain, 0}, {takeLaunch, 0}}},
		{name: "what runs gets its workers before anything is taken away", jobs: []Action{replace, resize, launch, keep},
			want: []step{{takeSettle, 3}, {takeResize, 1}, {takeLaunch, 2}, {takeDrain, 0}, {takeLaunch, 0}}},
		{name: "ends before everything (P5)", jobs: []Action{launch, relaunch, gone},
			want: []step{{takeEnd, 1}, {takeEnd, 2}, {takeLaunch, 0}, {takeLaunch, 1}}},
		{name: "resharding", reshard: true, jobs: []Action{replace, launch, replace, keep, retire, gone},
			want: []step{{takeEnd, 5}, {takeSettle, 3}, {takeDrain, 4}, {takeDrain, 0}, {takeDrain, 2}, {takeLaunch, 0}, {takeLaunch, 1}, {takeLaunch, 2}}},
		{name: "a job that is retired makes it one", jobs: []Action{replace, launch, retire},
			want: []step{{takeDrain, 2}, {takeDrain, 0}, {takeLaunch, 0}, {takeLaunch, 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, rollout(c.jobs, c.reshard), cmp.AllowUnexported(step{})); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is to be done: every job that is to be drained is, once, before its
// own launch; nothing is left out; and if subscriptions move, no drain comes
// after a launch.
func TestRolloutRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var jobs []Action
		for range rapid.IntRange(0, 6).Draw(rt, "jobs") {
			a := Action{Kind: rapid.SampledFrom([]Kind{Keep, Adopt, Resize, Launch, Replace, Retire}).Draw(rt, "kind")}
			if a.Kind == Replace || a.Kind == Retire && rapid.Bool().Draw(rt, "runs") {
				a.Drains = &Drains{}
			} else if a.Kind == Retire || a.Kind == Launch && rapid.Bool().Draw(rt, "open") {
				a.Ended = &Ended{}
			}
			jobs = append(jobs, a)
		}
		moves := rapid.Bool().Draw(rt, "reshard")
		steps := rollout(jobs, moves)
		at := func(do taking, i int) int { return slices.Index(steps, step{do, i}) }
		away := 0
		for i, a := range jobs {
			drained, launched, ended, settled := at(takeDrain, i), at(takeLaunch, i), at(takeEnd, i), at(takeSettle, i)
			if (a.Drains != nil) != (drained >= 0) || (a.Kind == Launch || a.Kind == Replace) != (launched >= 0) ||
				(a.Ended != nil) != (ended >= 0) || (a.Kind == Keep || a.Kind == Adopt) != (settled >= 0) ||
				(a.Kind == Resize) != (at(takeResize, i) >= 0) {
				rt.Fatalf("job %d, %+v: %v", i, a, steps)
			}
			if a.Kind == Replace && launched < drained {
				rt.Fatalf("job %d is launched before it has drained: %v", i, steps)
			}
			if a.Kind == Launch {
				away++
			}
		}
		taken := map[step]bool{}
		for _, s := range steps {
			if taken[s] {
				rt.Fatalf("a step twice: %v", steps)
			}
			taken[s] = true
		}
		most := max(away, 1)
		for n, s := range steps {
			switch s.do {
			case takeDrain:
				if jobs[s.i].Kind == Replace {
					away++
				}
				if moves && slices.ContainsFunc(steps[:n], func(s step) bool { return s.do == takeLaunch }) {
					rt.Fatalf("a drain after a launch: %v", steps)
				}
			case takeLaunch:
				away--
			}
			// invariant D4
			if retires := slices.ContainsFunc(jobs, func(a Action) bool { return a.Kind == Retire && a.Drains != nil }); !moves && !retires && away > most {
				rt.Fatalf("%d jobs are away: %v", away, steps)
			}
		}
	})
}

func TestReshard(t *testing.T) {
	wanted := owners{"projects/p/subscriptions/s-0": "j-0", "projects/p/subscriptions/s-1": "j-1"}
	reading := func(subs ...string) known {
		var full []string
		for _, s := range subs {
			full = append(full, subscription("p", s))
		}
		return known{reads: full}
	}
	a := func(job string, k Kind) Action { return Action{Job: job, Kind: k} }
	for _, c := range []struct {
		name   string
		jobs   []Action
		active map[string]known
		want   string
	}{
		{name: "nothing runs", jobs: []Action{a("j-0", Launch), a("j-1", Launch)}},
		{name: "each reads its own", jobs: []Action{a("j-0", Replace), a("j-1", Replace)}, active: map[string]known{"j-0": reading("s-0"), "j-1": reading("s-1")}},
		{name: "one reads what nobody will", jobs: []Action{a("j-0", Replace)}, active: map[string]known{"j-0": reading("s-0", "s-9")}},
		{name: "one reads another's", jobs: []Action{a("j-0", Replace), a("j-1", Launch)}, active: map[string]known{"j-0": reading("s-0", "s-1")},
			want: "j-0 reads s-1, which becomes j-1's"},
		{name: "one that drains reads another's", jobs: []Action{a("j-0", Launch), a("j-1", Replace)}, active: map[string]known{"j-1": reading("s-0")},
			want: "j-1 reads s-0, which becomes j-0's"},
		{name: "of another project", jobs: []Action{a("j-0", Replace)}, active: map[string]known{"j-0": {reads: []string{"projects/q/subscriptions/s-1"}}}},
		{name: "retired", jobs: []Action{a("j-0", Replace), a("j-2", Retire)}, active: map[string]known{"j-0": reading("s-0"), "j-2": reading("s-9")},
			want: "j-2 is no longer in the spec"},
		{name: "retired, has ended", jobs: []Action{a("j-0", Replace), a("j-2", Retire)}, active: map[string]known{"j-0": reading("s-0")}},
		{name: "not known (D3)", jobs: []Action{a("j-0", Replace)}, active: map[string]known{"j-0": {}}, want: "what j-0 reads is not known"},
		{name: "not known, but it runs with the wanted spec", jobs: []Action{a("j-0", Keep), a("j-1", Replace)}, active: map[string]known{"j-0": {}, "j-1": reading("s-1")}},
		{name: "runs with the wanted spec, and yet reads another's", jobs: []Action{a("j-0", Keep), a("j-1", Replace)}, active: map[string]known{"j-0": reading("s-1"), "j-1": reading("s-1")},
			want: "j-0 reads s-1, which becomes j-1's"},
		{name: "blocked: the plan is not applied", jobs: []Action{a("j-0", Blocked)}, active: map[string]known{"j-0": reading("s-1")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := reshard(wanted, c.jobs, c.active); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestReads(t *testing.T) {
	job := func(name string, details ...*pb.PubSubIODetails) *pb.Job {
		return &pb.Job{Name: name, ProjectId: "p", JobMetadata: &pb.JobMetadata{PubsubDetails: details}}
	}
	full := &pb.PubSubIODetails{Subscription: "projects/q/subscriptions/s-1"}
	plain := &pb.PubSubIODetails{Subscription: "s-0"}
	topic := &pb.PubSubIODetails{Topic: "projects/p/topics/t"}
	for _, c := range []struct {
		name string
		job  *pb.Job
		want []string
	}{
		{"not known", job("j"), nil},
		{"full and short names", job("j", full, plain), []string{"projects/p/subscriptions/s-0", "projects/q/subscriptions/s-1"}},
		{"a topic beside a subscription", job("j", full, topic), nil},
	} {
		if diff := cmp.Diff(c.want, reads(c.job)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	wanted := owners{"projects/p/subscriptions/s-0": "j-0", "projects/q/subscriptions/s-1": "j-1"}
	var got []string
	for _, r := range wanted.readers([]*pb.Job{job("j-0", plain), job("j-1", plain, full), job("other", full, topic), job("none")}) {
		got = append(got, r.job.GetName()+" "+short(r.subscription)+" "+r.owner)
	}
	if diff := cmp.Diff([]string{"j-1 s-0 j-0", "other s-1 j-1"}, got); diff != "" {
		t.Errorf("readers (-want +got):\n%s", diff)
	}
}

func TestRetired(t *testing.T) {
	got := retired([]string{"j-0", "j-1"}, []string{"j-0", "j-10", "j-2", "j-9"})
	if diff := cmp.Diff([]string{"j-2", "j-9", "j-10"}, got); diff != "" {
		t.Errorf("retired (-want +got):\n%s", diff)
	}
}

func TestSamePlan(t *testing.T) {
	drains := func(state string) *Drains { return &Drains{Generation: 1, DataflowID: "id-1", State: state} }
	over := &Ended{Generation: 1, State: "drained", DataflowID: "id-1", Why: "its job is DRAINED"}
	plan := func(reshard bool, a ...Action) *Plan {
		return &Plan{Spec: "s", Jobs: a, Reshard: reshard, ReshardReason: "x"}
	}
	replaces := func(state string) Action {
		return Action{Job: "j-0", Kind: Replace, Generation: 2, Drains: drains(state), Reason: "is " + state}
	}
	launch := Action{Job: "j-0", Kind: Launch, Generation: 2, Ended: over}
	for _, c := range []struct {
		name string
		p, o *Plan
		want bool
	}{
		{"the same", plan(false, replaces("RUNNING")), plan(false, replaces("RUNNING")), true},
		{"a job that was started runs", plan(false, replaces("PENDING")), plan(false, replaces("RUNNING")), true},
		{"a drain is over", plan(false, replaces("DRAINING")), plan(false, launch), true},
		{"a drain is over, and nothing moves any more", plan(true, replaces("DRAINING")), plan(false, launch), true},
		{"a job that ran has drained", plan(false, replaces("RUNNING")), plan(false, launch), false},
		{"a drain that is over is on record", plan(false, replaces("DRAINING")), plan(false, Action{Job: "j-0", Kind: Launch, Generation: 2}), false},
		{"a drain has failed", plan(false, replaces("DRAINING")),
			plan(false, Action{Job: "j-0", Kind: Launch, Generation: 2, Ended: &Ended{Generation: 1, State: "void", DataflowID: "id-1"}}), false},
		{"a retired job's drain is over", plan(true, Action{Job: "j-0", Kind: Retire, Generation: 1, Drains: drains("DRAINING")}),
			plan(false, Action{Job: "j-0", Kind: Retire, Generation: 1, Ended: over}), true},
		{"subscriptions move", plan(false, replaces("RUNNING")), plan(true, replaces("RUNNING")), false},
	} {
		if got := c.p.same(c.o); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
