package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// fake starts a cluster of one broker.
func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, "orders")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// reach connects and says how that ended; no error may show the secret.
func reach(t *testing.T, c jobspecs.KafkaCluster) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	client, err := Connect(ctx, c, "kappa-test")
	if err != nil {
		var e *exit.Error
		if !errors.As(err, &e) {
			t.Fatalf("%v carries no exit code", err)
		}
		for _, s := range []string{e.Error(), e.Hint} {
			if strings.Contains(s, hidden) {
				t.Errorf("the secret is in %q", s)
			}
		}
		return err
	}
	client.Close()
	return nil
}

// wantEnvironment checks the exit code, the words of the message and of the hint.
func wantEnvironment(t *testing.T, err error, message, hint string) {
	t.Helper()
	var e *exit.Error
	if !errors.As(err, &e) || e.Code != exit.Environment || !strings.Contains(e.Error(), message) || !strings.Contains(e.Hint, hint) {
		var got string
		if e != nil {
			got = e.Hint
		}
		t.Errorf("error: %v\nhint: %s\nwant code %d with %q, and the hint %q", err, got, exit.Environment, message, hint)
	}
}

var bothScrams = map[string]string{"SCRAM-SHA-256": "alice", "SCRAM-SHA-512": "bob", "PLAIN": "carol"}

func TestPasswordMechanisms(t *testing.T) {
	opts := []kfake.Opt{kfake.EnableSASL()}
	for mechanism, user := range bothScrams {
		opts = append(opts, kfake.Superuser(mechanism, user, hidden))
	}
	c := fake(t, opts...)
	for mechanism, user := range bothScrams {
		t.Run(mechanism, func(t *testing.T) {
			cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{
				Mechanism: mechanism, Username: user, Password: secret(t, hidden+"\n"),
			}}
			if err := reach(t, cluster); err != nil {
				t.Fatalf("with the right password: %v", err)
			}
			cluster.SASL.Password = secret(t, hidden+"2")
			wantEnvironment(t, reach(t, cluster), c.ListenAddrs()[0], "check sasl.username "+user+" and the password in file "+cluster.SASL.Password.File)
		})
	}
}

// TestPasswordIsReadAgain: a renewed password is used by the next connection.
func TestPasswordIsReadAgain(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "carol", hidden))
	password := secret(t, "old one")
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{Mechanism: "PLAIN", Username: "carol", Password: password}}
	m, err := mechanism(t.Context(), cluster.SASL)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(password.File, []byte(hidden), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, sent, err := m.Authenticate(t.Context(), ""); err != nil || string(sent) != "\x00carol\x00"+hidden {
		t.Errorf("sent %q, %v; want the new password", sent, err)
	}
}

func TestMissingAuthentication(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "carol", hidden))
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs()}), "ends the connection", "give sasl")
}

func TestUnsupportedMechanism(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "carol", hidden))
	err := reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{Mechanism: "OAUTHBEARER", Token: secret(t, hidden)}})
	wantEnvironment(t, err, "does not take sasl.mechanism OAUTHBEARER", "sasl.enabled.mechanisms")
}

func authority(t *testing.T) *apachekafka.Authority {
	t.Helper()
	a, err := apachekafka.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *apachekafka.Authority, lifetime time.Duration, names ...string) *apachekafka.Certificate {
	t.Helper()
	c, err := a.Issue(lifetime, names...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secure starts a cluster with TLS.
func secure(t *testing.T, a *apachekafka.Authority, c *apachekafka.Certificate, clients bool) *kfake.Cluster {
	t.Helper()
	config, err := a.Server(c, clients)
	if err != nil {
		t.Fatal(err)
	}
	return fake(t, kfake.TLS(config))
}

func TestTLS(t *testing.T) {
	a := authority(t)
	c := secure(t, a, issue(t, a, time.Hour, "127.0.0.1"), false)
	at := c.ListenAddrs()
	if err := reach(t, jobspecs.KafkaCluster{Brokers: at, TLS: jobspecs.TLS{Enabled: true, CAFile: a.File}}); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: at, TLS: jobspecs.TLS{Enabled: true}}), "an authority that is not trusted", "give the cluster's authority in tls.caFile")
	other := authority(t)
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: at, TLS: jobspecs.TLS{Enabled: true, CAFile: other.File}}),
		"an authority that is not trusted", other.File+" is not the authority")
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: at, TLS: jobspecs.TLS{Enabled: true, CAFile: a.File, ServerName: "kafka.example"}}),
		"is for another name", "tls.serverName")
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: at}), "unencrypted", "set tls.enabled: true")
}

func TestTLSServerName(t *testing.T) {
	a := authority(t)
	c := secure(t, a, issue(t, a, time.Hour, "kafka.example"), false)
	if err := reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), TLS: jobspecs.TLS{Enabled: true, CAFile: a.File, ServerName: "kafka.example"}}); err != nil {
		t.Errorf("with the certificate's name: %v", err)
	}
}

func TestTLSExpiredCertificate(t *testing.T) {
	a := authority(t)
	c := secure(t, a, issue(t, a, -time.Minute, "127.0.0.1"), false)
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), TLS: jobspecs.TLS{Enabled: true, CAFile: a.File}}), "is not valid", "renew it")
}

func TestTLSToAPortWithout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // as a broker does with what it takes for a request of 369 MB
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4))
			conn.Close()
		}
	}()
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: []string{l.Addr().String()}, TLS: jobspecs.TLS{Enabled: true}}), "does not answer a TLS handshake", "tls.enabled: false")

	silent := fake(t) // waits for the rest of that request
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = Connect(ctx, jobspecs.KafkaCluster{Brokers: silent.ListenAddrs(), TLS: jobspecs.TLS{Enabled: true}}, "kappa-test")
	wantEnvironment(t, err, "does not answer a TLS handshake", "tls.enabled: false")
}

func TestMutualTLS(t *testing.T) {
	a := authority(t)
	c := secure(t, a, issue(t, a, time.Hour, "127.0.0.1"), true)
	client := issue(t, a, time.Hour, "kappa")
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), TLS: jobspecs.TLS{Enabled: true, CAFile: a.File}}
	wantEnvironment(t, reach(t, cluster), "ends the TLS handshake", "give tls.certFile")
	stranger := issue(t, authority(t), time.Hour, "stranger")
	cluster.TLS.CertFile, cluster.TLS.KeyFile = stranger.CertFile, stranger.KeyFile
	wantEnvironment(t, reach(t, cluster), "ends the TLS handshake", stranger.CertFile)
	cluster.TLS.CertFile, cluster.TLS.KeyFile = client.CertFile, client.KeyFile
	if err := reach(t, cluster); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
}

// TestCertificatesAreReadAgain: renewed files are used by the next connection.
func TestCertificatesAreReadAgain(t *testing.T) {
	a := authority(t)
	c := secure(t, a, issue(t, a, time.Hour, "127.0.0.1"), false)
	file := write(t, "ca.pem", string(mustRead(t, authority(t).File)))
	dial, err := dialer(jobspecs.TLS{Enabled: true, CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t.Context(), "tcp", c.ListenAddrs()[0]); err == nil {
		t.Fatal("another authority was trusted")
	}
	if err := os.WriteFile(file, mustRead(t, a.File), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := dial(t.Context(), "tcp", c.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if v := conn.(*tls.Conn).ConnectionState().Version; v < tls.VersionTLS12 {
		t.Errorf("TLS version %x", v)
	}
	conn.Close()
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestBadTLSFiles(t *testing.T) {
	a := authority(t)
	one, two := issue(t, a, time.Hour, "one"), issue(t, a, time.Hour, "two")
	for name, c := range map[string]struct {
		tls     jobspecs.TLS
		message string
	}{
		"no authority":        {jobspecs.TLS{CAFile: "/nowhere/ca.pem"}, "tls.caFile /nowhere/ca.pem"},
		"authority not PEM":   {jobspecs.TLS{CAFile: write(t, "ca.pem", hidden)}, "holds no certificate in PEM form"},
		"no certificate":      {jobspecs.TLS{CertFile: "/nowhere/c.pem", KeyFile: one.KeyFile}, "tls.certFile /nowhere/c.pem"},
		"no key":              {jobspecs.TLS{CertFile: one.CertFile, KeyFile: "/nowhere/k.pem"}, "tls.keyFile /nowhere/k.pem"},
		"key of another":      {jobspecs.TLS{CertFile: one.CertFile, KeyFile: two.KeyFile}, "private key does not match"},
		"certificate not PEM": {jobspecs.TLS{CertFile: write(t, "c.pem", hidden), KeyFile: one.KeyFile}, "tls.certFile"},
	} {
		c.tls.Enabled = true
		_, err := Options(t.Context(), jobspecs.KafkaCluster{Brokers: []string{"127.0.0.1:9"}, TLS: c.tls})
		if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v; want %q", name, err, c.message)
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: []string{closed}}), closed+" refuses the connection", "check that the broker runs")
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: []string{"kappa-nowhere.invalid:9092"}}), "kappa-nowhere.invalid", "")
}

// TestSilentBroker: a port that takes connections and never answers.
func TestSilentBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = Connect(ctx, jobspecs.KafkaCluster{Brokers: []string{l.Addr().String()}}, "kappa-test")
	wantEnvironment(t, err, "does not answer", "firewalls")
}

func TestPermissions(t *testing.T) {
	c := fake(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", hidden), kfake.User("PLAIN", "carol", hidden))
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{Mechanism: "PLAIN", Username: "carol", Password: secret(t, hidden)}}
	admin, err := NewAdmin(t.Context(), cluster, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	_, _, err = Topics(t.Context(), admin, jobspecs.KafkaSource{KafkaCluster: cluster, Topics: []string{"orders"}})
	wantEnvironment(t, err, "no permission on a topic: orders: ", "allow carol to Describe and Read the source topics")
	_, err = admin.FetchOffsets(t.Context(), "g")
	wantEnvironment(t, Explain(err, cluster), "no permission on the consumer group", "allow carol to Describe and Read the group")
}

func TestExplainOther(t *testing.T) {
	c := jobspecs.KafkaCluster{Brokers: []string{"a:1", "b:2"}}
	if Explain(nil, c) != nil {
		t.Error("nil was explained")
	}
	if err := Explain(context.Canceled, c); err != context.Canceled {
		t.Errorf("a cancelled context became %v", err)
	}
	own := exit.Usagef("mine")
	if err := Explain(own, c); err != error(own) {
		t.Errorf("an error with an exit code became %v", err)
	}
	wantEnvironment(t, Explain(errors.New("odd"), c), "Kafka at a:1, b:2: odd", "check the cluster")
	for _, e := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnknownTopicOrPartition} {
		err := Explain(e, c)
		wantEnvironment(t, err, e.Message, "")
		if !errors.Is(err, e) {
			t.Errorf("%s is not in the chain", e.Message)
		}
	}
}

// bearer makes a cluster take OAUTHBEARER, with the one token.
func bearer(c *kfake.Cluster, token func() string) {
	c.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		if m := r.(*kmsg.SASLHandshakeRequest).Mechanism; m != "OAUTHBEARER" {
			resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if got := string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes); got != "n,,\x01auth=Bearer "+token()+"\x01\x01" {
			resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		}
		return resp, nil, true
	})
}

func TestBearerTokenOfAFile(t *testing.T) {
	c := fake(t)
	bearer(c, func() string { return hidden })
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{Mechanism: "OAUTHBEARER", Token: secret(t, hidden+"\n")}}
	if err := reach(t, cluster); err != nil {
		t.Fatal(err)
	}
	cluster.SASL.Token = secret(t, hidden+"-expired")
	wantEnvironment(t, reach(t, cluster), "does not accept the credentials", "renew the token in file "+cluster.SASL.Token.File)
}
