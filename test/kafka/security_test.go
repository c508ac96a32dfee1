//go:build kafka

package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/apachekafka"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// write writes a file of a test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unsecured is a bearer token as brokers take it that check no signature.
func unsecured(subject string, life time.Duration) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Now().Unix()
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, now, now+int64(life.Seconds()))) + "."
}

// TestSecurity: a bridge reads over every kind of connection.
func TestSecurity(t *testing.T) {
	t.Parallel()
	client, err := authority.Issue(time.Hour, "kappa")
	if err != nil {
		t.Fatal(err)
	}
	secret := write(t, "password", password+"\n")
	user := func(mechanism string) map[string]any {
		return map[string]any{"mechanism": mechanism, "username": "alice", "password": map[string]any{"file": secret}}
	}
	tls := map[string]any{"enabled": true, "caFile": authority.File}
	for name, c := range map[string]struct {
		listener apachekafka.Listener
		source   map[string]any
	}{
		"TLS":            {apachekafka.SSL, map[string]any{"tls": tls}},
		"mutual TLS":     {apachekafka.MutualSSL, map[string]any{"tls": map[string]any{"enabled": true, "caFile": authority.File, "certFile": client.CertFile, "keyFile": client.KeyFile}}},
		"PLAIN":          {apachekafka.SASLPlaintext, map[string]any{"sasl": user("PLAIN")}},
		"SCRAM 256":      {apachekafka.SASLPlaintext, map[string]any{"sasl": user("SCRAM-SHA-256")}},
		"SCRAM 512, TLS": {apachekafka.SASLSSL, map[string]any{"sasl": user("SCRAM-SHA-512"), "tls": tls}},
		"bearer token, TLS": {apachekafka.SASLSSL, map[string]any{"tls": tls, "sasl": map[string]any{
			"mechanism": "OAUTHBEARER", "token": map[string]any{"file": write(t, "token", unsecured("alice", time.Hour))},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			for k, v := range c.source {
				r.source[k] = v
			}
			r.source["brokers"] = cluster.Addrs(c.listener)
			records := numbered("r", 20)
			r.produce(r.producer(), records...)
			r.run()
			r.committed(r.name, 0, 20)
			r.taken(values(records))
		})
	}
}

// TestRefused: what a real broker answers when something is wrong, and what is
// made of it.
func TestRefused(t *testing.T) {
	t.Parallel()
	secret := jobspecs.Secret{File: write(t, "password", password)}
	wrong := jobspecs.Secret{File: write(t, "wrong", "wrong-"+password)}
	expired := jobspecs.Secret{File: write(t, "token", unsecured("alice", -time.Hour))}
	stranger, err := apachekafka.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own := jobspecs.TLS{Enabled: true, CAFile: authority.File}
	user := func(mechanism string, s jobspecs.Secret) jobspecs.SASL {
		return jobspecs.SASL{Mechanism: mechanism, Username: "alice", Password: s}
	}
	for name, c := range map[string]struct {
		listener      apachekafka.Listener
		tls           jobspecs.TLS
		sasl          jobspecs.SASL
		message, hint string
	}{
		"PLAIN, wrong password":  {apachekafka.SASLPlaintext, jobspecs.TLS{}, user("PLAIN", wrong), "does not accept the credentials", "the password in file " + wrong.File},
		"SCRAM, wrong password":  {apachekafka.SASLPlaintext, jobspecs.TLS{}, user("SCRAM-SHA-512", wrong), "does not accept the credentials", "the password in file " + wrong.File},
		"expired token":          {apachekafka.SASLPlaintext, jobspecs.TLS{}, jobspecs.SASL{Mechanism: "OAUTHBEARER", Token: expired}, "does not accept the credentials", "renew the token in file " + expired.File},
		"no SASL":                {apachekafka.SASLPlaintext, jobspecs.TLS{}, jobspecs.SASL{}, "ends the connection", "give sasl"},
		"SASL to a port without": {apachekafka.Plaintext, jobspecs.TLS{}, user("PLAIN", secret), "asks for no authentication", "remove sasl"},
		"no TLS":                 {apachekafka.SSL, jobspecs.TLS{}, jobspecs.SASL{}, "unencrypted", "tls.enabled: true"},
		"TLS to a port without":  {apachekafka.Plaintext, own, jobspecs.SASL{}, "does not answer a TLS handshake", "tls.enabled: false"},
		"another authority":      {apachekafka.SSL, jobspecs.TLS{Enabled: true, CAFile: stranger.File}, jobspecs.SASL{}, "not trusted", stranger.File},
		"another name":           {apachekafka.SSL, jobspecs.TLS{Enabled: true, CAFile: authority.File, ServerName: "kafka.example"}, jobspecs.SASL{}, "for another name", "tls.serverName"},
		"no client certificate":  {apachekafka.MutualSSL, own, jobspecs.SASL{}, "ends the TLS handshake", "tls.certFile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			client, err := kafka.Connect(ctx, jobspecs.KafkaCluster{Brokers: cluster.Addrs(c.listener), TLS: c.tls, SASL: c.sasl}, "kappa-test")
			if err == nil {
				client.Close()
				t.Fatal("it was let in")
			}
			explained(t, err, c.message, c.hint)
		})
	}
}

func explained(t *testing.T, err error, message, hint string) {
	t.Helper()
	var e *exit.Error
	if !errors.As(err, &e) || e.Code != exit.Environment || !strings.Contains(e.Error(), message) || !strings.Contains(e.Hint, hint) {
		t.Errorf("error: %v\nwant code %d, %q and the hint %q", err, exit.Environment, message, hint)
	}
	if e != nil {
		t.Logf("%v\nhint: %s", e, e.Hint)
		if strings.Contains(e.Error()+e.Hint, password) {
			t.Error("the password is in the error")
		}
	}
}

// TestPermissions: topics and groups that are not ours.
func TestPermissions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	deny := kadm.NewACLs().Deny("User:alice").DenyHosts("*").Topics(r.name).Groups(r.name).Operations(kadm.OpRead, kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := admin.CreateACLs(r.ctx, deny); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.DeleteACLs(context.WithoutCancel(r.ctx), deny); err != nil {
			t.Error(err)
		}
	})
	c := jobspecs.KafkaCluster{Brokers: cluster.Addrs(apachekafka.SASLPlaintext), SASL: jobspecs.SASL{
		Mechanism: "PLAIN", Username: "alice", Password: jobspecs.Secret{File: write(t, "password", password)},
	}}
	alice, err := kafka.NewAdmin(r.ctx, c, "kappa-test")
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close()
	r.until("the topic is denied", func() string { // ACLs reach the brokers later
		_, _, err = kafka.Topics(r.ctx, alice, jobspecs.KafkaSource{KafkaCluster: c, Topics: []string{r.name}})
		if err == nil {
			return "it is not"
		}
		return ""
	})
	explained(t, err, r.name+": ", "allow alice to Describe and Read the source topics")
	_, err = alice.FetchOffsets(r.ctx, r.name)
	explained(t, kafka.Explain(err, c), "no permission on the consumer group", "allow alice to Describe and Read the group")
}

// TestExpiringToken: sessions end with their tokens; the client reads the renewed
// ones, and goes on by itself after a renewal that came too late.
func TestExpiringToken(t *testing.T) {
	t.Parallel()
	const life = 4 * time.Second
	r := newRig(t, 1)
	token := write(t, "token", unsecured("alice", life))
	r.source["brokers"] = cluster.Addrs(apachekafka.SASLPlaintext)
	r.source["sasl"] = map[string]any{"mechanism": "OAUTHBEARER", "token": map[string]any{"file": token}}
	renew := func() {
		if err := os.WriteFile(token+".new", []byte(unsecured("alice", life)), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Rename(token+".new", token); err != nil {
			t.Error(err)
		}
	}
	var renewing sync.WaitGroup
	var late atomic.Bool
	done := make(chan struct{})
	renewing.Go(func() {
		tick := time.NewTicker(life / 8)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if !late.Load() {
					renew()
				}
			}
		}
	})
	t.Cleanup(func() { close(done); renewing.Wait() })
	b := r.run()
	plain := r.producer()
	n := int64(0)
	write := func() {
		r.produce(plain, kgo.StringRecord(fmt.Sprint("r", n)))
		n++
	}
	for begin := time.Now(); time.Since(begin) < 2*life; {
		write()
		r.committed(r.name, 0, n)
	}
	late.Store(true)
	r.until("the broker refuses the old token", func() string {
		write()
		if !strings.Contains(b.words(), "oauth") && b.ready() == "" {
			return "it does not"
		}
		return ""
	})
	late.Store(false)
	r.committed(r.name, 0, n)
	r.until("the bridge is ready", b.ready)
}
