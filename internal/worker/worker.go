// Package worker is the protocol between the sandbox's Dataflow service and
// the kappa-pipeline processes that it runs as jobs.
//
// The service starts `kappa-pipeline` with the job's parameters as flags
// (--NAME=VALUE, as a flex template's launcher does) and these of its own:
// --runner=prism and --control=stdio. It writes one JSON Command a line to the
// child's stdin; the child writes one JSON Report a line to its stdout, and
// its logs to stderr. End of file on stdin means that the service is gone: the
// child exits at once and acknowledges nothing, so that no process outlives
// the sandbox and no message is lost with it.
package worker

import "time"

// Command is one line from the service to the worker.
type Command struct {
	// Do is "drain": stop reading, let the windows fire, flush the sinks,
	// acknowledge, exit 0. There is no other command: cancelling a job is a kill.
	Do string `json:"do"`
}

// Drain is the value of Command.Do that asks for a drain.
const Drain = "drain"

// Report is one line from the worker to the service: at least one a second
// while the job runs, and at the end of a drained job one with Drained set
// before it acknowledges anything, and one after.
type Report struct {
	Sources  []Source         `json:"sources"`
	Counters map[string]int64 `json:"counters"` // monotonic; names below
	Running  bool             `json:"running"`  // the sources are being read
	Drained  bool             `json:"drained"`  // it is a stream that has ended by a drain, and all sinks are flushed

	// TookOver: it holds the state of the job that it was launched to update.
	TookOver bool `json:"took_over,omitempty"`
}

// Source is the state of one subscription.
type Source struct {
	Subscription string    `json:"subscription"` // projects/P/subscriptions/S
	Watermark    time.Time `json:"watermark"`    // zero: unknown
	AtMaximum    bool      `json:"at_maximum"`   // the source is exhausted: watermark at its maximum
	Held         int64     `json:"held"`         // messages received and not yet acknowledged
}

// Names of counters.
const (
	CounterMessages   = "messages_read"      // deliveries received
	CounterEvents     = "events"             // events after unbundling
	CounterDuplicates = "duplicates_dropped" // events dropped by deduplication
	CounterLate       = "late_dropped"       // events written to the late table
	CounterPanes      = "panes_written"      // aggregate rows written
	CounterBad        = "undecodable"        // events that could not be decoded

	// CounterUndeduplicated counts the events that came when their ids were no
	// longer remembered: counted, whether they came before or not.
	CounterUndeduplicated = "undeduplicated"
)
