package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/internal/worker"
	"github.com/kappa-migrate/kappa/jobspecs"
	sandbox "github.com/kappa-migrate/kappa/sandbox/pubsub"
)

func TestMain(m *testing.M) {
	flag.Parse()
	beamlog.LogLevel = "error"
	beam.Init()
	beamlog.SetLogger(&beamlog.Standard{Level: beamlog.SevError})
	os.Exit(m.Run())
}

// flight is an event of the tests.
type flight struct {
	id        int
	scheduled time.Time
	arrival   time.Time // the record's own time
	delay     int64
	distance  int64
	origin    string
	partition int
}

// flights makes n flights in order of arrival, from 2001-01-08 on, over a span.
func flights(seed uint64, n int, span time.Duration, origins int) []flight {
	r := rand.New(rand.NewPCG(seed, 1))
	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	fs := make([]flight, n)
	for i := range fs {
		f := flight{id: i, scheduled: start.Add(time.Duration(r.Int64N(int64(span)))).Truncate(time.Minute),
			delay: int64(r.ExpFloat64()*25) - 15, distance: 100 + r.Int64N(2500), origin: fmt.Sprintf("A%02d", r.IntN(origins)), partition: r.IntN(6)}
		f.arrival = f.scheduled.Add(time.Duration(f.delay) * time.Minute)
		fs[i] = f
	}
	sort.SliceStable(fs, func(i, j int) bool { return fs[i].arrival.Before(fs[j].arrival) })
	return fs
}

func (f flight) eventID() string { return fmt.Sprintf("00000000-0000-5000-8000-%012d", f.id) }

func (f flight) message(offset int) *pubsubpb.PubsubMessage {
	data, _ := json.Marshal(map[string]any{"event_id": f.id, "scheduled": f.scheduled, "delay": f.delay, "distance": f.distance, "origin": f.origin, "destination": "XXX"})
	return &pubsubpb.PubsubMessage{Data: data, Attributes: map[string]string{
		envelope.AttrID: f.eventID(), envelope.AttrEventTime: envelope.FormatTime(f.scheduled),
		envelope.AttrSourceTime: envelope.FormatTime(f.arrival),
		envelope.AttrPosition:   envelope.Position{Cluster: "c", Topic: "flights", Partition: int32(f.partition), Offset: int64(offset)}.String(),
		envelope.AttrBridge:     "flights/test",
	}}
}

// spec is the flights job's, but for what a test changes.
func spec(t testing.TB, change func(*jobspecs.StreamJobSpec)) *jobspecs.StreamJob {
	t.Helper()
	j := &jobspecs.StreamJob{Metadata: jobspecs.Metadata{Name: "flights"}, Spec: jobspecs.StreamJobSpec{
		Platform: jobspecs.Platform{Environment: "sandbox", Project: "kappa-demo"},
		Jobs:     1, Sources: jobspecs.Subscriptions{SubscriptionPrefix: "flights-", Count: 2},
		Event:     jobspecs.Event{Format: "json", Fields: []jobspecs.Field{{Name: "origin", Type: "STRING"}, {Name: "delay", Type: "INT64"}, {Name: "distance", Type: "INT64"}}},
		Watermark: jobspecs.Watermark{Idle: jobspecs.Duration(30 * time.Second)},
		Horizon:   jobspecs.Duration(96 * time.Hour),
		Aggregations: []jobspecs.Aggregation{{Name: "flights_by_origin", Dimensions: []string{"origin"}, Window: jobspecs.Duration(time.Hour), Table: "stream_flights",
			Measures: []jobspecs.Measure{{Name: "flights", Type: "count"}, {Name: "delay_sum", Type: "sum", Field: "delay"}, {Name: "distance_sum", Type: "sum", Field: "distance"}}}},
		Sinks: jobspecs.Sinks{BigQuery: jobspecs.BigQuerySink{Dataset: "kappa", Raw: "raw_flights", Late: "late_flights"},
			Bigtable: jobspecs.BigtableSink{Instance: "kappa", Table: "aggregates"}},
	}}
	if change != nil {
		change(&j.Spec)
	}
	return j
}

// memory is both sinks, and the event ids that outlive a generation.
type memory struct {
	kept   map[string]map[tables.Writer][]byte // row key of a slice → writer → ids
	mu     sync.Mutex
	rows   map[string][]map[string]bigquery.Value
	ids    map[string][]string
	cells  map[string][]byte // row key, qualifier and timestamp → value
	insert func(table string) error
	before func(table string) // is called without the lock
	flaky  int                // every so many writes are done and then reported as failed
	writes int
}

var errFlaky = errors.New("unavailable for a moment")

// failed says whether this write is to be reported as failed.
func (m *memory) failed() error {
	if m.writes++; m.flaky > 0 && m.writes%m.flaky == 0 {
		return errFlaky
	}
	return nil
}

func newMemory() *memory {
	return &memory{kept: map[string]map[tables.Writer][]byte{}, rows: map[string][]map[string]bigquery.Value{}, ids: map[string][]string{}, cells: map[string][]byte{}}
}

func (m *memory) Insert(_ context.Context, table string, rows []*Row) error {
	if m.before != nil {
		m.before(table)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.insert != nil {
		if err := m.insert(table); err != nil {
			return err
		}
	}
	for _, r := range rows {
		v, id, _ := r.Save()
		m.rows[table] = append(m.rows[table], v)
		m.ids[table] = append(m.ids[table], id)
	}
	return m.failed()
}

func (m *memory) Apply(_ context.Context, rows []CellRow) error {
	if m.before != nil {
		m.before("Bigtable")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		for _, c := range r.Cells {
			m.cells[r.Key+" "+c.Qualifier+" "+strconv.FormatInt(r.Window.UnixMicro(), 10)] = c.Value
		}
	}
	return m.failed()
}

// Read implements IDStore.
func (m *memory) Read(_ context.Context, s tables.IDSlice, each func(tables.Writer, []byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for row, writers := range m.kept {
		if slices.ContainsFunc(s.Overlapping(), func(r [2]string) bool { return r[0] <= row && row < r[1] }) {
			for w, ids := range writers {
				each(w, ids)
			}
		}
	}
	return m.failed()
}

// Write implements IDStore.
func (m *memory) Write(_ context.Context, s tables.IDSlice, w tables.Writer, ids []byte) error {
	if m.before != nil {
		m.before("event ids")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept[s.RowKey()] == nil {
		m.kept[s.RowKey()] = map[tables.Writer][]byte{}
	}
	m.kept[s.RowKey()][w] = ids
	return m.failed()
}

func (m *memory) count(table string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows[table])
}

// platform is a Pub/Sub server with the job's topics.
type platform struct {
	t      testing.TB
	client *pubsub.Client
	offset int

	replaced []tables.Span   // by backfills
	ids      IDStore         // of the jobs; nil: the sinks
	ctx      context.Context // of the jobs
	interval time.Duration   // of the jobs' readers; 0: the default
}

func newPlatform(t testing.TB, topics int, opts ...grpc.DialOption) *platform {
	t.Helper()
	s, err := sandbox.New(sandbox.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	clientOpts := []option.ClientOption{option.WithEndpoint(s.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	for _, o := range opts {
		clientOpts = append(clientOpts, option.WithGRPCDialOption(o))
	}
	c, err := pubsub.NewClient(context.Background(), "kappa-demo", clientOpts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	for i := range topics {
		topic := "projects/kappa-demo/topics/flights-" + strconv.Itoa(i)
		if _, err := c.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic}); err != nil {
			t.Fatal(err)
		}
		sub := strings.Replace(topic, "topics", "subscriptions", 1)
		if _, err := c.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: sub, Topic: topic, AckDeadlineSeconds: 10}); err != nil {
			t.Fatal(err)
		}
	}
	return &platform{t: t, client: c, ctx: context.Background(), interval: 20 * time.Millisecond}
}

// publish publishes messages to one topic.
func (p *platform) publish(topic int, ms ...*pubsubpb.PubsubMessage) {
	p.t.Helper()
	for len(ms) > 0 {
		n := min(len(ms), 1000)
		_, err := p.client.TopicAdminClient.Publish(context.Background(), &pubsubpb.PublishRequest{
			Topic: "projects/kappa-demo/topics/flights-" + strconv.Itoa(topic), Messages: ms[:n]})
		if err != nil {
			p.t.Fatal(err)
		}
		ms = ms[n:]
	}
}

// publishFlights spreads flights over the topics.
func (p *platform) publishFlights(topics int, fs []flight) {
	p.t.Helper()
	by := make([][]*pubsubpb.PubsubMessage, topics)
	for _, f := range fs {
		i := int(f.origin[len(f.origin)-1]) % topics
		by[i] = append(by[i], f.message(p.offset))
		p.offset++
	}
	for i, ms := range by {
		p.publish(i, ms...)
	}
}

// run is a job under test.
type run struct {
	t      testing.TB
	drain  chan struct{}
	done   chan error
	mu     sync.Mutex
	report worker.Report
}

// start runs a job of the spec against the sinks. The predecessors are the
// writers, JOB@GENERATION, that have drained before.
func (p *platform) start(s *jobspecs.StreamJob, job string, generation int64, sinks *memory, predecessors ...string) *run {
	p.t.Helper()
	plan, err := NewPlan(s, job, generation)
	if err == nil {
		err = plan.Streams(s, false)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	plan.Follow(predecessors, p.replaced)
	if p.interval > 0 {
		plan.Interval = p.interval
	}
	ids := p.ids
	if ids == nil {
		ids = sinks
	}
	r := &run{t: p.t, drain: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		r.done <- Run(p.ctx, Config{Plan: plan, Runner: Prism, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Rows: sinks, Cells: sinks, IDs: ids, Subscriber: p.client.SubscriptionAdminClient, Drain: r.drain,
			Report: func(rep worker.Report) { r.mu.Lock(); r.report = rep; r.mu.Unlock() }})
	}()
	return r
}

func (r *run) last() worker.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report
}

// until waits for a condition.
func (r *run) until(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !cond() {
		select {
		case err := <-r.done:
			r.t.Fatalf("waiting for %s: the job has ended: %v", what, err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waiting for %s: %+v", what, r.last())
		}
	}
}

// drained drains the job.
func (r *run) drained() {
	r.t.Helper()
	close(r.drain)
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		r.t.Fatalf("the job does not drain: %+v", r.last())
	}
}
