package jobspecs

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// deployRules are about how a StreamJob is deployed, and about other pipelines
// than kappa's.
func deployRules() []Rule {
	of := []string{KindStreamJob}
	return []Rule{{
		Name: "drain-shorter-than-window", Kinds: of,
		Finds: "windows in production that are longer than the drainTimeout",
		Why:   "A drain closes all open windows at once: what the longest of them has gathered is written in one go, and not in the course of its length. A drain that has less time for that than a window takes to fill is easily cut short, and then the job neither runs nor is replaced until somebody looks.",
		Mend:  "set spec.update.drainTimeout to the longest window at least; a drain that is done ends sooner",
		check: on(func(l *linter, j *StreamJob) {
			for i, a := range j.Spec.Aggregations {
				if d := j.Spec.Update.DrainTimeout; j.Spec.Environment == production && a.Window > d && a.Window < longWindow {
					l.warn(at("spec.aggregations", i)+".window", "windows of %s are longer than spec.update.drainTimeout, %s", a.Window, d)
				}
			}
		}),
	}, {
		Name: "drain-without-end", Kinds: of,
		Finds: "onTimeout: wait in production",
		Why:   "A pipeline that is stuck, or has a timer that sets itself again, never ends its drain, and the service sets no limit. The rollout then waits for ever, with the lease, and a job that reads nothing.",
		Mend:  "set spec.update.onTimeout: fail, and a drainTimeout that is long enough: applying again goes on waiting",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Environment == production && j.Spec.Update.OnTimeout == "wait" {
				l.warn("spec.update.onTimeout", "a drain that is stuck is waited for without end")
			}
		}),
	}, {
		Name: "whole-group-away", Kinds: of,
		Finds: "a rollout in production that may take all jobs of a group away at a time",
		Why:   "While a job is away nobody reads its subscriptions: with all of them away there is no new number at all, and what is wrong with the new version is wrong everywhere before anybody sees it.",
		Mend:  "set spec.update.rollout.parallel below spec.jobs",
		check: on(func(l *linter, j *StreamJob) {
			if p := j.Spec.Update.Rollout.Parallel; j.Spec.Environment == production && j.Spec.Jobs > 1 && p >= j.Spec.Jobs {
				l.warn("spec.update.rollout.parallel", "all %s may be away at a time", counted(j.Spec.Jobs, "job"))
			}
		}),
	}, {
		Name: "local-journal", Kinds: of,
		Finds: "a journal in production that is kept on one machine",
		Why:   "Who deploys from another machine sees neither the lease nor the history: two can deploy at a time, and a rollout that was killed there is not resumed here.",
		Mend:  "remove spec.journal, or write gs://BUCKET/PREFIX",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Environment == production && j.Spec.Journal != "" && !strings.HasPrefix(j.Spec.Journal, "gs://") {
				l.warn("spec.journal", "the journal is kept in %s of one machine", j.Spec.Journal)
			}
		}),
	}, {
		Name: "moving-template", Kinds: of,
		Finds: "a template in production whose path says latest",
		Why:   "What runs is then not what the spec says: when the file is replaced, a plan sees no change, the next launch for another reason brings new code with it, and a rollback launches the new code again.",
		Mend:  "name a version in spec.template, and write each version to a file of its own",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Environment == production && movingTemplate.MatchString(j.Spec.Template) {
				l.warn("spec.template", "the template is whatever is the latest")
			}
		}),
	}, {
		Name: "topic-source", Kinds: of,
		Finds: "a parameter of another pipeline that gives it a topic to read",
		Why:   "A job that reads a topic makes a subscription of its own and deletes it when it ends: what is published between two jobs is lost, and no plan can see what it reads.",
		Mend:  `give it the parameter for a subscription instead, with "{subscription}"`,
		check: on(func(l *linter, j *StreamJob) {
			for _, name := range slices.Sorted(maps.Keys(j.Spec.Parameters)) {
				if topicParameter.MatchString(name) {
					l.warn(join("spec.parameters", name), "the jobs read the topic %s", j.Spec.Parameters[name])
				}
			}
		}),
	}, {
		Name: "unnamed-subscription", Kinds: of,
		Finds: "another pipeline none of whose parameters names a subscription",
		Why:   "A plan checks the subscriptions of spec.sources, and hands them out among the jobs. If the jobs are not told, they read something else, or all read the same.",
		Mend:  `give the parameter for it, with "{subscription}" or "{subscriptions}"`,
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Pipeline != PipelineOther {
				return
			}
			for _, v := range j.Spec.Parameters {
				if strings.Contains(v, j.Spec.Sources.SubscriptionPrefix) || slices.ContainsFunc(placeholdersOf(v), func(p string) bool {
					return p == PlaceholderSubscription || p == PlaceholderSubscriptions
				}) {
					return
				}
			}
			l.warn("spec.parameters", "no parameter names %s", j.Spec.Sources.Name(0))
		}),
	}, {
		Name: "secret-in-parameter", Kinds: of,
		Finds: "a parameter of another pipeline that by its name holds a secret",
		Why:   "Parameters stand in the spec, in the staged copy of it, in plans and in the console of Dataflow, and stay there as long as the history does.",
		Mend:  "put the secret into Secret Manager, and give the pipeline the parameter for its name",
		check: on(func(l *linter, j *StreamJob) {
			for _, name := range slices.Sorted(maps.Keys(j.Spec.Parameters)) {
				v := j.Spec.Parameters[name]
				if secretParameter.MatchString(name) && !secretReference.MatchString(name) && !strings.HasPrefix(v, "projects/") && !strings.HasPrefix(v, "gs://") {
					l.warn(join("spec.parameters", name), "the value of %s is kept and shown", name)
				}
			}
		}),
	}, {
		Name: "replay-into-other", Kinds: of,
		Finds: "another pipeline that does not say what is read again after a job has died",
		Why:   "By default the successor reads again all that its predecessor had read, from a snapshot. kappa's own tables leave the predecessor's rows out of account; those of another pipeline have them twice, unless it drops copies. Without a replay, what the dead job had read and not yet written is lost.",
		Mend:  "set spec.sources.replay: snapshot where its sinks can take a message twice, else archive",
		check: on(func(l *linter, j *StreamJob) {
			if j.Spec.Pipeline == PipelineOther && !l.given("spec.sources.replay") {
				l.warn("spec.sources", "after a job has died, its successor writes again what it had written")
			}
		}),
	}}
}

var (
	movingTemplate  = regexp.MustCompile(`(?i)(^|[/_.-])latest([/_.-]|$)`)
	topicParameter  = regexp.MustCompile(`(?i)^(pubsub)?[-_]?(input|source|read|from)?[-_]?(pubsub)?[-_]?topics?$`)
	secretParameter = regexp.MustCompile(`(?i)password|passwd|secret|token|credential|api[-_]?key|private[-_]?key`)
	secretReference = regexp.MustCompile(`(?i)(id|name|source|version|path|file|kms[a-z]*key)$`)
)
