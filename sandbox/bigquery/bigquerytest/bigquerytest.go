// Package bigquerytest starts a BigQuery for the time of a test.
package bigquerytest

import (
	"log/slog"
	"testing"

	"cloud.google.com/go/bigquery"
	"google.golang.org/api/option"

	server "github.com/kappa-migrate/kappa/sandbox/bigquery"
)

// Start starts a BigQuery with an empty dataset. It returns a client of the
// dataset's project, and the service's address. Both end with the test.
func Start(t testing.TB, project, dataset string) (client *bigquery.Client, addr string) {
	t.Helper()
	s, err := server.New(server.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	client, err = bigquery.NewClient(t.Context(), project, option.WithEndpoint("http://"+s.Addr()+"/bigquery/v2/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Dataset(dataset).Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return client, s.Addr()
}
