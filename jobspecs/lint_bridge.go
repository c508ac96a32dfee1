package jobspecs

import (
	"net"
	"slices"
	"strings"
)

// bridgeRules are about a Bridge alone.
func bridgeRules() []Rule {
	of := []string{KindBridge}
	return []Rule{{
		Name: "kafka-without-tls", Kinds: of,
		Finds: "a Kafka cluster in production that is reached without TLS",
		Why:   "Whoever is on the way between the bridge and the brokers can read every record, and change it. Brokers on the loopback are left out: a proxy beside the bridge may encrypt.",
		Mend:  "set tls: {enabled: true}, and the address of the brokers' listener that takes TLS",
		check: on(func(l *linter, b *Bridge) {
			b.Spec.eachCluster(func(path string, c *KafkaCluster) {
				if b.Spec.Environment == production && !c.TLS.Enabled && !c.local() && !c.passwordInClear() {
					l.warn(path+".tls", "%s is a Kafka cluster without TLS", path)
				}
			})
		}),
	}, {
		Name: "kafka-without-login", Kinds: of,
		Finds: "a Kafka cluster in production that is used without SASL and without a client's certificate",
		Why:   "The cluster cannot tell the bridge from anybody else, so it must let everybody read the topics and move the group's offsets.",
		Mend:  "set sasl, or tls.certFile and tls.keyFile",
		check: on(func(l *linter, b *Bridge) {
			b.Spec.eachCluster(func(path string, c *KafkaCluster) {
				if b.Spec.Environment == production && c.SASL.Mechanism == "" && c.TLS.CertFile == "" && !c.local() {
					l.warn(path+".sasl", "%s is a Kafka cluster without authentication", path)
				}
			})
		}),
	}, {
		Name: "kafka-password-in-clear", Kinds: of,
		Finds: "SASL with PLAIN or OAUTHBEARER over a connection without TLS",
		Why:   "These mechanisms send the password or the token itself. Whoever reads the connection has it.",
		Mend:  "set tls: {enabled: true}; SCRAM hides the password, but not the records",
		check: on(func(l *linter, b *Bridge) {
			b.Spec.eachCluster(func(path string, c *KafkaCluster) {
				if c.passwordInClear() && !c.local() {
					l.warn(path+".sasl.mechanism", "%s sends its secret without TLS", c.SASL.Mechanism)
				}
			})
		}),
	}, {
		Name: "registry-password-in-clear", Kinds: of,
		Finds: "a password or token for a schema registry whose address begins with http://",
		Why:   "Basic and bearer authentication send the secret itself. Whoever reads the connection has it.",
		Mend:  "write https:// in spec.transform.schema.registry.url",
		check: on(func(l *linter, b *Bridge) {
			r := &b.Spec.Transform.Schema.Registry
			host := strings.TrimPrefix(r.URL, "http://")
			if host != r.URL && (r.Password.Given() || r.Token.Given()) && !loopback(strings.SplitN(host, "/", 2)[0]) {
				l.warn("spec.transform.schema.registry.url", "the secret of the schema registry is sent without TLS")
			}
		}),
	}, {
		Name: "dead-letter-file", Kinds: of,
		Finds: "dead letters that go to a file in production",
		Why:   "The offsets move on, so the file is the only copy left of those records once Kafka has dropped them. It goes with its disk, a pod's file goes with the pod, and instances on other machines write files of their own.",
		Mend:  "name a Pub/Sub topic in spec.deadLetter.topic, or a Kafka topic in spec.deadLetter.kafka",
		check: on(func(l *linter, b *Bridge) {
			if b.Spec.Environment == production && b.Spec.DeadLetter.File != "" {
				l.warn("spec.deadLetter.file", "dead letters go to the file %s of one machine", b.Spec.DeadLetter.File)
			}
		}),
	}, {
		Name: "start-at-latest", Kinds: of,
		Finds: "a source that starts at the latest record in production",
		Why:   "A partition without a committed offset starts at its end. That is so at the first start, for partitions that are added while the bridge is down, and again whenever Kafka has dropped the group's offsets (after 7 days without the group, by default): what stands before is skipped, and nothing says so.",
		Mend:  "set start: earliest, or a time",
		check: on(func(l *linter, b *Bridge) {
			for _, name := range b.Spec.SourceNames() {
				if src := b.Spec.Sources[name]; b.Spec.Environment == production && src.Start == StartLatest {
					l.warn(join("spec.sources", name)+".start", "source %s skips what stands in a partition that has no committed offset", name)
				}
			}
		}),
	}, {
		Name: "listen-on-any-port", Kinds: of,
		Finds: "a bridge in production that listens on port 0, which is the default",
		Why:   "It takes another port at each start: no probe finds /readyz and /livez, and no Prometheus the metrics, so a bridge that stands still is not seen.",
		Mend:  "set spec.listen to an address with a port, such as 0.0.0.0:9090 in a pod or 127.0.0.1:9090 beside an agent",
		check: on(func(l *linter, b *Bridge) {
			if _, port, err := net.SplitHostPort(b.Spec.Listen); err == nil && port == "0" && b.Spec.Environment == production {
				l.warn("spec.listen", "the bridge listens on %s: the port is another one at each start", b.Spec.Listen)
			}
		}),
	}}
}

// eachCluster calls f with every cluster that the bridge uses, and its path.
func (s *BridgeSpec) eachCluster(f func(path string, c *KafkaCluster)) {
	for _, name := range s.SourceNames() {
		src := s.Sources[name]
		f(join("spec.sources", name), &src.KafkaCluster)
	}
	if s.Destination.Kind == DestinationKafka {
		f("spec.destination.kafka", &s.Destination.Kafka)
	}
	if s.DeadLetter.Kafka.Topic != "" {
		f("spec.deadLetter.kafka", &s.DeadLetter.Kafka.KafkaCluster)
	}
}

// passwordInClear reports whether a secret is sent as it is.
func (c *KafkaCluster) passwordInClear() bool {
	return !c.TLS.Enabled && (c.SASL.Mechanism == "PLAIN" || c.SASL.Mechanism == "OAUTHBEARER")
}

// local reports whether all brokers are on the loopback.
func (c *KafkaCluster) local() bool {
	return !slices.ContainsFunc(c.Brokers, func(b string) bool { return !loopback(b) })
}

// same reports whether two clusters have an address in common.
func (c *KafkaCluster) same(o *KafkaCluster) bool {
	return slices.ContainsFunc(c.Brokers, func(b string) bool { return slices.Contains(o.Brokers, b) })
}

// loopback reports whether an address, with a port or without, is this machine.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
