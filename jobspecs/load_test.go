package jobspecs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exampleVars are the variables that have no default in the examples.
var exampleVars = Vars{Set: map[string]string{"KAFKA_BROKERS": "127.0.0.1:9092"}, Lookup: noEnv}

// TestExamplesLoad: every example is right, alone and together with the others.
func TestExamplesLoad(t *testing.T) {
	entries, err := os.ReadDir("examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		folder := filepath.Join("examples", e.Name())
		set, docs, err := LoadDocuments([]string{folder}, Vars{Lookup: func(name string) (string, bool) {
			value, ok := exampleVars.Set[name] // not each folder declares them
			return value, ok
		}})
		if err != nil {
			t.Fatal(err)
		}
		abstract := 0
		for _, d := range docs {
			if d.Abstract {
				abstract++
			}
		}
		loaded := len(set.Bridges) + len(set.StreamJobs) + len(set.BatchLoads) + len(set.Comparisons) + len(set.Monitors)
		if loaded != len(docs)-abstract {
			t.Errorf("%s: %d documents, %d of them abstract, %d loaded", folder, len(docs), abstract, loaded)
		}
		for _, d := range docs {
			data, err := os.ReadFile(d.File)
			if err != nil {
				t.Fatal(err)
			}
			v := exampleVars
			if !strings.Contains(string(data), "KAFKA_BROKERS") {
				v = Vars{Lookup: noEnv}
			}
			for _, env := range append([]string{""}, d.Environments...) {
				v.Environment = env
				if _, err := Load([]string{d.File}, v); err != nil {
					t.Errorf("environment %q: %v", env, err)
				}
			}
		}
	}
}

var noSASL = SASL{Kerberos: Kerberos{Service: "kafka", Config: "/etc/krb5.conf"}}

func TestFlightsBridge(t *testing.T) {
	set, err := Load([]string{"examples/flights"}, exampleVars)
	if err != nil {
		t.Fatal(err)
	}
	want := &Bridge{
		Header:   Header{APIVersion: APIVersion, Kind: KindBridge},
		Metadata: Metadata{Name: "flights", Description: "Flight reports from the on-prem cluster to six Pub/Sub topics."},
		Spec: BridgeSpec{
			Platform: Platform{Environment: "sandbox", Project: "kappa-demo"},
			Sources: map[string]KafkaSource{"onprem": {
				KafkaCluster: KafkaCluster{Brokers: []string{"127.0.0.1:9092"}, SASL: noSASL},
				Topics:       []string{"flights"}, Group: "kappa-flights", Start: "earliest", Isolation: "readCommitted",
			}},
			Transform: Transform{Decode: "json", Encode: "same", Rename: map[string]string{
				"sched": "scheduled", "orig": "origin", "dest": "destination", "delay_min": "delay", "dist_mi": "distance",
			}},
			EventTime:   EventTime{Field: "scheduled", Unit: "rfc3339"},
			IDs:         IDs{From: "fields", Fields: []string{"event_id"}, Namespace: "flights"},
			Destination: Destination{Kind: "pubsub", Kafka: KafkaCluster{SASL: noSASL}, Compression: "lz4"},
			Split:       Split{TopicPrefix: "flights-", Count: 6, Key: []string{"origin"}},
			Bundle:      Bundle{MaxBytes: 256 << 10},
			DeadLetter:  DeadLetter{Topic: "flights-dead-letters", Kafka: DeadLetterKafka{KafkaCluster: KafkaCluster{SASL: noSASL}}},
			Limits: BridgeLimit{
				Memory: 256 << 20, BatchBytes: 1 << 20, BatchRecords: 1000, FetchBytes: 2 << 20,
				Linger: Duration(5 * time.Millisecond), Drain: Duration(20 * time.Second), Stall: Duration(5 * time.Minute),
			},
			Listen: "127.0.0.1:0",
		},
	}
	if d := cmp.Diff([]*Bridge{want}, set.Bridges); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// minimal is a Bridge with nothing but what is required; %s goes below spec.
const minimal = `apiVersion: kappa/v1
kind: Bridge
metadata: {name: minimal}
spec:
  project: kappa-demo
  sources: {main: {brokers: ["kafka:9092"], topics: [flights], group: g}}
  split: {topicPrefix: flights-, count: 2}
  deadLetter: {topic: dead-letters}
`

func parseBridge(t *testing.T, spec string, v Vars) *Bridge {
	t.Helper()
	if v.Lookup == nil {
		v.Lookup = noEnv
	}
	set, err := Parse("spec.yaml", []byte(spec), v)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Bridges) != 1 {
		t.Fatalf("%d bridges", len(set.Bridges))
	}
	return set.Bridges[0]
}

// TestLoopbackByDefault is rule A4: a bridge whose spec names no address is
// reached from its own machine alone.
func TestLoopbackByDefault(t *testing.T) {
	if got := parseBridge(t, minimal, Vars{}).Spec.Listen; got != "127.0.0.1:0" {
		t.Errorf("listens on %q", got)
	}
}

// TestScalars: a string field takes a scalar as it is written.
func TestScalars(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"no", "no"}, {"Yes", "Yes"}, {"true", "true"}, {"off", "off"},
		{"1.10", "1.10"}, {"007", "007"}, {"0x1F", "0x1F"}, {"1_000", "1_000"}, {"1e3", "1e3"}, {".inf", ".inf"},
		{"2001-01-08", "2001-01-08"}, {"12:30:45", "12:30:45"}, {"-1", "-1"}, {"+5", "+5"},
		{`"no"`, "no"}, {`'it''s'`, "it's"}, {`"a\tb\u00e9"`, "a\tbé"}, {`"null"`, "null"},
		{"a # comment", "a"}, {"a#b", "a#b"}, {`"a # b"`, "a # b"},
		{"|\n    two\n    lines\n", "two\nlines\n"}, {">-\n    one\n    line\n", "one line"}, {"over\n    lines", "over lines"},
	} {
		spec := strings.Replace(minimal, "{name: minimal}", "\n  name: minimal\n  description: "+c.yaml, 1)
		if got := parseBridge(t, spec, Vars{}).Metadata.Description; got != c.want {
			t.Errorf("%s: got %q, want %q", c.yaml, got, c.want)
		}
	}
}

// TestIntegers: no octal, no hexadecimal, no quotes, nothing that overflows.
func TestIntegers(t *testing.T) {
	for _, bad := range []string{"010", "0x10", "1_0", "1.0", "1e1", `"10"`, "'10'", "+1", "ten", "true", "99999999999", "[1]"} {
		_, err := Parse("spec.yaml", []byte(strings.Replace(minimal, "count: 2", "count: "+bad, 1)), Vars{Lookup: noEnv})
		if err == nil {
			t.Errorf("count: %s: no error", bad)
			continue
		}
		if e := find1(t, err, CodeWrongType); e.Path != "spec.split.count" {
			t.Errorf("count: %s: error at %s", bad, e.Path)
		}
	}
}

func TestListsOfAddressesInBraces(t *testing.T) {
	spec := strings.Replace(minimal, `["kafka:9092"]`, `[kafka-1:9092, kafka-2:9093]`, 1)
	want := []string{"kafka-1:9092", "kafka-2:9093"}
	if d := cmp.Diff(want, parseBridge(t, spec, Vars{}).Spec.Sources["main"].Brokers); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestBrokersInOneVariable(t *testing.T) {
	spec := "variables: {BROKERS: {}}\n" + strings.Replace(minimal, `"kafka:9092"`, `"${BROKERS}", kafka-3:9092`, 1)
	b := parseBridge(t, spec, Vars{Set: map[string]string{"BROKERS": "kafka-1:9092, kafka-2:9093"}})
	if d := cmp.Diff([]string{"kafka-1:9092", "kafka-2:9093", "kafka-3:9092"}, b.Spec.Sources["main"].Brokers); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestExpressions(t *testing.T) {
	for expr, ok := range map[string]bool{
		"record.delay > 10":                        true,
		"record.origin.startsWith('A')":            true,
		"record.origin.upperAscii() == 'ATL'":      true,
		"has(record.delay) && record.delay >= 1.5": true,
		"record.cancelled":                         true, // known at run time only
		"'ATL'":                                    false,
		"record.delay >":                           false,
		"rec.delay > 10":                           false,
		"record.delay > 10 ? true : 'no'":          false,
	} {
		spec := strings.Replace(minimal, "project: kappa-demo", "project: kappa-demo\n  transform: {decode: json, filter: \""+expr+"\"}", 1)
		if _, err := Parse("spec.yaml", []byte(spec), Vars{Lookup: noEnv}); (err == nil) != ok {
			t.Errorf("%s: %v", expr, err)
		}
	}
}

func TestVariables(t *testing.T) {
	spec := `variables:
  A: {default: from default}
  B: {default: ""}
  C: {}
  N: {default: 7}
` + strings.NewReplacer("{name: minimal}", `{name: minimal, description: "${A}|${B}|${C}|$${A}|$$${A}|$A|${C}${C}"}`, "count: 2", `count: "${N}"`).Replace(minimal)
	env := map[string]string{"A": "from env", "C": "from env"}
	got := parseBridge(t, spec, Vars{
		Set:    map[string]string{"C": "${A}"}, // values are not expanded again
		Lookup: func(n string) (string, bool) { v, ok := env[n]; return v, ok },
	})
	if want := "from env||${A}|${A}|$${A}|$A|${A}${A}"; got.Metadata.Description != want {
		t.Errorf("got %q, want %q", got.Metadata.Description, want)
	}
	if got.Spec.Split.Count != 7 {
		t.Errorf("a variable in a number: %d", got.Spec.Split.Count)
	}
	if got.Variables != nil {
		t.Errorf("a resolved document has variables: %v", got.Variables)
	}
	got = parseBridge(t, spec, Vars{Set: map[string]string{"C": ""}})
	if want := "from default|||${A}|$${A}|$A|"; got.Metadata.Description != want {
		t.Errorf("defaults: got %q, want %q", got.Metadata.Description, want)
	}
}

func TestUnusedSet(t *testing.T) {
	_, err := Load([]string{"examples/flights"}, Vars{Set: map[string]string{"KAFKA_BROKRES": "x:1", "KAFKA_BROKERS": "x:1"}, Lookup: noEnv})
	e := find1(t, err, CodeUnknownVariable)
	if e.Hint != "did you mean KAFKA_BROKERS?" || !strings.Contains(e.File, "KAFKA_BROKRES") {
		t.Errorf("got %v", e)
	}
}

// write writes files into a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExtends(t *testing.T) {
	dir := write(t, map[string]string{
		"base/common.yaml": `apiVersion: kappa/v1
kind: Bridge
abstract: true
variables: {BROKERS: {default: "kafka:9092"}}
metadata: {name: common, labels: {team: data, tier: one}}
spec:
  project: kappa-demo
  sources: {main: {brokers: ["${BROKERS}"], group: g, topics: [a, b]}}
  transform: {decode: json, rename: {a: b}}
  limits: {linger: 1s}
`,
		"prod.yaml": `apiVersion: kappa/v1
kind: Bridge
extends: base/common.yaml
metadata: {name: prod, labels: {tier: two}}
spec:
  sources: {main: {topics: [c]}}
  transform: {rename: {c: d}}
  split: {topicPrefix: flights-, count: 2}
  deadLetter: {topic: dead-letters}
---
apiVersion: kappa/v1
kind: Bridge
extends: prod
variables: {BROKERS: {default: "other:9092"}}
metadata: {name: staging}
spec:
  split: {count: 3}
`,
	})
	set, docs, err := LoadDocuments([]string{dir}, Vars{Lookup: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if len(docs) != 3 || !docs[0].Abstract || docs[1].Abstract || docs[2].Abstract {
		t.Errorf("documents %+v", docs)
	}
	if len(set.Bridges) != 2 {
		t.Fatalf("%d bridges", len(set.Bridges))
	}
	prod, staging := set.Bridges[0], set.Bridges[1]
	if d := cmp.Diff(map[string]string{"team": "data", "tier": "two"}, prod.Metadata.Labels); d != "" {
		t.Errorf("mappings are merged: (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"c"}, prod.Spec.Sources["main"].Topics); d != "" {
		t.Errorf("lists are replaced: (-want +got)\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"a": "b", "c": "d"}, prod.Spec.Transform.Rename); d != "" {
		t.Errorf("nested mappings are merged: (-want +got)\n%s", d)
	}
	if prod.Spec.Sources["main"].Brokers[0] != "kafka:9092" || staging.Spec.Sources["main"].Brokers[0] != "other:9092" {
		t.Errorf("variables are merged: %v, %v", prod.Spec.Sources["main"].Brokers, staging.Spec.Sources["main"].Brokers)
	}
	if staging.Spec.Split.Count != 3 || staging.Spec.Split.TopicPrefix != "flights-" || prod.Spec.Split.Count != 2 {
		t.Errorf("splits %+v, %+v", prod.Spec.Split, staging.Spec.Split)
	}
	if prod.Spec.Limits.Linger.D() != time.Second {
		t.Errorf("linger %s", prod.Spec.Limits.Linger)
	}
	if prod.Extends != "" || prod.Abstract {
		t.Error("a resolved document says what it extends")
	}
}

// TestErrorsInABase stand in the base's file, once, however many extend it.
func TestErrorsInABase(t *testing.T) {
	derived := "apiVersion: kappa/v1\nkind: Bridge\nextends: base.yaml\nmetadata: {name: %}\n"
	dir := write(t, map[string]string{
		"base.yaml": strings.Replace(minimal, "count: 2", "cuont: 2", 1),
		"one.yaml":  strings.Replace(derived, "%", "one", 1),
		"two.yaml":  strings.Replace(derived, "%", "two", 1),
	})
	_, err := Load([]string{filepath.Join(dir, "one.yaml"), filepath.Join(dir, "two.yaml")}, Vars{Lookup: noEnv})
	e := find1(t, err, CodeUnknownField)
	if filepath.Base(e.File) != "base.yaml" || e.Line != 7 {
		t.Errorf("error at %s", e.Position())
	}
}

func TestCyclesOverFiles(t *testing.T) {
	doc := "apiVersion: kappa/v1\nkind: Bridge\nextends: %\nmetadata: {name: a}\n"
	dir := write(t, map[string]string{"a.yaml": strings.Replace(doc, "%", "b.yaml", 1), "b.yaml": strings.Replace(doc, "%", "./c.yaml", 1), "c.yaml": strings.Replace(doc, "%", "a.yaml", 1)})
	_, err := Load([]string{filepath.Join(dir, "a.yaml")}, Vars{Lookup: noEnv})
	find1(t, err, CodeBadExtends)
}

// TestAFileNamedTwiceIsLoadedOnce: its documents are no duplicates of themselves.
func TestAFileNamedTwiceIsLoadedOnce(t *testing.T) {
	dir := write(t, map[string]string{"a.yml": minimal, "notes.txt": "no spec"})
	set, err := Load([]string{dir, filepath.Join(dir, "a.yml"), dir + "/./a.yml"}, Vars{Lookup: noEnv})
	if err != nil || len(set.Bridges) != 1 {
		t.Errorf("got %+v, %v", set, err)
	}
}

func TestAbstractDocumentsAreChecked(t *testing.T) {
	_, err := Parse("a.yaml", []byte("apiVersion: kappa/v1\nkind: Bridge\nabstract: true\nmetadata: {name: a}\nspec: {split: {cuont: 1}}\n"), Vars{Lookup: noEnv})
	find1(t, err, CodeUnknownField)
}

func TestNames(t *testing.T) {
	j := &StreamJob{Metadata: Metadata{Name: "flights"}, Spec: StreamJobSpec{Jobs: 3, Sources: Subscriptions{SubscriptionPrefix: "flights-", Count: 7}}}
	got := map[string][]string{"jobs": j.JobNames(), "all": j.Spec.Sources.Names()}
	for i, n := range j.JobNames() {
		got[n] = j.JobSubscriptions(i)
	}
	want := map[string][]string{
		"jobs":      {"flights-0", "flights-1", "flights-2"},
		"all":       {"flights-0", "flights-1", "flights-2", "flights-3", "flights-4", "flights-5", "flights-6"},
		"flights-0": {"flights-0", "flights-3", "flights-6"},
		"flights-1": {"flights-1", "flights-4"},
		"flights-2": {"flights-2", "flights-5"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"t0", "t1"}, Split{TopicPrefix: "t", Count: 2}.Topics()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Documents that extend each other in a long row are refused, and soon.
func TestManyExtend(t *testing.T) {
	var b strings.Builder
	for i := 0; b.Len() < maxFile-200; i++ {
		base := ""
		if i > 0 {
			base = fmt.Sprintf("extends: d%d\n", i-1)
		}
		fmt.Fprintf(&b, "---\nkind: Bridge\n%smetadata: {name: d%d}\noverlays: {a: {spec: {x: 1}}}\n", base, i)
	}
	began := time.Now()
	_, err := Parse("spec.yaml", []byte(b.String()), Vars{Lookup: noEnv, Environment: "a"})
	if err == nil || !strings.Contains(err.Error(), "64 documents extend each other in a row") {
		t.Errorf("no error says that the row is too long")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}
