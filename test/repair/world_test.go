package repair

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/deploy"
	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/sandbox"
	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

// binDir names the environment variable with a folder of programs that are built
// already, from this source.
const binDir = "KAPPA_BIN_DIR"

// built is the folder that pipelineProgram has built into.
var built string

// pipelineProgram is the real pipeline, which it builds once.
var pipelineProgram = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(binDir); dir != "" {
		return filepath.Abs(filepath.Join(dir, "kappa-pipeline"))
	}
	dir, err := os.MkdirTemp("", "kappa-repair-test")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "kappa-pipeline")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/kappa-pipeline")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

const specYAML = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: flights}
spec:
  environment: sandbox
  project: kappa-demo
  region: us-central1
  template: gs://kappa-demo-templates/kappa-pipeline-v1.json
  staging: gs://kappa-demo-staging/jobs
  journal: JOURNAL
  jobs: 2
  sources: {subscriptionPrefix: flights-, count: 2}
  event: {fields: [{name: origin, type: STRING}, {name: delay, type: INT64}, {name: distance, type: INT64}]}
  watermark: {idle: 1s}
  horizon: 2h
  aggregations:
    - name: flights_by_origin
      dimensions: [origin]
      window: 1h
      measures: [{name: flights, type: count}, {name: delay_sum, type: sum, field: FIELD}]
      table: stream_flights
  sinks:
    bigquery: {dataset: kappa, raw: raw_flights, late: late_flights}
    bigtable: {instance: kappa, table: aggregates}
  update: {rollout: {conditions: {healthyFor: 0s}}}
`

// key is a key and window; value is what it holds.
type (
	key struct {
		origin string
		window time.Time
	}
	value struct{ flights, delay int64 }
)

// event is an event, which may be delivered more than once.
type event struct {
	n               int
	at              time.Time
	origin          string
	delay, distance int64
}

var archiveSchema = avro.MustParse(`{"type":"record","name":"PubsubMessage","namespace":"com.google.pubsub","fields":[
	{"name":"subscription_name","type":"string"},{"name":"message_id","type":"string"},
	{"name":"publish_time","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"attributes","type":{"type":"map","values":"string"}},{"name":"data","type":"bytes"}]}`)

// world is a sandbox in which events flow: to the topics, and to the archive as a
// Cloud Storage subscription would write it.
type world struct {
	*testing.T
	job     *jobspecs.StreamJob
	clients *deploy.Clients
	wrong   string // spec files
	right   string

	step atomic.Int64 // of event time, from event to event
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex
	events []event
	sent   int // deliveries
}

const archive = "gs://" + dataflowtest.FlightsStaging + "/archive/*.avro"

func newWorld(t *testing.T) *world {
	t.Helper()
	program, err := pipelineProgram()
	if err != nil {
		t.Fatal(err)
	}
	sandboxtest.Start(t, func(c *sandbox.Config) { c.PipelineBinary = program })
	dir := t.TempDir()
	w := &world{T: t, stop: make(chan struct{}), done: make(chan struct{})}
	write := func(name, field string) string {
		text := bytes.ReplaceAll([]byte(specYAML), []byte("JOURNAL"), []byte(filepath.Join(dir, "journal")))
		text = bytes.ReplaceAll(text, []byte("FIELD"), []byte(field))
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	w.wrong, w.right = write("wrong.yaml", "distance"), write("right.yaml", "delay")
	w.job = dataflowtest.Load(t, w.right)
	if w.clients, err = deploy.Connect(t.Context(), w.job); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.clients.Close)
	dataflowtest.PrepareFlights(t, w.job, w.clients.PubSub, w.clients.Storage)
	w.pace(fast)
	go w.flow()
	t.Cleanup(w.end)
	return w
}

// end ends the flow.
func (w *world) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	<-w.done
}

const (
	fast  = 20 * time.Second // of event time, from event to event: an hour a second or so
	slow  = 100 * time.Millisecond
	batch = 10 // events published at once
	pause = 50 * time.Millisecond
	chunk = 20 // batches in a file of the archive
)

// pace sets how fast event time goes on.
func (w *world) pace(step time.Duration) { w.step.Store(int64(step)) }

// flow publishes until it is told to stop: events as time goes on, a tenth of them
// late by up to an hour and a half, and a tenth again that were published before.
func (w *world) flow() {
	defer close(w.done)
	random := rand.New(rand.NewPCG(7, 9))
	now := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var file []event
	for n := 0; ; n++ {
		var out []event
		w.mu.Lock()
		for range batch {
			now = now.Add(time.Duration(w.step.Load()))
			e := event{n: len(w.events), at: now, origin: []string{"ATL", "JFK", "ORD"}[random.IntN(3)], delay: random.Int64N(90) - 10, distance: 1000 + random.Int64N(1000)}
			if random.IntN(10) == 0 {
				e.at = now.Add(-time.Duration(random.Int64N(int64(90 * time.Minute))))
			}
			w.events = append(w.events, e)
			out = append(out, e)
			if old := w.events[len(w.events)-1-random.IntN(min(len(w.events), 50))]; random.IntN(10) == 0 {
				out = append(out, old)
			}
		}
		w.sent += len(out)
		w.mu.Unlock()
		if err := w.publish(out, now); err != nil {
			w.Errorf("publish: %v", err)
			return
		}
		if file = append(file, out...); n%chunk == chunk-1 {
			if err := w.archive(fmt.Sprintf("archive/%06d.avro", n), file, now); err != nil {
				w.Errorf("archive: %v", err)
				return
			}
			file = nil
		}
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
	}
}

func (e event) attributes(topic int, now time.Time) map[string]string {
	return map[string]string{
		envelope.AttrID: fmt.Sprintf("00000000-0000-5000-8000-%012d", e.n), envelope.AttrEventTime: envelope.FormatTime(e.at),
		envelope.AttrSourceTime: envelope.FormatTime(now), envelope.AttrPosition: fmt.Sprintf("c/t/%d/%d", topic, e.n),
	}
}

func (e event) data() []byte {
	return fmt.Appendf(nil, `{"origin":%q,"delay":%d,"distance":%d}`, e.origin, e.delay, e.distance)
}

// topic is that of all deliveries of an event: it is split by key.
func (e event) topic() int { return int(e.origin[0]) % 2 }

func (w *world) publish(list []event, now time.Time) error {
	byTopic := map[int][]*pubsubpb.PubsubMessage{}
	for _, e := range list {
		byTopic[e.topic()] = append(byTopic[e.topic()], &pubsubpb.PubsubMessage{Data: e.data(), Attributes: e.attributes(e.topic(), now)})
	}
	for topic, messages := range byTopic {
		_, err := w.clients.PubSub.TopicAdminClient.Publish(context.Background(), &pubsubpb.PublishRequest{
			Topic: fmt.Sprintf("projects/%s/topics/flights-%d", w.job.Spec.Project, topic), Messages: messages,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) archive(name string, list []event, now time.Time) error {
	var b bytes.Buffer
	f, err := ocf.NewWriter(&b, archiveSchema)
	if err != nil {
		return err
	}
	for i, e := range list {
		err := f.Encode(map[string]any{"subscription_name": "archive", "message_id": fmt.Sprintf("%s-%d", name, i), "publish_time": now,
			"attributes": e.attributes(e.topic(), now), "data": e.data()})
		if err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	o := w.clients.Storage.Bucket(dataflowtest.FlightsStaging).Object(name).NewWriter(context.Background())
	if _, err := o.Write(b.Bytes()); err != nil {
		return err
	}
	return o.Close()
}

// truth is what every window must hold.
func (w *world) truth() map[key]value {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[key]value{}
	for _, e := range w.events {
		k := key{e.origin, e.at.Truncate(time.Hour)}
		v := out[k]
		out[k] = value{v.flights + 1, v.delay + e.delay}
	}
	return out
}

// read is what a reader of a table's aggregates sees.
func (w *world) read(table string) map[key]value {
	w.Helper()
	log, err := history.New(w.clients.BigQuery, "kappa").Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	counts := map[string]func(time.Time) bool{}
	for _, s := range log.Standings() {
		counts[s.Writer().String()] = s.CountsAt
	}
	it, err := w.clients.BigQuery.Query("SELECT DISTINCT origin, window_start, job, generation, pane, flights, delay_sum FROM kappa." + table).Read(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	out := map[key]value{}
	for {
		var row struct {
			Origin     string
			Start      time.Time `bigquery:"window_start"`
			Job        string
			Generation int64
			Pane       int64
			Flights    int64
			Delay      int64 `bigquery:"delay_sum"`
		}
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return out
		}
		if err != nil {
			w.Fatal(err)
		}
		if count := counts[fmt.Sprintf("%s@%d", row.Job, row.Generation)]; count != nil && count(row.Start) {
			k := key{row.Origin, row.Start.UTC()}
			out[k] = value{out[k].flights + row.Flights, out[k].delay + row.Delay}
		}
	}
}

// until polls until ok says so.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	deadline := time.After(4 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			w.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
