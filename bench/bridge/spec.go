package main

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/bench/internal/event"
)

const (
	project     = "kappa-bench"
	topicPrefix = "bench-"
)

// bridgeSpec is what varies in the bridge's spec.
type bridgeSpec struct {
	brokers   []string
	topic     string
	group     string
	transform string
	size      int
	schema    string // file, for Avro
	memory    string
}

// text is the spec of a bridge with the defaults of everything that is not
// measured.
func (s bridgeSpec) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: kappa/v1\nkind: Bridge\nmetadata: {name: bench}\nspec:\n  environment: sandbox\n  project: %s\n", project)
	fmt.Fprintf(&b, "  sources:\n    bench: {brokers: [%q], topics: [%s], group: %s}\n", strings.Join(s.brokers, ","), s.topic, s.group)
	b.WriteString(s.transformText())
	fmt.Fprintf(&b, "  split: {topicPrefix: %s, count: 1}\n  deadLetter: {topic: bench-dead}\n  limits: {memory: %s}\n", topicPrefix, s.memory)
	return b.String()
}

// transformText filters one record in 16, renames, drops and computes fields.
func (s bridgeSpec) transformText() string {
	if s.transform == passthrough {
		return ""
	}
	t := "  transform:\n    decode: " + s.transform + "\n"
	if s.schema != "" {
		t += fmt.Sprintf("    schema: {file: %q}\n", s.schema)
	}
	t += "    filter: record.kind != \"ping\"\n"
	if s.size < event.Full {
		return t + "    rename: {usr: user_id, ts: event_millis}\n" +
			"    set: {source: '\"bench/\" + record.kind'}\n"
	}
	return t + "    rename: {usr: user_id, ts: event_millis, cur: currency, qty: quantity, ver: version}\n" +
		"    drop: [sess, agent, seq]\n" +
		"    set: {source: 'record.app + \"/\" + record.version'}\n"
}
