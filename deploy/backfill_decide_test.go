package deploy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"github.com/google/go-cmp/cmp"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/history"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

var day = time.Date(2001, 1, 8, 0, 0, 0, 0, time.UTC)

func hours(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }

func TestBackfillCheck(t *testing.T) {
	job := &jobspecs.StreamJob{Metadata: jobspecs.Metadata{Name: "flights"}, Spec: jobspecs.StreamJobSpec{
		Jobs: 2, Aggregations: []jobspecs.Aggregation{
			{Name: "hourly", Window: jobspecs.Duration(time.Hour)},
			{Name: "daily", Window: jobspecs.Duration(24 * time.Hour)},
			{Name: "weekly", Window: jobspecs.Duration(7 * 24 * time.Hour)},
		},
	}}
	hourly := *job
	hourly.Spec.Aggregations = job.Spec.Aggregations[:1]
	sandboxed, foreign := hourly, hourly
	sandboxed.Spec.Environment, foreign.Spec.Pipeline = "sandbox", jobspecs.PipelineOther
	thursday := time.Date(2001, 1, 11, 0, 0, 0, 0, time.UTC) // as 1970-01-01 was
	good := Backfill{From: hours(0), To: hours(2), Archive: "gs://bucket/2001/*.avro"}
	with := func(change func(*Backfill)) Backfill {
		b := good
		change(&b)
		return b
	}
	for _, c := range []struct {
		name string
		job  *jobspecs.StreamJob
		b    Backfill
		want string // empty: it is fine
	}{
		{name: "fine", job: &hourly, b: good},
		{name: "another zone", job: &hourly, b: with(func(b *Backfill) { b.From = b.From.In(time.FixedZone("", -3600)) })},
		{name: "job name", job: &hourly, b: with(func(b *Backfill) { b.Job = "flights-backfill-2" })},
		{name: "a bad job name", job: &hourly, b: with(func(b *Backfill) { b.Job = "Flights" }), want: "lower-case letters"},
		{name: "a long job name", job: &hourly, b: with(func(b *Backfill) { b.Job = strings.Repeat("a", 1025) }), want: "up to 1024"},
		{name: "a streaming job's name", job: &hourly, b: with(func(b *Backfill) { b.Job = "flights-7" }), want: "names of the streaming jobs"},
		{name: "nothing to read", job: &hourly, b: with(func(b *Backfill) { b.Archive = "" }), want: "reads one of an archive, files and a table"},
		{name: "two to read", job: &hourly, b: with(func(b *Backfill) { b.Files = "gs://b/x" }), want: "reads one of an archive, files and a table"},
		{name: "files", job: &hourly, b: with(func(b *Backfill) { b.Archive, b.Files = "", "gs://b/*.json" })},
		{name: "files without a bucket", job: &hourly, b: with(func(b *Backfill) { b.Archive, b.Files = "", "gs:///x" }), want: `files "gs:///x" is not gs://`},
		{name: "files of this machine", job: &hourly, b: with(func(b *Backfill) { b.Archive, b.Files = "", "/tmp/*.json" }), want: "where workers of Dataflow cannot read them"},
		{name: "files of this machine, in the sandbox", job: &sandboxed, b: with(func(b *Backfill) { b.Archive, b.Files = "", "/tmp/*.json" })},
		{name: "files of somewhere", job: &sandboxed, b: with(func(b *Backfill) { b.Archive, b.Files = "", "x.json" }), want: "must be absolute"},
		{name: "a bad pattern of files", job: &sandboxed, b: with(func(b *Backfill) { b.Archive, b.Files = "", "/tmp/[" }), want: "syntax error in pattern"},
		{name: "a table", job: &hourly, b: with(func(b *Backfill) { b.Archive, b.Table, b.MaxBytes = "", "kappa.raw_flights", 7 })},
		{name: "a table without a dataset", job: &hourly, b: with(func(b *Backfill) { b.Archive, b.Table = "", "raw_flights" }), want: "is not DATASET.TABLE"},
		{name: "a negative cap", job: &hourly, b: with(func(b *Backfill) { b.Archive, b.Table, b.MaxBytes = "", "a.b", -1 }), want: "a cap of -1 bytes"},
		{name: "a cap for files", job: &hourly, b: with(func(b *Backfill) { b.MaxBytes = 1 }), want: "a cap of 1 bytes"},
		{name: "a shadow", job: &hourly, b: with(func(b *Backfill) { b.Shadow = "v2" })},
		{name: "a bad suffix", job: &hourly, b: with(func(b *Backfill) { b.Shadow = "v_2" }), want: "a suffix has lower-case letters and digits"},
		{name: "another pipeline", job: &foreign, b: good, want: "is not kappa's to read"},
		{name: "a local archive", job: &hourly, b: with(func(b *Backfill) { b.Archive = "/tmp/*.avro" }), want: "is not gs://BUCKET/PATTERN"},
		{name: "a bucket alone", job: &hourly, b: with(func(b *Backfill) { b.Archive = "gs://bucket/" }), want: "is not gs://BUCKET/PATTERN"},
		{name: "no bucket", job: &hourly, b: with(func(b *Backfill) { b.Archive = "gs:///x" }), want: "is not gs://BUCKET/PATTERN"},
		{name: "a bad pattern", job: &hourly, b: with(func(b *Backfill) { b.Archive = "gs://bucket/[" }), want: "is not gs://BUCKET/PATTERN"},
		{name: "nothing", job: &hourly, b: with(func(b *Backfill) { b.To = b.From }), want: "no window"},
		{name: "backwards", job: &hourly, b: with(func(b *Backfill) { b.To = hours(-1) }), want: "no window"},
		{name: "from is not aligned", job: &hourly, b: with(func(b *Backfill) { b.From = b.From.Add(time.Minute) }), want: "2001-01-08T00:01:00Z is not where a window of hourly starts"},
		{name: "to is not aligned", job: &hourly, b: with(func(b *Backfill) { b.To = b.To.Add(time.Nanosecond) }), want: "2001-01-08T02:00:00.000000001Z is not where"},
		{name: "aligned for some only", job: job, b: good, want: "is not where a window of daily starts"},
		{name: "weeks start on Thursday", job: job, b: with(func(b *Backfill) { b.From, b.To = hours(0), hours(7*24) }), want: "is not where a window of weekly starts"},
		{name: "aligned for all", job: job, b: with(func(b *Backfill) { b.From, b.To = thursday, thursday.AddDate(0, 0, 7) })},
		{name: "before 1970", job: job, b: with(func(b *Backfill) { b.From, b.To = time.Date(1969, 12, 25, 0, 0, 0, 0, time.UTC), time.Unix(0, 0) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.b
			err := b.check(c.job)
			if c.want == "" {
				if err != nil || b.Job == "" {
					t.Errorf("job %q, %v", b.Job, err)
				}
				return
			}
			if exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// invariant P4: no job that runs may still take events of the windows.
func TestSettled(t *testing.T) {
	b := Backfill{From: hours(0), To: hours(2)}
	horizon := 4 * time.Hour
	for _, c := range []struct {
		name    string
		running []Observation
		want    string
	}{
		{"nothing runs", nil, ""},
		{"at the horizon", []Observation{{Job: "j-0", State: "RUNNING", Watermark: hours(6)}}, ""},
		{"just before", []Observation{{Job: "j-0", State: "RUNNING", Watermark: hours(7)}, {Job: "j-1", State: "RUNNING", Watermark: hours(6).Add(-time.Millisecond)}},
			"must have reached 2001-01-08T06:00:00Z, the horizon of 4h0m0s later, and the watermark of j-1 is 2001-01-08T05:59:59.999Z"},
		{"not known (D3)", []Observation{{Job: "j-0", State: "RUNNING"}}, "the watermark of j-0 is not known"},
		{"does not run yet", []Observation{{Job: "j-0", State: "PENDING"}}, "j-0 is PENDING"},
		{"drains", []Observation{{Job: "j-0", State: "DRAINING", Watermark: hours(9)}}, "j-0 is DRAINING"},
		{"two", []Observation{{Job: "j-0", State: "RUNNING"}, {Job: "j-1", State: "DRAINING"}}, "the watermark of j-0 is not known; j-1 is DRAINING"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := settled(b, horizon, c.running)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if exit.Of(err) != exit.Environment || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOverlapping(t *testing.T) {
	row := func(group, job string, kind, state string, from, to int) tables.Generation {
		return tables.Generation{
			Group: group, Job: job, Generation: 1, Kind: kind, State: state,
			WindowFrom: bigquery.NullTimestamp{Timestamp: hours(from), Valid: true}, WindowTo: bigquery.NullTimestamp{Timestamp: hours(to), Valid: true},
		}
	}
	b := Backfill{Job: "fill", From: hours(2), To: hours(4)}
	for _, c := range []struct {
		name string
		row  tables.Generation
		want bool
	}{
		{"itself", row("g", "fill", "backfill", "open", 2, 4), false},
		{"by another name", row("g", "other", "backfill", "open", 2, 4), true},
		{"its own name, wider", row("g", "fill", "backfill", "open", 1, 4), true},
		{"before", row("g", "other", "backfill", "open", 0, 2), false},
		{"after", row("g", "other", "backfill", "open", 4, 6), false},
		{"at its start", row("g", "other", "backfill", "open", 0, 3), true},
		{"at its end", row("g", "other", "backfill", "open", 3, 6), true},
		{"complete", row("g", "other", "backfill", "drained", 2, 4), false},
		{"void", row("g", "other", "backfill", "void", 2, 4), false},
		{"of another group", row("h", "other", "backfill", "open", 2, 4), false},
	} {
		if err := overlapping(history.Fold([]tables.Generation{c.row}), "g", b); (err != nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDecideBackfill(t *testing.T) {
	b := Backfill{Job: "fill", From: hours(0), To: hours(2)}
	row := func(generation int64, state, id string) *tables.Generation {
		return &tables.Generation{
			Job: "fill", Generation: generation, Kind: tables.WriterBackfill, State: state, Group: "flights", DataflowJobID: nullString(id),
			WindowFrom: bigquery.NullTimestamp{Timestamp: hours(0), Valid: true}, WindowTo: bigquery.NullTimestamp{Timestamp: hours(2), Valid: true},
		}
	}
	wider := row(2, "open", "id-1")
	wider.WindowTo.Timestamp = hours(3)
	stream, other := row(2, "open", "id-1"), row(2, "drained", "id-1")
	stream.Kind, other.Group = tables.WriterStream, "clicks"
	job := func(state pb.JobState, generation int64, deployment string) *known {
		return &known{id: "id-1", state: state, generation: generation, group: "flights", deployment: deployment}
	}
	foreign := job(running, 2, "d2")
	foreign.group = "clicks"
	for _, c := range []struct {
		name   string
		latest *tables.Generation
		active *known
		last   *known
		want   filling
		err    string
	}{
		{name: "the first", want: filling{kind: Launch, generation: 1}},
		{name: "after a complete one", latest: row(2, "drained", "id-1"), want: filling{kind: Launch, generation: 3}},
		{name: "after a void one", latest: row(2, "void", "id-1"), want: filling{kind: Launch, generation: 3}},
		{name: "on record, but not launched", latest: row(2, "open", ""), want: filling{kind: Launch, generation: 2}},
		{name: "runs", latest: row(2, "open", "id-1"), active: job(running, 2, "d2"), want: filling{kind: Keep, generation: 2, id: "id-1"}},
		{name: "is being cancelled: waited for", latest: row(2, "open", "id-1"), active: job(cancelling, 2, "d2"), want: filling{kind: Keep, generation: 2, id: "id-1"}},
		{name: "runs, but the answer was lost", latest: row(2, "open", ""), active: job(pending, 2, "d2"), want: filling{kind: Keep, generation: 2, id: "id-1"}},
		{name: "is done", latest: row(2, "open", "id-1"), last: job(done, 2, "d2"), want: filling{kind: fillDone, generation: 2, id: "id-1"}},
		{name: "is done, of another archive", latest: row(2, "open", "id-1"), last: job(done, 2, "d9"),
			want: filling{kind: Launch, generation: 3, ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "it was of another spec, or has read something else"}}},
		{name: "failed (P5)", latest: row(2, "open", "id-1"), last: job(failed, 2, "d2"),
			want: filling{kind: Launch, generation: 3, ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is FAILED"}}},
		{name: "cancelled (P5)", latest: row(2, "open", "id-1"), last: job(cancelled, 2, "d9"),
			want: filling{kind: Launch, generation: 3, ended: &Ended{Generation: 2, State: "void", DataflowID: "id-1", Why: "its job is CANCELLED"}}},

		{name: "runs with another archive", latest: row(2, "open", "id-1"), active: job(running, 2, "d9"), err: "runs with another spec, or reads something else"},
		{name: "another generation runs", latest: row(2, "open", "id-1"), active: job(running, 3, "d3"), err: "is not fill@2"},
		{name: "another job runs", latest: row(2, "open", "id-0"), active: job(running, 2, "d2"), err: "is not fill@2"},
		{name: "another group's job runs", latest: row(2, "open", "id-1"), active: foreign, err: "is not fill@2"},
		{name: "runs, without a history", active: job(running, 1, "d1"), err: "does not know it"},
		{name: "runs, but is complete on record", latest: row(2, "drained", "id-1"), active: job(running, 2, "d2"), err: "does not know it"},
		{name: "open for other windows", latest: wider, active: job(running, 2, "d2"), err: "of other windows"},
		{name: "a stream", latest: stream, err: "it is a stream of flights"},
		{name: "another group's", latest: other, err: "it is a backfill of clicks"},
		{name: "forgotten (D3)", latest: row(2, "open", "id-1"), err: "no longer knows"},
		{name: "drained, which a batch cannot be", latest: row(2, "open", "id-1"), last: job(drained, 2, "d2"), err: "is DRAINED instead of DONE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decideBackfill(b, observed{group: "flights", job: "fill", latest: c.latest, active: c.active, last: c.last},
				func(generation int64) string { return fmt.Sprintf("d%d", generation) })
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v, want %q", got, err, c.err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(filling{})); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
