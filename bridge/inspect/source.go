package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// source is a Kafka cluster that is looked at.
type source struct {
	name    string
	spec    jobspecs.KafkaSource
	client  *kgo.Client
	admin   *kadm.Client
	cluster string
	topics  []kadm.TopicDetail
	// Of every partition of the topics.
	start, end, hourAgo kadm.ListedOffsets
	committed           kadm.OffsetResponses
	sizes               map[string]map[int32]int64 // nil: the brokers do not say
}

// open connects to a source and looks at it. It returns nil if there is nothing
// to read from.
func (n *inspection) open(ctx context.Context, name string) *source {
	s := &source{name: name, spec: n.spec.Sources[name]}
	subject := "Kafka " + name
	ctx, cancel := context.WithTimeout(ctx, n.Wait)
	defer cancel()
	client, err := kafka.Connect(ctx, s.spec.KafkaCluster, "kappa-bridge-check")
	if err != nil {
		n.failed(subject, err)
		return nil
	}
	s.client, s.admin = client, kadm.NewClient(client)
	topics, meta, err := kafka.Topics(ctx, s.admin, s.spec)
	if err == nil && meta.Cluster == "" {
		err = errors.New("the brokers do not report a cluster id, which positions are made of")
	}
	if err != nil {
		n.failed(subject+" topics", err)
		client.Close()
		return nil
	}
	s.cluster, s.topics = meta.Cluster, topics.Sorted()
	n.ok(subject, fmt.Sprintf("cluster %s, %s, %s%s", meta.Cluster, report.Quantity(int64(len(meta.Brokers)), "broker"), authentication(s.spec.KafkaCluster), encryption(s.spec.KafkaCluster)))
	if len(s.topics) == 0 {
		n.add(Check{Subject: subject + " topics", State: Warned, Detail: "no topic matches the pattern " + s.spec.TopicPattern + " yet"})
		client.Close()
		return nil
	}
	n.topicIDs(s, subject)
	n.permitted(ctx, s, subject)
	n.group(ctx, s, subject)
	if err := s.offsets(ctx, n.Now()); err != nil {
		n.failed(subject+" offsets", kafka.Explain(err, s.spec.KafkaCluster))
		client.Close()
		return nil
	}
	n.logDirs(ctx, s, subject)
	return s
}

func authentication(c jobspecs.KafkaCluster) string {
	if c.SASL.Mechanism == "" {
		return "no authentication"
	}
	return c.SASL.Mechanism
}

func encryption(c jobspecs.KafkaCluster) string {
	if c.TLS.Enabled {
		return ", TLS"
	}
	return ""
}

// topicIDs looks for what ids made from positions need.
func (n *inspection) topicIDs(s *source, subject string) {
	var without, wide []string
	for _, t := range s.topics {
		if t.ID == (kadm.TopicID{}) {
			without = append(without, t.Topic)
		}
		if len(t.Partitions) > 1<<16 {
			wide = append(wide, t.Topic)
		}
	}
	if n.spec.IDs.From == "position" && len(without)+len(wide) > 0 {
		detail, hint := "without topic id: "+strings.Join(without, ", "), "set ids.from: fields, or upgrade the brokers to Kafka 2.8"
		if len(wide) > 0 {
			detail, hint = "more than 65,536 partitions: "+strings.Join(wide, ", "), "set ids.from: fields"
		}
		n.add(Check{subject + " topics", Failed, detail, hint})
		return
	}
	names := make([]string, len(s.topics))
	for i, t := range s.topics {
		names[i] = t.Topic + " (" + report.Quantity(int64(len(t.Partitions)), "partition") + ")"
	}
	n.ok(subject+" topics", shortList(names))
}

// permitted asks the brokers what the client may do to the topics. Brokers
// without authorization say nothing, or that everything is allowed.
func (n *inspection) permitted(ctx context.Context, s *source, subject string) {
	subject += " read permission"
	denied, known, err := deniedTopics(ctx, s.client, names(s.topics), kmsg.ACLOperationRead)
	switch {
	case err != nil:
		n.add(Check{subject, Skipped, "the brokers do not say: " + err.Error(), ""})
	case !known:
		n.add(Check{subject, Skipped, "the brokers do not say; reading the samples shows it", ""})
	case len(denied) > 0:
		n.add(Check{subject, Failed, "not on " + shortList(denied), "allow the operation Read on the topics"})
	default:
		n.ok(subject, "on all topics")
	}
}

// deniedTopics are the topics on which an operation is not allowed; known is
// false where the brokers do not say.
func deniedTopics(ctx context.Context, client *kgo.Client, topics []string, op kmsg.ACLOperation) (denied []string, known bool, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, false, err
	}
	for _, t := range resp.Topics {
		if t.AuthorizedOperations == -1<<31 || t.AuthorizedOperations == 0 || t.Topic == nil {
			continue
		}
		known = true
		if t.AuthorizedOperations&(1<<op) == 0 {
			denied = append(denied, *t.Topic)
		}
	}
	return denied, known, nil
}

func names(topics []kadm.TopicDetail) []string {
	list := make([]string, len(topics))
	for i, t := range topics {
		list[i] = t.Topic
	}
	return list
}

// group looks at the consumer group.
func (n *inspection) group(ctx context.Context, s *source, subject string) {
	subject += " group " + s.spec.Group
	offsets, err := kafka.Committed(ctx, s.admin, s.spec.Group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		n.failed(subject, kafka.Explain(err, s.spec.KafkaCluster))
		return
	}
	s.committed = offsets
	described, err := s.admin.DescribeGroups(ctx, s.spec.Group)
	if err == nil {
		err = described.Error()
	}
	switch g := described[s.spec.Group]; {
	case errors.Is(err, kerr.GroupIDNotFound):
		n.ok(subject, "does not exist yet: reading begins at "+s.spec.Start)
	case err != nil:
		n.failed(subject, kafka.Explain(err, s.spec.KafkaCluster))
	case g.ProtocolType != "" && g.ProtocolType != "consumer":
		n.add(Check{subject, Failed, "is no group of consumers but of " + g.ProtocolType, "name another group"})
	case len(g.AuthorizedOperations) > 0 && !slices.Contains(g.AuthorizedOperations, kmsg.ACLOperationRead) && !slices.Contains(g.AuthorizedOperations, kmsg.ACLOperationAll):
		n.add(Check{subject, Failed, "cannot be joined", "allow the operation Read on the group"})
	case len(g.Members) > 0:
		n.ok(subject, fmt.Sprintf("%s, %s", strings.ToLower(g.State), report.Quantity(int64(len(g.Members)), "member")))
	case len(offsets) > 0:
		n.ok(subject, "has committed offsets, and no members now")
	default:
		n.ok(subject, "has committed nothing: reading begins at "+s.spec.Start)
	}
}

// offsets asks for the bounds of every partition.
func (s *source) offsets(ctx context.Context, now time.Time) (err error) {
	topics := names(s.topics)
	if s.start, err = s.admin.ListStartOffsets(ctx, topics...); err != nil {
		return err
	}
	if s.end, err = s.admin.ListEndOffsets(ctx, topics...); err != nil {
		return err
	}
	if s.hourAgo, err = s.admin.ListOffsetsAfterMilli(ctx, now.Add(-time.Hour).UnixMilli(), topics...); err != nil {
		return err
	}
	return errors.Join(s.start.Error(), s.end.Error(), s.hourAgo.Error())
}

// logDirs asks the brokers for the partitions' sizes.
func (n *inspection) logDirs(ctx context.Context, s *source, subject string) {
	want := kadm.TopicsSet{}
	leaders := map[string]map[int32]int32{}
	for _, t := range s.topics {
		leaders[t.Topic] = map[int32]int32{}
		for _, p := range t.Partitions {
			want.Add(t.Topic, p.Partition)
			leaders[t.Topic][p.Partition] = p.Leader
		}
	}
	dirs, err := s.admin.DescribeAllLogDirs(ctx, want)
	if err == nil {
		for _, d := range dirs {
			err = errors.Join(err, d.Error())
		}
	}
	if err != nil {
		n.add(Check{subject + " log sizes", Skipped, "the brokers do not say, so that bytes are estimated from the samples: " + err.Error(), "allow the operation Describe on the cluster"})
		return
	}
	s.sizes = map[string]map[int32]int64{}
	dirs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if leader, ok := leaders[p.Topic][p.Partition]; !ok || leader != d.Broker || p.IsFuture {
				return
			}
			if s.sizes[p.Topic] == nil {
				s.sizes[p.Topic] = map[int32]int64{}
			}
			s.sizes[p.Topic][p.Partition] += p.Size
		})
	})
}

// describe makes the report of a topic; mean is the mean size of its sampled
// records.
func (s *source) describe(t kadm.TopicDetail, mean float64) Topic {
	r := Topic{Source: s.name, Topic: t.Topic, Partitions: len(t.Partitions), Estimated: s.sizes == nil}
	var parts []Part
	for _, p := range t.Partitions.Sorted() {
		start, _ := s.start.Lookup(t.Topic, p.Partition)
		end, _ := s.end.Lookup(t.Topic, p.Partition)
		ago, _ := s.hourAgo.Lookup(t.Topic, p.Partition)
		part := Part{Name: strconv.Itoa(int(p.Partition)), Records: end.Offset - start.Offset}
		if s.sizes == nil {
			part.Bytes = int64(mean * float64(part.Records))
		} else {
			part.Bytes = s.sizes[t.Topic][p.Partition]
		}
		from := start.Offset
		if c, ok := s.committed.Lookup(t.Topic, p.Partition); ok && c.At >= 0 {
			from = max(from, c.At)
		} else if s.spec.Start == jobspecs.StartLatest {
			from = end.Offset
		}
		r.Backlog += max(0, end.Offset-from)
		r.PerSecond += float64(max(0, end.Offset-max(start.Offset, ago.Offset))) / 3600
		r.Records += part.Records
		r.Bytes += part.Bytes
		parts = append(parts, part)
	}
	r.Skew = skewOf(parts)
	return r
}
