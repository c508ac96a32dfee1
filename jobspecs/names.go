package jobspecs

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Names that follow from a spec. All are short names: the full ones are
// projects/P/topics/T and projects/P/subscriptions/S.

// Topic is the name of split i's topic.
func (s Split) Topic(i int) string { return s.TopicPrefix + strconv.Itoa(i) }

// Topics are the names of all topics of the split.
func (s Split) Topics() []string { return numbered(s.Count, s.Topic) }

// Topics are the names of all topics of the destination, each once: those of
// the split in their order, or those of the route by name.
func (s *BridgeSpec) Topics() []string {
	if len(s.Route.Topics) == 0 {
		return s.Split.Topics()
	}
	topics := slices.Collect(maps.Values(s.Route.Topics))
	if s.Route.Default != "" {
		topics = append(topics, s.Route.Default)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// UsesPubSub reports whether anything is published to Pub/Sub.
func (s *BridgeSpec) UsesPubSub() bool {
	return s.Destination.Kind != DestinationKafka || s.DeadLetter.Topic != ""
}

// SourceNames are the names of the sources, sorted.
func (s *BridgeSpec) SourceNames() []string { return slices.Sorted(maps.Keys(s.Sources)) }

// Name is the name of subscription i.
func (s Subscriptions) Name(i int) string { return s.SubscriptionPrefix + strconv.Itoa(i) }

// Names are the names of all subscriptions.
func (s Subscriptions) Names() []string { return numbered(s.Count, s.Name) }

// JobName is the name of job i of the group.
func (j *StreamJob) JobName(i int) string { return j.Metadata.Name + "-" + strconv.Itoa(i) }

// JobNames are the names of all jobs of the group.
func (j *StreamJob) JobNames() []string { return numbered(j.Spec.Jobs, j.JobName) }

// JobSubscriptions are the names of the subscriptions that job i reads:
// subscription s belongs to job s modulo the number of jobs.
func (j *StreamJob) JobSubscriptions(i int) []string {
	var names []string
	for s := i; s < j.Spec.Sources.Count; s += max(j.Spec.Jobs, 1) {
		names = append(names, j.Spec.Sources.Name(s))
	}
	return names
}

// name is the full name of the table.
func (s *BatchLoadSpec) name() TableName { return TableName{s.Project, s.Dataset, s.Table} }

func numbered(n int, name func(int) string) []string {
	names := make([]string, 0, n)
	for i := range n {
		names = append(names, name(i))
	}
	return names
}

// JournalFolder is where the history of deployments and the lease are kept:
// gs://BUCKET/PREFIX or a path of this machine.
func (j *StreamJob) JournalFolder() string {
	if j.Spec.Journal != "" {
		return j.Spec.Journal
	}
	return strings.TrimSuffix(j.Spec.Staging, "/") + "/" + j.Metadata.Name
}
