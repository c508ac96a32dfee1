package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// tally counts what the oracle saw. Everything below Violations must be zero.
type tally struct {
	Records     int64      `json:"records"`      // produced, those of aborted transactions included
	Stored      int64      `json:"stored"`       // messages, copies and dead letters included
	DeadLetters int64      `json:"dead_letters"` // of them
	Compacted   int64      `json:"compacted"`    // records compacted away before they were read
	Lost        int64      `json:"lost"`         // records truncated in front of a bridge, and reported by it
	Commits     int64      `json:"commits"`      // of offsets that moved, each checked
	Duplicates  duplicates `json:"duplicates"`

	violations
}

// duplicates are copies beside the first, by their reason.
type duplicates struct {
	Total       int64 `json:"total"`
	Killed      int64 `json:"killed"`      // the bridge was killed before it had committed
	Hidden      int64 `json:"hidden"`      // the acknowledgement was hidden from it
	Moved       int64 `json:"moved"`       // the partition was given to a bridge, another or the same, before it was committed
	Paused      int64 `json:"paused"`      // the bridge had been paused
	Unexplained int64 `json:"unexplained"` // a violation
}

// violations must all be zero, as must duplicates.Unexplained.
type violations struct {
	Missing        int64 `json:"missing"`
	WrongID        int64 `json:"wrong_id"`
	WrongContent   int64 `json:"wrong_content"`
	TwoContents    int64 `json:"two_contents"`    // one id with two contents or topics
	Misplaced      int64 `json:"misplaced"`       // good records among the dead letters, or the other way round
	Disordered     int64 `json:"disordered"`      // not in the order of their ordering key
	Phantoms       int64 `json:"phantoms"`        // never produced, aborted, or reported as lost
	CommittedEarly int64 `json:"committed_early"` // committed before they had arrived
	AfterCommit    int64 `json:"after_commit"`    // published again although committed
	OverBound      int64 `json:"over_bound"`      // kills that exposed more than the bound
	Gaps           int64 `json:"gaps"`            // truncations that were not reported, or wrongly
	Processes      int64 `json:"processes"`       // bridges that ended by themselves or not with 0
	Stalled        int64 `json:"stalled"`         // partitions that were not finished in time
	Memory         int64 `json:"memory"`          // bridges that held more than the budget
	Soak           int64 `json:"soak"`            // faults of the soak itself: its result is worth nothing
}

func (t *tally) violated() bool { return t.violations != violations{} || t.Duplicates.Unexplained > 0 }

// exposure is what kills exposed to being published twice.
type exposure struct {
	Kills    int   `json:"kills"`
	Exposed  int64 `json:"exposed"`  // records in all
	Largest  int64 `json:"largest"`  // records, by one kill
	Bound    int64 `json:"bound"`    // of that kill
	Tightest int64 `json:"tightest"` // smallest bound of a kill
}

// gapReport is one truncation in front of a bridge.
type gapReport struct {
	Partition string `json:"partition"`
	How       string `json:"how"`
	From      int64  `json:"from"` // first offset that the bridge reported as gone
	To        int64  `json:"to"`   // first offset after them
	Records   int64  `json:"records"`
}

// report is out/soak/bridge.json.
type report struct {
	OK         bool           `json:"ok"`
	Seed       uint64         `json:"seed"`
	Broker     string         `json:"broker"` // kfake or kafka
	Kappa      string         `json:"kappa"`  // version of the program
	Started    time.Time      `json:"started"`
	Seconds    float64        `json:"seconds"`
	Exposure   exposure       `json:"exposure"`
	Events     map[string]int `json:"events"`
	Requests   map[string]int `json:"requests"` // publish requests by answer
	Bridges    int            `json:"bridges"`  // processes that were started
	Restarts   int            `json:"restarts"` // of bridges that could not start because a service was away
	Moves      int            `json:"moves"`    // of partitions to another member of their group
	Gaps       []gapReport    `json:"gaps"`
	Budget     int64          `json:"memory_budget_bytes"`
	Charged    int64          `json:"memory_charged_peak_bytes"`  // to the budget, by the bridges' own metrics
	Resident   int64          `json:"memory_resident_peak_bytes"` // of any bridge process
	Longest    float64        `json:"longest_outage_seconds"`
	Left       []string       `json:"left_out"` // what the run was too short for
	Violations []string       `json:"violations"`

	tally
}

func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// bound is how many records of one bridge may have arrived and not be
// committed: what the byte budget lets it hold, and what it published since
// commits were last possible, a commit interval being between two commits.
func bound(budget, recordBytes, recent int64) int64 { return budget/max(recordBytes, 1) + recent }
