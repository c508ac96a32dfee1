package deploy

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"

	"github.com/kappa-migrate/kappa/internal/dataflowapi"
	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// This file decides, without I/O, whether windows can be backfilled and what
// has to be done for it.

// Backfill is what is to be recomputed, and from what: one of Archive, Files and
// Table, which must hold all events of the windows.
type Backfill struct {
	Job  string    `json:"job"`  // name that it writes under; empty: GROUP-backfill, or GROUP-shadow-SHADOW
	From time.Time `json:"from"` // start of the first window
	To   time.Time `json:"to"`   // start of the first window after the last

	Archive string `json:"archive,omitempty"` // Avro files of a Cloud Storage subscription: gs://BUCKET/PATTERN
	Files   string `json:"files,omitempty"`   // files of events: gs://BUCKET/PATTERN, or in the sandbox a pattern of this machine
	Table   string `json:"table,omitempty"`   // raw table: DATASET.TABLE
	// MaxBytes are the most that reading the table may bill; 0: any.
	MaxBytes int64 `json:"max_bytes,omitempty"`

	// Shadow is the suffix of the tables that are written in the place of the
	// spec's own; empty: none, the windows are replaced.
	Shadow string `json:"shadow,omitempty"`
}

// span is the windows, in UTC.
func (b Backfill) span() tables.Span { return tables.Span{From: b.From.UTC(), To: b.To.UTC()} }

var jobName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`) // and no longer than maxJobName

const maxJobName = 1024

// source names what is read.
func (b Backfill) source() (kind, name string) {
	switch {
	case b.Files != "":
		return "files", b.Files
	case b.Table != "":
		return "table", b.Table
	}
	return "archive", b.Archive
}

var (
	datasetTable = regexp.MustCompile(`^[A-Za-z0-9_]{1,1000}\.[A-Za-z_][A-Za-z0-9_]{0,299}$`)
	shadowSuffix = regexp.MustCompile(`^[a-z0-9]{1,30}$`) // part of the names of tables, of a job and of a label
)

// group is the group that the backfill's writer is of.
func (b Backfill) group(job *jobspecs.StreamJob) string {
	if b.Shadow == "" {
		return job.Metadata.Name
	}
	return tables.ShadowGroup(job.Metadata.Name, b.Shadow)
}

// check completes and checks b against a spec. Its errors are the user's.
func (b *Backfill) check(job *jobspecs.StreamJob) error {
	group := job.Metadata.Name
	if err := job.KappaPipeline("backfill"); err != nil {
		return err
	}
	if b.Shadow != "" && !shadowSuffix.MatchString(b.Shadow) {
		return exit.Usagef("shadow %q: a suffix has lower-case letters and digits, up to 30", b.Shadow)
	}
	if b.Job == "" {
		b.Job = group + "-backfill"
		if b.Shadow != "" {
			b.Job = group + "-shadow-" + b.Shadow
		}
	}
	if !jobName.MatchString(b.Job) || len(b.Job) > maxJobName {
		return exit.Usagef("job name %q: Dataflow takes lower-case letters, digits and -, up to %d, with a letter first", b.Job, maxJobName)
	}
	if number, ok := strings.CutPrefix(b.Job, group+"-"); ok && strings.Trim(number, "0123456789") == "" {
		return exit.Usagef("job name %s: %s-NUMBER are the names of the streaming jobs", b.Job, group)
	}
	if err := b.checkSource(job); err != nil {
		return err
	}
	s := b.span()
	if !s.From.Before(s.To) {
		return exit.Usagef("there is no window from %s to %s", stamp(s.From), stamp(s.To))
	}
	for _, a := range job.Spec.Aggregations {
		for _, t := range []time.Time{s.From, s.To} {
			if !aligned(t, a.Window.D()) {
				// A window that is cut in two would be replaced by a part of itself.
				return exit.Usagef("%s is not where a window of %s starts: its windows are of %s from 1970-01-01T00:00:00Z on", stamp(t), a.Name, a.Window)
			}
		}
	}
	return nil
}

// checkSource checks what is read.
func (b *Backfill) checkSource(job *jobspecs.StreamJob) error {
	given := 0
	for _, source := range []string{b.Archive, b.Files, b.Table} {
		if source != "" {
			given++
		}
	}
	if given != 1 {
		return exit.Usagef("a backfill reads one of an archive, files and a table").
			WithHint("give one of --archive, --files and --table")
	}
	kind, name := b.source()
	switch {
	case b.MaxBytes < 0 || b.MaxBytes > 0 && b.Table == "":
		return exit.Usagef("a cap of %d bytes: it is at least 0, and for a table", b.MaxBytes)
	case b.Table != "" && !datasetTable.MatchString(b.Table):
		return exit.Usagef("table %q is not DATASET.TABLE", b.Table)
	case b.Table != "":
		return nil
	case strings.HasPrefix(name, "gs://"):
		bucket, glob, _ := strings.Cut(strings.TrimPrefix(name, "gs://"), "/")
		if _, err := path.Match(glob, ""); err != nil || bucket == "" || glob == "" {
			return exit.Usagef("%s %q is not gs://BUCKET/PATTERN", kind, name)
		}
	case b.Archive != "":
		return exit.Usagef("archive %q is not gs://BUCKET/PATTERN", name)
	case job.Spec.Environment != "sandbox":
		return exit.Usagef("files %q are on this machine, where workers of Dataflow cannot read them", name).
			WithHint("copy them to Cloud Storage, and give gs://BUCKET/PATTERN")
	case !filepath.IsAbs(name):
		return exit.Usagef("files %q: a worker is started elsewhere, so the path must be absolute", name)
	default:
		if _, err := path.Match(name, ""); err != nil {
			return exit.Usagef("files %q: %w", name, err)
		}
	}
	return nil
}

// aligned reports whether a window of a size starts at t.
func aligned(t time.Time, window time.Duration) bool {
	seconds := int64(window / time.Second)
	return t.Nanosecond() == 0 && window%time.Second == 0 && seconds > 0 && t.Unix()%seconds == 0
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Observation is where a job that has not ended is.
type Observation struct {
	Job       string
	ID        string
	State     string    // RUNNING, DRAINING, …
	Watermark time.Time // the least of its sources; zero: not known, or at its maximum
	Messages  int64     // that it has read
	Sources   []SourceWatermark

	AtMaximum       bool   // the watermark is: nothing comes any more
	BacklogBytes    *int64 // of all its sources; nil: not known
	BacklogElements *int64
}

// settled fails unless every job that runs is past the horizon after the last
// window: from then on it takes no event for the windows (rule P4), and none
// can be counted beside the backfill. A job that starts later learns of the
// backfill from the history. What is not known is not assumed (invariant D3).
func settled(b Backfill, horizon time.Duration, running []Observation) error {
	u := &UnsettledError{To: b.To, Until: b.span().To.Add(horizon), Horizon: horizon}
	for _, o := range running {
		if o.State != dataflowapi.StateName(pb.JobState_JOB_STATE_RUNNING) || o.Watermark.Before(u.Until) {
			u.Behind = append(u.Behind, o)
		}
	}
	if len(u.Behind) == 0 {
		return nil
	}
	return exit.With(exit.Environment, u).WithHint("run the command again once they have")
}

// UnsettledError says that jobs which run may still take events for windows that
// are to be replaced. Wait, and try again.
type UnsettledError struct {
	To      time.Time     // end of the windows
	Until   time.Time     // what the watermarks must reach
	Horizon time.Duration // that lies between them
	Behind  []Observation // jobs that have not, or of which it is not known
}

// Error names the jobs.
func (e *UnsettledError) Error() string {
	behind := make([]string, len(e.Behind))
	for i, o := range e.Behind {
		switch {
		case o.State != dataflowapi.StateName(pb.JobState_JOB_STATE_RUNNING):
			behind[i] = fmt.Sprintf("%s is %s", o.Job, o.State)
		case o.Watermark.IsZero():
			behind[i] = fmt.Sprintf("the watermark of %s is not known", o.Job)
		default:
			behind[i] = fmt.Sprintf("the watermark of %s is %s", o.Job, stamp(o.Watermark))
		}
	}
	return fmt.Sprintf("events of the windows before %s may still be counted by streaming jobs: their watermarks must have reached %s, the horizon of %s later, and %s",
		stamp(e.To), stamp(e.Until), e.Horizon, strings.Join(behind, "; "))
}

// Least is the least watermark of the jobs; false if one is not known.
func (e *UnsettledError) Least() (time.Time, bool) {
	var least time.Time
	for _, o := range e.Behind {
		if o.Watermark.IsZero() || o.State != dataflowapi.StateName(pb.JobState_JOB_STATE_RUNNING) {
			return time.Time{}, false
		}
		if least.IsZero() || o.Watermark.Before(least) {
			least = o.Watermark
		}
	}
	return least, !least.IsZero()
}

// overlapping is an open backfill of a group, other than b itself, that
// replaces some of b's windows: which of the two would hold could not be said.
func overlapping(log history.Log, group string, b Backfill) error {
	span := b.span()
	for _, s := range log.Standings() {
		g := s.Generation
		if g.Kind != tables.WriterBackfill || g.Group != group || g.State != tables.StateOpen || b.is(g) {
			continue
		}
		if g.WindowFrom.Timestamp.Before(span.To) && span.From.Before(g.WindowTo.Timestamp) {
			return exit.Environmentf("%s is an open backfill of the windows from %s to %s", g.Writer(), stamp(g.WindowFrom.Timestamp), stamp(g.WindowTo.Timestamp)).
				WithHint("finish it by running its command again, or cancel its job and do that: it is then void")
		}
	}
	return nil
}

// is reports whether a row of the history is of b.
func (b Backfill) is(g tables.Generation) bool {
	s := b.span()
	return g.Job == b.Job && g.WindowFrom.Timestamp.Equal(s.From) && g.WindowTo.Timestamp.Equal(s.To)
}

// filling is what is done for a backfill.
type filling struct {
	kind       Kind // Launch; Keep: wait for the job that runs; fillDone
	generation int64
	id         string // of the job that runs, or is done
	ended      *Ended // recorded first
}

// fillDone is a job that is done, which only has to be recorded.
const fillDone Kind = "done"

// decideBackfill says what is done for a backfill. Deployment is the label of
// the launch that a generation would have: a job with another one is of
// another spec, or has read something else.
func decideBackfill(b Backfill, o observed, deployment func(generation int64) string) (filling, error) {
	if o.latest != nil && (o.latest.Kind != tables.WriterBackfill || o.latest.Group != o.group) {
		return filling{}, exit.Usagef("job name %s: it is a %s of %s", b.Job, o.latest.Kind, o.latest.Group).WithHint("choose another job name")
	}
	if o.latest == nil || o.latest.State != tables.StateOpen {
		if o.active != nil {
			return filling{}, exit.Environmentf("job %s (%s) runs, and the history does not know it as a backfill: cancel it, or choose another job name", b.Job, o.active.id)
		}
		f := filling{kind: Launch, generation: 1}
		if o.latest != nil {
			f.generation = o.latest.Generation + 1
		}
		return f, nil
	}
	last := o.latest
	if !b.is(*last) {
		return filling{}, exit.Environmentf("%s is an open backfill of other windows, from %s to %s", last.Writer(), stamp(last.WindowFrom.Timestamp), stamp(last.WindowTo.Timestamp)).
			WithHint("finish it by running its command again, or choose another job name")
	}
	f := filling{kind: Keep, generation: last.Generation, id: last.DataflowJobID.StringVal}
	if a := o.active; a != nil {
		f.id = a.id
		switch {
		case a.group != o.group || a.generation != last.Generation || last.DataflowJobID.Valid && last.DataflowJobID.StringVal != a.id:
			return filling{}, exit.Environmentf("job %s (%s) runs, and is not %s, which is open in the history", b.Job, a.id, last.Writer())
		case a.deployment != deployment(last.Generation):
			return filling{}, exit.Environmentf("%s (%s) runs with another spec, or reads something else", last.Writer(), a.id).
				WithHint("run the command that it was launched by, or cancel the job and run this one again")
		}
		return f, nil
	}
	if o.last == nil {
		if last.DataflowJobID.Valid {
			return filling{}, exit.Environmentf("%s is open in the history, but Dataflow no longer knows its job %s: append a row to the generations table that says that it is void", last.Writer(), f.id)
		}
		f.kind = Launch // on record, but not launched
		return f, nil
	}
	f.id = o.last.id
	state := dataflowapi.StateName(o.last.state)
	ended := &Ended{Generation: last.Generation, State: tables.StateVoid, DataflowID: o.last.id, Why: "its job is " + state}
	again := filling{kind: Launch, generation: last.Generation + 1, ended: ended}
	switch {
	case void(o.last.state):
		return again, nil
	case o.last.state != pb.JobState_JOB_STATE_DONE:
		return filling{}, exit.Environmentf("%s is open in the history, and its job %s is %s instead of DONE: append a row to the generations table that says that it is void", last.Writer(), f.id, state)
	case o.last.deployment != deployment(last.Generation):
		ended.Why = "it was of another spec, or has read something else"
		return again, nil
	}
	f.kind = fillDone
	return f, nil
}

// names are the streaming jobs that may run for a group.
func names(job *jobspecs.StreamJob, log history.Log) []string {
	wanted := job.JobNames()
	return slices.Concat(wanted, retired(wanted, log.Jobs(job.Metadata.Name)))
}
