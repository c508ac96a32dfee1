package compare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// DuplicatesVersion is the version of the JSON of Duplicates.
const DuplicatesVersion = 1

// Verdicts of the monitor.
const (
	DuplicatesOK     = "OK"
	DuplicatesAlert  = "ALERT"
	DuplicatesNoData = "NO DATA"
)

// Duplicates is what a run of the monitor found. It is documented in
// docs/duplicates.md.
type Duplicates struct {
	Version    int       `json:"version"`
	Monitor    string    `json:"monitor"`
	SpecHash   string    `json:"spec_hash"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	Verdict    string    `json:"verdict"` // OK, ALERT or NO DATA
	Rule       string    `json:"rule"`    // what decided it
	Checks     []Check   `json:"checks"`
	Range      *Range    `json:"range"` // of windows by their start; null: none is settled
	Past       *Range    `json:"past"`  // null: none
	WindowSize string    `json:"window_size"`

	Exact  bool            `json:"exact"`         // distinct events were counted
	Why    string          `json:"why,omitempty"` // why they were
	Counts DuplicateCounts `json:"counts"`        // of the range
	Before Ratio           `json:"before"`        // deliveries beyond the first of an event ÷ events; unless exact, by the counts
	After  *Ratio          `json:"after"`         // events counted more than once ÷ events that should be counted; null unless exact

	PastCounts DuplicateCounts   `json:"past_counts"`
	PastBefore Ratio             `json:"past_before"` // by the counts
	Change     *string           `json:"change"`      // of the percentage by the counts above the past, in points; null: there is no past
	Windows    []DuplicateWindow `json:"windows"`     // those with the most duplicates
	KeyNames   []string          `json:"key_names"`
	Keys       []DuplicateGroup  `json:"keys"`        // those with the most duplicates; none unless exact
	Positions  []DuplicateGroup  `json:"positions"`   // cluster/topic/partition, likewise
	Writers    []Writer          `json:"generations"` // of the StreamJob
	Jobs       []QueryJob        `json:"jobs"`
	Estimated  int64             `json:"bytes_estimated"` // by dry run
	Billed     int64             `json:"bytes_billed"`

	top int // most windows that are listed
}

// DuplicateCounts are numbers of events. The second half is absent unless
// distinct events were counted.
type DuplicateCounts struct {
	Deliveries int64 `json:"deliveries"` // rows of the raw table that count
	Late       int64 `json:"late"`       // of them dropped as too late
	Counted    int64 `json:"counted"`    // events, by the aggregation

	*DistinctCounts
}

// DistinctCounts are numbers of distinct events and what became of them.
type DistinctCounts struct {
	Events      int64 `json:"events"`        // distinct ones that were delivered
	TooLate     int64 `json:"too_late"`      // of them with no delivery in time
	Redelivered int64 `json:"redelivered"`   // further deliveries of one message
	Republished int64 `json:"republished"`   // further messages of one position
	Recorded    int64 `json:"recorded"`      // further positions of one event: the source has it more than once
	Twice       int64 `json:"counted_twice"` // counted beyond the events of their window
	Missing     int64 `json:"not_counted"`   // events of a window beyond those that are counted
}

// DuplicateWindow is a window with duplicates.
type DuplicateWindow struct {
	Start      time.Time `json:"start"`
	Deliveries int64     `json:"deliveries"`
	Late       int64     `json:"late"`
	Counted    int64     `json:"counted"`
	Events     *int64    `json:"events"` // distinct; null unless exact
	TooLate    *int64    `json:"too_late"`
	Duplicates int64     `json:"duplicates"` // deliveries beyond the events; unless exact, beyond the counted ones
}

// DuplicateGroup is a key or a position with duplicates.
type DuplicateGroup struct {
	Values     []*string `json:"values"` // of the keys, or the position; null is NULL
	Deliveries int64     `json:"deliveries"`
	Events     int64     `json:"events"`
	Duplicates int64     `json:"duplicates"`
}

// ExitCode is the exit code that the verdict leads to.
func (d *Duplicates) ExitCode() exit.Code {
	switch d.Verdict {
	case DuplicatesOK:
		return exit.OK
	case DuplicatesAlert:
		return exit.GateNotMet
	}
	return exit.NoData
}

// duplicatesHash tells specs apart: SHA-256 of all that decides about a run.
func duplicatesHash(spec *jobspecs.DuplicateMonitor) (string, error) {
	data, err := json.Marshal(spec.Spec)
	if err != nil {
		return "", fmt.Errorf("hash the spec: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:12], nil
}
