package provision

import (
	"maps"
	"slices"
	"strings"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Resources are what specs expect to find.
type Resources struct {
	Kafka    map[string][]string // topics by bootstrap addresses, separated by commas
	Projects []Project           // in the order in which the specs name them
}

// Project is what is expected in a project of Google Cloud.
type Project struct {
	ID            string
	Topics        []string
	Subscriptions []Subscription
	Buckets       []string
	Templates     []string // gs://BUCKET/OBJECT
}

// Subscription is a subscription to a topic of its project.
type Subscription struct{ Name, Topic string }

// Brokers are the keys of Kafka, sorted.
func (r *Resources) Brokers() []string { return slices.Sorted(maps.Keys(r.Kafka)) }

// Find returns what the specs expect to find. A document that is not for the
// sandbox is an exit.Usage error.
func Find(set *jobspecs.Set) (*Resources, error) {
	f := &finder{r: &Resources{Kafka: map[string][]string{}}}
	var refused error
	sandboxed := func(kind, name string, p jobspecs.Platform) {
		if p.Environment != sandbox && refused == nil {
			refused = exit.Usagef("the environment of %s %s is %s", kind, name, p.Environment).WithHint("name specs that say environment: sandbox")
		}
	}
	for _, d := range set.Bridges {
		sandboxed(jobspecs.KindBridge, d.Metadata.Name, d.Spec.Platform)
		f.bridge(&d.Spec)
	}
	for _, d := range set.StreamJobs {
		sandboxed(jobspecs.KindStreamJob, d.Metadata.Name, d.Spec.Platform)
		f.streamJob(&d.Spec, set.Bridges)
	}
	for _, d := range set.BatchLoads {
		sandboxed(jobspecs.KindBatchLoad, d.Metadata.Name, d.Spec.Platform)
		f.bucket(d.Spec.Project, d.Spec.Source.URI)
	}
	for _, d := range set.Comparisons {
		sandboxed(jobspecs.KindComparison, d.Metadata.Name, d.Spec.Platform)
	}
	for _, d := range set.Monitors {
		sandboxed(jobspecs.KindDuplicateMonitor, d.Metadata.Name, d.Spec.Platform)
	}
	if refused != nil {
		return nil, refused
	}
	f.subscribe()
	return f.r, nil
}

type finder struct{ r *Resources }

// project returns the project of an id. It is valid until the next call.
func (f *finder) project(id string) *Project {
	i := slices.IndexFunc(f.r.Projects, func(p Project) bool { return p.ID == id })
	if i < 0 {
		i = len(f.r.Projects)
		f.r.Projects = append(f.r.Projects, Project{ID: id})
	}
	return &f.r.Projects[i]
}

func (f *finder) kafka(c jobspecs.KafkaCluster, topics ...string) {
	key := strings.Join(c.Brokers, ",")
	list := f.r.Kafka[key]
	add(&list, topics...)
	if len(list) > 0 {
		f.r.Kafka[key] = list
	}
}

func (f *finder) bridge(s *jobspecs.BridgeSpec) {
	for _, name := range s.SourceNames() {
		f.kafka(s.Sources[name].KafkaCluster, s.Sources[name].Topics...)
	}
	if s.Destination.Kind == jobspecs.DestinationKafka {
		f.kafka(s.Destination.Kafka, s.Topics()...)
	} else {
		add(&f.project(s.Project).Topics, s.Topics()...)
	}
	if s.DeadLetter.Topic != "" {
		add(&f.project(s.Project).Topics, s.DeadLetter.Topic)
	}
	if s.DeadLetter.Kafka.Topic != "" {
		f.kafka(s.DeadLetter.Kafka.KafkaCluster, s.DeadLetter.Kafka.Topic)
	}
}

// streamJob: subscription i is to the topic of its own name, else to topic i of
// the bridge that splits events into as many; else a topic of its name is made.
func (f *finder) streamJob(s *jobspecs.StreamJobSpec, bridges []*jobspecs.Bridge) {
	p := f.project(s.Project)
	names := s.Sources.Names()
	for i, name := range names {
		topic := name
		if !slices.Contains(p.Topics, name) {
			for _, b := range bridges {
				split := b.Spec.Split
				if b.Spec.Project == s.Project && b.Spec.Destination.Kind != jobspecs.DestinationKafka && split.Count == len(names) {
					topic = split.Topic(i)
				}
			}
		}
		add(&p.Topics, topic)
		add(&p.Subscriptions, Subscription{name, topic})
	}
	f.bucket(s.Project, s.Template)
	f.bucket(s.Project, s.Staging)
	if s.Pipeline != jobspecs.PipelineOther { // whose template is not kappa's to make
		add(&f.project(s.Project).Templates, s.Template)
	}
}

func (f *finder) bucket(project, uri string) {
	bucket, _ := splitURI(uri)
	add(&f.project(project).Buckets, bucket)
}

// subscribe gives a subscription of its name to each topic that has none: what
// is published to such a topic is gone, and the bridge refuses it.
func (f *finder) subscribe() {
	for i := range f.r.Projects {
		p := &f.r.Projects[i]
		for _, t := range p.Topics {
			if !slices.ContainsFunc(p.Subscriptions, func(s Subscription) bool { return s.Topic == t || s.Name == t }) {
				p.Subscriptions = append(p.Subscriptions, Subscription{t, t})
			}
		}
	}
}

func seeds(brokers string) []string { return strings.Split(brokers, ",") }

// splitURI takes gs://BUCKET/OBJECT apart.
func splitURI(uri string) (bucket, object string) {
	bucket, object, _ = strings.Cut(strings.TrimPrefix(uri, "gs://"), "/")
	return bucket, object
}
