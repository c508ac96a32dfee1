package jobspecs

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
)

// Limits of Pub/Sub.
const (
	maxPublishMessages = 1000
	maxPublishBytes    = 10_000_000
	maxAttributeName   = 256
)

// maxSplits bounds the number of topics, jobs and subscriptions: beyond it,
// the number is a slip.
const maxSplits = 10_000

func (k *checker) bridge(s *BridgeSpec) {
	k.kafka(&s.Source)
	k.transform(&s.Transform)
	k.needsDecoding(s)
	k.ids(&s.IDs)
	k.uniqueStrings("key field", "spec.split.key", s.Split.Key)
	k.most("spec.split.count", s.Split.Count, maxSplits)
	k.notGoogle("spec.split.topicPrefix", s.Split.TopicPrefix)
	k.notGoogle("spec.deadLetter.topic", s.DeadLetter.Topic)
	k.deadLetter(s)
	k.attributes(s.Attributes)
	k.bridgeLimits(&s.Limits)
	k.hostPort("spec.listen", s.Listen)
}

func (k *checker) kafka(s *KafkaSource) {
	for i, b := range s.Brokers {
		for _, addr := range addresses(b) {
			k.hostPort(at("spec.source.brokers", i), addr)
		}
	}
	k.uniqueStrings("topic", "spec.source.topics", s.Topics)
}

// addresses splits an item that holds several addresses.
func addresses(item string) []string {
	list := strings.Split(item, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// normalize gives a resolved Bridge one address per item.
func (b *Bridge) normalize() {
	var list []string
	for _, item := range b.Spec.Source.Brokers {
		list = append(list, addresses(item)...)
	}
	b.Spec.Source.Brokers = list
}

// hostPort checks an address of the form host:port.
func (k *checker) hostPort(path, addr string) {
	if !k.ok(path) {
		return
	}
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		k.fail(CodeBadValue, path, "write it as host:port", "%s: %q is not an address", path, addr)
	}
}

func (k *checker) transform(t *Transform) {
	k.expression("spec.transform.filter", t.Filter, cel.BoolType)
	for _, f := range slices.Sorted(maps.Keys(t.Set)) {
		k.expression(join("spec.transform.set", f), t.Set[f], nil)
	}
	k.uniqueStrings("field", "spec.transform.drop", t.Drop)
	old := slices.Sorted(maps.Keys(t.Rename))
	k.unique("new name", len(old), func(i int) (string, string) {
		return t.Rename[old[i]], join("spec.transform.rename", old[i])
	})
	for i, f := range t.Drop {
		if _, ok := t.Rename[f]; ok && k.ok(at("spec.transform.drop", i)) {
			k.fail(CodeConflict, at("spec.transform.drop", i), "", "field %q is both dropped and renamed", f)
		}
	}
}

// needsDecoding: with decode none the bytes pass unread, so nothing may refer
// to fields.
func (k *checker) needsDecoding(s *BridgeSpec) {
	if s.Transform.Decode != "none" || !k.ok("spec.transform.decode") {
		return
	}
	used := func(path string, given bool) {
		if given && k.ok(path) {
			k.fail(CodeConflict, path, "set spec.transform.decode: json", "%s needs decoded records, but spec.transform.decode is none", path)
		}
	}
	used("spec.transform.filter", s.Transform.Filter != "")
	used("spec.transform.rename", len(s.Transform.Rename) > 0)
	used("spec.transform.drop", len(s.Transform.Drop) > 0)
	used("spec.transform.set", len(s.Transform.Set) > 0)
	used("spec.eventTime.field", s.EventTime.Field != "")
	used("spec.ids.fields", len(s.IDs.Fields) > 0)
	used("spec.split.key", len(s.Split.Key) > 0)
	for i, a := range s.Attributes {
		used(at("spec.attributes", i)+".field", a.Field != "")
	}
}

func (k *checker) ids(ids *IDs) {
	if !k.ok("spec.ids.from") {
		return
	}
	k.uniqueStrings("field", "spec.ids.fields", ids.Fields)
	if ids.From == "fields" {
		if len(ids.Fields) == 0 && k.ok("spec.ids.fields") {
			k.fail(CodeMissingField, "spec.ids.fields", "name the fields of the business key", "spec.ids.from is fields, but spec.ids.fields names none")
		}
		if ids.Namespace == "" && k.ok("spec.ids.namespace") {
			k.fail(CodeMissingField, "spec.ids.namespace", "name the kind of event", "spec.ids.from is fields, but there is no spec.ids.namespace")
		}
		return
	}
	for path, given := range map[string]bool{"spec.ids.fields": len(ids.Fields) > 0, "spec.ids.namespace": ids.Namespace != ""} {
		if given && k.ok(path) {
			k.fail(CodeConflict, path, "remove it, or set spec.ids.from: fields", "%s means nothing with spec.ids.from: %s", path, ids.From)
		}
	}
}

func (k *checker) deadLetter(s *BridgeSpec) {
	rest, ok := strings.CutPrefix(s.DeadLetter.Topic, s.Split.TopicPrefix)
	if !ok || !k.ok("spec.split", "spec.deadLetter") {
		return
	}
	if i, err := strconv.Atoi(rest); err == nil && i >= 0 && i < s.Split.Count && s.Split.Topic(i) == s.DeadLetter.Topic {
		k.fail(CodeConflict, "spec.deadLetter.topic", "", "%q is a topic of the split as well", s.DeadLetter.Topic)
	}
}

func (k *checker) attributes(as []Attribute) {
	k.unique("attribute", len(as), func(i int) (string, string) { return as[i].Name, at("spec.attributes", i) + ".name" })
	for i, a := range as {
		path := at("spec.attributes", i)
		if !k.ok(path) {
			continue
		}
		if (a.Field == "") == (a.Header == "") {
			k.fail(CodeBadValue, path, "", "attribute %q must be set from either a field or a header", a.Name)
		}
		switch name := path + ".name"; {
		case strings.HasPrefix(a.Name, "kappa-"):
			k.fail(CodeBadValue, name, "", "attribute %q: names with kappa- are those that the bridge sets itself", a.Name)
		case len(a.Name) > maxAttributeName:
			k.fail(CodeBadValue, name, "", "attribute %q has more than %d bytes", a.Name, maxAttributeName)
		default:
			k.notGoogle(name, a.Name)
		}
	}
}

func (k *checker) bridgeLimits(l *BridgeLimit) {
	k.most("spec.limits.batchRecords", l.BatchRecords, maxPublishMessages)
	k.positive("spec.limits.drain", l.Drain)
	if k.ok("spec.limits.batchBytes") && (l.BatchBytes < 1 || l.BatchBytes > maxPublishBytes) {
		k.fail(CodeBadValue, "spec.limits.batchBytes", "", "spec.limits.batchBytes is %s; Pub/Sub takes from 1 to %d bytes in a request", l.BatchBytes, maxPublishBytes)
	}
	if k.ok("spec.limits.batchBytes", "spec.limits.memory") && l.Memory < l.BatchBytes {
		k.fail(CodeConflict, "spec.limits.memory", "", "spec.limits.memory (%s) is less than one request, spec.limits.batchBytes (%s)", l.Memory, l.BatchBytes)
	}
}

func (k *checker) most(path string, n, limit int) {
	if k.ok(path) && n > limit {
		k.fail(CodeBadValue, path, "", "%s is %d; the greatest value is %d", path, n, limit)
	}
}

func (k *checker) positive(path string, d Duration) {
	if k.ok(path) && d <= 0 {
		k.fail(CodeBadValue, path, "", "%s must be longer than zero", path)
	}
}

// notGoogle refuses names that Google Cloud keeps for itself.
func (k *checker) notGoogle(path, name string) {
	if k.ok(path) && strings.HasPrefix(strings.ToLower(name), "goog") {
		k.fail(CodeBadValue, path, "", "%s cannot be %q: names with goog are reserved", path, name)
	}
}
