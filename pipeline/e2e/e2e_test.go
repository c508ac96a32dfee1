package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigtable"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
	"google.golang.org/api/iterator"

	"github.com/kappa-migrate/kappa/internal/envelope"
	"github.com/kappa-migrate/kappa/internal/gcp"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
	"github.com/kappa-migrate/kappa/pipeline"
	"github.com/kappa-migrate/kappa/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	beamlog.LogLevel = "error"
	beam.Init()
	os.Exit(m.Run())
}

const spec = `
apiVersion: kappa/v1
kind: StreamJob
metadata: {name: flights}
spec:
  environment: sandbox
  project: kappa-demo
  region: us-central1
  template: gs://kappa-demo-templates/t.json
  staging: gs://kappa-demo-staging/jobs
  jobs: 1
  sources: {subscriptionPrefix: flights-, count: 2}
  event: {fields: [{name: origin, type: STRING}, {name: delay, type: INT64}, {name: due, type: TIMESTAMP}]}
  horizon: 1d
  aggregations:
    - name: flights_by_origin
      dimensions: [origin]
      window: 1h
      measures: [{name: flights, type: count}, {name: delay_sum, type: sum, field: delay}, {name: worst, type: max, field: delay}]
      table: stream_flights
  sinks:
    bigquery: {dataset: kappa, raw: raw_flights, late: late_flights}
    bigtable: {instance: kappa-serving, table: aggregates}
`

// Events with null fields, twice, late and too late go through Pub/Sub into
// BigQuery and Bigtable and are read back by the rules of package tables.
func TestStreamIntoSandbox(t *testing.T) {
	sandboxtest.Start(t)
	set, err := jobspecs.Parse("stream.yaml", []byte(spec), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	job := set.StreamJobs[0]
	platform, err := gcp.Open(job.Spec.Platform)
	if err != nil {
		t.Fatal(err)
	}
	bq, bt := create(t, platform, job)
	send := publisher(t, platform)

	plan, err := pipeline.NewPlan(job, "flights-0", 1)
	if err == nil {
		err = plan.Streams(job, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	drain, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- pipeline.Run(context.Background(), pipeline.Config{Plan: plan, Runner: pipeline.Prism, Log: slog.New(slog.DiscardHandler), Drain: drain})
	}()
	raw := func() string { return query(t, bq, "SELECT CAST(COUNT(*) AS STRING) FROM kappa.raw_flights")[0] }
	until := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); raw() != fmt.Sprint(want); {
			select {
			case err := <-done:
				t.Fatalf("the job has ended: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s rows in the raw table, want %d", raw(), want)
			}
		}
	}

	start := time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)
	at := func(h, m int) time.Time { return start.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute) }
	for topic, origin := range []string{`"ATL"`, `null`} {
		send(topic, 10*topic+1, at(0, 5), at(0, 5), fmt.Sprintf(`{"origin":%s,"delay":5,"due":"2001-01-08T00:00:00.25Z"}`, origin))
		send(topic, 10*topic+2, at(0, 6), at(0, 6), fmt.Sprintf(`{"origin":%s,"delay":-7}`, origin))
		send(topic, 10*topic+2, at(0, 6), at(0, 6), fmt.Sprintf(`{"origin":%s,"delay":-7}`, origin)) // twice
		send(topic, 10*topic+3, at(30, 0), at(30, 0), fmt.Sprintf(`{"origin":%s}`, origin))
	}
	until(8)
	for topic, origin := range []string{`"ATL"`, `null`} { // behind the watermark: 28 hours, too late; 23 hours, not
		send(topic, 10*topic+4, at(2, 0), at(30, 1), fmt.Sprintf(`{"origin":%s,"delay":1}`, origin))
		send(topic, 10*topic+5, at(7, 0), at(30, 1), fmt.Sprintf(`{"origin":%s,"delay":1}`, origin))
		send(topic, 10*topic+1, at(0, 5), at(30, 1), fmt.Sprintf(`{"origin":%s,"delay":5}`, origin)) // too late, though known
	}
	until(14)
	close(drain)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	want := []string{
		"ATL 2001-01-08 00 2 -2 5", "ATL 2001-01-08 07 1 1 1", "ATL 2001-01-09 06 1 null null",
		"null 2001-01-08 00 2 -2 5", "null 2001-01-08 07 1 1 1", "null 2001-01-09 06 1 null null",
	}
	got := query(t, bq, `
		WITH panes AS (
			SELECT origin, window_start, job, generation, pane, ANY_VALUE(flights) AS flights, ANY_VALUE(delay_sum) AS delay_sum, ANY_VALUE(worst) AS worst
			FROM kappa.stream_flights GROUP BY origin, window_start, job, generation, pane)
		SELECT CONCAT(IFNULL(origin, 'null'), ' ', FORMAT_TIMESTAMP('%Y-%m-%d %H', window_start), ' ', CAST(SUM(flights) AS STRING), ' ',
			IFNULL(CAST(SUM(delay_sum) AS STRING), 'null'), ' ', IFNULL(CAST(MAX(worst) AS STRING), 'null')) AS line
		FROM panes GROUP BY origin, window_start ORDER BY line`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("BigQuery (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(want, cells(t, bt)); diff != "" {
		t.Errorf("Bigtable (-want +got)\n%s", diff)
	}
	late := query(t, bq, "SELECT CONCAT(event_id, ' ', FORMAT_TIMESTAMP('%Y-%m-%d %H:%M', watermark)) AS line FROM kappa.late_flights ORDER BY line")
	if diff := cmp.Diff([]string{id(1) + " 2001-01-09 06:00", id(4) + " 2001-01-09 06:00", id(11) + " 2001-01-09 06:00", id(14) + " 2001-01-09 06:00"}, late); diff != "" {
		t.Errorf("late table (-want +got)\n%s", diff)
	}
	due := query(t, bq, "SELECT CAST(COUNT(DISTINCT due) AS STRING) AS n FROM kappa.raw_flights WHERE due = TIMESTAMP('2001-01-08 00:00:00.250')")
	if diff := cmp.Diff([]string{"1"}, due); diff != "" {
		t.Errorf("a TIMESTAMP field (-want +got)\n%s", diff)
	}
}

// A backfill reads the archive from Cloud Storage and comes to the same as a
// stream, under a writer of its own.
func TestBackfillFromCloudStorage(t *testing.T) {
	sandboxtest.Start(t)
	set, err := jobspecs.Parse("stream.yaml", []byte(spec), jobspecs.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	job := set.StreamJobs[0]
	platform, err := gcp.Open(job.Spec.Platform)
	if err != nil {
		t.Fatal(err)
	}
	bq, bt := create(t, platform, job)
	var archive bytes.Buffer
	w, err := ocf.NewWriter(&archive, avro.MustParse(archiveSchema))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2001, 1, 8, 0, 5, 0, 0, time.UTC)
	for i, event := range []int{1, 2, 1, 3} {
		err := w.Encode(map[string]any{"subscription_name": "archive", "message_id": fmt.Sprint(i), "publish_time": time.Now(), "data": fmt.Appendf(nil, `{"origin":"ATL","delay":%d}`, event),
			"attributes": map[string]string{envelope.AttrID: id(event), envelope.AttrEventTime: envelope.FormatTime(start), envelope.AttrSourceTime: envelope.FormatTime(start), envelope.AttrPosition: fmt.Sprint("c/t/0/", i)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	upload(t, platform, "kappa-demo-archive", map[string][]byte{"flights/2001-01-08.avro": archive.Bytes(), "flights/other.txt": []byte("no Avro"), "flights/deeper/x.avro": []byte("no Avro")})

	plan, err := pipeline.NewPlan(job, "flights-backfill", 2)
	if err == nil {
		err = plan.FindArchive(t.Context(), "gs://kappa-demo-archive/flights/*.avro")
	}
	if err == nil {
		err = pipeline.Run(t.Context(), pipeline.Config{Plan: plan, Runner: pipeline.Prism, Log: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		t.Fatal(err)
	}
	got := query(t, bq, "SELECT CONCAT(origin, ' ', job, ' ', CAST(generation AS STRING), ' ', CAST(flights AS STRING), ' ', CAST(delay_sum AS STRING)) AS line FROM kappa.stream_flights")
	if diff := cmp.Diff([]string{"ATL flights-backfill 2 3 6"}, got); diff != "" {
		t.Errorf("BigQuery (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"ATL 2001-01-08 00 3 6 3"}, cells(t, bt)); diff != "" {
		t.Errorf("Bigtable (-want +got)\n%s", diff)
	}
}

// archiveSchema is that of a Cloud Storage subscription with write_metadata.
const archiveSchema = `{"type":"record","name":"PubsubMessage","namespace":"com.google.pubsub","fields":[
	{"name":"subscription_name","type":"string"},
	{"name":"message_id","type":"string"},
	{"name":"publish_time","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"attributes","type":{"type":"map","values":"string"}},
	{"name":"data","type":"bytes"}]}`

func upload(t *testing.T, platform gcp.Platform, bucket string, objects map[string][]byte) {
	t.Helper()
	client, err := platform.Storage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b := client.Bucket(bucket)
	if err := b.Create(t.Context(), platform.Project(), nil); err != nil {
		t.Fatal(err)
	}
	for name, data := range objects {
		w := b.Object(name).NewWriter(t.Context())
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func id(n int) string { return fmt.Sprintf("00000000-0000-5000-8000-%012d", n) }

// create makes what a deploy would.
func create(t *testing.T, platform gcp.Platform, job *jobspecs.StreamJob) (*bigquery.Client, *bigtable.Client) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	bq, err := platform.BigQuery(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bq.Close() })
	err = bq.Dataset("kappa").Create(ctx, nil)
	sinks := job.Spec.Sinks.BigQuery
	for _, table := range []tables.Table{tables.Raw(sinks.Raw, job.Spec.Event), tables.Late(sinks.Late, job.Spec.Event), tables.Aggregate(job.Spec.Aggregations[0], job.Spec.Event)} {
		if err == nil {
			err = bq.Dataset("kappa").Table(table.Name).Create(ctx, table.Metadata())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	admin, err := platform.BigtableAdmin(ctx, "kappa-serving")
	if err == nil {
		defer admin.Close()
		err = admin.CreateTableFromConf(ctx, &bigtable.TableConf{TableID: "aggregates", Families: map[string]bigtable.GCPolicy{tables.Family: bigtable.NoGcPolicy()}})
	}
	if err == nil {
		err = admin.CreateTableFromConf(ctx, &bigtable.TableConf{TableID: job.Spec.Sinks.Bigtable.IDs, Families: map[string]bigtable.GCPolicy{tables.IDFamily: bigtable.MaxAgePolicy(tables.IDMaxAge)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	bt, err := platform.Bigtable(ctx, "kappa-serving")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bt.Close() })
	return bq, bt
}

// publisher creates the topics and returns a function that publishes an event.
func publisher(t *testing.T, platform gcp.Platform) func(topic, event int, at, source time.Time, data string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	ps, err := platform.PubSub(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ps.Close() })
	for i := range 2 {
		topic := fmt.Sprintf("projects/kappa-demo/topics/flights-%d", i)
		if _, err = ps.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: topic}); err == nil {
			_, err = ps.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{Name: strings.Replace(topic, "topics", "subscriptions", 1), Topic: topic})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	offset := 0
	return func(topic, event int, at, source time.Time, data string) {
		t.Helper()
		offset++
		_, err := ps.TopicAdminClient.Publish(ctx, &pubsubpb.PublishRequest{Topic: fmt.Sprintf("projects/kappa-demo/topics/flights-%d", topic),
			Messages: []*pubsubpb.PubsubMessage{{Data: []byte(data), Attributes: map[string]string{
				envelope.AttrID: id(event), envelope.AttrEventTime: envelope.FormatTime(at), envelope.AttrSourceTime: envelope.FormatTime(source),
				envelope.AttrPosition: fmt.Sprintf("c/t/%d/%d", topic, offset)}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// query returns the one column of a query.
func query(t *testing.T, bq *bigquery.Client, sql string) []string {
	t.Helper()
	it, err := bq.Query(sql).Read(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var out []string
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if err == iterator.Done {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row[0].(string))
	}
}

// cells reads the aggregates from Bigtable.
func cells(t *testing.T, bt *bigtable.Client) []string {
	t.Helper()
	var out []string
	err := bt.Open("aggregates").ReadRows(t.Context(), bigtable.PrefixRange("flights_by_origin#"), func(r bigtable.Row) bool {
		_, dims, window, err := tables.ParseRowKey(r.Key())
		if err != nil {
			t.Error(err)
			return false
		}
		values := map[string]int64{}
		present := map[string]bool{}
		for _, item := range r[tables.Family] {
			c, err := tables.ParseQualifier(strings.TrimPrefix(item.Column, tables.Family+":"))
			if err != nil {
				t.Error(err)
			}
			v, err := tables.DecodeValue(item.Value)
			if err != nil {
				t.Error(err)
			}
			if c.Measure == "worst" && present[c.Measure] {
				v = max(v, values[c.Measure])
				values[c.Measure] = 0
			}
			values[c.Measure] += v
			present[c.Measure] = true
		}
		line := "null"
		if dims[0] != nil {
			line = *dims[0]
		}
		line += window.Format(" 2006-01-02 15")
		for _, m := range []string{"flights", "delay_sum", "worst"} {
			if present[m] {
				line += fmt.Sprint(" ", values[m])
			} else {
				line += " null"
			}
		}
		out = append(out, line)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out) // row keys have null before letters
	return out
}
