package jobspecs

import (
	"regexp"
	"slices"
	"strings"
)

// clusterRules are about what Bridges do to themselves and to each other.
func clusterRules() []Rule {
	of := []string{KindBridge}
	return []Rule{{
		Name: "reads-own-output", Kinds: of,
		Finds: "a bridge that reads a Kafka topic to which it writes, as its destination or for dead letters",
		Why:   "Every record comes back and is published again, without end.",
		Mend:  "write to another topic, or narrow spec.sources: a topicPattern must not match it",
		check: on((*linter).readsOwnOutput),
	}, {
		Name: "shared-consumer-group", Kinds: of,
		Finds: "two sources, of one Bridge or of two, that read one topic of one cluster in one consumer group",
		Why:   "Kafka gives each partition to one member of a group: each source gets a part of the topic, and the rest is published by the other alone.",
		Mend:  "give each source a group of its own",
		check: on((*linter).sharedGroup),
	}, {
		Name: "split-differs", Kinds: of,
		Finds: "two Bridges that publish to topics of one prefix with another count or key",
		Why:   "The count and the key decide which topic an event goes to. Where they differ, equal keys go to different topics, and some topics get from one bridge only.",
		Mend:  "give both the same spec.split, or another topicPrefix",
		check: on(func(l *linter, b *Bridge) {
			earlier(l, func(o *Bridge) {
				s, t := &b.Spec.Split, &o.Spec.Split
				if s.TopicPrefix != "" && s.TopicPrefix == t.TopicPrefix && b.Spec.sameDestination(&o.Spec) &&
					(s.Count != t.Count || !slices.Equal(s.Key, t.Key)) {
					l.warn("spec.split", "topics %s… are split by %s, but by %s in Bridge %s", s.TopicPrefix, s.by(), t.by(), o.Metadata.Name)
				}
			})
		}),
	}, {
		Name: "namespace-with-two-keys", Kinds: of,
		Finds: "two Bridges that make ids of one namespace from different fields",
		Why:   "An event that passes both gets two ids, and counts twice. Where events differ in kind, equal values give two of them one id, and the second does not count.",
		Mend:  "one kind of event has one namespace and one list of spec.ids.fields; another kind has another namespace",
		check: on(func(l *linter, b *Bridge) {
			earlier(l, func(o *Bridge) {
				s, t := &b.Spec.IDs, &o.Spec.IDs
				if s.Namespace != "" && s.Namespace == t.Namespace && !slices.Equal(s.Fields, t.Fields) {
					l.warn("spec.ids.fields", "ids of namespace %s are made from %s, but from %s in Bridge %s",
						s.Namespace, strings.Join(s.Fields, ", "), strings.Join(t.Fields, ", "), o.Metadata.Name)
				}
			})
		}),
	}, {
		Name: "event-time-of-record", Kinds: of,
		Finds: "a Bridge that takes the record's timestamp for the event time, though the StreamJob that reads its topics declares a field of type TIMESTAMP",
		Why:   "The record's timestamp says when the producer sent it, or when the broker took it. Windows are then of that time: what comes late counts in the wrong one.",
		Mend:  "name the field in spec.eventTime.field, as it is called after the transform",
		check: on((*linter).recordTime),
	}}
}

func (l *linter) readsOwnOutput(b *Bridge) {
	s := &b.Spec
	for _, name := range s.SourceNames() {
		src := s.Sources[name]
		if d := &s.DeadLetter.Kafka; d.Topic != "" && d.same(&src.KafkaCluster) && src.reads(d.Topic) {
			l.warn("spec.deadLetter.kafka.topic", "source %s reads topic %s, the dead letters", name, d.Topic)
		}
		if s.Destination.Kind != DestinationKafka || !s.Destination.Kafka.same(&src.KafkaCluster) {
			continue
		}
		for _, topic := range s.Topics() {
			if src.reads(topic) {
				l.warn(join("spec.sources", name), "source %s reads topic %s, which the bridge writes", name, topic)
				break
			}
		}
	}
}

// reads reports whether the source reads a topic.
func (s *KafkaSource) reads(topic string) bool {
	if s.TopicPattern == "" {
		return slices.Contains(s.Topics, topic)
	}
	re, err := regexp.Compile("^(?:" + s.TopicPattern + ")$")
	return err == nil && re.MatchString(topic)
}

// common returns a topic that both sources read, as far as the specs tell.
func (s *KafkaSource) common(o *KafkaSource) (string, bool) {
	for _, t := range s.Topics {
		if o.reads(t) {
			return t, true
		}
	}
	for _, t := range o.Topics {
		if s.reads(t) {
			return t, true
		}
	}
	return s.TopicPattern, s.TopicPattern != "" && s.TopicPattern == o.TopicPattern
}

func (l *linter) sharedGroup(b *Bridge) {
	names := b.Spec.SourceNames()
	for i, name := range names {
		src := b.Spec.Sources[name]
		hold := func(o KafkaSource, whose string) {
			if src.Group != o.Group || !src.same(&o.KafkaCluster) {
				return
			}
			if topic, ok := src.common(&o); ok {
				l.warn(join("spec.sources", name)+".group", "%s reads %s in group %s, too", whose, topic, src.Group)
			}
		}
		for _, other := range names[:i] {
			hold(b.Spec.Sources[other], "source "+other)
		}
		earlier(l, func(o *Bridge) {
			for _, other := range o.Spec.SourceNames() {
				hold(o.Spec.Sources[other], "Bridge "+o.Metadata.Name)
			}
		})
	}
}

// sameDestination reports whether topics of one name are one topic.
func (s *BridgeSpec) sameDestination(o *BridgeSpec) bool {
	if s.Destination.Kind != o.Destination.Kind {
		return false
	}
	if s.Destination.Kind == DestinationKafka {
		return s.Destination.Kafka.same(&o.Destination.Kafka)
	}
	return s.Project == o.Project
}

// by says how events are split.
func (s Split) by() string {
	key := "the record's key"
	if len(s.Key) > 0 {
		key = strings.Join(s.Key, ", ")
	}
	return key + " into " + counted(s.Count, "topic")
}

// feeds reports whether the StreamJob reads the Bridge's topics: the prefix of
// its subscriptions is that of the topics.
func (s *BridgeSpec) feeds(j *StreamJobSpec) bool {
	return s.Destination.Kind == DestinationPubSub && s.Project == j.Project && s.Split.TopicPrefix == j.Sources.SubscriptionPrefix
}

func (l *linter) recordTime(b *Bridge) {
	if b.Spec.EventTime.Field != "" || l.secondHop(b) {
		return
	}
	others(l, func(j *StreamJob) {
		for _, f := range j.Spec.Event.Fields {
			if f.Type == "TIMESTAMP" && b.Spec.feeds(&j.Spec) {
				l.warn("spec.eventTime", "the event time is the record's timestamp, but StreamJob %s has a field %s of type TIMESTAMP", j.Metadata.Name, f.Name)
				return
			}
		}
	})
}

// secondHop reports whether another Bridge of the load writes what this one
// reads: the event times that it gave are kept.
func (l *linter) secondHop(b *Bridge) bool {
	found := false
	others(l, func(o *Bridge) {
		for _, src := range b.Spec.Sources {
			found = found || (o.Spec.Destination.Kind == DestinationKafka && o.Spec.Destination.Kafka.same(&src.KafkaCluster) &&
				slices.ContainsFunc(o.Spec.Topics(), src.reads))
		}
	})
	return found
}
