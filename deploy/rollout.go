package deploy

import "slices"

// This file decides, without I/O, in which order the jobs of a plan are taken,
// and which of them at the same time.

// taking is what is done in a step.
type taking int

const (
	takeEnd    taking = iota // record how a generation ended
	takeSettle               // adopt a job, or wait until one that is kept runs
	takeResize               // change the bounds of a job that runs
	takeDrain
	takeCancel
	takeUpdate  // have the service replace a job in place
	takeUpdated // record that it has
	takeLaunch
	takeHealth // wait until a job is healthy
	takeCanary // wait until a canary has been healthy for long enough
)

// step is a step of a rollout: what is done about the i-th job of the plan.
type step struct {
	do taking
	i  int
}

// stage is a part of a rollout. Its chains are taken side by side, each step by
// step; a stage is begun when the one before has succeeded (invariant D4).
type stage struct {
	chains [][]step
	atOnce int // most chains that are under way
}

// course is how the spec wants the jobs of a plan to be taken.
type course struct {
	order    []int // places in the plan, all of them
	canary   int   // of how many jobs, the first in order, the rest waits for
	parallel int   // most jobs that are away at a time
	recheck  bool  // those that are kept have to be healthy, even if nothing is replaced
}

// settleAtOnce is how many jobs that run and go on are looked at side by side.
const settleAtOnce = 16

// inOrder are the places of n jobs: those that the spec names first, then the
// rest as they are, the ones that the spec has no more last.
func inOrder(first []int, n int) []int {
	var out []int
	for _, i := range first {
		if i < n && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	for i := range n {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// replacing are the steps by which a job that runs is replaced; none if it is
// not.
func replacing(a Action, i int) []step {
	switch a.Kind {
	case Replace:
		return []step{{takeDrain, i}, {takeLaunch, i}, {takeHealth, i}}
	case Cancel:
		return []step{{takeCancel, i}, {takeLaunch, i}, {takeHealth, i}}
	case Update:
		return []step{{takeUpdate, i}, {takeHealth, i}}
	}
	return nil
}

// rollout is the stages of a plan, in order.
//
//   - How generations ended comes first: what is launched reads from the
//     history whose ids have been handed over, and a job that died must be void
//     before somebody reads its messages again (invariants P3, P5).
//   - What runs and goes on is seen to, and gets its workers, before anything is
//     taken away.
//   - Then the jobs that are away come back, so that not one more is away when
//     the first of those that run is drained (invariant D4).
//   - Those that run are replaced, as many at a time as the spec lets be away:
//     the canaries, and once they have been healthy for long enough the rest.
//     Before that those that are kept have to be healthy too: they may be what an
//     Apply that was killed has replaced, and did not see to its end.
//   - If subscriptions move between jobs, all are drained before any is launched;
//     then all are away, and there are no canaries.
func rollout(jobs []Action, reshard bool, c course) []stage {
	var stages []stage
	add := func(atOnce int, chains [][]step) {
		if len(chains) > 0 {
			stages = append(stages, stage{chains, atOnce})
		}
	}
	of := func(do []taking, kinds ...Kind) (chains [][]step) {
		for _, i := range c.order {
			if slices.Contains(kinds, jobs[i].Kind) {
				var chain []step
				for _, d := range do {
					chain = append(chain, step{d, i})
				}
				chains = append(chains, chain)
			}
		}
		return chains
	}
	var ends, retires, canaries, bakes, rest [][]step
	n := 0 // jobs of the spec so far
	for _, i := range c.order {
		a := jobs[i]
		var recorded []step
		if a.Updated != nil {
			recorded = append(recorded, step{takeUpdated, i})
		}
		if a.Ended != nil {
			recorded = append(recorded, step{takeEnd, i})
		}
		if recorded != nil {
			ends = append(ends, recorded)
		}
		if a.Kind == Retire {
			if a.Drains != nil {
				reshard = true // its subscriptions go to others
				retires = append(retires, []step{{takeDrain, i}})
			}
			continue
		}
		n++
		canary := n <= c.canary
		if canary {
			bakes = append(bakes, []step{{takeCanary, i}})
		}
		switch chain := replacing(a, i); {
		case chain == nil:
		case canary:
			canaries = append(canaries, chain)
		default:
			rest = append(rest, chain)
		}
	}
	add(1, ends)
	add(settleAtOnce, of([]taking{takeSettle}, Keep, Adopt))
	add(c.parallel, of([]taking{takeResize, takeHealth}, Resize))
	launched := []taking{takeLaunch, takeHealth}
	kept := of([]taking{takeHealth}, Keep, Adopt)
	if reshard {
		add(c.parallel, retires)
		add(c.parallel, of([]taking{takeDrain}, Replace))
		add(c.parallel, of([]taking{takeCancel}, Cancel))
		add(c.parallel, of(launched, Launch, Replace, Cancel))
		add(c.parallel, of([]taking{takeUpdate, takeHealth}, Update))
		if c.recheck {
			add(settleAtOnce, kept)
		}
		return stages
	}
	add(c.parallel, of(launched, Launch))
	if c.recheck || len(canaries)+len(rest) > 0 {
		add(settleAtOnce, kept)
	}
	add(c.parallel, canaries)
	if len(rest) > 0 { // else there is nobody left to be spared
		add(len(bakes), bakes)
	}
	add(c.parallel, rest)
	return stages
}
