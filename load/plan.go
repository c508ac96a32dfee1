package load

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// State of a batch at the end of a run.
type State string

// The states.
const (
	Loaded  State = "loaded"  // by this run
	Already State = "already" // by an earlier run
)

// Batch is one batch of a run.
type Batch struct {
	Folder     string    `json:"folder"`
	RangeStart time.Time `json:"range_start"`
	RangeEnd   time.Time `json:"range_end"` // exclusive
	Files      int       `json:"files"`
	Rows       int64     `json:"rows"`
	JobID      string    `json:"job_id"`
	State      State     `json:"state"`

	folder Folder
	source string
	// orphans are rows of the batch's span that no load has recorded: left by
	// a run that was killed before it could, or not ours at all.
	orphans int64
}

// window is a window of the target table and how many rows it has.
type window struct {
	Start time.Time `bigquery:"window_start"`
	Rows  int64     `bigquery:"n"`
}

// plan decides what is to be done with every folder: nothing (loaded already),
// or a load job. It refuses the whole run if a batch was restated after it was
// loaded, or if batches overlap.
func plan(doc *jobspecs.BatchLoad, folders []Folder, recorded []tables.BatchLoad, present []window) ([]Batch, error) {
	spec := doc.Spec
	known := map[time.Time]tables.BatchLoad{}
	for _, r := range recorded {
		known[r.RangeStart.UTC()] = r
	}
	var out []Batch
	var restated []string
	var first Batch
	for i, f := range folders {
		b := Batch{
			Folder: f.URI, RangeStart: f.Start, RangeEnd: f.Start.Add(spec.Source.Batch.D()),
			Files: len(f.Objects), folder: f, source: f.Source(),
		}
		if i > 0 && f.Start.Before(out[i-1].RangeEnd) {
			return nil, exit.Environmentf("batches overlap: %s begins before %s has ended", f.URI, out[i-1].Folder).
				WithHint("set spec.source.batch (%s) to the span of the folders", spec.Source.Batch)
		}
		r, done := known[f.Start]
		switch {
		case !done:
			for _, w := range present {
				if !w.Start.Before(b.RangeStart) && w.Start.Before(b.RangeEnd) {
					b.orphans += w.Rows
				}
			}
		case r.Source == b.source:
			b.State, b.Rows, b.JobID = Already, r.RowCount, r.JobID
		default:
			restated = append(restated, fmt.Sprintf("%s (loaded %s as %s, now %s)",
				f.URI, r.LoadedAt.UTC().Format(time.RFC3339), hashOf(r.Source), f.hash()))
			if len(restated) == 1 {
				first = b
			}
		}
		out = append(out, b)
	}
	if len(restated) > 0 {
		return nil, restatedError(spec, restated, first)
	}
	return out, nil
}

func hashOf(source string) string { return source[strings.LastIndexByte(source, '#')+1:] }

func between(column string, b Batch) string {
	return fmt.Sprintf("%s >= '%s' AND %s < '%s'", column, b.RangeStart.Format(time.RFC3339), column, b.RangeEnd.Format(time.RFC3339))
}

func restatedError(spec jobspecs.BatchLoadSpec, restated []string, first Batch) error {
	return exit.With(exit.Failed, fmt.Errorf("%d of the batches changed after they were loaded into %s.%s; loading them again would count them twice: %s",
		len(restated), spec.Dataset, spec.Table, strings.Join(restated, ", "))).
		WithHint("delete what was loaded, then run again; for the first: DELETE FROM %s.%s WHERE %s; DELETE FROM %s.%s WHERE target = '%s' AND %s",
			spec.Dataset, spec.Table, between("window_start", first), spec.Dataset, tables.BatchLoads, spec.Table, between("range_start", first))
}

// jobID is the id of an attempt to load f: a pure function of its arguments.
// BigQuery takes letters, digits, dashes and underscores.
func jobID(doc *jobspecs.BatchLoad, f Folder, attempt int) (string, error) {
	spec, err := json.Marshal(doc.Spec)
	if err != nil {
		return "", fmt.Errorf("hash the spec: %w", err)
	}
	h := sha256.New()
	h.Write(spec)
	h.Write([]byte{0})
	h.Write([]byte(f.Source()))
	return strings.Join([]string{
		"kappa_load", doc.Metadata.Name, f.Start.Format("20060102T15"), hex.EncodeToString(h.Sum(nil))[:24], strconv.Itoa(attempt),
	}, "_"), nil
}
