package apachekafka

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// properties is the configuration of a broker.
func (c *Cluster) properties(b *broker, dir string) ([]byte, error) {
	copies := strconv.Itoa(min(3, len(c.brokers)))
	var voters, listeners []string
	for _, o := range c.brokers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", o.number, o.control))
	}
	for _, l := range c.listeners() {
		listeners = append(listeners, fmt.Sprintf("%s://127.0.0.1:%d", l, b.ports[l]))
	}
	p := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        strconv.Itoa(b.number),
		"controller.quorum.voters":       strings.Join(voters, ","),
		"controller.listener.names":      "CONTROLLER",
		"listeners":                      strings.Join(listeners, ",") + fmt.Sprintf(",CONTROLLER://127.0.0.1:%d", b.control),
		"advertised.listeners":           strings.Join(listeners, ","),
		"listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,MTLS:SSL,SASL_SSL:SASL_SSL",
		"inter.broker.listener.name":     string(Plaintext),
		"log.dirs":                       filepath.Join(dir, "log"),
		"auto.create.topics.enable":      "false",
		"default.replication.factor":     copies,

		"offsets.topic.replication.factor":         copies,
		"offsets.topic.num.partitions":             "4",
		"transaction.state.log.replication.factor": copies,
		"transaction.state.log.min.isr":            "1",
		"transaction.state.log.num.partitions":     "4",
		"group.initial.rebalance.delay.ms":         "0",
		"group.min.session.timeout.ms":             "1000",

		// What happens in minutes elsewhere happens here within a second.
		"broker.heartbeat.interval.ms":        "300",
		"broker.session.timeout.ms":           "3000",
		"controller.quorum.fetch.timeout.ms":  "1500",
		"log.retention.check.interval.ms":     "200",
		"log.segment.delete.delay.ms":         "100",
		"log.cleaner.backoff.ms":              "100",
		"log.cleaner.dedupe.buffer.size":      "4194304",
		"log.initial.task.delay.ms":           "100",
		"log.message.timestamp.before.max.ms": strconv.FormatInt(int64(1<<62), 10),

		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",

		"num.network.threads": "2",
		"num.io.threads":      "3",
	}
	if c.cfg.Secure != nil {
		if err := c.secure(p); err != nil {
			return nil, err
		}
	}
	maps.Copy(p, c.cfg.Properties)
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&text, "%s=%s\n", k, escape(p[k]))
	}
	return []byte(text.String()), nil
}

// escape writes a value as property files take it.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(s)
}

// secure sets what the listeners beside Plaintext need.
func (c *Cluster) secure(p map[string]string) error {
	s := c.cfg.Secure
	p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
	p["super.users"] = "User:ANONYMOUS"
	p["allow.everyone.if.no.acl.found"] = "true"
	p["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER"
	plain := "org.apache.kafka.common.security.plain.PlainLoginModule required"
	for _, user := range slices.Sorted(maps.Keys(s.Users)) {
		plain += fmt.Sprintf(` user_%s="%s"`, user, s.Users[user])
	}
	for _, l := range []string{"sasl_plaintext", "sasl_ssl"} {
		at := "listener.name." + l + "."
		p[at+"plain.sasl.jaas.config"] = plain + ";"
		for _, m := range []string{"scram-sha-256", "scram-sha-512"} {
			p[at+m+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		}
		p[at+"oauthbearer.sasl.jaas.config"] = `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`
	}
	cert, err := s.Authority.Issue(24*time.Hour, "127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(s.Authority.File)
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	p["ssl.keystore.type"], p["ssl.truststore.type"] = "PEM", "PEM"
	p["ssl.keystore.certificate.chain"] = string(cert.CertPEM)
	p["ssl.keystore.key"] = string(cert.KeyPEM)
	p["ssl.truststore.certificates"] = string(ca)
	p["listener.name.mtls.ssl.client.auth"] = "required"
	return nil
}
