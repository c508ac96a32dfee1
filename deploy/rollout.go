package deploy

// This file decides, without I/O, in which order the jobs of a plan are taken.

// taking is what is done in a step.
type taking int

const (
	takeEnd    taking = iota // record how a generation ended
	takeSettle               // adopt a job, or wait until one that is kept runs
	takeResize               // change the bounds of a job that runs
	takeDrain
	takeLaunch
)

// step is a step of a rollout: what is done about the i-th job of the plan.
type step struct {
	do taking
	i  int
}

// rollout is the steps of a plan, in order. Each is begun only when the one
// before has succeeded (invariant D4).
//
//   - How generations ended comes first: what is launched reads from the
//     history whose ids have been handed over, and a job that died must be void
//     before somebody reads its messages again (invariants P3, P5).
//   - What runs and goes on is seen to, and gets its workers, before anything is
//     taken away.
//   - Then the jobs that are away come back, so that not one more is away when
//     the first of those that run is drained (invariant D4).
//   - Those that run are replaced one after the other; or, if subscriptions
//     move between jobs, all are drained before any is launched.
func rollout(jobs []Action, reshard bool) []step {
	var steps []step
	add := func(do taking, kinds ...Kind) {
		for i, a := range jobs {
			for _, k := range kinds {
				if a.Kind == k {
					steps = append(steps, step{do, i})
				}
			}
		}
	}
	for i, a := range jobs {
		if a.Ended != nil {
			steps = append(steps, step{takeEnd, i})
		}
	}
	add(takeSettle, Keep, Adopt)
	add(takeResize, Resize)
	for i, a := range jobs {
		if a.Kind == Retire && a.Drains != nil {
			reshard = true // its subscriptions go to others
			steps = append(steps, step{takeDrain, i})
		}
	}
	if reshard {
		add(takeDrain, Replace)
		add(takeLaunch, Launch, Replace)
		return steps
	}
	add(takeLaunch, Launch)
	for i, a := range jobs {
		if a.Kind == Replace {
			steps = append(steps, step{takeDrain, i}, step{takeLaunch, i})
		}
	}
	return steps
}
