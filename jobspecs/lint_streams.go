package jobspecs

import (
	"slices"
	"strings"
)

// streamSetRules are about a StreamJob and the other documents of a load.
func streamSetRules() []Rule {
	of := []string{KindStreamJob}
	return []Rule{{
		Name: "shared-subscription", Kinds: of,
		Finds: "two StreamJobs that read one subscription",
		Why:   "Pub/Sub gives each message to one reader: each StreamJob sees a part of the events, and ids of events are handed on by subscription, so duplicates get through. kappa deploy apply refuses to launch the second.",
		Mend:  "give each StreamJob subscriptions of its own to the same topics",
		check: on((*linter).sharedSubscription),
	}, {
		Name: "split-count-differs", Kinds: of,
		Finds: "a StreamJob with more or fewer subscriptions than the Bridge of the same prefix has topics",
		Why:   "With fewer, nobody reads the last topics and their events are in no number. With more, the last subscriptions are not those of the Bridge's topics: something else is read from them, or nothing.",
		Mend:  "set spec.sources.count to the Bridge's spec.split.count",
		check: on(func(l *linter, j *StreamJob) {
			others(l, func(b *Bridge) {
				if n, m := j.Spec.Sources.Count, b.Spec.Split.Count; b.Spec.feeds(&j.Spec) && n != m {
					l.warn("spec.sources.count", "%s are read, but Bridge %s publishes to %s", counted(n, "subscription"), b.Metadata.Name, counted(m, "topic"))
				}
			})
		}),
	}, {
		Name: "shared-aggregate", Kinds: of,
		Finds: "two StreamJobs that write one aggregate: one BigQuery table, or one aggregation in one Bigtable table",
		Why:   "Readers add up what all writers of a table have written. Two StreamJobs over the same events count each of them twice, and a comparison waits for the watermarks of one StreamJob only.",
		Mend:  "give the aggregation a table and a name of its own; to deploy under another name, drain the old StreamJob and remove it",
		check: on((*linter).sharedAggregate),
	}, {
		Name: "horizon-shorter-than-cutoff", Kinds: of,
		Finds: "a horizon that is shorter than the time for which the batch side of a Comparison took events",
		Why:   "Events between the two are in the old numbers, but too late for the new: the comparison finds differences that no redeploy mends.",
		Mend:  "set spec.horizon to the Comparison's spec.batch.cutoff at least",
		check: on(func(l *linter, j *StreamJob) {
			others(l, func(c *Comparison) {
				if cutoff := c.Spec.Batch.Cutoff; c.Spec.Stream.Job == j.Metadata.Name && j.Spec.Pipeline != PipelineOther && j.Spec.Horizon < cutoff {
					l.warn("spec.horizon", "events more than %s late are dropped, but the batch side of Comparison %s took them for %s", j.Spec.Horizon, c.Metadata.Name, cutoff)
				}
			})
		}),
	}}
}

func (l *linter) sharedSubscription(j *StreamJob) {
	mine := map[string]bool{}
	for _, name := range j.Spec.Sources.Names() {
		mine[name] = true
	}
	earlier(l, func(o *StreamJob) {
		a, b := o.Spec.Sources.SubscriptionPrefix, j.Spec.Sources.SubscriptionPrefix
		if o.Spec.Project != j.Spec.Project || !(strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			return
		}
		var shared []string
		for _, name := range o.Spec.Sources.Names() {
			if mine[name] {
				shared = append(shared, name)
			}
		}
		if len(shared) > 0 {
			l.warn("spec.sources.subscriptionPrefix", "StreamJob %s reads %s, too (%s)", o.Metadata.Name, shared[0], counted(len(shared), "shared subscription"))
		}
	})
}

func (l *linter) sharedAggregate(j *StreamJob) {
	earlier(l, func(o *StreamJob) {
		if o.Spec.Project != j.Spec.Project {
			return
		}
		mine, theirs := &j.Spec.Sinks, &o.Spec.Sinks
		for i, a := range j.Spec.Aggregations {
			path := at("spec.aggregations", i)
			if mine.BigQuery.Dataset == theirs.BigQuery.Dataset &&
				slices.ContainsFunc(o.Spec.Aggregations, func(b Aggregation) bool { return b.Table == a.Table }) {
				l.warn(path+".table", "StreamJob %s writes table %s.%s, too", o.Metadata.Name, mine.BigQuery.Dataset, a.Table)
			} else if mine.Bigtable.Instance == theirs.Bigtable.Instance && mine.Bigtable.Table == theirs.Bigtable.Table &&
				slices.ContainsFunc(o.Spec.Aggregations, func(b Aggregation) bool { return b.Name == a.Name }) {
				l.warn(path+".name", "StreamJob %s writes aggregation %s into Bigtable table %s, too", o.Metadata.Name, a.Name, mine.Bigtable.Table)
			}
		}
	})
}
