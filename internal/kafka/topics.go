package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Pattern compiles a topic pattern: an RE2 expression that matches whole names.
func Pattern(expr string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(whole(expr))
	if err != nil {
		return nil, exit.Usagef("topicPattern %s is no regular expression: %w", expr, err)
	}
	return re, nil
}

// whole makes an expression match whole names only: in a group of its own, or
// a|b would become ^a or b$.
func whole(expr string) string { return `\A(?:` + expr + `)\z` }

// Consume returns the options by which a client consumes the topics of s, by
// name or by pattern. Internal topics never match a pattern. A topic that appears
// later is found within discovery.
func Consume(s jobspecs.KafkaSource) []kgo.Opt {
	if s.TopicPattern == "" {
		return []kgo.Opt{kgo.ConsumeTopics(s.Topics...)}
	}
	return []kgo.Opt{kgo.ConsumeRegex(), kgo.ConsumeTopics(whole(s.TopicPattern)), kgo.MetadataMaxAge(discovery)}
}

// discovery is how often new topics are looked for; the client's default of
// 5 minutes would be the latency of a new topic's first records.
const discovery = 10 * time.Second

// Topics finds the topics of a source, with their ids and partitions, by name.
// It refuses (exit.Environment) topics that do not exist or cannot be read, and
// (exit.Usage) startOffsets of partitions that are not there, all of them at
// once. A pattern that matches nothing yet gives no topic and no error. The
// second result is the cluster: its id and brokers.
func Topics(ctx context.Context, admin *kadm.Client, s jobspecs.KafkaSource) (kadm.TopicDetails, kadm.Metadata, error) {
	ctx = uncached(ctx)
	meta, err := admin.Metadata(ctx, s.Topics...)
	if errors.Is(err, kerr.TopicAuthorizationFailed) {
		return nil, kadm.Metadata{}, denied(ctx, admin, s, err)
	}
	if err != nil {
		return nil, kadm.Metadata{}, Explain(err, s.KafkaCluster)
	}
	found := make(kadm.TopicDetails)
	var missing []string
	if s.TopicPattern != "" {
		re, err := Pattern(s.TopicPattern)
		if err != nil {
			return nil, meta, err
		}
		for name, t := range meta.Topics {
			if !t.IsInternal && re.MatchString(name) {
				found[name] = t
			}
		}
	}
	for _, name := range s.Topics {
		t, ok := meta.Topics[name]
		switch {
		case !ok:
			missing = append(missing, name+" (not found)")
		case errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name+" (not found)")
		case t.Err != nil && len(t.Partitions) == 0:
			missing = append(missing, fmt.Sprintf("%s (%v)", name, t.Err))
		default:
			found[name] = t
		}
	}
	if len(missing) > 0 {
		return nil, meta, exit.Environmentf("Kafka topics cannot be read: %s", strings.Join(missing, "; ")).
			WithHint("create them, or correct the source's topics")
	}
	return found, meta, checkStartOffsets(s, found)
}

// uncached makes the admin client ask the cluster: without it, it answers from
// a cache of up to 5 s, in which a new topic is missing and one that was created
// again still has its old id. It does so because it asks for permissions too.
func uncached(ctx context.Context) context.Context { return kadm.WithAuthorizedOps(ctx) }

// denied names the topics that may not be seen: the answer for all of them does
// not.
func denied(ctx context.Context, admin *kadm.Client, s jobspecs.KafkaSource, err error) error {
	var names []string
	for _, name := range s.Topics {
		if _, one := admin.Metadata(ctx, name); errors.Is(one, kerr.TopicAuthorizationFailed) {
			names = append(names, name)
		}
	}
	return Explain(fmt.Errorf("%s: %w", strings.Join(names, ", "), err), s.KafkaCluster)
}

// checkStartOffsets refuses startOffsets of partitions that are not there:
// nothing would ever use them. Whether an offset lies within the log is asked
// when a partition is begun with it (Starts): later on the log has moved on.
func checkStartOffsets(s jobspecs.KafkaSource, found kadm.TopicDetails) error {
	var wrong []string
	for _, at := range slices.Sorted(maps.Keys(s.StartOffsets)) {
		topic, number, _ := strings.Cut(at, "/")
		n, err := strconv.ParseInt(number, 10, 32)
		t, ok := found[topic]
		switch _, there := t.Partitions[int32(n)]; {
		case err != nil:
			wrong = append(wrong, at+" names no partition")
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%s: topic %s is not one that is read", at, topic))
		case !there:
			wrong = append(wrong, fmt.Sprintf("%s: topic %s has %d partitions, 0 to %d", at, topic, len(t.Partitions), len(t.Partitions)-1))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return exit.Usagef("startOffsets: %s", strings.Join(wrong, "; ")).WithHint("write TOPIC/PARTITION: OFFSET for partitions that are there")
}
