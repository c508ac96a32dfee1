package kafka

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// krb5 is the configuration of a realm whose KDC is down.
const krb5 = `[libdefaults]
 default_realm = EXAMPLE.COM
 udp_preference_limit = 1
[realms]
 EXAMPLE.COM = {
  kdc = 127.0.0.1:1
 }
`

// keys writes a keytab with the key of a principal made from the secret.
func keys(t *testing.T, principal string) (path string, text []byte) {
	t.Helper()
	k := keytab.New()
	if err := k.AddEntry(principal, "EXAMPLE.COM", hidden, time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	text, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "kappa.keytab")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

func gssapi(c *kfake.Cluster) {
	c.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return r.ResponseKind(), nil, true
	})
}

func TestKerberosWithoutKDC(t *testing.T) {
	c := fake(t)
	gssapi(c)
	path, text := keys(t, "kappa/host")
	cluster := jobspecs.KafkaCluster{Brokers: c.ListenAddrs(), SASL: jobspecs.SASL{Mechanism: "GSSAPI", Kerberos: jobspecs.Kerberos{
		Principal: "kappa/host", Realm: "EXAMPLE.COM", Keytab: path, Config: write(t, "krb5.conf", krb5),
	}}}
	err := reach(t, cluster)
	wantEnvironment(t, err, "Kerberos: ", "the realm's KDC")
	if key := hex.EncodeToString(text[len(text)-36 : len(text)-4]); err != nil && strings.Contains(err.Error(), key) {
		t.Error("the key is in the error")
	}
}

func TestKeytabOfAnother(t *testing.T) {
	path, _ := keys(t, "somebody")
	_, err := Options(t.Context(), jobspecs.KafkaCluster{Brokers: []string{"127.0.0.1:9"}, SASL: jobspecs.SASL{Mechanism: "GSSAPI", Kerberos: jobspecs.Kerberos{
		Principal: "kappa", Realm: "EXAMPLE.COM", Keytab: path, Config: write(t, "krb5.conf", krb5),
	}}})
	wantEnvironment(t, err, path+" has no key of kappa@EXAMPLE.COM", "klist -k")
	if exit.Of(err) != exit.Environment {
		t.Error(err)
	}
}

// FuzzKeytab: no file, however broken, makes kappa panic.
func FuzzKeytab(f *testing.F) {
	k := keytab.New()
	if err := k.AddEntry("kappa", "EXAMPLE.COM", hidden, time.Unix(1, 0), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		f.Fatal(err)
	}
	whole, err := k.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("\x05\x02\x00\x00\x00\x40"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, ok := parseKeytab(text); ok && keys == nil {
			t.Error("taken without keys")
		}
	})
}
