package jobspecs

// updateRules are about how the jobs of a StreamJob are replaced.
func updateRules() []Rule {
	of := []string{KindStreamJob}
	return []Rule{{
		Name: "cancel-strategy", Kinds: of,
		Finds: "jobs that are replaced by cancelling them",
		Why:   "A job that is cancelled loses its state, open windows included, and its generation is void: none of its numbers count any more, from its first day on, until its successor has read all of it again, or a backfill has recomputed it. A drain loses nothing.",
		Mend:  "set spec.update.strategy: drain; kappa deploy apply refuses to cancel without --accept-loss",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Update.Strategy == StrategyCancel {
				l.warn("spec.update.strategy", "each redeploy makes the numbers of a generation void")
			}
		}),
	}, {
		Name: "update-without-streaming-engine", Kinds: of,
		Finds: "jobs that are updated in place without Streaming Engine",
		Why:   "The state lies on the disks of the workers, which have to change hands: the job stands still meanwhile, and the service refuses an update to fewer workers than the disks need.",
		Mend:  "set spec.tuning.streamingEngine: true, or spec.update.strategy: drain",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Update.InPlace() && !j.Spec.Tuning.StreamingEngine {
				l.warn("spec.update.strategy", "the state lies on the disks of the workers")
			}
		}),
	}, {
		Name: "update-in-sandbox", Kinds: of,
		Finds: "jobs of kappa-pipeline in the sandbox that are updated in place",
		Why:   "In the sandbox kappa-pipeline keeps its state in the memory of its process and cannot hand it over: the service fails the new job, the old one goes on, and no change ever gets through.",
		Mend:  "set spec.update.strategy: drain for the sandbox, in an overlay if the strategy is meant for production",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Update.InPlace() && j.Spec.Environment == "sandbox" && j.Spec.Pipeline == PipelineKappa {
				l.warn("spec.update.strategy", "the sandbox cannot update kappa-pipeline in place")
			}
		}),
	}}
}
