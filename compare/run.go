package compare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// prepared is a run up to the point where the reconciliation would start.
type prepared struct {
	cfg       Config
	queries   queries
	runner    *runner
	standings []tables.Standing  // of all writers
	loads     []tables.BatchLoad // of the batch side
	counting  rowsThatCount      // in the settled windows
	stream    streamState
	result    *Result
	parts     []partition // none if no window is settled
	saved     *checkpoints
}

// Run reconciles both sides and returns the result. A verdict is no error: an
// error means that there is no result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	res, err := run(ctx, cfg)
	return res, withoutValues(cfg.sensitive(), err)
}

// sensitive are the sensitive keys.
func (c Config) sensitive() []string {
	if c.Spec == nil {
		return nil
	}
	return c.Spec.Spec.Sensitive
}

func run(ctx context.Context, cfg Config) (*Result, error) {
	p, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	res, base := p.result, cfg.Baseline
	if base != nil {
		if err := checkBaseline(base, res); err != nil {
			return nil, err
		}
		res.Gate.RegressionsOnly, res.Gate.Days = true, 0
	}
	h, err := openHistory(p.runner, &cfg.Spec.Spec)
	if err != nil {
		return nil, err
	}
	var earlier past
	if h != nil {
		if earlier, err = h.read(ctx, res.Comparison, res.SpecHash); err != nil {
			return nil, err
		}
	}
	if err := p.estimate(ctx); err != nil {
		return nil, err
	}
	var diffs []difference
	if len(p.parts) > 0 {
		found, err := p.reconcile(ctx)
		if err != nil {
			return nil, err
		}
		p.conclude(found)
		diffs = found.differences
	}
	if err := p.judge(earlier, base, diffs); err != nil {
		return nil, err
	}
	if h != nil && !p.cfg.ReadOnly {
		p.cfg.Progress(Progress{Phase: "history", Message: "recording the run"})
		if err := h.write(ctx, res, runID(res)); err != nil {
			return nil, err // checkpoints stay: the run can be repeated for little
		}
	}
	p.saved.remove(p.parts)
	p.finishCost()
	res.Seconds = p.cfg.Now().Sub(res.Started).Seconds()
	p.cfg.Log.Info("compared", "comparison", res.Comparison, "verdict", res.Verdict.Verdict, "keys", res.Counts.Total, "exact", res.Counts.Exact, "unexplained", res.Causes.Unexplained)
	return res, nil
}

// prepare does all that comes before the queries over both sides.
func prepare(ctx context.Context, cfg Config) (*prepared, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
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
		runner: &runner{client: cfg.Client, log: cfg.Log, labels: labels(cfg.Spec.Metadata.Name, cfg.Spec.Metadata.Labels), timeout: spec.Limits.JobTimeout.D()}}
	if p.result, err = newResult(cfg); err != nil {
		return nil, err
	}
	cfg.Progress(Progress{Phase: "preflight", Message: "looking at the tables"})
	if err := p.runner.preflight(ctx, &p.queries); err != nil {
		return nil, err
	}
	cfg.Progress(Progress{Phase: "control", Message: "reading writers, watermarks and batch loads"})
	c, err := p.runner.readControl(ctx, p.queries.controlQueries())
	if err != nil {
		return nil, err
	}
	p.loads = c.loads
	if err := p.scope(c); err != nil {
		return nil, err
	}
	return p, p.divide()
}

// fill refuses a config that a run could not work with, and sets what was not given.
func (c *Config) fill() error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return nil
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
		Agree: NewRatio(0, 0),
		Gate: Gate{Days: spec.Gate.Days, MinExactPercent: percentText(spec.Gate.MinExactPercent), MinExactValuePercent: percentText(spec.Gate.MinExactValuePercent),
			MaxUnexplained: int64(spec.Gate.MaxUnexplained), MaxUnexplainedValuePercent: percentText(spec.Gate.MaxUnexplainedValuePercent)},
		Scope: Scope{Project: spec.Project, Dataset: spec.Dataset, Batch: sideScope(spec, spec.Batch.Side, spec.Batch.Shadow), Stream: sideScope(spec, spec.Stream.Side, spec.Stream.Job),
			WindowSize: shortDuration(spec.Window.D()), Settled: []Range{}, LeftOut: []LeftOut{}},
		Metrics: []Metric{}, Days: []Day{}, Windows: []WindowResult{}, Segments: []SegmentResult{}, Samples: []Sample{}, DifferingKeys: []DifferingKey{}, Warnings: []string{},
		Known: []KnownDifference{}, Transitions: []Transition{}, Trend: []TrendPoint{},
	}
	for _, k := range spec.Keys {
		res.Scope.Keys = append(res.Scope.Keys, k.Name)
	}
	return res, nil
}

// sideScope says what a side is read from; preflight tells a view from a table.
func sideScope(spec *jobspecs.ComparisonSpec, s jobspecs.Side, job string) SideScope {
	switch {
	case s.Query != "":
		return SideScope{Kind: SideQuery, Name: SideQuery, Query: s.Query, Where: s.Where}
	case len(s.Files) > 0:
		return SideScope{Kind: SideFiles, Name: SideFiles, Files: s.Files, Where: s.Where}
	}
	return SideScope{Kind: SideTable, Name: spec.Project + "." + spec.Dataset + "." + s.Table, Where: s.Where, Job: job}
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
