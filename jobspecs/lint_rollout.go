package jobspecs

// rolloutRules are about how a change goes through the jobs of a group.
func rolloutRules() []Rule {
	of := []string{KindStreamJob}
	return []Rule{{
		Name: "unwatched-rollout", Kinds: of,
		Finds: "a rollout in production that goes on as soon as a job runs: healthyFor: 0s, and no other condition",
		Why:   "A job runs as soon as its workers have started, whether or not it can read, or write what it has read. A new version that cannot is then in all jobs within minutes.",
		Mend:  "set spec.update.rollout.conditions.healthyFor to half a minute or more",
		check: on(func(l *linter, j *StreamJob) {
			if c := j.Spec.Update.Rollout.Conditions; j.Spec.Environment == production && j.Spec.Jobs > 1 && c.HealthyFor == 0 && !c.judged() {
				l.warn(pathConditions+".healthyFor", "%s are replaced one after the other without a look at any", counted(j.Spec.Jobs, "job"))
			}
		}),
	}, {
		Name: "canary-without-conditions", Kinds: of,
		Finds: "canaries that only have to run, with their watermarks moving",
		Why:   "A canary is there to show what is wrong with a new version while it is in one job only. A job whose watermark moves may write wrong numbers, fall behind or fail at every other message.",
		Mend:  "set maxErrorsPerMinute, maxWatermarkAge or comparison in spec.update.rollout.conditions",
		check: on(func(l *linter, j *StreamJob) {
			if r := j.Spec.Update.Rollout; r.Canary > 0 && !r.Conditions.judged() {
				l.warn(pathRollout+".canary", "%s for %s, and nothing is asked of it but that its watermark moves", counted(r.Canary, "canary job"), r.CanaryFor)
			}
		}),
	}, {
		Name: "canary-without-rest", Kinds: of,
		Finds: "as many canaries as there are jobs",
		Why:   "Canaries go before the rest. Without a rest nobody is spared, and nothing is waited for.",
		Mend:  "set spec.update.rollout.canary below spec.jobs",
		check: on(func(l *linter, j *StreamJob) {
			if n := j.Spec.Update.Rollout.Canary; n > 0 && n == j.Spec.Jobs {
				l.warn(pathRollout+".canary", "all %s are canaries", counted(n, "job"))
			}
		}),
	}}
}

// judged reports whether more is asked of a job than that it runs, and how far it
// is.
func (c Conditions) judged() bool {
	return c.MaxWatermarkAge > 0 || c.MaxErrorsPerMinute >= 0 || c.Comparison != ""
}
