package dataflowtest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox/dataflow"
)

// Project and Region are those of the tests' jobs.
const (
	Project = "kappa-test"
	Region  = "us-central1"
)

// Template is where Start's storage has the template.
const Template = "gs://templates/kappa-pipeline.json"

// TemplateJSON is the template.
const TemplateJSON = `{
  "image": "example.invalid/kappa/kappa-pipeline:1.0",
  "sdkInfo": {"language": "GO", "version": "2.77.0"},
  "metadata": {
    "name": "kappa-pipeline", "streaming": true,
    "parameters": [
      {"name": "jobspec", "label": "Job file", "helpText": "gs:// path", "regexes": ["^gs://[^/]+/.+$"]},
      {"name": "job", "label": "Job", "helpText": "name"},
      {"name": "generation", "label": "Generation", "helpText": "number", "isOptional": true},
      {"name": "archive", "label": "Archive", "helpText": "gs:// pattern of a backfill", "isOptional": true},
      {"name": "files", "label": "Files", "helpText": "pattern of a backfill", "isOptional": true},
      {"name": "table", "label": "Table", "helpText": "raw table of a backfill", "isOptional": true},
      {"name": "maxbytes", "label": "Most bytes", "helpText": "that a query on it may bill", "isOptional": true},
      {"name": "from", "label": "From", "helpText": "of a backfill", "isOptional": true},
      {"name": "to", "label": "To", "helpText": "of a backfill", "isOptional": true},
      {"name": "shadow", "label": "Shadow", "helpText": "write to BigQuery alone", "isOptional": true}
    ]
  }
}`

// Config configures Start.
type Config struct {
	Behaviours map[string]Behaviour // by --job; "" for all others
	Storage    string               // Cloud Storage endpoint; empty: one that has Objects
	Objects    map[string]string    // object by BUCKET/OBJECT, beside the template
	Dir        string
	Script     dataflow.Script // nil: the service does what it does
}

// Start starts the service with fake workers, closes it when the test ends,
// and points the environment's DATAFLOW_EMULATOR_HOST to it.
func Start(t testing.TB, cfg Config) *dataflow.Server {
	t.Helper()
	binary := SetWorker(t, cfg.Behaviours)
	if cfg.Storage == "" {
		cfg.Storage = serveObjects(t, cfg.Objects)
	}
	s, err := dataflow.New(dataflow.Config{
		Log: slog.New(slog.DiscardHandler), StorageEndpoint: cfg.Storage, PipelineBinary: binary, Dir: cfg.Dir, Script: cfg.Script,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	t.Setenv(gcp.EnvDataflow, s.Addr())
	return s
}

// serveObjects serves the objects the way Cloud Storage serves media.
func serveObjects(t testing.TB, objects map[string]string) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /download/storage/v1/b/{bucket}/o/{object}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("bucket") + "/" + r.PathValue("object")
		if body, ok := objects[name]; ok {
			_, _ = w.Write([]byte(body))
			return
		}
		if "gs://"+name == Template {
			_, _ = w.Write([]byte(TemplateJSON))
			return
		}
		http.NotFound(w, r)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// Clients returns the official clients of the started service.
func Clients(t testing.TB) *gcp.Dataflow {
	t.Helper()
	p, err := gcp.Open(jobspecs.Platform{Environment: "sandbox", Project: Project})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Dataflow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Eventually polls until ok says so, and fails the test after half a minute.
func Eventually(t testing.TB, what string, ok func(context.Context) bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok(t.Context()) {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
