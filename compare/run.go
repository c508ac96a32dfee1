package compare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// prepared is a run up to the point where the reconciliation would start.
type prepared struct {
	cfg       Config
	queries   queries
	runner    *runner
	standings []tables.Standing // of all writers
	counting  rowsThatCount     // in the settled windows
	stream    streamState
	result    *Result
	query     query // the reconciliation; only if a window is settled
}

// Run reconciles both sides and returns the result. A verdict is no error: an
// error means that there is no result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	p, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	res := p.result
	defer func() { res.Seconds = p.cfg.Now().Sub(res.Started).Seconds() }()
	if res.Scope.Windows > 0 {
		if err := p.reconcile(ctx); err != nil {
			return nil, err
		}
	}
	res.Cost.Jobs = p.runner.jobs
	res.Verdict = decide(p.queries.spec.Gate, res)
	p.cfg.Log.Info("compared", "comparison", res.Comparison, "verdict", res.Verdict.Verdict, "keys", res.Counts.Total, "exact", res.Counts.Exact, "unexplained", res.Causes.Unexplained)
	return res, nil
}

// prepare does all that comes before the reconciliation query.
func prepare(ctx context.Context, cfg Config) (*prepared, error) {
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
	spec := &cfg.Spec.Spec
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	q, err := newQueries(spec)
	if err != nil {
		return nil, err
	}
	p := &prepared{cfg: cfg, queries: q,
		runner: &runner{client: cfg.Client, log: cfg.Log, labels: labels(cfg.Spec.Metadata.Name, cfg.Spec.Metadata.Labels)}}
	if p.result, err = newResult(cfg); err != nil {
		return nil, err
	}
	cfg.Progress(Progress{Phase: "preflight", Message: "looking at the tables"})
	if err := p.runner.preflight(ctx, &p.queries); err != nil {
		return nil, err
	}
	q = p.queries
	cfg.Progress(Progress{Phase: "control", Message: "reading writers, watermarks and batch loads"})
	c, err := p.runner.readControl(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := p.scope(c); err != nil {
		return nil, err
	}
	if p.result.Scope.Windows == 0 {
		return p, nil
	}
	p.query = q.reconcileQuery(p.result.Scope.Settled, p.counting)
	cfg.Progress(Progress{Phase: "estimate", Message: "dry run"})
	cost := &p.result.Cost
	if cost.Estimated, cost.Accuracy, err = p.runner.estimate(ctx, p.query); err != nil {
		return nil, err
	}
	return p, q.checkEstimate(cost.Estimated)
}

// newResult is a result that says what is compared, and nothing yet of what
// was found.
func newResult(cfg Config) (*Result, error) {
	spec := &cfg.Spec.Spec
	hash, err := specHash(cfg.Spec)
	if err != nil {
		return nil, err
	}
	res := &Result{
		Version: ResultVersion, Comparison: cfg.Spec.Metadata.Name, Description: cfg.Spec.Metadata.Description,
		Environment: spec.Environment, SpecHash: hash, Started: cfg.Now().UTC(), Exact: NewRatio(0, 0),
		Gate: Gate{MinExactPercent: percentText(spec.Gate.MinExactPercent), MaxUnexplained: int64(spec.Gate.MaxUnexplained)},
		Scope: Scope{Project: spec.Project, Dataset: spec.Dataset, BatchTable: spec.Batch.Table, StreamTable: spec.Stream.Table,
			WindowSize: shortDuration(spec.Window.D()), Settled: []Range{}, LeftOut: []LeftOut{}},
		Metrics: []Metric{}, Windows: []WindowResult{}, Segments: []SegmentResult{}, Samples: []Sample{}, Warnings: []string{},
		Causes: summarize(nil, 0, 0),
	}
	for _, k := range spec.Keys {
		res.Scope.Keys = append(res.Scope.Keys, k.Name)
	}
	return res, nil
}

// shortDuration is 1h where Go writes 1h0m0s; time.ParseDuration reads it back.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// specHash identifies what was compared and by which gate.
func specHash(c *jobspecs.Comparison) (string, error) {
	data, err := json.Marshal(struct {
		Name string
		Spec jobspecs.ComparisonSpec
	}{c.Metadata.Name, c.Spec})
	if err != nil {
		return "", fmt.Errorf("hash the spec: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// scope decides what is compared (rule C4) and writes it into the result.
func (p *prepared) scope(c control) error {
	spec, res := p.queries.spec, p.result
	p.standings = tables.Standings(c.generations)
	p.stream = decideStream(spec.Stream.Job, c.generations, c.watermarks)
	var computed []Range // by a shadow
	if tables.IsShadow(spec.Stream.Job) {
		p.stream = streamState{settled: true, atMaximum: true}
		computed = shadowSpans(p.standings, spec.Stream.Job)
	}
	if spec.Batch.Shadow != "" {
		c.loads, c.reloaded = shadowLoads(p.standings, spec.Batch.Shadow), 0
	}
	r := c.defaultRange(p.cfg.Range)
	res.Scope.Range, res.Scope.Default = r, p.cfg.Range.From.IsZero() || p.cfg.Range.To.IsZero()
	after := max(spec.Stream.SettleAfter.D(), spec.Batch.Cutoff.D())
	settled, left := decideScope(r, spec.Window.D(), after, c.loads, p.stream)
	if tables.IsShadow(spec.Stream.Job) {
		settled, left = withinShadow(settled, left, computed, spec.Window.D())
	}
	if len(settled) > maxSpans {
		return exit.Usagef("the settled windows are %d separate spans of time, one run takes %d", len(settled), maxSpans).
			WithHint("compare a smaller range with --from and --to")
	}
	p.counting = countingRows(p.standings, wholeRange(settled))
	if err := p.counting.check(); err != nil {
		return err
	}
	res.Scope.Settled = append(res.Scope.Settled, settled...)
	res.Scope.LeftOut = append(res.Scope.LeftOut, left...)
	res.Scope.Windows = windows(settled, spec.Window.D())
	if len(c.loads) == 0 {
		nothing := fmt.Sprintf("the table %s lists no load of %s", tables.BatchLoads, spec.Batch.Table)
		if spec.Batch.Shadow != "" {
			nothing = fmt.Sprintf("there is no complete backfill of %s", spec.Batch.Shadow)
		}
		res.Scope.LeftOut = append(res.Scope.LeftOut, LeftOut{LeftOutNotLoaded, nothing, 0, []Range{}})
	}
	res.Batch = c.batchFreshness()
	res.Stream = StreamFreshness{AtMaximum: p.stream.atMaximum, Jobs: p.stream.jobs, Generations: p.ownWriters()}
	if p.stream.settled && !p.stream.atMaximum {
		res.Stream.SettledTo = &p.stream.through
	}
	if res.Stream.Jobs == nil {
		res.Stream.Jobs = []JobState{}
	}
	return nil
}

// ownWriters are the writers of the compared group, its backfills included;
// others are added when their rows are met.
func (p *prepared) ownWriters() []Writer {
	jobs := map[string]bool{}
	for _, j := range p.stream.jobs {
		jobs[j.Job] = true
	}
	own := []tables.Standing{}
	for _, s := range p.standings {
		if jobs[s.Job] || s.Group == p.queries.spec.Stream.Job {
			own = append(own, s)
		}
	}
	return writersOf(own)
}

// reconcile runs the query over both sides, then looks for causes.
func (p *prepared) reconcile(ctx context.Context) error {
	res, q := p.result, p.queries
	p.cfg.Progress(Progress{Phase: "reconcile", Message: "reading " + bytesText(res.Cost.Estimated)})
	got, err := p.runner.reconcile(ctx, q, p.query, res)
	if err != nil {
		return err
	}
	p.noteIgnored(got)
	unexamined, bytes, err := p.runner.explain(ctx, q, p.standings, got.differences, func(done, total int64) {
		p.cfg.Progress(Progress{Phase: "evidence", Message: "looking for causes", Done: done, Total: total})
	})
	if err != nil {
		return err
	}
	res.Cost.Evidence = bytes
	res.Causes = summarize(got.differences, res.Counts.Differing(), unexamined)
	res.Causes.EvidenceRead = q.spec.Evidence.Raw != ""
	res.Samples = q.sample(got.differences)
	p.warn(got)
	return nil
}

// noteIgnored adds the rows that do not count to their writers.
func (p *prepared) noteIgnored(got reconciled) {
	list, all := &p.result.Stream.Generations, writersOf(p.standings)
	for _, name := range sortedKeys(got.ignored) {
		same := func(w Writer) bool { return writerName(w.Job, w.Generation) == name }
		i := slices.IndexFunc(*list, same)
		if i < 0 {
			w := unlisted(name)
			if j := slices.IndexFunc(all, same); j >= 0 {
				w = all[j]
			}
			*list, i = append(*list, w), len(*list)
		}
		(*list)[i].Ignored = got.ignored[name]
	}
}

func unlisted(name string) Writer {
	w := Writer{Job: name, State: "unlisted", Reason: "not in the generations table"}
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		if n, err := strconv.ParseInt(name[i+1:], 10, 64); err == nil {
			w.Job, w.Generation = name[:i], n
		}
	}
	return w
}

// warn lists what a person should know beside the numbers.
func (p *prepared) warn(got reconciled) {
	res := p.result
	say := func(format string, args ...any) { res.Warnings = append(res.Warnings, fmt.Sprintf(format, args...)) }
	for _, w := range res.Stream.Generations {
		if w.State == "unlisted" {
			say("%s of %s do not count: the writer is not in the generations table", countOf(w.Ignored, "row"), writerName(w.Job, w.Generation))
		}
	}
	if got.conflicts > 0 {
		say("%s of the stream side exist in copies that differ: a sink wrote one pane with two values; their keys are nonunique", countOf(got.conflicts, "row"))
	}
	if n := res.Counts.Differing(); n > int64(len(got.differences)) {
		say("%s differ; evidence was looked for on the first %s", countOf(n, "key"), count(int64(len(got.differences))))
	}
	if res.Causes.Unexamined > 0 && p.queries.spec.Evidence.Raw != "" && res.Counts.Differing() == int64(len(got.differences)) {
		say("evidence for %s was not read: it would pass the byte cap of %s (evidence.maxBytesBilled)",
			countOf(res.Causes.Unexamined, "key"), p.queries.spec.Evidence.MaxBytesBilled)
	}
	if p.queries.spec.Evidence.Raw == "" && res.Causes.Differing > 0 {
		say("no causes were looked for: the spec names no raw events (evidence.raw)")
	}
	if res.Batch.Reloaded > 0 {
		say("%s loaded more than once: the newest load counts as the state of the batch side", countOf(res.Batch.Reloaded, "batch range"))
	}
}
