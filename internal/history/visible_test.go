package history_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	sandbox "github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// invariant D2: BigQuery takes a row a moment before it shows it. A step is
// recorded only when whoever comes next can read that it is.
func TestAppendWaitsUntilReadable(t *testing.T) {
	s, err := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	const later = 150 * time.Millisecond
	target := &url.URL{Scheme: "http", Host: s.Addr()}
	forwarded := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/insertAll") {
			httputil.NewSingleHostReverseProxy(target).ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		inner := r.Clone(t.Context())
		inner.RequestURI, inner.URL.Scheme, inner.URL.Host = "", target.Scheme, target.Host
		inner.Body = io.NopCloser(bytes.NewReader(body))
		time.AfterFunc(later, func() {
			defer close(forwarded)
			resp, err := http.DefaultTransport.RoundTrip(inner)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		})
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"bigquery#tableDataInsertAllResponse"}`)
	}))
	t.Cleanup(proxy.Close)
	t.Setenv(gcp.EnvBigQuery, strings.TrimPrefix(proxy.URL, "http://"))
	p, err := gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: project})
	if err != nil {
		t.Fatal(err)
	}
	client, err := p.BigQuery(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Dataset(dataset).Create(t.Context(), &bigquery.DatasetMetadata{}); err != nil {
		t.Fatal(err)
	}
	store := history.New(client, dataset)
	if err := store.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	appendRow(t, store, generation(1, tables.StateOpen, ""))
	if took := time.Since(began); took < later {
		t.Errorf("recorded after %s, readable only after %s", took, later)
	}
	log, err := history.New(client, dataset).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := log.Writer("flights-0", 1); !ok {
		t.Error("what was recorded cannot be read")
	}
	<-forwarded
}
