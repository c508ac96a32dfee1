package kafka

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// issuer gives tokens t1, t2, … that live for life.
func issuer(t *testing.T, life time.Duration) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, password, ok := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka read":
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_scope"}`)
		case !ok || id != "bridge" || password != hidden:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is wrong"}`, password)
		default:
			fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":%d}`, asked.Add(1), int(life.Seconds()))
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return srv.URL, asked
}

func TestTokensOfAnEndpoint(t *testing.T) {
	url, asked := issuer(t, 100*time.Second)
	e := &endpoint{now: time.Now, sasl: jobspecs.SASL{
		Mechanism: "OAUTHBEARER", Username: "bridge", Password: secret(t, hidden), TokenURL: url, Scopes: []string{"kafka", "read"},
	}}
	begin := time.Now()
	clock := begin
	e.now = func() time.Time { return clock }
	for _, step := range []struct {
		after time.Duration
		want  string
	}{
		{0, "t1"}, {70 * time.Second, "t1"}, {90 * time.Second, "t2"}, {95 * time.Second, "t2"},
	} {
		clock = begin.Add(step.after)
		got, err := e.token(t.Context())
		if err != nil || got.Token != step.want {
			t.Fatalf("after %s: %q, %v; want %s", step.after, got.Token, err, step.want)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d tokens were asked for, want 2", n)
	}
}

func TestTokenEndpointReachesTheBroker(t *testing.T) {
	url, asked := issuer(t, time.Hour)
	c := fake(t)
	bearer(c, func() string { return fmt.Sprintf("t%d", asked.Load()) })
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{
		Mechanism: "OAUTHBEARER", Username: "bridge", Password: secret(t, hidden), TokenURL: url, Scopes: []string{"kafka", "read"},
	}}
	if err := reach(t, cluster); err != nil {
		t.Error(err)
	}
}

func TestTokenErrors(t *testing.T) {
	url, _ := issuer(t, time.Hour)
	c := fake(t)
	bearer(c, func() string { return "" })
	sasl := jobspecs.SASL{Mechanism: "OAUTHBEARER", Username: "bridge", Password: secret(t, hidden+"-wrong"), TokenURL: url, Scopes: []string{"kafka", "read"}}
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: sasl}), "401", "sasl.password (the client secret)")
	sasl.Scopes = nil
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: sasl}), "400 Bad Request, invalid_scope", "sasl.scopes")
	sasl.TokenURL = "http://127.0.0.1:1/token"
	wantEnvironment(t, reach(t, jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: sasl}), "ask sasl.tokenURL http://127.0.0.1:1/token", "check the address")
}

func TestTokenFileIsReadAgain(t *testing.T) {
	token := secret(t, "first\n")
	read, err := tokens(t.Context(), jobspecs.SASL{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(token.File, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context()); err != nil || got.Token != "second" {
		t.Errorf("%q, %v; want the new token", got.Token, err)
	}
}

func TestBadCredentialsAreSaidAtTheStart(t *testing.T) {
	keytab := write(t, "keytab", "\x05\x02\x00\x00\x00\x40"+hidden)
	conf := write(t, "krb5.conf", "[libdefaults]\n default_realm = EXAMPLE.COM\n")
	for name, c := range map[string]struct {
		sasl    jobspecs.SASL
		message string
		code    exit.Code
	}{
		"no password":     {jobspecs.SASL{Mechanism: "PLAIN", Username: "u", Password: jobspecs.Secret{Env: "KAPPA_TEST_NOT_SET"}}, "KAPPA_TEST_NOT_SET", exit.Environment},
		"no user":         {jobspecs.SASL{Mechanism: "SCRAM-SHA-256", Password: secret(t, hidden)}, "username", exit.Usage},
		"zero byte":       {jobspecs.SASL{Mechanism: "SCRAM-SHA-512", Username: "u", Password: secret(t, hidden+"\x00")}, "zero byte", exit.Environment},
		"no token":        {jobspecs.SASL{Mechanism: "OAUTHBEARER", Token: jobspecs.Secret{File: "/nowhere/token"}}, "/nowhere/token", exit.Environment},
		"no client id":    {jobspecs.SASL{Mechanism: "OAUTHBEARER", TokenURL: "http://x", Password: secret(t, hidden)}, "client id", exit.Usage},
		"no secret":       {jobspecs.SASL{Mechanism: "OAUTHBEARER", TokenURL: "http://x", Username: "u"}, "secret", exit.Usage},
		"no krb5.conf":    {jobspecs.SASL{Mechanism: "GSSAPI", Kerberos: jobspecs.Kerberos{Config: "/nowhere/krb5.conf"}}, "sasl.kerberos.config /nowhere/krb5.conf", exit.Environment},
		"no keytab":       {jobspecs.SASL{Mechanism: "GSSAPI", Kerberos: jobspecs.Kerberos{Config: conf, Keytab: "/nowhere/keytab"}}, "sasl.kerberos.keytab /nowhere/keytab", exit.Environment},
		"keytab cut off":  {jobspecs.SASL{Mechanism: "GSSAPI", Kerberos: jobspecs.Kerberos{Config: conf, Keytab: keytab}}, "is no keytab", exit.Environment},
		"other mechanism": {jobspecs.SASL{Mechanism: "NTLM"}, "NTLM", exit.Usage},
	} {
		_, err := Options(t.Context(), jobspecs.KafkaCluster{Brokers: []string{"127.0.0.1:9"}, SASL: c.sasl})
		if exit.Of(err) != c.code || !strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v (code %d); want code %d and %q, without the secret", name, err, exit.Of(err), c.code, c.message)
		}
	}
}
