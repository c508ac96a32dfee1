package kafka

import (
	"context"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// mechanism returns the mechanism of s, nil for none. Credentials are read here
// once, to find what is wrong with them, and again for each connection.
func mechanism(ctx context.Context, s jobspecs.SASL) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		auth := func(context.Context) (plain.Auth, error) {
			password, err := password(s)
			return plain.Auth{User: s.Username, Pass: password}, err
		}
		_, err := auth(ctx)
		return plain.Plain(auth), err
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		auth := func(context.Context) (scram.Auth, error) {
			password, err := password(s)
			return scram.Auth{User: s.Username, Pass: password}, err
		}
		_, err := auth(ctx)
		if s.Mechanism == "SCRAM-SHA-256" {
			return scram.Sha256(auth), err
		}
		return scram.Sha512(auth), err
	case "OAUTHBEARER":
		token, err := tokens(ctx, s)
		return oauth.Oauth(token), err
	case "GSSAPI":
		auth := func(context.Context) (kerberos.Auth, error) { return kerberosAuth(s.Kerberos) }
		first, err := auth(ctx)
		if err == nil {
			first.Client.Destroy()
		}
		return kerberos.Kerberos(auth), err
	}
	return nil, exit.Usagef("sasl.mechanism %q is not known", s.Mechanism).
		WithHint("use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI")
}

// password reads the password of a mechanism that has one.
func password(s jobspecs.SASL) (string, error) {
	if s.Username == "" {
		return "", exit.Usagef("sasl.mechanism %s needs a username", s.Mechanism)
	}
	password, err := Secret(s.Password)
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(password, 0) {
		return "", exit.Environmentf("the password of sasl.username %s has a zero byte, which SASL cannot carry", s.Username)
	}
	return password, nil
}

// kerberosAuth makes a Kerberos client: one for each connection, which ends
// with it. A shared one would keep an old ticket after its keytab was renewed.
func kerberosAuth(k jobspecs.Kerberos) (kerberos.Auth, error) {
	text, err := readFile("sasl.kerberos.config", k.Config)
	if err != nil {
		return kerberos.Auth{}, err
	}
	conf, err := config.NewFromString(string(text))
	if err != nil {
		return kerberos.Auth{}, exit.Environmentf("sasl.kerberos.config %s: %w", k.Config, err)
	}
	if text, err = readFile("sasl.kerberos.keytab", k.Keytab); err != nil {
		return kerberos.Auth{}, err
	}
	keys, ok := parseKeytab(text)
	if !ok {
		return kerberos.Auth{}, exit.Environmentf("sasl.kerberos.keytab %s is no keytab, or is cut off", k.Keytab).
			WithHint("write it again: ktutil, kadmin ktadd, or ktpass on Active Directory")
	}
	if !holds(keys, k.Principal, k.Realm) {
		return kerberos.Auth{}, exit.Environmentf("sasl.kerberos.keytab %s has no key of %s@%s", k.Keytab, k.Principal, k.Realm).
			WithHint("see which principals it has: klist -k %s", k.Keytab)
	}
	service := k.Service
	if service == "" {
		service = "kafka"
	}
	// Active Directory refuses pre-authentication with FAST.
	return kerberos.Auth{Client: client.NewWithKeytab(k.Principal, k.Realm, keys, conf, client.DisablePAFXFAST(true)), Service: service}, nil
}

// parseKeytab drops the parser's own errors, which quote the file with the keys
// in it, and takes its panics, which cut-off files cause, for errors.
func parseKeytab(text []byte) (keys *keytab.Keytab, ok bool) {
	defer func() {
		if recover() != nil {
			keys, ok = nil, false
		}
	}()
	keys = keytab.New()
	return keys, keys.Unmarshal(text) == nil
}

func holds(keys *keytab.Keytab, principal, realm string) bool {
	for _, e := range keys.Entries {
		if strings.Join(e.Principal.Components, "/") == principal && e.Principal.Realm == realm {
			return true
		}
	}
	return false
}
