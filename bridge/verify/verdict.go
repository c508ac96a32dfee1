package verify

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/report"
	"github.com/kappa-migrate/kappa/internal/term"
)

// ResultVersion is the version of Result's JSON form.
const ResultVersion = 1

// Verdicts.
const (
	Complete     = "COMPLETE"     // every expected event arrived, under its own id
	Incomplete   = "INCOMPLETE"   // events are missing, or ids or contents are wrong
	Inconclusive = "INCONCLUSIVE" // the run was cut short, or nothing of the range came at all
	NoData       = "NO DATA"      // nothing was expected: there is nothing to judge
)

// Result is what a verification found out. Times are UTC.
type Result struct {
	Version    int         `json:"version"`
	Bridge     string      `json:"bridge"`
	Verdict    string      `json:"verdict"`
	Reason     string      `json:"reason"` // of the verdict
	Started    time.Time   `json:"started"`
	Seconds    float64     `json:"seconds"`
	Arrived    Destination `json:"arrived"`
	Totals     Counts      `json:"totals"`
	Outside    int64       `json:"outside"` // events that arrived from positions outside of the range
	Unreadable int64       `json:"unreadable"`
	Letters    bool        `json:"dead_letters_read"` // whether dead letters were looked for
	Partitions []Partition `json:"partitions"`
	WrongIDs   []Finding   `json:"wrong_ids"`  // at most 1,000 of each partition
	Conflicts  []Finding   `json:"conflicts"`  // likewise
	Unexpected []Finding   `json:"unexpected"` // likewise
	Warnings   []string    `json:"warnings"`

	cutShort     string // why what arrived was not read to its end
	lettersShort string // why dead letters were not
}

// Destination is where the events that arrived were read.
type Destination struct {
	Kind          string   `json:"kind"` // bigquery or pubsub
	Table         string   `json:"table,omitempty"`
	Subscriptions []string `json:"subscriptions,omitempty"`
	Acknowledged  bool     `json:"acknowledged,omitempty"` // whether messages were acknowledged
	BytesBilled   int64    `json:"bytes_billed,omitempty"`
	Messages      int64    `json:"messages,omitempty"` // pulled
}

// Counts are of a partition, or of all.
type Counts struct {
	Records      int64 `json:"records"`       // that Kafka holds in the range, committed
	Filtered     int64 `json:"filtered"`      // records that the spec's filter drops
	DeadLettered int64 `json:"dead_lettered"` // records that can only be dead letters
	Dropped      int64 `json:"dropped"`       // events that the filter drops
	Repeated     int64 `json:"repeated"`      // events whose record holds an event with their id before them
	Gaps         int64 `json:"gaps"`          // offsets that Kafka has no record of: retention, compaction, transactions
	Expected     int64 `json:"expected"`      // events
	Arrived      int64 `json:"arrived"`       // expected events that arrived, once or more
	Missing      int64 `json:"missing"`       // expected events that did not
	Rejected     int64 `json:"rejected"`      // expected events whose record is a dead letter: the destination refused it
	Duplicated   int64 `json:"duplicated"`    // events that more than one message brought
	Duplicates   int64 `json:"duplicates"`    // messages beyond the first of an event
	Redelivered  int64 `json:"redelivered"`   // deliveries of a message that had come before
	WrongIDs     int64 `json:"wrong_ids"`     // events at a position that another id belongs to
	Conflicts    int64 `json:"conflicts"`     // events that came with two contents
	Unexpected   int64 `json:"unexpected"`    // events of records that should not have been published
	Unheld       int64 `json:"unheld"`        // events of records that Kafka no longer has

	LettersFound   int64 `json:"dead_letters_found"`   // of the records that can only be dead letters, if they were looked for
	LettersMissing int64 `json:"dead_letters_missing"` // likewise
}

func (c *Counts) add(d *Counts) {
	c.Records += d.Records
	c.Filtered += d.Filtered
	c.DeadLettered += d.DeadLettered
	c.Dropped += d.Dropped
	c.Repeated += d.Repeated
	c.Gaps += d.Gaps
	c.Expected += d.Expected
	c.Arrived += d.Arrived
	c.Missing += d.Missing
	c.Duplicated += d.Duplicated
	c.Duplicates += d.Duplicates
	c.Redelivered += d.Redelivered
	c.WrongIDs += d.WrongIDs
	c.Conflicts += d.Conflicts
	c.Unexpected += d.Unexpected
	c.Unheld += d.Unheld
	c.Rejected += d.Rejected
	c.LettersFound += d.LettersFound
	c.LettersMissing += d.LettersMissing
}

// Partition is the result for one partition.
type Partition struct {
	Partition string `json:"partition"` // cluster/topic/partition
	From      int64  `json:"from"`      // first offset of the range
	To        int64  `json:"to"`        // first offset after it
	Counts
	DeadLetters map[string]int64 `json:"dead_letter_reasons,omitempty"`
	Hours       []Hour           `json:"hours"`
	Missing     []Offsets        `json:"missing_ranges"`
	Duplicated  []Offsets        `json:"duplicated_ranges"`

	LettersMissing []Offsets `json:"dead_letters_missing_ranges"`
}

// Hour is the count of records, by their own timestamps, of one hour.
type Hour struct {
	Hour         time.Time `json:"hour"`
	Records      int64     `json:"records"`
	Filtered     int64     `json:"filtered"`
	DeadLettered int64     `json:"dead_lettered"`
	Expected     int64     `json:"expected"`
	Arrived      int64     `json:"arrived"`
	Missing      int64     `json:"missing"`
	Rejected     int64     `json:"rejected"`
	Duplicates   int64     `json:"duplicates"`
}

// Offsets are a run of expected events that are all missing, or all duplicated:
// no expected event between its ends is not.
type Offsets struct {
	First   int64 `json:"first"` // offset
	Last    int64 `json:"last"`  // offset, inclusive
	Count   int64 `json:"count"` // events; fewer than offsets where the log has gaps
	Ordinal int   `json:"ordinal,omitempty"`
}

func (r Offsets) compare(o Offsets) int {
	return cmp.Or(cmp.Compare(r.First, o.First), cmp.Compare(r.Ordinal, o.Ordinal))
}

// Finding is an event that arrived and should not have, as it is.
type Finding struct {
	Position string `json:"position"`
	ID       string `json:"id"`
	Problem  string `json:"problem"`
}

// decide gives the verdict. What is wrong is wrong even where not all was read;
// what is missing is not.
func (r *Result) decide() {
	t := &r.Totals
	var wrong []string
	is := func(n int64, format string, args ...any) {
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	is(t.WrongIDs, "%s arrived under an id that is not its own", report.Quantity(t.WrongIDs, "event"))
	is(t.Conflicts, "%s arrived with two contents under one id", report.Quantity(t.Conflicts, "event"))
	if r.lettersShort == "" {
		is(t.LettersMissing, "%s can only be dead letters, and are not among them", report.Quantity(t.LettersMissing, "record"))
	}
	whole := r.cutShort == "" && r.lettersShort == "" && !(t.Arrived == 0 && r.Arrived.Kind == kindPubSub)
	if whole {
		is(t.Missing, "%s of %s did not arrive", term.Count(t.Missing), report.Quantity(t.Expected, "event"))
	}
	switch {
	case len(wrong) > 0:
		r.Verdict, r.Reason = Incomplete, strings.Join(wrong, "; ")
	case (t.Missing > 0 || t.LettersMissing > 0) && r.lettersShort != "":
		r.Verdict, r.Reason = Inconclusive, "dead letters: "+r.lettersShort
	case t.Missing > 0 && r.cutShort != "":
		r.Verdict, r.Reason = Inconclusive, r.cutShort
	case t.Missing > 0:
		r.Verdict, r.Reason = Inconclusive, "nothing of the range came: a subscription holds only what was published after it was created"
	case t.Expected == 0:
		r.Verdict, r.Reason = NoData, "no event is expected of the range"
	default:
		r.Verdict, r.Reason = Complete, report.All(t.Expected, "event")+" arrived"
	}
}

// ExitCode is the exit code of the verdict.
func (r *Result) ExitCode() exit.Code {
	switch r.Verdict {
	case Complete:
		return exit.OK
	case Incomplete:
		return exit.GateNotMet
	}
	return exit.NoData
}

// WriteJSON writes the result as indented JSON, versioned by its field version.
func (r *Result) WriteJSON(w io.Writer) error {
	return report.WriteJSON(w, r)
}

func timeOf(millis int64) time.Time { return time.UnixMilli(millis).UTC() }
