package jobspecs

import (
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

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
	for _, name := range s.SourceNames() {
		src := s.Sources[name]
		k.source(join("spec.sources", name), name, &src)
	}
	k.transform(&s.Transform)
	k.needsDecoding(s)
	k.ids(&s.IDs)
	k.destination(s)
	k.uniqueStrings("key field", "spec.split.key", s.Split.Key)
	k.most("spec.split.count", s.Split.Count, maxSplits)
	k.notGoogle("spec.split.topicPrefix", s.Split.TopicPrefix)
	k.ordering(s)
	k.bundle(s)
	k.deadLetter(s)
	k.attributes(s.Attributes)
	k.bridgeLimits(&s.Limits)
	k.hostPort("spec.listen", s.Listen)
}

// source checks one cluster that is read.
func (k *checker) source(path, name string, s *KafkaSource) {
	if !sourceName.MatchString(name) && k.ok(path) {
		k.c.at(k.d.keys[path], CodeBadValue, path, "it must match "+sourceName.String(), "%q cannot be the name of a source", name)
	}
	k.cluster(path, &s.KafkaCluster)
	k.uniqueStrings("topic", path+".topics", s.Topics)
	if (len(s.Topics) == 0) == (s.TopicPattern == "") && k.ok(path+".topics", path+".topicPattern") {
		k.fail(CodeBadValue, path, "name topics, or give a topicPattern", "%s needs either topics or a topicPattern", path)
	}
	if _, err := regexp.Compile(s.TopicPattern); err != nil && k.ok(path+".topicPattern") {
		k.fail(CodeBadValue, path+".topicPattern", "", "%s is no regular expression: %s", path+".topicPattern", err)
	}
	if _, err := time.Parse(time.RFC3339Nano, s.Start); err != nil && s.Start != StartEarliest && s.Start != StartLatest && k.ok(path+".start") {
		k.fail(CodeBadValue, path+".start", "write earliest, latest or a time like 2026-01-31T00:00:00Z", "%s.start cannot be %q", path, s.Start)
	}
	for _, at := range slices.Sorted(maps.Keys(s.StartOffsets)) {
		topic, number, ok := strings.Cut(at, "/")
		n, err := strconv.ParseInt(number, 10, 32)
		if p := join(path+".startOffsets", at); (!ok || topic == "" || err != nil || n < 0) && k.ok(p) {
			k.fail(CodeBadValue, p, "write it as TOPIC/PARTITION: OFFSET", "%q names no partition", at)
		}
	}
}

var sourceName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$`)

// cluster checks how a Kafka cluster is reached.
func (k *checker) cluster(path string, c *KafkaCluster) {
	k.uniqueStrings("broker", path+".brokers", c.Brokers)
	for i, b := range c.Brokers {
		for _, addr := range addresses(b) {
			k.hostPort(at(path+".brokers", i), addr)
		}
	}
	t, tls := &c.TLS, path+".tls"
	if !t.Enabled && (t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != "") && k.ok(tls) {
		k.fail(CodeConflict, tls, "set enabled: true", "%s says how to encrypt, but is not enabled", tls)
	}
	if (t.CertFile == "") != (t.KeyFile == "") && k.ok(tls) {
		k.fail(CodeMissingField, tls, "", "%s needs both certFile and keyFile, or neither", tls)
	}
	k.sasl(path+".sasl", &c.SASL)
}

func (k *checker) sasl(path string, s *SASL) {
	if !k.ok(path) {
		return
	}
	need := func(name string, given bool) {
		if !given && k.ok(join(path, name)) {
			k.fail(CodeMissingField, join(path, name), "", "%s.%s is required with mechanism %s", path, name, s.Mechanism)
		}
	}
	k.secret(path+".password", s.Password)
	k.secret(path+".token", s.Token)
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.Password.Given() || s.Token.Given() || s.TokenURL != "" || s.Kerberos.Principal != "" {
			k.fail(CodeMissingField, path, "say which mechanism it is for", "%s has no mechanism", path)
		}
	case "OAUTHBEARER":
		if s.TokenURL != "" {
			need("username", s.Username != "")
			need("password", s.Password.Given())
		}
		if s.Token.Given() == (s.TokenURL != "") {
			k.fail(CodeBadValue, path, "", "%s needs either a token or a tokenURL", path)
		}
	case "GSSAPI":
		need("kerberos.principal", s.Kerberos.Principal != "")
		need("kerberos.realm", s.Kerberos.Realm != "")
		need("kerberos.keytab", s.Kerberos.Keytab != "")
	default:
		need("username", s.Username != "")
		need("password", s.Password.Given())
	}
}

func (k *checker) secret(path string, s Secret) {
	if s.File != "" && s.Env != "" && k.ok(path) {
		k.fail(CodeConflict, path, "", "%s is read from a file or from the environment, not from both", path)
	}
}

// Given reports whether there is a secret.
func (s Secret) Given() bool { return s.File != "" || s.Env != "" }

// Values of KafkaSource.Start that are no times.
const (
	StartEarliest = "earliest"
	StartLatest   = "latest"
)

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
	for name, src := range b.Spec.Sources {
		src.normalize()
		b.Spec.Sources[name] = src
	}
	b.Spec.Destination.Kafka.normalize()
	b.Spec.DeadLetter.Kafka.normalize()
}

func (c *KafkaCluster) normalize() {
	var list []string
	for _, item := range c.Brokers {
		list = append(list, addresses(item)...)
	}
	c.Brokers = list
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
	k.formats(t)
	k.expression("spec.transform.filter", t.Filter, cel.BoolType)
	for _, f := range slices.Sorted(maps.Keys(t.Set)) {
		k.expression(join("spec.transform.set", f), t.Set[f], nil)
	}
	k.uniqueStrings("field", "spec.transform.drop", t.Drop)
	old := slices.Sorted(maps.Keys(t.Rename))
	k.unique("new name", len(old), func(i int) (string, string) {
		within := old[i][:strings.LastIndexByte(old[i], '.')+1] // two records may each have a field of that name
		return within + t.Rename[old[i]], join("spec.transform.rename", old[i])
	})
	for i, f := range t.Drop {
		if _, ok := t.Rename[f]; ok && k.ok(at("spec.transform.drop", i)) {
			k.fail(CodeConflict, at("spec.transform.drop", i), "", "field %q is both dropped and renamed", f)
		}
	}
}

// formats checks that a format has its schema, and only one.
func (k *checker) formats(t *Transform) {
	const path = "spec.transform"
	s := &t.Schema
	if !k.ok(path+".decode", path+".schema", path+".encode", path+".outputSchema") {
		return
	}
	k.secret(path+".schema.registry.password", s.Registry.Password)
	k.secret(path+".schema.registry.token", s.Registry.Token)
	file, registry := s.File != "", s.Registry.URL != ""
	switch t.Decode {
	case "avro", "protobuf":
		if file == registry {
			k.fail(CodeMissingField, path+".schema", "give schema.file or schema.registry", "decode %s needs exactly one of schema.file and schema.registry", t.Decode)
		}
		if t.Decode == "protobuf" && file && s.Message == "" {
			k.fail(CodeMissingField, path+".schema.message", "", "decode protobuf needs the full name of the message")
		}
	default:
		if file || registry {
			k.fail(CodeConflict, path+".schema", "set decode: avro or protobuf, or remove it", "spec.transform.schema means nothing with decode %s", t.Decode)
		}
	}
	changed := len(t.Rename)+len(t.Drop)+len(t.Set) > 0
	switch {
	case t.Encode == "original" && changed:
		k.fail(CodeConflict, path+".encode", "set encode: same, json or avro", "spec.transform renames, drops or sets fields, but encode original passes the record's own bytes")
	case t.Encode == "same" && t.Decode == "protobuf" && changed:
		k.fail(CodeConflict, path+".encode", "set encode: json or avro", "records of decode protobuf cannot be written as protobuf again with other fields")
	case t.Encode == "avro" && t.Output == "" && t.Decode != "avro":
		k.fail(CodeMissingField, path+".outputSchema", "", "encode avro needs spec.transform.outputSchema")
	case (t.Encode == "json" || t.Encode == "avro") && t.Decode == "none":
		k.fail(CodeConflict, path+".encode", "set spec.transform.decode", "encode %s needs decoded records, but spec.transform.decode is none", t.Encode)
	case t.Output != "" && t.Encode != "avro" && !(t.Encode == "same" && t.Decode == "avro"):
		k.fail(CodeConflict, path+".outputSchema", "set encode: avro, or remove it", "spec.transform.outputSchema means nothing with encode %s", t.Encode)
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
	used("spec.route.field", s.Route.Field != "")
	used("spec.ordering.key", len(s.Ordering.Key) > 0)
	used("spec.transform.events", s.Transform.Events != "")
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

// destination checks where the bridge publishes to: exactly one of split and
// route, on one kind of destination.
func (k *checker) destination(s *BridgeSpec) {
	d := &s.Destination
	k.cluster("spec.destination.kafka", &d.Kafka)
	if given := len(d.Kafka.Brokers) > 0; given != (d.Kind == DestinationKafka) && k.ok("spec.destination") {
		if given {
			k.fail(CodeConflict, "spec.destination.kafka", "set spec.destination.kind: kafka, or remove it", "spec.destination.kafka means nothing with kind %s", d.Kind)
		} else {
			k.fail(CodeMissingField, "spec.destination.kafka", "", "spec.destination.kind is kafka, but spec.destination.kafka is not given")
		}
	}
	if split, route := s.Split.TopicPrefix != "", len(s.Route.Topics) > 0; split == route && k.ok("spec.split", "spec.route") {
		k.fail(CodeMissingField, "spec.split", "give spec.split (a hash picks the topic) or spec.route (a value picks it)", "exactly one of spec.split and spec.route is needed")
	}
	if r := &s.Route; len(r.Topics) > 0 && (r.Header == "") == (r.Field == "") && k.ok("spec.route") {
		k.fail(CodeBadValue, "spec.route", "", "spec.route needs either a header or a field")
	}
	for v, t := range s.Route.Topics {
		k.notGoogle(join("spec.route.topics", v), t)
	}
}

func (k *checker) ordering(s *BridgeSpec) {
	k.most("spec.ordering.buckets", s.Ordering.Buckets, maxBuckets)
	k.uniqueStrings("key field", "spec.ordering.key", s.Ordering.Key)
	if s.Ordering.Buckets == 0 && len(s.Ordering.Key) > 0 && k.ok("spec.ordering") {
		k.fail(CodeMissingField, "spec.ordering", "set buckets, 64 for example", "spec.ordering has a key, but no buckets")
	}
	if s.Ordering.Buckets > 0 && s.Destination.Kind == DestinationKafka && k.ok("spec.ordering", "spec.destination.kind") {
		k.fail(CodeConflict, "spec.ordering", "remove it: records with one key stay in order in their partition", "spec.ordering is for Pub/Sub")
	}
}

// maxBuckets bounds ordering keys: with more, clients of Pub/Sub get slow.
const maxBuckets = 4096

func (k *checker) bundle(s *BridgeSpec) {
	if s.Bundle.MaxEvents == 0 {
		return
	}
	path := "spec.bundle"
	if s.Transform.Decode == "none" && k.ok(path, "spec.transform.decode") {
		k.fail(CodeConflict, path, "set spec.transform.decode", "spec.bundle needs decoded records, but spec.transform.decode is none")
	}
	if s.Destination.Kind == DestinationKafka && k.ok(path, "spec.destination.kind") {
		k.fail(CodeConflict, path, "remove it", "spec.bundle is for Pub/Sub")
	}
	if len(s.Attributes) > 0 && k.ok(path, "spec.attributes") {
		k.fail(CodeConflict, path, "", "the events of a bundle share its attributes: spec.attributes cannot be set with spec.bundle")
	}
	if (s.Bundle.MaxBytes < 1 || s.Bundle.MaxBytes > s.Limits.BatchBytes) && k.ok(path, "spec.limits.batchBytes") {
		k.fail(CodeBadValue, path+".maxBytes", "", "spec.bundle.maxBytes is %s; it must be between 1 and spec.limits.batchBytes (%s)", s.Bundle.MaxBytes, s.Limits.BatchBytes)
	}
}

func (k *checker) deadLetter(s *BridgeSpec) {
	d := &s.DeadLetter
	k.notGoogle("spec.deadLetter.topic", d.Topic)
	k.cluster("spec.deadLetter.kafka", &d.Kafka.KafkaCluster)
	n := 0
	for _, given := range []bool{d.Topic != "", d.Kafka.Topic != "", d.File != ""} {
		if given {
			n++
		}
	}
	if n != 1 && k.ok("spec.deadLetter") {
		k.fail(CodeMissingField, "spec.deadLetter", "give topic, kafka or file", "spec.deadLetter needs exactly one of topic, kafka and file")
	}
	if d.Topic != "" && s.Destination.Kind == DestinationPubSub && slices.Contains(s.Topics(), d.Topic) && k.ok("spec.split", "spec.route", "spec.deadLetter") {
		k.fail(CodeConflict, "spec.deadLetter.topic", "", "%q is a topic of the destination as well", d.Topic)
	}
}

// Values of Destination.Kind.
const (
	DestinationPubSub = "pubsub"
	DestinationKafka  = "kafka"
)

func (k *checker) attributes(as []Attribute) {
	k.unique("attribute", len(as), func(i int) (string, string) { return as[i].Name, at("spec.attributes", i) + ".name" })
	for i, a := range as {
		path := at("spec.attributes", i)
		if !k.ok(path) {
			continue
		}
		given := 0
		for _, from := range []bool{a.Field != "", a.Header != "", a.Key} {
			if from {
				given++
			}
		}
		if given != 1 {
			k.fail(CodeBadValue, path, "", "attribute %q must be set from either a field, a header or the key", a.Name)
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
	k.positive("spec.limits.stall", l.Stall)
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
