package transform

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kappa-migrate/kappa/jobspecs"
)

func TestRegistryCredentials(t *testing.T) {
	secret := func(s jobspecs.Secret) (string, error) {
		if s.Env == "MISSING" {
			return "", errors.New("MISSING is not set")
		}
		return "s3cret", nil
	}
	for name, c := range map[string]struct {
		spec jobspecs.Registry
		want string
	}{
		"none":  {jobspecs.Registry{}, ""},
		"basic": {jobspecs.Registry{Username: "me", Password: jobspecs.Secret{Env: "P"}}, "Basic bWU6czNjcmV0"},
		"token": {jobspecs.Registry{Token: jobspecs.Secret{File: "f"}}, "Bearer s3cret"},
	} {
		f := newFakeRegistry(t)
		f.ids[9] = map[string]any{"schema": userSchema}
		var got atomic.Value
		f.fail = func(w http.ResponseWriter, r *http.Request) bool {
			got.Store(r.Header.Get("Authorization"))
			return false
		}
		a := f.avroFormat(t, c.spec, Options{Secret: secret})
		if _, _, err := a.open(t.Context(), registryRecord(9, ""), nil); err != nil || got.Load() != c.want {
			t.Errorf("%s: %q, %v", name, got.Load(), err)
		}
		f.set(func() {
			f.fail = func(w http.ResponseWriter, r *http.Request) bool { w.WriteHeader(403); return true }
		})
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err := a.open(ctx, registryRecord(10, ""), func(problem string) {
			if strings.Contains(problem, "s3cret") || strings.Contains(problem, "czNjcmV0") || !strings.Contains(problem, "credentials") {
				t.Error(problem)
			}
			cancel()
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for name, spec := range map[string]jobspecs.Registry{
		"secret is missing": {URL: "http://127.0.0.1:1", Token: jobspecs.Secret{Env: "MISSING"}},
		"user in the url":   {URL: "http://me:hidden@127.0.0.1:1"},
		"not a url":         {URL: "http://a b:hidden"},
		"no such CA":        {URL: "https://127.0.0.1:1", CAFile: "/nowhere/ca.pem"},
		"CA is no PEM":      {URL: "https://127.0.0.1:1", CAFile: writeFile(t, "ca.pem", "text")},
	} {
		_, err := newRegistryClient(spec, Options{Secret: secret})
		if err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "spec.transform.schema.registry") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegistryCAFile(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"schema": userSchema})
	}))
	s.Config.ErrorLog = nil
	defer s.Close()
	spec := jobspecs.Registry{URL: s.URL, CAFile: writeFile(t, "ca.pem", pemOf(s.Certificate().Raw))}
	c, err := newRegistryClient(spec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.http.CloseIdleConnections()
	if _, err := c.ask(t.Context(), 1, "AVRO"); err != nil {
		t.Error(err)
	}
	spec.CAFile = ""
	if c, err = newRegistryClient(spec, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ask(t.Context(), 1, "AVRO"); err == nil {
		t.Error("a certificate of nobody is trusted")
	}
}

// FuzzRegistryAnswer: no answer is a panic, and only the registry's own words
// make an id unknown.
func FuzzRegistryAnswer(f *testing.F) {
	f.Add(200, []byte(`{"schema":"{}","references":[{"name":"a","subject":"b","version":1}]}`))
	f.Add(404, []byte(`{"error_code":40403}`))
	f.Add(404, []byte(`404 page not found`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a, err := readAnswer("/x", status, body)
		var refused *refusedSchemaError
		if errors.As(err, &refused) && refused.unknown && !strings.Contains(string(body), "4040") {
			t.Fatalf("%d %q makes an id unknown", status, body)
		}
		if err == nil && a.Schema == "" {
			t.Fatal("no schema")
		}
	})
}

// FuzzRegistryHead: whatever the bytes, reading which message a record holds
// ends in a message or an error.
func FuzzRegistryHead(f *testing.F) {
	file, err := compileProto(&registered{text: protoSource})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0})
	f.Add([]byte{4, 2, 0, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, rest, err := file.pick(data)
		if err == nil && (m == nil || len(rest) >= len(data)) {
			t.Fatal("no message")
		}
	})
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
