package journal

import (
	"encoding/json"
	"time"
)

// Kinds of entries.
const (
	KindBegin  = "begin"  // the first entry of a deployment
	KindResume = "resume" // a command goes on with a deployment that another has left
	KindStep   = "step"   // a step that is about to be taken
	KindFact   = "fact"   // something that has happened
	KindEnd    = "end"    // the last entry
)

// Outcomes of a deployment.
const (
	OutcomeDone       = "done"
	OutcomeFailed     = "failed"     // a step failed; applying again goes on
	OutcomeAborted    = "aborted"    // somebody asked for it to be stopped
	OutcomeSuperseded = "superseded" // never ended; another deployment has begun
)

// Commands that deploy.
const (
	CommandApply    = "apply"
	CommandRollback = "rollback"
	CommandAdopt    = "adopt"
	CommandDrain    = "drain"
	CommandBackfill = "backfill"
	CommandRepair   = "repair"
)

// Entry is an entry of a deployment. Which fields are set depends on its kind.
type Entry struct {
	Deployment string    `json:"deployment"`
	Seq        int       `json:"seq"` // from 1, without gaps
	At         time.Time `json:"at"`
	By         string    `json:"by"` // USER@HOST, or what --by says
	Kind       string    `json:"kind"`

	// Of begin.
	Command  string          `json:"command,omitempty"`
	Subject  string          `json:"subject,omitempty"` // of a command that does not act on the spec as a whole: what it acts on
	Reason   string          `json:"reason,omitempty"`  // as given with --reason
	Version  string          `json:"version,omitempty"` // of kappa
	Spec     string          `json:"spec,omitempty"`    // hash of the resolved spec
	SpecFile string          `json:"spec_file,omitempty"`
	Template string          `json:"template,omitempty"`
	Plan     json.RawMessage `json:"plan,omitempty"` // what was planned

	// Of step and fact.
	Step       string `json:"step,omitempty"`
	Job        string `json:"job,omitempty"` // empty: of no job
	Generation int64  `json:"generation,omitempty"`
	DataflowID string `json:"dataflow_id,omitempty"`
	Text       string `json:"text,omitempty"`

	// Of end.
	Outcome string          `json:"outcome,omitempty"`
	Error   string          `json:"error,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}

// Record is a deployment as its entries tell it.
type Record struct {
	ID      string  `json:"id"`
	Entries []Entry `json:"entries"`

	// Abort is who asked for it to be stopped, and why; nil: nobody.
	Abort *Abort `json:"abort,omitempty"`
}

// Abort is somebody's request that a deployment be stopped.
type Abort struct {
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
}

// Begin is the first entry of a deployment.
func (r Record) Begin() Entry {
	if len(r.Entries) == 0 {
		return Entry{Deployment: r.ID}
	}
	return r.Entries[0]
}

// End is the last entry of a deployment that has ended.
func (r Record) End() (Entry, bool) {
	if n := len(r.Entries); n > 0 && r.Entries[n-1].Kind == KindEnd {
		return r.Entries[n-1], true
	}
	return Entry{}, false
}

// Outcome is how a deployment ended; empty: it has not.
func (r Record) Outcome() string {
	e, _ := r.End()
	return e.Outcome
}
