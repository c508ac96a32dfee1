package main

import (
	"fmt"
	"time"

	"cloud.google.com/go/bigquery"
)

// writer is a job and its generation.
type writer struct {
	Job        string
	Generation int64
}

func (w writer) String() string { return fmt.Sprintf("%s@%d", w.Job, w.Generation) }

// generation is the newest row of a writer in the generations table.
type generation struct {
	Job        string                 `bigquery:"job"`
	Generation int64                  `bigquery:"generation"`
	Kind       string                 `bigquery:"kind"`
	State      string                 `bigquery:"state"`
	Supersedes bigquery.NullString    `bigquery:"supersedes"`
	RecordedAt time.Time              `bigquery:"recorded_at"`
	Seq        int64                  `bigquery:"seq"`
	Group      string                 `bigquery:"job_group"`
	From       bigquery.NullTimestamp `bigquery:"window_from"`
	To         bigquery.NullTimestamp `bigquery:"window_to"`
}

// writers are the newest rows of all writers.
type writers map[writer]generation

// add keeps the newest row of a writer.
func (ws writers) add(g generation) {
	w := writer{g.Job, g.Generation}
	old, listed := ws[w]
	if !listed || g.RecordedAt.After(old.RecordedAt) || g.RecordedAt.Equal(old.RecordedAt) && g.Seq > old.Seq {
		ws[w] = g
	}
}

// inForce reports whether a writer's own row lets it count: a stream that is
// open or has drained, a backfill that is complete and says of which windows.
func (g generation) inForce() bool {
	switch g.Kind {
	case "stream":
		return g.State == "open" || g.State == "drained"
	case "backfill":
		return g.State == "drained" && g.From.Valid && g.To.Valid
	}
	return false
}

// stands reports whether anything of a writer counts.
func (ws writers) stands(w writer) bool {
	g, listed := ws[w]
	if !listed || !g.inForce() {
		return false
	}
	for _, other := range ws {
		if other.inForce() && other.Supersedes.Valid && other.Supersedes.StringVal == w.String() {
			return false
		}
	}
	return true
}

// counts reports whether what a writer says of the window that starts at a
// time, in seconds since the epoch, counts. In a window that a backfill of its
// group has replaced the backfill alone does; of several, the one that was
// completed last.
func (ws writers) counts(w writer, window int64) bool {
	if !ws.stands(w) {
		return false
	}
	var holder writer
	var holds generation
	held := false
	for other, g := range ws {
		if g.Kind != "backfill" || g.Group != ws[w].Group || !ws.stands(other) ||
			window < g.From.Timestamp.Unix() || window >= g.To.Timestamp.Unix() {
			continue
		}
		if !held || g.completedAfter(holds) {
			holder, holds, held = other, g, true
		}
	}
	if held {
		return w == holder
	}
	return ws[w].Kind == "stream"
}

func (g generation) completedAfter(o generation) bool {
	if !g.RecordedAt.Equal(o.RecordedAt) {
		return g.RecordedAt.After(o.RecordedAt)
	}
	if g.Job != o.Job {
		return g.Job > o.Job
	}
	return g.Generation > o.Generation
}
