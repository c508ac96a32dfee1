package compare

import "time"

// This file holds what a result says of days, of other runs and of what people
// have answered for.

// Day is a settled day: all its windows were compared.
type Day struct {
	Start   time.Time   `json:"start"`
	End     time.Time   `json:"end"`
	Windows int64       `json:"windows"` // settled ones, with keys or without
	Counts  Counts      `json:"keys"`
	Metrics []DayMetric `json:"metrics"`

	Unexplained int64  `json:"unexplained"` // keys
	OK          bool   `json:"ok"`          // it meets the gate
	Why         string `json:"why"`         // the rule that it breaks
	Run         string `json:"run"`         // id of the run that compared it; "" for this one
}

// DayMetric is a metric over a day, weighted by value as [Metric.Weight] is.
type DayMetric struct {
	Name        string `json:"name"`
	Weight      string `json:"weight"` // of all keys
	Agree       string `json:"agree"`  // of exact and tolerated keys
	Unexplained string `json:"unexplained"`
	Difference  string `json:"difference"`
	Absolute    string `json:"absolute"`
}

// HeatMap is the number of differing keys by window and segment. Windows are
// joined where there are too many to show.
type HeatMap struct {
	Columns     []string    `json:"columns"`     // of the segment
	Values      [][]string  `json:"values"`      // rows: worst first; NULL is the text NULL
	Starts      []time.Time `json:"starts"`      // columns: starts of the joined windows
	Step        string      `json:"step"`        // how long a column is
	Differing   [][]int64   `json:"differing"`   // by row, then column
	Unexplained [][]int64   `json:"unexplained"` // likewise
}

// KnownDifference is what became of a known difference of the spec in a run.
type KnownDifference struct {
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Reason  string    `json:"reason"`
	Expires time.Time `json:"expires"`
	Limit   int64     `json:"limit"`
	Hits    int64     `json:"hits"`  // keys that it matches and that nothing else explains
	State   string    `json:"state"` // one of the below
}

// States of known differences.
const (
	KnownUsed      = "used"
	KnownUnused    = "unused"     // it matches no key
	KnownExpired   = "expired"    // what it matches is unexplained
	KnownOverLimit = "over_limit" // likewise
)

// LastRun is the run of the same comparison before this one, from the history.
type LastRun struct {
	ID       string    `json:"id"`
	Started  time.Time `json:"started"`
	Range    Range     `json:"range"`
	Verdict  string    `json:"verdict"`
	SpecHash string    `json:"spec_hash"`
	Exact    Ratio     `json:"exact"`
}

// Transition counts keys that were in one class in the last run and are in another
// now, or still. Classes are those of keys; "unknown" where the last run did not
// compare the key's window, or did not keep all of its differing keys.
type Transition struct {
	From string `json:"from"`
	To   string `json:"to"`
	Keys int64  `json:"keys"`
}

// SecondLook is about windows that the last run left out as not settled, and that
// this one has compared.
type SecondLook struct {
	Windows   int64   `json:"windows"`   // left out then
	Compared  int64   `json:"compared"`  // of them: now
	Differing int64   `json:"differing"` // keys in those that differ
	StillOpen []Range `json:"still_open"`
}

// TrendPoint is one run.
type TrendPoint struct {
	ID          string    `json:"id"`
	Started     time.Time `json:"started"`
	Verdict     string    `json:"verdict"`
	Exact       Ratio     `json:"exact"`
	Agree       Ratio     `json:"agree"`
	Keys        int64     `json:"keys"`
	Unexplained int64     `json:"unexplained"`
	SpecHash    string    `json:"spec_hash"`
}

// DifferingKey is a key that differs, as the history and a baseline know it. The
// list of them in a result is bounded: where it is shorter than the keys that
// differ, the rest is not known.
type DifferingKey struct {
	Window time.Time `json:"window_start"`
	Key    string    `json:"key"` // JSON list of the key's values as texts, NULL as null; of sensitive keys hashes
	Class  string    `json:"class"`
	Cause  string    `json:"cause"` // or the name of the known difference
	Status string    `json:"status"`
}

// Baseline is what --baseline compares this result with.
type Baseline struct {
	File     string    `json:"file"`
	Started  time.Time `json:"started"`
	SpecHash string    `json:"spec_hash"`
	New      int64     `json:"new"`   // keys that differ and did not then
	Gone     int64     `json:"gone"`  // keys that differed then and do not now
	Same     int64     `json:"same"`  // keys that differ now as then
	Exact    Ratio     `json:"exact"` // then

	NewUnexplained      int64            `json:"new_unexplained"`       // keys that no cause explains, and that did not differ so then
	NewUnexplainedValue map[string]Ratio `json:"new_unexplained_value"` // by metric: their weight ÷ weight of all keys
}
