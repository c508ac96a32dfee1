package bridge

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/kappa-migrate/kappa/bridge/transform"
	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Limits of Pub/Sub (cloud.google.com/pubsub/quotas).
const (
	maxRequestBytes    = 10_000_000
	maxRequestMessages = 1000
	maxAttributes      = 100
	maxAttributeName   = 256
	maxAttributeValue  = 1024
)

// plan is a compiled spec: how records become messages. It is immutable.
type plan struct {
	program    *transform.Program
	exploded   bool // a record may be several events
	ids        jobspecs.IDs
	idFields   []*transform.Path
	namespace  uuid
	eventTime  *transform.Path // nil: the record's own timestamp
	unit       string
	topics     []string // short names
	splitKey   []*transform.Path
	splits     int // 0: by route
	route      *route
	buckets    int      // 0: no ordering keys
	bucketKeys [][]byte // ordering key by bucket
	orderKey   []*transform.Path
	bundle     jobspecs.Bundle
	avro       bool // bundles are Avro
	attributes []mappedAttribute
	bridge     string // value of kappa-bridge
	fixed      fixedAttributes
	maxMessage int // largest message in bytes, as an entry of a request
}

type route struct {
	header string
	field  *transform.Path
	lanes  map[string]int
	other  int // -1: the dead letters
}

type mappedAttribute struct {
	jobspecs.Attribute
	path *transform.Path
}

// lanes is the number of lanes: one for each topic, or for each bucket of each.
func (p *plan) lanes() int { return len(p.topics) * max(p.buckets, 1) }

func newPlan(name, version string, spec *jobspecs.BridgeSpec) (*plan, error) {
	p := &plan{
		exploded:  spec.Transform.Events != "",
		ids:       spec.IDs,
		namespace: uuidV5(kappaNamespace, []byte(spec.IDs.Namespace)),
		unit:      spec.EventTime.Unit,
		topics:    spec.Topics(),
		buckets:   spec.Ordering.Buckets,
		bundle:    spec.Bundle,
		avro:      spec.Transform.Encode == "avro" || spec.Transform.Encode == "same" && spec.Transform.Decode == "avro",
		bridge:    name + "/" + version,
	}
	for b := range p.buckets {
		p.bucketKeys = append(p.bucketKeys, fmt.Appendf(nil, "b%04d", b))
	}
	var needed []string
	var wrong error
	paths := func(names []string) []*transform.Path {
		var list []*transform.Path
		for _, n := range names {
			path, err := transform.ParsePath(n)
			if err != nil && wrong == nil {
				wrong = exit.Usagef("spec: path %q: %w", n, err)
			}
			needed = append(needed, n)
			list = append(list, path)
		}
		return list
	}
	if spec.EventTime.Field != "" {
		p.eventTime = paths([]string{spec.EventTime.Field})[0]
	}
	if spec.IDs.From == idsFromFields {
		if len(spec.IDs.Fields) == 0 {
			return nil, exit.Usagef("spec.ids: from: fields needs at least one field").WithHint("name the business key in ids.fields")
		}
		p.idFields = paths(spec.IDs.Fields)
	}
	p.orderKey = paths(spec.Ordering.Key)
	if len(spec.Route.Topics) > 0 {
		p.route = &route{header: spec.Route.Header, lanes: map[string]int{}, other: -1}
		if spec.Route.Field != "" {
			p.route.field = paths([]string{spec.Route.Field})[0]
		}
		number := map[string]int{}
		for i, t := range p.topics {
			number[t] = i
		}
		for v, t := range spec.Route.Topics {
			p.route.lanes[v] = number[t]
		}
		if spec.Route.Default != "" {
			p.route.other = number[spec.Route.Default]
		}
	} else {
		p.splits, p.splitKey = spec.Split.Count, paths(spec.Split.Key)
	}
	if err := p.mapAttributes(spec.Attributes, paths); err != nil {
		return nil, err
	}
	if wrong != nil {
		return nil, wrong
	}
	longest := len(topicName(spec.Project, spec.DeadLetter.Topic))
	for _, t := range p.topics {
		longest = max(longest, len(topicName(spec.Project, t)))
	}
	p.fixed = newFixedAttributes(p.bridge)
	p.maxMessage = maxRequestBytes - requestSize(longest)
	var err error
	p.program, err = transform.New(spec.Transform, transform.Options{Needed: needed, HTTP: http.DefaultClient, Secret: kafka.Secret})
	return p, err
}

// mapAttributes checks and compiles spec.attributes.
func (p *plan) mapAttributes(as []jobspecs.Attribute, paths func([]string) []*transform.Path) error {
	names := make(map[string]bool)
	for _, a := range as {
		from := 0
		for _, given := range []bool{a.Field != "", a.Header != "", a.Key} {
			if given {
				from++
			}
		}
		switch {
		case from != 1:
			return exit.Usagef("spec.attributes: %q needs either a field, a header or the key", a.Name)
		case len(a.Name)+len(envelope.EncodingSuffix) > maxAttributeName || a.Name == "" || !utf8.ValidString(a.Name):
			return exit.Usagef("spec.attributes: name %q is not UTF-8 of 1 to %d bytes", a.Name, maxAttributeName-len(envelope.EncodingSuffix))
		case strings.HasPrefix(a.Name, "goog"), strings.HasPrefix(a.Name, "kappa-"):
			return exit.Usagef("spec.attributes: name %q begins with a reserved prefix (goog, kappa-)", a.Name)
		case names[a.Name], names[a.Name+envelope.EncodingSuffix], names[strings.TrimSuffix(a.Name, envelope.EncodingSuffix)]:
			return exit.Usagef("spec.attributes: name %q comes twice", a.Name)
		}
		names[a.Name] = true
		m := mappedAttribute{Attribute: a}
		if a.Field != "" {
			m.path = paths([]string{a.Field})[0]
		}
		p.attributes = append(p.attributes, m)
	}
	if n := 2 * len(as); n > maxAttributes-6 {
		return exit.Usagef("spec.attributes: at most %d attributes can be mapped", (maxAttributes-6)/2)
	}
	return nil
}

// Values of jobspecs.IDs.From.
const (
	idsFromPosition = "position"
	idsFromFields   = "fields"
)

// bucketOf is the number of the ordering key for a text. It is another hash
// than that of the split, or the keys of one topic would share few buckets.
func bucketOf(text []byte, buckets int) int {
	h := xxhash.Sum64(text)
	return int((h>>32 ^ h*0x9e3779b97f4a7c15>>17) % uint64(buckets))
}

// topicName is the full name of a topic.
func topicName(project, topic string) string {
	return fmt.Sprintf("projects/%s/topics/%s", project, topic)
}
