package pipeline

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/kappa-migrate/kappa/internal/exit"
)

// archiveSchema is that of a Cloud Storage subscription with write_metadata.
const archiveSchema = `{"type":"record","name":"PubsubMessage","namespace":"com.google.pubsub","fields":[
	{"name":"subscription_name","type":"string"},
	{"name":"message_id","type":"string"},
	{"name":"publish_time","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"attributes","type":{"type":"map","values":"string"}},
	{"name":"data","type":"bytes"}]}`

// writeArchive writes flights as files of an archive.
func writeArchive(t testing.TB, dir string, fs []flight, files int) {
	t.Helper()
	schema := avro.MustParse(archiveSchema)
	for i := range files {
		var b bytes.Buffer
		w, err := ocf.NewWriter(&b, schema, ocf.WithCodec(ocf.SnappyCodec()))
		if err != nil {
			t.Fatal(err)
		}
		for j := i; j < len(fs); j += files { // out of order over the files
			m := fs[j].message(j)
			if err := w.Encode(map[string]any{"subscription_name": "projects/p/subscriptions/archive", "message_id": fmt.Sprint(j),
				"publish_time": time.UnixMicro(int64(j)), "attributes": m.GetAttributes(), "data": m.GetData()}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%d.avro", i)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A stream and a batch over the same events, with duplicates and out of order,
// come to the same.
func TestBackfillEqualsStream(t *testing.T) {
	s := spec(t, nil)
	fs := flights(11, 2000, 20*time.Hour, 8)
	fs = append(fs, fs[100:400]...)

	p := newPlatform(t, 2)
	stream := newMemory()
	r := p.start(s, "flights-0", 1, stream)
	for i := 0; i < len(fs); i += 230 {
		part := fs[i:min(i+230, len(fs))]
		p.publishFlights(2, part)
		r.until("part is read", func() bool { return stream.count("raw_flights") >= i+len(part) })
	}
	r.drained()

	dir := t.TempDir()
	writeArchive(t, dir, fs, 3)
	plan, err := NewPlan(s, "flights-backfill", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.FindArchive(t.Context(), filepath.Join(dir, "*.avro")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BIGQUERY_EMULATOR_HOST", "") // nothing is opened
	batch := newMemory()
	if err := Run(t.Context(), Config{Plan: plan, Runner: Prism, Log: slog.New(slog.DiscardHandler), Rows: batch, Cells: batch, IDs: batch}); err != nil {
		t.Fatal(err)
	}
	want := truth(fs)
	stream.same(t, s.Spec.Aggregations[0], want)
	batch.same(t, s.Spec.Aggregations[0], want)
	if got := batch.count("raw_flights"); got != len(fs) {
		t.Errorf("%d raw rows in the batch, want %d", got, len(fs))
	}
	if got := batch.count("late_flights"); got != 0 {
		t.Errorf("%d late rows in the batch", got)
	}
	for k, panes := range batch.panes(s.Spec.Aggregations[0]) {
		if len(panes) != 1 || panes[0] != "0 on_time" {
			t.Errorf("%s has panes %v in the batch", k, panes)
		}
	}
	if diff := cmp.Diff([]string{"flights-backfill"}, batch.column("stream_flights", "job")); diff != "" {
		t.Errorf("writer (-want +got)\n%s", diff)
	}
}

func TestFindArchive(t *testing.T) {
	plan, err := NewPlan(spec(t, nil), "b", 1)
	if err != nil {
		t.Fatal(err)
	}
	for pattern, code := range map[string]exit.Code{
		filepath.Join(t.TempDir(), "*.avro"): exit.Environment,
		"[":                                  exit.Usage,
		"gs://bucket":                        exit.Usage,
		"gs:///x":                            exit.Usage,
	} {
		if err := plan.FindArchive(t.Context(), pattern); exit.Of(err) != code {
			t.Errorf("%s: %v, want exit code %d", pattern, err, code)
		}
	}
}

func TestArchiveThatIsNone(t *testing.T) {
	for name, content := range map[string]string{"text": "hello", "other schema": otherSchema(t)} {
		if err := readArchive(strings.NewReader(content), func(*archived) {}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func otherSchema(t *testing.T) string {
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, avro.MustParse(`{"type":"record","name":"x","fields":[{"name":"data","type":"bytes"}]}`))
	if err == nil {
		err = w.Encode(map[string]any{"data": []byte("x")})
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.String()
}
