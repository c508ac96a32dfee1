package terraform

import (
	"fmt"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/jobspecs"
)

const (
	day = 24 * time.Hour
	// maxRetention is the longest that Pub/Sub keeps a message for a subscription.
	maxRetention = 31 * day
	// minRetention is as long as a snapshot lives.
	minRetention = 7 * day
	// ackDeadline is how long a worker may pause before its messages are
	// delivered again: deploy warns of less.
	ackDeadline = 60
)

// Retention is how long the subscriptions of a StreamJob keep what nobody has
// read. A message that is deleted unread is lost, so it is as long as a job may
// be away and its events still count: the horizon, with the longest wait for a
// drain and a start; never less than a snapshot lives.
func Retention(j *jobspecs.StreamJob) time.Duration {
	s := j.Spec
	d := s.Horizon.D() + s.Update.DrainTimeout.D() + s.Update.StartTimeout.D()
	d = (d + day - 1) / day * day
	return min(max(d, minRetention), maxRetention)
}

// thing names what a project has, as a key of refs.
func thing(kind, project, name string) string { return kind + " " + project + "/" + name }

// bridge adds what a Bridge publishes to.
func (g *generator) bridge(b *jobspecs.Bridge) {
	s := &b.Spec
	if !s.UsesPubSub() {
		return
	}
	var topics []string
	if s.Destination.Kind == jobspecs.DestinationPubSub {
		topics = s.Topics()
		g.topics(b, topics)
	}
	g.deadLetters(b)
	g.bridgeAccount(b, topics)
}

// topics adds the topics of a destination that no other document has, and their
// archive.
func (g *generator) topics(b *jobspecs.Bridge, topics []string) {
	name, project := b.Metadata.Name, b.Spec.Project
	var own []string
	for _, t := range topics {
		if g.refs[thing("topic", project, t)] == "" {
			own = append(own, t)
		}
	}
	if len(own) == 0 {
		return
	}
	body := []item{
		attr("for_each", call("toset", strs(own))),
		blank(),
		attr("project", str(project)),
		attr("name", raw("each.value")),
	}
	body = append(append(body, labels(b.Metadata)...), kept()...)
	address := g.resource(filePubSub, "google_pubsub_topic", identifier(name), thing("bridge", project, name),
		"What bridge "+name+" publishes to.", own, body...)
	for _, t := range own {
		g.refs[thing("topic", project, t)] = address + "[" + quote(t) + "]"
	}
	g.archive(b, address, own)
}

// deadLetters adds the topic of a bridge's dead letters, with a subscription: a
// topic alone keeps nothing.
func (g *generator) deadLetters(b *jobspecs.Bridge) {
	name, project, topic := b.Metadata.Name, b.Spec.Project, b.Spec.DeadLetter.Topic
	if topic == "" {
		return
	}
	if shared := g.refs[thing("letters", project, topic)]; shared != "" {
		g.output(outDeadLetters, name, raw(shared+".name"))
		return
	}
	ref := g.refs[thing("topic", project, topic)]
	if ref == "" {
		body := []item{attr("project", str(project)), attr("name", str(topic))}
		body = append(append(body, labels(b.Metadata)...), kept()...)
		ref = g.resource(filePubSub, "google_pubsub_topic", identifier(name, "dead_letters"), thing("topic", project, topic),
			"Records of bridge "+name+" that can never be published.", nil, body...)
		g.refs[thing("topic", project, topic)] = ref
	}
	sub := g.subscriptionName(project, topic, "dead letters")
	body := []item{
		attr("project", str(project)),
		attr("name", str(sub)),
		attr("topic", raw(ref+".id")),
		attr("ack_deadline_seconds", number(ackDeadline)),
		comment("As long as Pub/Sub can keep them: people have to look at them."),
		attr("message_retention_duration", seconds(int64(maxRetention/time.Second))),
		blank(),
		never(),
	}
	body = append(append(body, apart(labels(b.Metadata))...), kept()...)
	address := g.resource(filePubSub, "google_pubsub_subscription", identifier(name, "dead_letters"), thing("letters", project, topic),
		"What is published to a topic without a subscription is gone. kappa bridge redrive reads this one.", nil, body...)
	g.refs[thing("letters", project, topic)] = address
	g.output(outDeadLetters, name, raw(address+".name"))
}

// subscriptionName is the name of a subscription that the specs do not name:
// that of its topic, unless a StreamJob reads one of that name.
func (g *generator) subscriptionName(project, topic, what string) string {
	for _, j := range g.set.StreamJobs {
		if j.Spec.Project != project {
			continue
		}
		for _, s := range j.Spec.Sources.Names() {
			if s == topic {
				return topic + "-" + strings.ReplaceAll(what, " ", "-")
			}
		}
	}
	return topic
}

// never keeps a subscription that nobody reads from being deleted, with its
// messages.
func never() item { return block("expiration_policy", nil, attr("ttl", str(""))) }

// archive adds the archive of topics: what is published, for ever.
func (g *generator) archive(b *jobspecs.Bridge, topics string, instances []string) {
	name, project := b.Metadata.Name, b.Spec.Project
	bucket := g.archiveBucket(project)
	folder, prefix := "*/", raw(`"${each.key}/"`)
	if len(b.Spec.Route.Topics) == 0 {
		// Of a split, all in one: a StreamJob reads the whole split, and so does
		// its backfill.
		wish := strings.TrimRight(b.Spec.Split.TopicPrefix, "-_.")
		folder = g.names.take("folder "+project, wish, b.Spec.Split.TopicPrefix) + "/"
		prefix = str(folder)
	}
	body := []item{
		attr("for_each", raw(topics)),
		blank(),
		attr("project", str(project)),
		attr("name", raw(`"${each.key}-archive"`)),
		attr("topic", raw("each.value.id")),
		comment("What Cloud Storage does not take is tried again for as long as this."),
		attr("message_retention_duration", seconds(int64(maxRetention/time.Second))),
		blank(),
		block("cloud_storage_config", nil,
			attr("bucket", raw(bucket.ref+".name")),
			attr("filename_prefix", prefix),
			attr("filename_suffix", str(".avro")),
			comment("A message is in the archive this long after it was published: backfill what is older."),
			attr("max_duration", str("300s")),
			blank(),
			comment("Without the metadata kappa backfill has neither ids nor event times."),
			block("avro_config", nil, attr("write_metadata", boolean(true))),
		),
		blank(),
		never(),
	}
	body = append(append(body, apart(labels(b.Metadata))...), kept()...)
	body = append(body, blank(), comment("Pub/Sub asks for these roles when the subscription is made."),
		attr("depends_on", list(raw(bucket.writer))))
	g.resource(filePubSub, "google_pubsub_subscription", identifier(name, "archive"), thing("archive", project, name),
		"Archive of everything that bridge "+name+" publishes, for backfills.", instances, body...)
	g.output(outArchives, name, raw(`"gs://${`+bucket.ref+`.name}/`+within(folder)+`*.avro"`))
}

// subscriptions adds the subscriptions of a StreamJob that no other one has.
func (g *generator) subscriptions(j *jobspecs.StreamJob) {
	name, s := j.Metadata.Name, &j.Spec
	topic := g.topicsOf(j)
	var own []string
	var each []item
	for i, sub := range s.Sources.Names() {
		if g.refs[thing("subscription", s.Project, sub)] == "" {
			own = append(own, sub)
			each = append(each, member(sub, topic(i)))
		}
	}
	if len(own) == 0 {
		return
	}
	body := []item{
		attr("for_each", object(each...)),
		blank(),
		attr("project", str(s.Project)),
		attr("name", raw("each.key")),
		attr("topic", raw("each.value")),
		attr("ack_deadline_seconds", number(ackDeadline)),
		blank(),
		comment(retentionWhy(j)),
		attr("message_retention_duration", seconds(int64(Retention(j)/time.Second))),
		blank(),
		comment(ackedWhy(s)),
		attr("retain_acked_messages", boolean(false)),
		blank(),
		comment(onceWhy(s)),
		attr("enable_exactly_once_delivery", boolean(false)),
		blank(),
		never(),
	}
	body = append(append(body, apart(labels(j.Metadata))...), kept()...)
	address := g.resource(filePubSub, "google_pubsub_subscription", identifier(name), thing("stream job", s.Project, name),
		"What StreamJob "+name+" reads.", own, body...)
	for _, sub := range own {
		g.refs[thing("subscription", s.Project, sub)] = address + "[" + quote(sub) + "]"
	}
}

func retentionWhy(j *jobspecs.StreamJob) string {
	why := "What nobody reads for longer is lost: at least 7 days, as a snapshot lives, and no less than a drain and a start."
	if j.Spec.Horizon > 0 {
		why = fmt.Sprintf("What nobody reads for longer is lost: at least 7 days, as a snapshot lives, and no less than the horizon (%s) with a drain and a start.", j.Spec.Horizon)
	}
	if Retention(j) == maxRetention {
		why += " Pub/Sub keeps nothing for longer than this."
	}
	return why
}

func onceWhy(s *jobspecs.StreamJobSpec) string {
	if s.Pipeline == jobspecs.PipelineOther {
		return "Dataflow drops what Pub/Sub delivers twice; this would only slow it down."
	}
	return "The job drops duplicates by event id, over publishing and delivery alike; this would only slow Dataflow down."
}

func ackedWhy(s *jobspecs.StreamJobSpec) string {
	switch {
	case s.Sources.Replay == jobspecs.ReplaySnapshot:
		return "What was acknowledged is kept by the snapshots that kappa deploy takes of it."
	case s.Pipeline == jobspecs.PipelineOther:
		return "With replay: archive, what was acknowledged is not read again."
	}
	return "With replay: archive, what was acknowledged is recomputed from the archive (kappa backfill)."
}

// topicsOf returns, for a StreamJob, the topic of each subscription. The spec
// does not name them: they are those of a bridge's split of as many topics, the
// one with the same prefix if there are several; else the user has to say.
func (g *generator) topicsOf(j *jobspecs.StreamJob) func(i int) expr {
	s := &j.Spec
	var fit []*jobspecs.Bridge
	for _, b := range g.set.Bridges {
		if b.Spec.Project != s.Project || b.Spec.Destination.Kind != jobspecs.DestinationPubSub ||
			len(b.Spec.Route.Topics) > 0 || b.Spec.Split.Count != s.Sources.Count {
			continue
		}
		if b.Spec.Split.TopicPrefix == s.Sources.SubscriptionPrefix {
			fit = []*jobspecs.Bridge{b}
			break
		}
		fit = append(fit, b)
	}
	if len(fit) == 1 {
		return func(i int) expr {
			return raw(g.refs[thing("topic", s.Project, fit[0].Spec.Split.Topic(i))] + ".id")
		}
	}
	ref := g.variable(identifier("topic_prefix", j.Metadata.Name),
		"Prefix of the topics that StreamJob "+j.Metadata.Name+" reads; the number of the split is appended.", "string", str(s.Sources.SubscriptionPrefix))
	g.note("no Bridge among the specs publishes what StreamJob %s reads: its topics are taken to be named as its subscriptions (variable %s), and are neither created nor archived here",
		j.Metadata.Name, strings.TrimPrefix(ref, "var."))
	return func(i int) expr {
		return raw(fmt.Sprintf(`"projects/%s/topics/${%s}%d"`, within(s.Project), ref, i))
	}
}
