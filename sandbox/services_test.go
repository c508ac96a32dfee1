package sandbox_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/sandbox"
)

// What is named is started, and nothing else.
func TestServices(t *testing.T) {
	s, err := sandbox.Start(t.Context(), sandbox.Config{Log: discard, Services: []string{"bigquery"}, BigQueryMemory: "256MiB"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := slices.Collect(maps.Keys(s.Environment())); !slices.Equal(got, []string{gcp.EnvBigQuery}) {
		t.Errorf("started %v, want BigQuery alone", got)
	}
	for want, c := range map[string]sandbox.Config{
		`no service is named "bigtabel"`: {Log: discard, Services: []string{"bigtabel"}},
		`memory limit "lots"`:            {Log: discard, Services: []string{"bigquery"}, BigQueryMemory: "lots"},
	} {
		if _, err := sandbox.Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
