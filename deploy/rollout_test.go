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
	cancel, update := Action{Kind: Cancel, Cancels: drains}, Action{Kind: Update}
	done := Action{Kind: Keep, Updated: &Handover{}}
	handed := Action{Kind: Launch, Updated: &Handover{}, Ended: ended}
	steps := map[rune]taking{'e': takeEnd, 's': takeSettle, 'r': takeResize, 'd': takeDrain, 'x': takeCancel, 'u': takeUpdate,
		'n': takeUpdated, 'l': takeLaunch, 'h': takeHealth, 'c': takeCanary}
	chain := func(letters string, i int) []step {
		var out []step
		for _, l := range letters {
			out = append(out, step{steps[l], i})
		}
		return out
	}
	at := func(atOnce int, chains ...[]step) stage { return stage{chains, atOnce} }
	one := func(letters string, i int) stage { return at(1, chain(letters, i)) }
	settle := func(chains ...[]step) stage { return at(settleAtOnce, chains...) }
	for _, c := range []struct {
		name    string
		jobs    []Action
		reshard bool
		course  course
		want    []stage
	}{
		{name: "nothing"},
		{name: "all run", jobs: []Action{keep, adopt}, want: []stage{settle(chain("s", 0), chain("s", 1))}},
		{name: "all run, which was not seen to the end", course: course{recheck: true}, jobs: []Action{keep, adopt},
			want: []stage{settle(chain("s", 0), chain("s", 1)), settle(chain("h", 0), chain("h", 1))}},
		{name: "the first time", jobs: []Action{launch, launch}, want: []stage{at(1, chain("lh", 0), chain("lh", 1))}},
		{name: "one after the other (D4)", jobs: []Action{replace, replace}, want: []stage{at(1, chain("dlh", 0), chain("dlh", 1))}},
		{name: "two at a time", course: course{parallel: 2}, jobs: []Action{replace, replace, replace},
			want: []stage{at(2, chain("dlh", 0), chain("dlh", 1), chain("dlh", 2))}},
		{name: "what is away comes back first (D4), and what is kept has to be healthy before more is taken", jobs: []Action{replace, relaunch, keep},
			want: []stage{one("e", 1), settle(chain("s", 2)), one("lh", 1), settle(chain("h", 2)), one("dlh", 0)}},
		{name: "what runs gets its workers before anything is taken away", jobs: []Action{replace, resize, launch, keep},
			want: []stage{settle(chain("s", 3)), one("rh", 1), one("lh", 2), settle(chain("h", 3)), one("dlh", 0)}},
		{name: "ends before everything (P5)", jobs: []Action{launch, relaunch, gone},
			want: []stage{at(1, chain("e", 1), chain("e", 2)), at(1, chain("lh", 0), chain("lh", 1))}},
		{name: "resharding", reshard: true, course: course{canary: 1}, jobs: []Action{replace, launch, replace, keep, retire, gone},
			want: []stage{one("e", 5), settle(chain("s", 3)), one("d", 4), at(1, chain("d", 0), chain("d", 2)),
				at(1, chain("lh", 0), chain("lh", 1), chain("lh", 2))}},
		{name: "resharding, which was not seen to the end", reshard: true, course: course{recheck: true}, jobs: []Action{keep, launch},
			want: []stage{settle(chain("s", 0)), one("lh", 1), settle(chain("h", 0))}},
		{name: "a job that is retired makes it one", jobs: []Action{replace, launch, retire},
			want: []stage{one("d", 2), one("d", 0), at(1, chain("lh", 0), chain("lh", 1))}},
		{name: "in the order of the spec", course: course{order: []int{2, 0, 1}}, jobs: []Action{replace, replace, replace},
			want: []stage{at(1, chain("dlh", 2), chain("dlh", 0), chain("dlh", 1))}},
		{name: "canaries", course: course{order: []int{2, 0, 1, 3}, canary: 2}, jobs: []Action{replace, replace, replace, replace},
			want: []stage{at(1, chain("dlh", 2), chain("dlh", 0)), at(2, chain("c", 2), chain("c", 0)), at(1, chain("dlh", 1), chain("dlh", 3))}},
		{name: "a canary that was replaced before is looked at again", course: course{canary: 1}, jobs: []Action{keep, replace},
			want: []stage{settle(chain("s", 0)), settle(chain("h", 0)), one("c", 0), one("dlh", 1)}},
		{name: "a canary that is away comes back and is looked at", course: course{canary: 1}, jobs: []Action{launch, replace},
			want: []stage{one("lh", 0), one("c", 0), one("dlh", 1)}},
		{name: "cancelled, updated in place, and updates that the service has done", course: course{canary: 1}, jobs: []Action{cancel, update, done, handed},
			want: []stage{at(1, chain("n", 2), chain("ne", 3)), settle(chain("s", 2)), one("lh", 3), settle(chain("h", 2)),
				one("xlh", 0), one("c", 0), one("uh", 1)}},
		{name: "resharding, some are cancelled", reshard: true, jobs: []Action{cancel, replace}, want: []stage{one("d", 1), one("x", 0), at(1, chain("lh", 0), chain("lh", 1))}},
		{name: "nobody is left to be spared", course: course{canary: 1}, jobs: []Action{replace, keep},
			want: []stage{settle(chain("s", 1)), settle(chain("h", 1)), one("dlh", 0)}},
		{name: "all are canaries", course: course{canary: 2}, jobs: []Action{replace, replace}, want: []stage{at(1, chain("dlh", 0), chain("dlh", 1))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.course.parallel = max(c.course.parallel, 1)
			c.course.order = inOrder(c.course.order, len(c.jobs))
			if diff := cmp.Diff(c.want, rollout(c.jobs, c.reshard, c.course), cmp.AllowUnexported(step{}, stage{})); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInOrder(t *testing.T) {
	for _, c := range []struct {
		first []int
		n     int
		want  []int
	}{
		{nil, 3, []int{0, 1, 2}},
		{[]int{2}, 3, []int{2, 0, 1}},
		{[]int{1, 0}, 4, []int{1, 0, 2, 3}},
		{[]int{7, 1}, 2, []int{1, 0}}, // the spec has more jobs than the plan: some are not planned
	} {
		if diff := cmp.Diff(c.want, inOrder(c.first, c.n)); diff != "" {
			t.Errorf("%v of %d (-want +got):\n%s", c.first, c.n, diff)
		}
	}
}

// Whatever is to be done: every job that is to be drained is, once, before its
// own launch; nothing is left out; what is launched or replaced is looked at; if
// subscriptions move, no drain comes after a launch; and however the chains of a
// stage run beside one another, no more jobs are away than may be.
func TestRolloutRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var jobs []Action
		for range rapid.IntRange(0, 6).Draw(rt, "jobs") {
			a := Action{Kind: rapid.SampledFrom([]Kind{Keep, Adopt, Resize, Launch, Replace, Cancel, Update, Retire}).Draw(rt, "kind")}
			if a.Kind == Replace || a.Kind == Retire && rapid.Bool().Draw(rt, "runs") {
				a.Drains = &Drains{}
			} else if a.Kind == Retire || a.Kind == Launch && rapid.Bool().Draw(rt, "open") {
				a.Ended = &Ended{}
			}
			jobs = append(jobs, a)
		}
		moves := rapid.Bool().Draw(rt, "reshard")
		c := course{
			order:    inOrder(rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 0, 3, rapid.ID[int]).Draw(rt, "order"), len(jobs)),
			canary:   rapid.IntRange(0, 3).Draw(rt, "canary"),
			parallel: rapid.IntRange(1, 3).Draw(rt, "parallel"),
			recheck:  rapid.Bool().Draw(rt, "recheck"),
		}
		stages := rollout(jobs, moves, c)
		var steps []step
		for _, s := range stages {
			for _, chain := range s.chains {
				steps = append(steps, chain...)
			}
		}
		at := func(do taking, i int) int { return slices.Index(steps, step{do, i}) }
		away := 0
		for i, a := range jobs {
			drained, launched, ended, settled := at(takeDrain, i), at(takeLaunch, i), at(takeEnd, i), at(takeSettle, i)
			if (a.Drains != nil) != (drained >= 0) || (a.Kind == Launch || a.Kind == Replace || a.Kind == Cancel) != (launched >= 0) ||
				(a.Ended != nil) != (ended >= 0) || (a.Kind == Keep || a.Kind == Adopt) != (settled >= 0) ||
				(a.Kind == Resize) != (at(takeResize, i) >= 0) || (a.Kind == Cancel) != (at(takeCancel, i) >= 0) || (a.Kind == Update) != (at(takeUpdate, i) >= 0) {
				rt.Fatalf("job %d, %+v: %v", i, a, steps)
			}
			if a.Kind == Replace && launched < drained || a.Kind == Cancel && launched < at(takeCancel, i) {
				rt.Fatalf("job %d is launched before it has drained: %v", i, steps)
			}
			if (launched >= 0 || a.Kind == Resize || a.Kind == Update) && at(takeHealth, i) < max(launched, at(takeResize, i), at(takeUpdate, i)) {
				rt.Fatalf("job %d is not looked at: %v", i, steps)
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
		retires := slices.ContainsFunc(jobs, func(a Action) bool { return a.Kind == Retire && a.Drains != nil })
		launches := false
		most := max(away, c.parallel)
		for _, s := range stages {
			if s.atOnce < 1 {
				rt.Fatalf("a stage that never begins: %v", stages)
			}
			drains, comeBack := 0, 0
			for _, chain := range s.chains {
				for _, st := range chain {
					switch {
					case (st.do == takeDrain || st.do == takeCancel) && launches && (moves || retires):
						rt.Fatalf("a drain after a launch: %v", steps)
					case st.do == takeDrain && jobs[st.i].Kind == Replace, st.do == takeCancel:
						drains++
					case st.do == takeLaunch:
						comeBack++
					}
				}
			}
			// invariant D4
			if now := away + min(drains, s.atOnce); !moves && !retires && now > most {
				rt.Fatalf("%d jobs are away: %v", now, stages)
			}
			away += drains - comeBack
			launches = launches || comeBack > 0
		}
		if away != 0 {
			rt.Fatalf("%d jobs stay away: %v", away, stages)
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
