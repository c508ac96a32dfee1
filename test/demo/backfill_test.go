//go:build demo

package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/option"
)

// archiveSchema is what a Cloud Storage subscription of Pub/Sub writes.
const archiveSchema = `{"type":"record","name":"PubsubMessage","namespace":"com.google.pubsub","fields":[
	{"name":"subscription_name","type":"string"},{"name":"message_id","type":"string"},
	{"name":"publish_time","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"attributes","type":{"type":"map","values":"string"}},{"name":"data","type":"bytes"}]}`

// archive encodes flights, each twice, as messages of an archive.
func archive(t *testing.T, flights []flight) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := ocf.NewWriter(&b, avro.MustParse(archiveSchema))
	if err != nil {
		t.Fatal(err)
	}
	const layout = "2006-01-02T15:04:05.000Z"
	for i := range 2 * len(flights) {
		f, n := flights[i/2], i/2
		data, _ := json.Marshal(map[string]any{"origin": f.origin, "delay": f.delay, "distance": f.distance})
		err := w.Encode(map[string]any{
			"subscription_name": "projects/kappa-demo/subscriptions/archive", "message_id": fmt.Sprint(i), "publish_time": time.UnixMicro(int64(i)), "data": data,
			"attributes": map[string]string{
				"kappa-id":          fmt.Sprintf("00000000-0000-5000-8000-%012d", n),
				"kappa-event-time":  f.scheduled.Format(layout),
				"kappa-source-time": f.scheduled.Add(time.Duration(f.delay) * time.Minute).Format(layout),
				"kappa-position":    fmt.Sprintf("archive/flights/0/%d", n),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// windows is what kappa serve query prints.
type windows map[string]int64 // origin and hour → flights

// TestBackfill recomputes six hours from an archive in which one airport's
// flights are missing: in these hours, and there alone, that airport has nothing
// any more, and all others have what they had. A generation that is launched
// afterwards adds nothing to those hours.
func TestBackfill(t *testing.T) {
	t.Parallel()
	bin, all := binaries(t), readWeek(t)[:6_000]
	dir := t.TempDir()
	input := filepath.Join(dir, "in.csv")
	var b strings.Builder
	b.WriteString("scheduled,delay,distance,origin,destination\n")
	for _, f := range all {
		fmt.Fprintf(&b, "%s,%d,%d,%s,%s\n", f.scheduled.Format(time.RFC3339), f.delay, f.distance, f.origin, f.destination)
	}
	if err := os.WriteFile(input, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	demo := exec.Command(filepath.Join(bin, "kappa"), "demo", "--keep", "--input", input)
	demo.Dir = dir
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Signal(syscall.SIGINT)
		_ = demo.Wait()
		waitForNone(t, bin)
	})
	env := filepath.Join(dir, "out/demo/sandbox.env")
	waitForFile(t, env, 3*time.Minute)
	specs := filepath.Join(dir, "out/demo/specs/stream.yaml")
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.Command("bash", append([]string{"-c", `. "$0" && exec "$@"`, env, filepath.Join(bin, "kappa")}, args...)...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("kappa %q: %v\n%s", args, err, errs.String())
		}
		return out.Bytes()
	}
	served := func() windows {
		var r struct {
			Windows []struct {
				Key    map[string]string `json:"key"`
				Start  string            `json:"window_start"`
				Values map[string]int64  `json:"values"`
			} `json:"windows"`
		}
		if err := json.Unmarshal(run("serve", "query", "-f", specs, "--output", "json"), &r); err != nil {
			t.Fatal(err)
		}
		w := windows{}
		for _, x := range r.Windows {
			w[x.Key["origin"]+" "+x.Start] = x.Values["flights"]
		}
		return w
	}

	from := all[0].scheduled.Truncate(time.Hour).Add(4 * time.Hour)
	to := from.Add(6 * time.Hour)
	replaced := func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
	var kept []flight
	missing := 0
	for _, f := range all {
		if f.origin == "ATL" && replaced(f.scheduled) {
			missing++
			continue
		}
		kept = append(kept, f)
	}
	if missing == 0 {
		t.Fatal("nothing is missing: the test shows nothing")
	}
	upload(t, env, "flights/2001-01-08.avro", archive(t, kept))

	before := served()
	backfill := []string{"backfill", "-f", specs, "--poll", "100ms", "--archive", "gs://kappa-demo-archive/flights/*.avro",
		"--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339)}
	run(backfill...)
	want := windows{}
	for k, n := range before {
		at, err := time.Parse(time.RFC3339, k[strings.IndexByte(k, ' ')+1:])
		if err != nil {
			t.Fatal(err)
		}
		if !(strings.HasPrefix(k, "ATL ") && replaced(at)) {
			want[k] = n
		}
	}
	compare := func(when string) {
		t.Helper()
		got := served()
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("%s: %s has %d flights, want %d", when, k, got[k], want[k])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d windows, want %d (of %d before)", when, len(got), len(want), len(before))
		}
	}
	compare("after the backfill")
	if len(want) == len(before) {
		t.Error("no window was to vanish: the test shows nothing")
	}
	run("deploy", "apply", "-f", specs, "--yes", "--poll", "100ms")
	run("drain", "-f", specs, "--poll", "100ms")
	compare("after another generation")
}

// upload puts an object into the sandbox's Cloud Storage.
func upload(t *testing.T, env, object string, data []byte) {
	t.Helper()
	text := string(must(os.ReadFile(env)))
	_, rest, ok := strings.Cut(text, "STORAGE_EMULATOR_HOST=")
	if !ok {
		t.Fatalf("no address of Cloud Storage in\n%s", text)
	}
	host, _, _ := strings.Cut(rest, "\n")
	endpoint := "http://" + strings.TrimPrefix(strings.Trim(host, `'"`), "http://") + "/storage/v1/"
	client, err := storage.NewClient(t.Context(), option.WithoutAuthentication(), option.WithEndpoint(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	bucket := client.Bucket("kappa-demo-archive")
	if err := bucket.Create(t.Context(), "kappa-demo", nil); err != nil {
		t.Fatal(err)
	}
	w := bucket.Object(object).NewWriter(t.Context())
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
