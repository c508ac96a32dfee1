package compare

import "time"

// This file holds what a result says of the two sides: how fresh they are and who
// wrote them.

// BatchFreshness says how fresh the batch side is.
type BatchFreshness struct {
	Loads      int64      `json:"loads"`       // ranges loaded
	Reloaded   int64      `json:"reloaded"`    // ranges loaded more than once
	CoveredTo  *time.Time `json:"covered_to"`  // end of the last range
	LastLoaded *time.Time `json:"last_loaded"` // when the newest load ended
	Rows       int64      `json:"rows"`        // rows read
}

// StreamFreshness says how fresh the stream side is, and who wrote it.
type StreamFreshness struct {
	SettledTo   *time.Time `json:"settled_to"`  // all jobs are past this; null with at_maximum or unknown
	AtMaximum   bool       `json:"at_maximum"`  // all jobs have read all there is
	Rows        int64      `json:"rows"`        // rows that count, copies not counted
	Copies      int64      `json:"copies"`      // identical copies of rows that were collapsed
	Jobs        []JobState `json:"jobs"`        // jobs of the group
	Generations []Writer   `json:"generations"` // writers of the group, and all others with rows that do not count
}

// JobState is the settled state of one job.
type JobState struct {
	Job        string     `json:"job"`
	Generation int64      `json:"generation"` // 0: none
	Watermark  *time.Time `json:"watermark"`
	AtMaximum  bool       `json:"at_maximum"`
	ObservedAt *time.Time `json:"observed_at"`
	Problem    string     `json:"problem,omitempty"` // why nothing of it is settled
}

// Writer is a job and generation.
type Writer struct {
	Job        string          `json:"job"`
	Generation int64           `json:"generation"`
	Kind       string          `json:"kind,omitempty"`
	State      string          `json:"state"` // as in the generations table, or unlisted
	Counts     bool            `json:"counts"`
	Reason     string          `json:"reason,omitempty"` // why no row of it counts
	Within     *Range          `json:"within,omitempty"` // of a backfill: the windows, by their start, that it counts in
	Except     []ReplacedRange `json:"except,omitempty"` // windows in which a backfill has taken its place
	Ignored    int64           `json:"ignored_rows"`     // rows left out for one of these
}

// ReplacedRange is windows, by their start, in which a backfill has taken the
// place of other writers.
type ReplacedRange struct {
	Range
	By string `json:"by"` // JOB@GENERATION of the backfill
}
