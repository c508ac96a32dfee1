package jobspecs

import (
	"slices"
	"strings"
)

// unmergeable are measures that people ask for and that cannot be: what a window
// has in several panes, generations and jobs is added up by its readers (rule
// P2), and these cannot be.
var unmergeable = []string{"avg", "average", "mean", "median", "distinct", "count_distinct", "unique", "percentile", "quantile", "stddev", "variance", "first", "last", "latest", "rate", "ratio"}

// refusedHint says why a value or a field is refused on purpose that people
// try, and what to do instead; "" where it is none of those.
func refusedHint(path, text string) string {
	switch index.ReplaceAllString(path, "") {
	case "spec.sources.subscriptionPrefix":
		if strings.Contains(text, "/topics/") {
			return "a job reads subscriptions, never a topic: what is published to a topic between two jobs would be lost. Write the prefix of the subscriptions' names, without projects/PROJECT/subscriptions/"
		}
		if strings.Contains(text, "/subscriptions/") {
			return "write the prefix of the names alone, without projects/PROJECT/subscriptions/"
		}
	case "spec.sources.topic", "spec.sources.topics", "spec.sources.topicPrefix":
		return "a job reads subscriptions, never a topic: what is published to a topic between two jobs would be lost. Write subscriptionPrefix"
	case "spec.aggregations.measures.type", "spec.metrics.type":
		if slices.Contains(unmergeable, strings.ToLower(text)) {
			return "it does not merge: a window's value is put together from those of several panes, generations and jobs. Take sum and count, and divide where it is read; it is one of count, sum, min, max"
		}
	}
	return ""
}
