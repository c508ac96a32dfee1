package inspect

import (
	"fmt"
	"io"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/internal/term"
)

// ResultVersion is the version of Result's JSON form.
const ResultVersion = 1

// Verdicts.
const (
	Ready    = "READY"     // everything can be reached, and every sample can be published
	Refuses  = "REFUSES"   // some samples would go to the dead letters
	NotReady = "NOT READY" // something is missing, not permitted or cannot be reached
)

// States of a check.
const (
	Passed  = "ok"
	Failed  = "failed"
	Warned  = "warning" // it works, and is worth a look
	Skipped = "skipped" // it could not be found out
)

// Result is what a dry run found out. Times are UTC.
type Result struct {
	Version    int        `json:"version"`
	Bridge     string     `json:"bridge"`
	Verdict    string     `json:"verdict"`
	Reason     string     `json:"reason"` // of the verdict
	Started    time.Time  `json:"started"`
	Seconds    float64    `json:"seconds"`
	Checks     []Check    `json:"checks"`
	Sample     Sample     `json:"sample"`
	Split      Skew       `json:"split"`      // messages of the sample, by topic of the destination
	Topics     []Topic    `json:"topics"`     // that are read
	Throughput Throughput `json:"throughput"` // that the destination needs
}

// Check is one thing that was looked at.
type Check struct {
	Subject string `json:"subject"`
	State   string `json:"state"`
	Detail  string `json:"detail,omitempty"`
	Hint    string `json:"hint,omitempty"` // how to mend it
}

// Sample is what became of the records that were sampled.
type Sample struct {
	Records    int64     `json:"records"`
	Bytes      int64     `json:"bytes"` // of their keys and values
	Tombstones int64     `json:"tombstones"`
	Filtered   int64     `json:"filtered"` // records of which the filter drops all events
	Events     int64     `json:"events"`   // that would be published
	Dropped    int64     `json:"dropped"`  // events that the filter drops
	Refused    int64     `json:"refused"`  // records that would go to the dead letters
	Messages   Sizes     `json:"message_bytes"`
	Refusals   []Refusal `json:"refusals"`
}

// Sizes are the sizes of messages as they are published, in bytes.
type Sizes struct {
	Least    int64 `json:"least"`
	Mean     int64 `json:"mean"`
	Median   int64 `json:"median"`
	P99      int64 `json:"p99"`
	Greatest int64 `json:"greatest"`
}

// Refusal is a reason for which records would go to the dead letters.
type Refusal struct {
	Reason   string    `json:"reason"`
	Records  int64     `json:"records"`
	Examples []Example `json:"examples"`
}

// Example is a record that would be refused.
type Example struct {
	Position string `json:"position"`
	Detail   string `json:"detail"`
}

// Skew says how even a number of parts are.
type Skew struct {
	Parts       []Part  `json:"parts"`
	MaxOverMean float64 `json:"max_over_mean"` // 1: perfectly even; 0: nothing there
}

// Part is one of several: a topic, or a partition.
type Part struct {
	Name    string  `json:"name"`
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"`
	Share   float64 `json:"share"` // of the bytes of all, or of the records where no bytes are known
}

// Topic is a Kafka topic that is read.
type Topic struct {
	Source     string  `json:"source"`
	Topic      string  `json:"topic"`
	Partitions int     `json:"partitions"`
	Records    int64   `json:"records"`         // offsets in the log; with compaction and transactions there are fewer
	Bytes      int64   `json:"bytes"`           // on disk, as compressed; of the leaders
	Estimated  bool    `json:"bytes_estimated"` // the brokers did not say: Bytes is records times their mean sampled size
	Backlog    int64   `json:"backlog"`         // offsets that the group has not committed
	PerSecond  float64 `json:"per_second"`      // records that came per second, over the last hour
	Skew       Skew    `json:"skew"`            // of its partitions
}

// Throughput is what publishing at the rate of the last hour needs.
type Throughput struct {
	MessagesPerSecond float64 `json:"messages_per_second"`
	BytesPerSecond    float64 `json:"bytes_per_second"`
	BacklogMessages   int64   `json:"backlog_messages"` // to publish before the bridge has caught up
	BacklogBytes      int64   `json:"backlog_bytes"`
}

// decide gives the verdict.
func (r *Result) decide() {
	failed := 0
	for _, c := range r.Checks {
		if c.State == Failed {
			failed++
		}
	}
	switch s := &r.Sample; {
	case failed == 1:
		r.Verdict, r.Reason = NotReady, "1 check failed"
	case failed > 1:
		r.Verdict, r.Reason = NotReady, fmt.Sprintf("%d checks failed", failed)
	case s.Refused > 0:
		r.Verdict, r.Reason = Refuses, fmt.Sprintf("%s of %s would go to the dead letters", term.Count(s.Refused), report.Quantity(s.Records, "sampled record"))
	case s.Records == 0:
		r.Verdict, r.Reason = Ready, "no record could be sampled: the topics are empty"
	default:
		r.Verdict, r.Reason = Ready, fmt.Sprintf("%s can be published", report.All(s.Records, "sampled record"))
	}
}

// ExitCode is the exit code of the verdict.
func (r *Result) ExitCode() exit.Code {
	switch r.Verdict {
	case Ready:
		return exit.OK
	case Refuses:
		return exit.GateNotMet
	}
	return exit.Environment
}

// WriteJSON writes the result as indented JSON, versioned by its field version.
func (r *Result) WriteJSON(w io.Writer) error {
	return report.WriteJSON(w, r)
}
