package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Explain says what an error of the Kafka client means and how to mend it, with
// exit.Environment: every known one has a hint. The error stays in the chain.
// It returns nil for nil, an error that carries an exit code already as it is,
// and the end of ctx as it is if the caller's context was cancelled.
func Explain(err error, c jobspecs.KafkaCluster) error {
	var known *exit.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known) || errors.Is(err, context.Canceled):
		return err
	}
	at := "Kafka at " + strings.Join(c.Brokers, ", ")
	var dial *DialError
	if errors.As(err, &dial) {
		at = dial.Addr
	}
	for _, explain := range []func(error, string, jobspecs.KafkaCluster) *exit.Error{network, handshake, authentication, closed, authorization} {
		if e := explain(err, at, c); e != nil {
			return e
		}
	}
	return exit.Environmentf("%s: %w", at, err).WithHint("check the cluster, and that it can be reached from here")
}

// network explains why there is no connection.
func network(err error, at string, _ jobspecs.KafkaCluster) *exit.Error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return exit.Environmentf("host %s of a Kafka broker is not known: %w", dns.Name, err).
			WithHint("correct the brokers; if the name is one that the cluster gave (advertised.listeners), make it known here")
	case errors.As(err, &dns):
		return exit.Environmentf("host %s of a Kafka broker cannot be looked up: %w", dns.Name, err).
			WithHint("check the name server of this machine")
	case errors.Is(err, syscall.ECONNREFUSED):
		return exit.Environmentf("%s refuses the connection: %w", at, err).
			WithHint("check that the broker runs, and its port; if the address is one that the cluster gave, check its advertised.listeners")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return exit.Environmentf("there is no way to %s: %w", at, err).
			WithHint("check the network between here and the brokers")
	case !tlsFailed(err) && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()):
		return exit.Environmentf("%s does not answer: %w", at, err).
			WithHint("check the address, the firewalls in between, and that the listener's protocol (TLS, SASL) is the one in the spec")
	}
	return nil
}

// handshake explains why a connection cannot be encrypted.
func handshake(err error, at string, c jobspecs.KafkaCluster) *exit.Error {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var remote *net.OpError
	switch {
	case errors.As(err, &authority):
		e := exit.Environmentf("the certificate of %s is of an authority that is not trusted: %w", at, err)
		if c.TLS.CAFile == "" {
			return e.WithHint("give the cluster's authority in tls.caFile")
		}
		return e.WithHint("tls.caFile %s is not the authority that signed the brokers' certificates", c.TLS.CAFile)
	case errors.As(err, &name):
		return exit.Environmentf("the certificate of %s is for another name: %w", at, err).
			WithHint("use a name of the certificate in brokers (and in advertised.listeners), or give one in tls.serverName")
	case errors.As(err, &invalid):
		return exit.Environmentf("the certificate of %s is not valid: %w", at, err).
			WithHint("renew it, or set the clock of this machine")
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert
		e := exit.Environmentf("%s ends the TLS handshake: %w", at, err)
		if c.TLS.CertFile == "" {
			return e.WithHint("the brokers may ask for a client certificate: give tls.certFile and tls.keyFile")
		}
		return e.WithHint("the brokers may not trust the client certificate %s: check who signed it and that it is valid", c.TLS.CertFile)
	case errors.As(err, &record), tlsFailed(err):
		return exit.Environmentf("%s does not answer a TLS handshake: %w", at, err).
			WithHint("the port may be one without TLS: use the TLS port, or set tls.enabled: false")
	case !c.TLS.Enabled && strings.Contains(err.Error(), "tls alert record"), !c.TLS.Enabled && first(err) && !strings.Contains(err.Error(), "is SASL missing"):
		return exit.Environmentf("%s does not speak Kafka's protocol unencrypted: %w", at, err).
			WithHint("the port may be one with TLS: set tls.enabled: true, or use the port without")
	}
	return nil
}

// tlsFailed reports whether it was the handshake that failed.
func tlsFailed(err error) bool {
	var dial *DialError
	return errors.As(err, &dial) && dial.TLS
}

// authentication explains why the brokers do not accept who we are.
func authentication(err error, at string, c jobspecs.KafkaCluster) *exit.Error {
	switch {
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return exit.Environmentf("%s does not take sasl.mechanism %s: %w", at, c.SASL.Mechanism, err).
			WithHint("use a mechanism that the listener has enabled (sasl.enabled.mechanisms of the broker)")
	case errors.Is(err, kerr.IllegalSaslState):
		return exit.Environmentf("%s asks for no authentication on this port: %w", at, err).
			WithHint("remove sasl, or use the brokers' SASL port")
	case errors.Is(err, kerr.SaslAuthenticationFailed), strings.Contains(err.Error(), "unexpected data in oauth response"): // the answer to a bad token
		return exit.Environmentf("%s does not accept the credentials: %w", at, err).WithHint("%s", credentials(c.SASL))
	case c.SASL.Mechanism == "GSSAPI" && strings.Contains(err.Error(), "KRB"), strings.Contains(err.Error(), "[Root cause:"):
		return exit.Environmentf("Kerberos: %w", err).WithHint("%s", credentials(c.SASL))
	}
	return nil
}

// credentials says which fields the credentials come from.
func credentials(s jobspecs.SASL) string {
	switch {
	case s.Mechanism == "OAUTHBEARER" && s.TokenURL != "":
		return "check that the brokers trust tokens of sasl.tokenURL, and the sasl.scopes"
	case s.Mechanism == "OAUTHBEARER":
		return "renew the token in " + place(s.Token)
	case s.Mechanism == "GSSAPI":
		return "check sasl.kerberos: principal, realm, keytab, service (that of the brokers' principals), the realm's KDC in config, and the clocks"
	}
	return "check sasl.username " + s.Username + " and the password in " + place(s.Password) +
		"; a SCRAM user has a password of its own for each mechanism"
}

// place says where a secret comes from.
func place(s jobspecs.Secret) string {
	if s.File != "" {
		return "file " + s.File
	}
	return "environment variable " + s.Env
}

// closed explains connections that the brokers end without a word.
func closed(err error, at string, c jobspecs.KafkaCluster) *exit.Error {
	switch {
	case !ended(err):
		return nil
	case c.SASL.Mechanism != "":
		return exit.Environmentf("%s ends the connection, by the looks of it while authenticating: %w", at, err).WithHint("%s", credentials(c.SASL))
	default:
		return exit.Environmentf("%s ends the connection: %w", at, err).
			WithHint("the brokers may ask for authentication: give sasl")
	}
}

// ended reports whether the other side ended the connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func first(err error) bool {
	var eof *kgo.ErrFirstReadEOF
	return errors.As(err, &eof)
}

// authorization explains what we may not do.
func authorization(err error, at string, c jobspecs.KafkaCluster) *exit.Error {
	who := "the principal of this client"
	if c.SASL.Username != "" {
		who = c.SASL.Username
	}
	var auth *kadm.AuthError
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return exit.Environmentf("%s: no permission on a topic: %w", at, err).
			WithHint("allow %s to Describe and Read the source topics, or to Describe and Write those that are produced to (kafka-acls)", who)
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return exit.Environmentf("%s: no permission on the consumer group: %w", at, err).
			WithHint("allow %s to Describe and Read the group, and GROUP.kappa-accepted and GROUP.kappa-topics beside it (kafka-acls)", who)
	case errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.As(err, &auth):
		return exit.Environmentf("%s: no permission: %w", at, err).
			WithHint("allow %s what is named (kafka-acls)", who)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return exit.Environmentf("%s: a topic does not exist: %w", at, err).
			WithHint("create it, or correct its name; without Describe permission a topic is not seen either")
	}
	return nil
}
