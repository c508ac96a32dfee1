package jobspecs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lintBridge, lintJob, lintLoad and lintComparison belong together, are for
// production, and break no rule.
const (
	lintBridge = `apiVersion: kappa/v1
kind: Bridge
metadata: {name: trips}
spec:
  project: acme-data
  sources:
    main:
      brokers: ["kafka-1.acme.example:9093"]
      tls: {enabled: true}
      sasl: {mechanism: SCRAM-SHA-512, username: bridge, password: {file: /run/password}}
      topics: [trips]
      group: kappa-trips
  transform: {decode: json, rename: {orig: origin}}
  eventTime: {field: at}
  ids: {from: fields, fields: [id], namespace: trips}
  split: {topicPrefix: trips-, count: 4, key: [origin]}
  deadLetter: {topic: trip-dead-letters}
  listen: 0.0.0.0:9090
`
	lintJob = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: trips}
spec:
  project: acme-data
  region: us-central1
  template: gs://acme-templates/pipeline.json
  staging: gs://acme-staging/jobs
  jobs: 2
  sources: {subscriptionPrefix: trips-, count: 4}
  event: {fields: [{name: origin, type: STRING}, {name: km, type: INT64}, {name: at, type: TIMESTAMP}]}
  horizon: 2d
  aggregations:
    - {name: hourly, dimensions: [origin], window: 1h, measures: [{name: trips, type: count}], table: stream_trips}
  sinks: {bigquery: {dataset: kappa, raw: raw_trips, late: late_trips}, bigtable: {instance: acme-serving, table: aggregates}}
  tuning: {workers: 2, maxWorkers: 8, serviceAccount: pipeline@acme-data.iam.gserviceaccount.com}
  update: {drainTimeout: 12h}
`
	lintLoad = `apiVersion: kappa/v1
kind: BatchLoad
metadata: {name: trips}
spec:
  project: acme-data
  source: {uri: gs://acme-batch/trips/, batch: 4h}
  dataset: kappa
  table: batch_trips
  keys: [{name: origin, type: STRING}]
  metrics: [{name: trips, type: INT64}]
`
	lintComparison = `apiVersion: kappa/v1
kind: Comparison
metadata: {name: trips}
spec:
  project: acme-data
  dataset: kappa
  batch: {table: batch_trips, cutoff: 2h}
  stream: {table: stream_trips, job: trips, settleAfter: 4h}
  keys: [{name: origin, type: STRING}]
  window: 1h
  metrics: [{name: trips, type: count}]
  evidence: {raw: raw_trips, late: late_trips}
  gate: {minExactPercent: 95}
`
	lintMonitor = `apiVersion: kappa/v1
kind: DuplicateMonitor
metadata: {name: trips}
spec:
  project: acme-data
  raw: raw_trips
  late: late_trips # known
  counts: {job: trips, table: stream_trips, measure: trips, window: 1h}
`
	lintAll = lintBridge + "---\n" + lintJob + "---\n" + lintLoad + "---\n" + lintComparison + "---\n" + lintMonitor
)

// edited is text with each first string replaced by the one after it.
func edited(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the text does not hold %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// warningsOf loads a text, which must have no errors.
func warningsOf(t *testing.T, text string) Warnings {
	t.Helper()
	file := filepath.Join(t.TempDir(), "specs.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, docs, err := LoadDocuments([]string{file}, Vars{Lookup: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	var out Warnings
	for _, d := range docs {
		for _, w := range d.Warnings {
			w.File = "specs.yaml"
			out = append(out, w)
		}
	}
	return out
}

func names(ws Warnings) []string {
	out := []string{}
	for _, w := range ws {
		out = append(out, w.Rule)
	}
	return out
}

// lintCases are, for each rule, texts that break it, each with one that nearly
// does. Each text is lintAll, changed by pairs of strings, with documents behind it.
var lintCases = []struct {
	rule      string
	bad, good []string
	also      string // document that both have behind lintAll
	at        string // text that the caret stands under
}{
	{rule: "placeholder-name", bad: []string{"gs://acme-staging/", "gs://your-bucket/"}, good: []string{"gs://acme-staging/", "gs://my-acme/"}, at: "gs://your-bucket/jobs"},
	{rule: "placeholder-name", bad: []string{"acme-templates", "example-templates"}, good: []string{"acme-templates", "acme-example"}, at: "gs://example-templates/pipeline.json"},
	{rule: "placeholder-name", bad: []string{"gs://acme-batch/", "gs://my-bucket-7/"}, good: []string{"gs://acme-batch/", "gs://bucket-acme/"}, at: "gs://my-bucket-7/trips/"},
	{rule: "kafka-without-tls", bad: []string{"tls: {enabled: true}", "tls: {enabled: false}"}, good: []string{"tls: {enabled: true}", "tls: {enabled: false}", "kafka-1.acme.example:9093", "127.0.0.1:9092"}, at: "tls"},
	{rule: "kafka-without-login", bad: []string{"      sasl: {mechanism: SCRAM-SHA-512, username: bridge, password: {file: /run/password}}\n", ""},
		good: []string{"      sasl: {mechanism: SCRAM-SHA-512, username: bridge, password: {file: /run/password}}\n", "", "tls: {enabled: true}", "tls: {enabled: true, certFile: c, keyFile: k}"}, at: "main"},
	{rule: "kafka-password-in-clear", bad: []string{"SCRAM-SHA-512", "PLAIN", "tls: {enabled: true}", "tls: {}"}, good: []string{"SCRAM-SHA-512", "PLAIN"}, at: "PLAIN"},
	{rule: "registry-password-in-clear",
		bad:  []string{"decode: json,", "decode: avro, schema: {registry: {url: \"http://registry:8081\", username: u, password: {env: P}}},"},
		good: []string{"decode: json,", "decode: avro, schema: {registry: {url: \"http://registry:8081\"}},"}, at: `"http://registry:8081"`},
	{rule: "dead-letter-file", bad: []string{"{topic: trip-dead-letters}", "{file: /var/dead.jsonl}"},
		good: []string{"{topic: trip-dead-letters}", "{file: /var/dead.jsonl}", "kind: Bridge\nmetadata: {name: trips}\nspec:", "kind: Bridge\nmetadata: {name: trips}\nspec:\n  environment: sandbox"}, at: "/var/dead.jsonl"},
	{rule: "start-at-latest", bad: []string{"topics: [trips]", "topics: [trips]\n      start: latest"}, good: []string{"topics: [trips]", "topics: [trips]\n      start: 2026-01-01T00:00:00Z"}, at: "latest"},
	{rule: "listen-on-any-port", bad: []string{"  listen: 0.0.0.0:9090\n", ""}, good: []string{"0.0.0.0:9090", "127.0.0.1:9090"}, at: "spec"},
	{rule: "reads-own-output", bad: []string{"topics: [trips]", "topics: [trips, trip-dead-letters]", "{topic: trip-dead-letters}", deadLettersInKafka},
		good: []string{"{topic: trip-dead-letters}", deadLettersInKafka}, at: "trip-dead-letters"},
	{rule: "reads-own-output", bad: []string{"topics: [trips]", "topicPattern: clean.*", "deadLetter: {topic: trip", "destination: {kind: kafka, kafka: " + lintCluster + "}\n  deadLetter: {topic: trip", "topicPrefix: trips-,", "topicPrefix: clean-,"},
		good: []string{"topics: [trips]", "topicPattern: raw.*", "deadLetter: {topic: trip", "destination: {kind: kafka, kafka: " + lintCluster + "}\n  deadLetter: {topic: trip", "topicPrefix: trips-,", "topicPrefix: clean-,"}, at: "main"},
	{rule: "shared-consumer-group", also: secondBridge, bad: []string{"group: second", "group: kappa-trips"}, good: []string{"group: second", "group: kappa-trips", "topics: [trips] # second", "topics: [more]"}, at: "kappa-trips"},
	{rule: "split-differs", also: secondBridge, bad: []string{"topicPrefix: second-, count: 4", "topicPrefix: trips-, count: 4, key: [id]"}, good: []string{"topicPrefix: second-, count: 4", "topicPrefix: trips-, count: 4, key: [origin]"}, at: "split"},
	{rule: "namespace-with-two-keys", also: secondBridge, bad: []string{"fields: [id], namespace: second", "fields: [number], namespace: trips"}, good: []string{"fields: [id], namespace: second", "fields: [id], namespace: trips"}, at: "["},
	{rule: "event-time-of-record", bad: []string{"eventTime: {field: at}", "eventTime: {}"}, good: []string{"eventTime: {field: at}", "eventTime: {}", ", {name: at, type: TIMESTAMP}", ""}, at: "eventTime"},
	{rule: "horizon-shorter-than-window", bad: []string{"horizon: 2d", "horizon: 4h", "window: 1h", "window: 5h", "batch: 4h", "batch: 5h"}, good: []string{"horizon: 2d", "horizon: 5h", "window: 1h", "window: 5h", "batch: 4h", "batch: 5h"}, at: "5h"},
	{rule: "long-window", bad: []string{"window: 1h", "window: 1d", "batch: 4h", "batch: 24h"}, good: []string{"window: 1h", "window: 12h", "batch: 4h", "batch: 24h"}, at: "1d"},
	{rule: "timestamp-dimension", bad: []string{"dimensions: [origin]", "dimensions: [origin, at]", "keys: [{name: origin, type: STRING}]", "keys: [{name: origin, type: STRING}, {name: at, type: TIMESTAMP}]"}, at: "at"},
	{rule: "uneven-jobs", bad: []string{"jobs: 2", "jobs: 3"}, good: []string{"jobs: 2", "jobs: 4"}, at: "3"},
	{rule: "cancel-without-replay", bad: []string{"count: 4}", "count: 4, replay: archive}", "{drainTimeout: 12h}", "{drainTimeout: 12h, onTimeout: cancel}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, onTimeout: cancel}"}, at: "cancel"},
	{rule: "cancel-strategy", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, strategy: cancel}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, strategy: drain}"}, at: "cancel"},
	{rule: "update-without-streaming-engine", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, strategy: update}", "maxWorkers: 8", "maxWorkers: 8, streamingEngine: false"},
		good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, strategy: update}"}, at: "update"},
	{rule: "update-in-sandbox", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, strategy: managed}", "kind: StreamJob\nmetadata: {name: trips}\nspec:", "kind: StreamJob\nmetadata: {name: trips}\nspec:\n  environment: sandbox"},
		good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, strategy: managed}"}, at: "managed"},
	{rule: "drain-longer-than-retention", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 7d}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 6d}"}, at: "7d"},
	{rule: "autoscaling-without-room", bad: []string{"maxWorkers: 8", "maxWorkers: 2"}, good: []string{"maxWorkers: 8", "maxWorkers: 2, autoscaling: none"}, at: "2"},
	{rule: "public-workers", bad: []string{"maxWorkers: 8", "maxWorkers: 8, subnetwork: regions/us-central1/subnetworks/kappa"}, good: []string{"maxWorkers: 8", "maxWorkers: 8, subnetwork: regions/us-central1/subnetworks/kappa, publicIPs: false"}, at: "regions/us-central1/subnetworks/kappa"},
	{rule: "default-service-account", bad: []string{", serviceAccount: pipeline@acme-data.iam.gserviceaccount.com", ""},
		good: []string{", serviceAccount: pipeline@acme-data.iam.gserviceaccount.com", "", "kind: StreamJob\nmetadata: {name: trips}\nspec:", "kind: StreamJob\nmetadata: {name: trips}\nspec:\n  environment: sandbox"}, at: "tuning"},
	{rule: "non-mergeable-measure", bad: []string{"{name: trips, type: count}], table", "{name: trips, type: count}, {name: pace, type: sum, expression: event.km / (event.km + 1)}], table"},
		good: []string{"{name: trips, type: count}], table", "{name: trips, type: count}, {name: miles, type: sum, expression: event.km * 1000 / 1609}], table"}, at: "event.km / (event.km + 1)"},
	{rule: "drain-shorter-than-window", bad: []string{"drainTimeout: 12h", "drainTimeout: 59m"}, good: []string{"drainTimeout: 12h", "drainTimeout: 1h"}, at: "1h"},
	{rule: "drain-without-end", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, onTimeout: wait}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, onTimeout: fail}"}, at: "wait"},
	{rule: "whole-group-away", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {parallel: 2}}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {parallel: 1}}"}, at: "2"},
	{rule: "unwatched-rollout", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {conditions: {healthyFor: 0s}}}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {conditions: {healthyFor: 0s, maxWatermarkAge: 5m}}}"}, at: "0s"},
	{rule: "canary-without-conditions", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {canary: 1}}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {canary: 1, conditions: {maxErrorsPerMinute: 0}}}"}, at: "1"},
	{rule: "canary-without-rest", bad: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {canary: 2, conditions: {comparison: trips}}}"}, good: []string{"{drainTimeout: 12h}", "{drainTimeout: 12h, rollout: {canary: 1, conditions: {comparison: trips}}}"}, at: "2"},
	{rule: "local-journal", bad: []string{"  jobs: 2", "  journal: /var/kappa\n  jobs: 2"}, good: []string{"  jobs: 2", "  journal: gs://acme-staging/journal\n  jobs: 2"}, at: "/var/kappa"},
	{rule: "moving-template", bad: []string{"gs://acme-templates/pipeline.json", "gs://acme-templates/pipeline-latest.json"}, good: []string{"gs://acme-templates/pipeline.json", "gs://acme-templates/latestone.json"}, at: "gs://acme-templates/pipeline-latest.json"},
	{rule: "topic-source", also: otherJob, bad: []string{"{input: \"{subscription}\"", "{inputTopic: orders, input: \"{subscription}\""}, good: []string{"{input: \"{subscription}\"", "{outputTopic: orders, input: \"{subscription}\""}, at: "orders"},
	{rule: "unnamed-subscription", also: otherJob, bad: []string{"{input: \"{subscription}\"", "{input: \"{job} {{subscription}}\""}, good: []string{"{input: \"{subscription}\"", "{input: orders-0"}, at: "parameters"},
	{rule: "secret-in-parameter", also: otherJob, bad: []string{"{input:", "{dbPassword: hunter2, input:"}, good: []string{"{input:", "{dbPassword: projects/p/secrets/s, tokenSecretId: x, input:"}, at: "hunter2"},
	{rule: "replay-into-other", also: otherJob, bad: []string{"count: 1, replay: archive", "count: 1"}, good: []string{"count: 1, replay: archive", "count: 1, replay: snapshot"}, at: "sources"},
	{rule: "shared-subscription", also: secondJob, bad: []string{"subscriptionPrefix: second-", "subscriptionPrefix: trips-"}, good: []string{"subscriptionPrefix: second-", "subscriptionPrefix: trips-0"}, at: "trips-"},
	{rule: "shared-subscription", also: secondJob, bad: []string{"subscriptionPrefix: second-, count: 4", "subscriptionPrefix: second-, count: 20",
		"subscriptionPrefix: trips-, count: 4", "subscriptionPrefix: second-1, count: 4"}, good: []string{"subscriptionPrefix: trips-, count: 4", "subscriptionPrefix: second-1, count: 4"}, at: "second-"},
	{rule: "split-count-differs", bad: []string{"subscriptionPrefix: trips-, count: 4", "subscriptionPrefix: trips-, count: 6"}, good: []string{"subscriptionPrefix: trips-, count: 4", "subscriptionPrefix: other-, count: 6"}, at: "6"},
	{rule: "shared-aggregate", also: secondJob, bad: []string{"table: second_trips", "table: stream_trips", "dataset: second", "dataset: kappa"}, good: []string{"table: second_trips", "table: stream_trips"}, at: "stream_trips"},
	{rule: "shared-aggregate", also: secondJob, bad: []string{"name: second_hourly", "name: hourly"}, good: []string{"name: second_hourly", "name: hourly", "table: aggregates}} # second", "table: further}}"}, at: "hourly"},
	{rule: "horizon-shorter-than-cutoff", bad: []string{"cutoff: 2h", "cutoff: 3d", ", settleAfter: 4h", ""}, good: []string{"cutoff: 2h", "cutoff: 2d", ", settleAfter: 4h", ""}, at: "2d"},
	{rule: "gate-without-days", bad: []string{"minExactPercent: 95", "minExactPercent: 95, days: 0"}, good: []string{"minExactPercent: 95", "minExactPercent: 95, days: 1"}, at: "0"},
	{rule: "gate-without-history", bad: []string{"  gate:", "  range: {last: 6d}\n  gate:"}, good: []string{"  gate:", "  range: {last: 7d}\n  gate:"}, at: "6d"},
	{rule: "gate-without-history", bad: []string{"  gate:", "  range: {last: 1d}\n  gate:"}, good: []string{"  gate:", "  range: {last: 1d}\n  history: {dataset: compared}\n  gate:"}, at: "1d"},
	{rule: "unexplained-allowed", bad: []string{"minExactPercent: 95", "minExactPercent: 95, maxUnexplained: 1"}, good: []string{"minExactPercent: 95", "minExactPercent: 95, maxUnexplained: 0"}, at: "1"},
	{rule: "unexplained-allowed", bad: []string{"minExactPercent: 95", "minExactPercent: 95, maxUnexplainedValuePercent: 0.01"}, good: []string{"minExactPercent: 95", "minExactPercent: 95, maxUnexplainedValuePercent: 0.00"}, at: "0.01"},
	{rule: "gate-without-evidence", bad: []string{"  evidence: {raw: raw_trips, late: late_trips}\n", ""}, good: []string{"  evidence: {raw: raw_trips, late: late_trips}\n", "", "minExactPercent: 95", "minExactPercent: 100"}, at: "95"},
	{rule: "known-difference-expired", bad: knownDifference("2020-01-01", "keys: {origin: SFO}"), good: knownDifference(nextMonth, "keys: {origin: SFO}"), at: "2020-01-01"},
	{rule: "known-difference-for-long", bad: knownDifference("9999-01-01", "keys: {origin: SFO}"), good: knownDifference(nextMonth, "keys: {origin: SFO}"), at: "9999-01-01"},
	{rule: "known-difference-everywhere", bad: knownDifferenceNow("classes: [missing]"), good: knownDifferenceNow("from: 2020-01-01"), at: "closed"},
	{rule: "unpruned-allowed", bad: []string{"  gate:", "  limits: {unpruned: allow}\n  gate:"}, good: []string{"  gate:", "  limits: {unpruned: refuse}\n  gate:"}, at: "allow"},
	{rule: "evidence-without-late", bad: []string{", late: late_trips}\n  gate", "}\n  gate"}, at: "evidence"},
	{rule: "settle-without-effect", bad: []string{"settleAfter: 4h", "settleAfter: 1h"}, good: []string{"settleAfter: 4h", "settleAfter: 2h"}, at: "1h"},
	{rule: "settle-past-horizon", bad: []string{"settleAfter: 4h", "settleAfter: 3d"}, good: []string{"settleAfter: 4h", "settleAfter: 2d"}, at: "3d"},
	{rule: "window-across-batches", bad: []string{"batch: 4h", "batch: 3h", "window: 1h", "window: 2h"}, good: []string{"batch: 4h", "batch: 6h", "window: 1h", "window: 2h"}, at: "2h"},
	{rule: "window-across-batches", bad: []string{"batch: 4h", "batch: 3h", "window: 1h", "window: 2h"}, good: []string{"batch: 4h", "batch: 3h", "window: 1h", "window: 2h", "cutoff: 2h", "cutoff: 2h, unique: false"}, at: "2h"},
	{rule: "monitor-without-late", bad: []string{"  late: late_trips # known\n", ""}, at: "raw_trips"},
	{rule: "duplicates-allowed", bad: []string{"# known", "\n  alert: {maxPercentAfter: 0.1}"}, good: []string{"# known", "\n  alert: {maxPercentAfter: 0.0}"}, at: "0.1"},
	{rule: "sensitive-key-shown", bad: []string{"  eventTime:", "  sensitive: [orig]\n  eventTime:"}, good: []string{"  eventTime:", "  sensitive: [orig]\n  eventTime:", "  gate:", "  sensitive: [origin]\n  gate:"}, at: "origin"},
	{rule: "sensitive-key-shown", bad: []string{"  eventTime:", "  sensitive: [orig]\n  eventTime:"}, good: []string{"  eventTime:", "  sensitive: [orig]\n  eventTime:", "  gate:", "  limits: {samples: 0}\n  gate:"}, at: "origin"},
}

// nextMonth is soon, whenever the test runs.
var nextMonth = time.Now().AddDate(0, 1, 0).Format(time.DateOnly)

// knownDifference is the change that adds one to the comparison.
func knownDifference(expires, matches string) []string {
	return []string{"  gate:", "  knownDifferences:\n    - {name: closed, owner: ops, reason: Closed., expires: " + expires + ", limit: 9, " + matches + "}\n  gate:"}
}

func knownDifferenceNow(matches string) []string { return knownDifference(nextMonth, matches) }

const lintCluster = `{brokers: ["kafka-1.acme.example:9093"], tls: {enabled: true}, sasl: {mechanism: SCRAM-SHA-512, username: bridge, password: {file: /run/password}}}`

var deadLettersInKafka = "{kafka: " + strings.TrimSuffix(lintCluster, "}") + ", topic: trip-dead-letters}}"

// secondBridge and secondJob have nothing in common with the first ones but the project.
var (
	secondBridge = strings.NewReplacer("{name: trips}", "{name: second}", "[trips]", "[trips] # second", "group: kappa-trips", "group: second",
		"namespace: trips", "namespace: second", "topicPrefix: trips-, count: 4, key: [origin]", "topicPrefix: second-, count: 4").Replace(lintBridge)
	secondJob = strings.NewReplacer("{name: trips}", "{name: second}", "subscriptionPrefix: trips-", "subscriptionPrefix: second-", "name: hourly", "name: second_hourly",
		"stream_trips", "second_trips", "dataset: kappa", "dataset: second", "aggregates}}", "aggregates}} # second").Replace(lintJob)
)

// otherJob runs another pipeline.
const otherJob = `apiVersion: kappa/v1
kind: StreamJob
metadata: {name: orders}
spec:
  project: acme-data
  region: us-central1
  pipeline: other
  template: gs://acme-templates/copy.json
  staging: gs://acme-staging/jobs
  sources: {subscriptionPrefix: orders-, count: 1, replay: archive}
  parameters: {input: "{subscription}"}
  sinks: {bigquery: {dataset: kappa}}
  tuning: {maxWorkers: 2, serviceAccount: copy@acme-data.iam.gserviceaccount.com}
`
