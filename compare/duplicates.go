package compare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// The duplicate monitor holds the raw events, every delivery of them, against the
// counts of deduplicated events, per window.
//
// Flow: duplicates.go looks at the tables, decides which windows are settled and
// runs the queries; duplicates_sql.go builds them; duplicates_judge.go decides,
// without I/O, whether a second look is needed and what is too much;
// duplicates_text.go prints.
//
// The first query counts rows: it reads no event id, which is most of what the raw
// table holds. It takes every event for one that is counted once. What it cannot
// see is events that are delivered twice and counted twice; then deliveries and
// counts agree, and the percentage falls below the past. Only where its numbers are
// suspicious, or somebody asks, does the second query count distinct ids.

// DuplicatesConfig is what a run of the monitor needs.
type DuplicatesConfig struct {
	Spec   *jobspecs.DuplicateMonitor
	Client *bigquery.Client

	// Range bounds the windows by their start; a zero bound is taken from what is
	// settled and the spec.
	Range Range
	Exact bool // count distinct events whatever the first query finds

	Progress func(Progress)   // nil: none; called from the goroutine of RunDuplicates
	Log      *slog.Logger     // nil: discarded
	Now      func() time.Time // nil: time.Now
}

// Validate refuses a config that RunDuplicates could not work with.
func (c DuplicatesConfig) Validate() error {
	switch {
	case c.Spec == nil:
		return errors.New("duplicates: no spec")
	case c.Client == nil:
		return errors.New("duplicates: no BigQuery client")
	case !c.Range.From.IsZero() && !c.Range.To.IsZero() && !c.Range.From.Before(c.Range.To):
		return exit.Usagef("the range from %s to %s is empty", stamp(c.Range.From), stamp(c.Range.To)).
			WithHint("give --from before --to")
	}
	return nil
}

// monitor is a run.
type monitor struct {
	cfg     DuplicatesConfig
	spec    *jobspecs.DuplicateMonitorSpec
	queries queries // of the control tables
	runner  *runner
	windows windowing

	all        Range         // the range and the past before it
	counting   rowsThatCount // in all of it
	dimensions []string      // of the counts
	rollup     *string       // set of dimensions whose rows are read; nil: there is one

	result *Duplicates
}

// RunDuplicates looks for duplicates. An alert is no error: an error means that
// there is no result.
func RunDuplicates(ctx context.Context, cfg DuplicatesConfig) (*Duplicates, error) {
	m, err := newMonitor(cfg)
	if err != nil {
		return nil, err
	}
	res := m.result
	m.step("preflight", "looking at the tables")
	if err := m.preflight(ctx); err != nil {
		return nil, err
	}
	m.step("control", "reading what is settled")
	settled, err := m.scope(ctx)
	if err != nil {
		return nil, err
	}
	if settled {
		found, err := m.count(ctx)
		if err != nil {
			return nil, err
		}
		res.count(found)
		if res.Why = m.second(); res.Why != "" {
			exact, err := m.distinct(ctx)
			if err != nil {
				return nil, err
			}
			res.distinct(exact, found)
		}
	}
	res.judge(m.spec.Alert)
	res.Jobs = append(res.Jobs, m.runner.jobs...)
	for _, j := range m.runner.jobs {
		res.Billed += j.Billed
	}
	res.Seconds = m.cfg.Now().Sub(res.Started).Seconds()
	m.cfg.Log.Info("duplicates looked for", "monitor", res.Monitor, "verdict", res.Verdict, "deliveries", res.Counts.Deliveries, "exact", res.Exact)
	return res, nil
}

func newMonitor(cfg DuplicatesConfig) (*monitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	m := &monitor{cfg: cfg, spec: &cfg.Spec.Spec}
	for what, name := range map[string]string{"project": m.spec.Project, "dataset": m.spec.Dataset} {
		pattern := datasetPattern
		if what == "project" {
			pattern = projectPattern
		}
		if err := checkIdentifier(what, name, pattern); err != nil {
			return nil, err
		}
	}
	names := map[string]string{"raw": m.spec.Raw, "counts.table": m.spec.Counts.Table, "counts.measure": m.spec.Counts.Measure}
	if m.spec.Late != "" {
		names["late"] = m.spec.Late
	}
	for i, k := range m.spec.Keys {
		names[fmt.Sprintf("keys[%d]", i)] = k
	}
	for what, name := range names {
		if err := checkIdentifier(what, name, columnPattern); err != nil {
			return nil, err
		}
	}
	// What the control tables say is read as for a comparison of the job's table.
	as := &jobspecs.ComparisonSpec{Platform: m.spec.Platform, Dataset: m.spec.Dataset, Window: m.spec.Counts.Window, Sensitive: m.spec.Sensitive}
	as.Stream.Job, as.Batch.SettledBy = m.spec.Counts.Job, jobspecs.SettledByClock
	var err error
	if m.windows, err = newWindowing(as); err != nil {
		return nil, err
	}
	m.queries = queries{spec: as, windowing: m.windows}
	m.queries.stream.writers = true
	m.runner = &runner{client: cfg.Client, log: cfg.Log, labels: labels(cfg.Spec.Metadata.Name, cfg.Spec.Metadata.Labels), timeout: m.spec.Limits.JobTimeout.D()}
	hash, err := duplicatesHash(cfg.Spec)
	if err != nil {
		return nil, err
	}
	m.result = &Duplicates{Version: DuplicatesVersion, Monitor: cfg.Spec.Metadata.Name, SpecHash: hash, Started: cfg.Now().UTC(),
		WindowSize: shortDuration(m.spec.Counts.Window.D()), KeyNames: append([]string{}, m.spec.Keys...),
		Windows: []DuplicateWindow{}, Keys: []DuplicateGroup{}, Positions: []DuplicateGroup{}, Checks: []Check{}, Writers: []Writer{}, Jobs: []QueryJob{}, top: m.spec.Top}
	return m, nil
}

func (m *monitor) step(phase, message string) {
	m.cfg.Progress(Progress{Phase: phase, Message: message})
}

// preflight refuses tables that the queries could not be right on, or would read
// as a whole. It reads metadata alone, which is free.
func (m *monitor) preflight(ctx context.Context) error {
	text, integer, moment := []bigquery.FieldType{bigquery.StringFieldType}, []bigquery.FieldType{bigquery.IntegerFieldType}, []bigquery.FieldType{bigquery.TimestampFieldType}
	raw := map[string][]bigquery.FieldType{"event_time": moment, "event_id": text, "message_id": text, "position": text, "job": text, "generation": integer}
	for _, k := range m.spec.Keys {
		raw[k] = []bigquery.FieldType{bigquery.StringFieldType, bigquery.IntegerFieldType, bigquery.TimestampFieldType}
	}
	counts := map[string][]bigquery.FieldType{"window_start": moment, m.spec.Counts.Measure: integer, "job": text, "generation": integer, "pane": integer}
	needs := []need{{m.spec.Raw, "raw", "event_time", raw}, {m.spec.Counts.Table, "counts.table", "window_start", counts}}
	if m.spec.Late != "" {
		needs = append(needs, need{m.spec.Late, "late", "event_time", raw})
	}
	for _, t := range m.queries.controlTables() {
		n := need{table: t.Name, role: "control table", columns: map[string][]bigquery.FieldType{}}
		for _, f := range t.Schema {
			n.columns[f.Name] = []bigquery.FieldType{f.Type}
		}
		needs = append(needs, n)
	}
	for _, n := range needs {
		md, err := m.runner.metadata(ctx, tableName{m.spec.Project, m.spec.Dataset, n.table}, n.role)
		if err != nil {
			return err
		}
		if err := n.check(md); err != nil {
			return err
		}
		if n.role == "counts.table" {
			m.dimensions, m.rollup = dimensionsOf(md.Schema)
		}
	}
	return nil
}

// dimensionsOf are the dimensions of an aggregation's table, which stand before
// window_start, and, where it has rollups, the set of all of them: each set counts
// every event once, so that one is read.
func dimensionsOf(schema bigquery.Schema) (dimensions []string, rollup *string) {
	rolled := false
	for _, f := range schema {
		if f.Name == "window_start" {
			break
		}
		if f.Name == jobspecs.RollupColumn && len(dimensions) == 0 {
			rolled = true
			continue
		}
		dimensions = append(dimensions, f.Name)
	}
	if rolled {
		set := jobspecs.Rollup(dimensions)
		rollup = &set
	}
	return dimensions, rollup
}

// scope decides which windows are looked at (rule C4), and the past before them.
// False: none.
func (m *monitor) scope(ctx context.Context) (bool, error) {
	control, err := m.runner.readControl(ctx, m.queries.controlQueries())
	if err != nil {
		return false, err
	}
	standings, res := tables.Standings(control.generations), m.result
	stream := decideStream(m.spec.Counts.Job, control.generations, control.watermarks)
	r, reason := duplicatesRange(m.windows, m.cfg.Range, m.spec, stream, m.cfg.Now().UTC())
	if reason != "" {
		res.Rule = reason
		return false, nil
	}
	res.Range, m.all = &r, r
	if past := m.spec.Range.Past.D(); past > 0 {
		m.all.From = m.windows.floor(r.From.Add(-past))
		res.Past = &Range{m.all.From, r.From}
	}
	if n := m.windows.count([]Range{m.all}); n > maxWindows {
		return false, exit.Usagef("the range and the past before it have %s windows, one run takes %s", count(n), count(maxWindows)).
			WithHint("look at a smaller range with --from and --to, or make range.past shorter")
	}
	m.counting = countingRows(standings, m.all)
	if err := m.counting.check(); err != nil {
		return false, err
	}
	for _, w := range writersOf(standings) {
		for _, s := range standings {
			if s.Group == m.spec.Counts.Job && s.Job == w.Job && s.Generation.Generation == w.Generation {
				res.Writers = append(res.Writers, w)
			}
		}
	}
	return true, nil
}
