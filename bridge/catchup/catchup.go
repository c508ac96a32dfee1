package catchup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Config is what a catch-up needs to plan.
type Config struct {
	Sources []Source
	Log     *slog.Logger

	Samples  int           // short reads by which the estimate is made better, beyond a few for each partition
	Parallel int           // of them at once
	Patience time.Duration // longest wait for one of them
}

// DefaultConfig returns a Config with everything that has a default.
func DefaultConfig() Config {
	return Config{Log: slog.New(slog.DiscardHandler), Samples: 256, Parallel: 8, Patience: 20 * time.Second}
}

// Validate reports what is missing or contradicts itself.
func (c *Config) Validate() error {
	switch {
	case len(c.Sources) == 0:
		return errors.New("catchup: Config.Sources is empty")
	case c.Log == nil:
		return errors.New("catchup: Config.Log is nil")
	case c.Samples < 0, c.Parallel < 1, c.Patience <= 0:
		return errors.New("catchup: Samples, Parallel or Patience of Config is too small")
	}
	for _, s := range c.Sources {
		if s.Name == "" || s.Spec.Group == "" {
			return exit.Usagef("spec.sources.%s: a group is required", s.Name)
		}
	}
	return nil
}

// Catchup plans catch-ups and keeps their plans in Kafka.
type Catchup struct {
	cfg      Config
	clusters map[string]*cluster
	reading  *reading
}

// New connects to the clusters of cfg and finds their topics.
func New(ctx context.Context, cfg Config) (*Catchup, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Catchup{cfg: cfg, clusters: make(map[string]*cluster), reading: &reading{clusters: make(map[string]*leaders), patience: cfg.Patience}}
	for _, s := range cfg.Sources {
		one, err := open(ctx, s)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.clusters[s.Name] = one
		c.reading.clusters[s.Name] = &leaders{cluster: one}
	}
	return c, nil
}

// Close closes the connections.
func (c *Catchup) Close() {
	for _, one := range c.clusters {
		one.client.Close()
	}
}

// Refuse says why the records of a bridge cannot be read in splits, nil if they
// can.
func Refuse(spec *jobspecs.BridgeSpec) error {
	if n := spec.Ordering.Buckets; n > 0 {
		return exit.Usagef("spec.ordering.buckets is %d: a range that is read in splits arrives in no order", n).
			WithHint("let the bridge itself read it: kappa bridge run")
	}
	return nil
}

// Find returns the plan that is in Kafka, or makes one; found says which.
// Arguments that contradict those of the plan in Kafka are refused: what is
// under way is finished or dropped first.
func (c *Catchup) Find(ctx context.Context, req Request) (p *Plan, found bool, err error) {
	p, err = c.Load(ctx)
	if err != nil {
		return nil, false, err
	}
	if p == nil {
		p, err = c.Make(ctx, req)
		return p, false, err
	}
	if !p.Accords(req) {
		return nil, true, exit.Usagef("a catch-up that was planned %s with %s is under way: %d of its %d bytes are left", p.Made.Format(time.RFC3339), p.Arguments, p.Left(), p.Bytes).
			WithHint("go on with it by leaving out --from, --to and --splits, or drop it with kappa bridge catchup --discard")
	}
	return p, true, nil
}

// Make plans a range. Nothing is written; short samples are read. A plan
// without splits says that there is nothing to read.
func (c *Catchup) Make(ctx context.Context, req Request) (*Plan, error) {
	if req.Splits < 1 {
		return nil, exit.Usagef("--splits %d: at least 1 is needed", req.Splits)
	}
	var parts []*Partition
	var warnings []string
	for _, s := range c.cfg.Sources {
		found, warned, err := c.clusters[s.Name].partitions(ctx, req.From, req.To)
		if err != nil {
			return nil, err
		}
		parts, warnings = append(parts, found...), append(warnings, warned...)
		if one := c.clusters[s.Name]; one.members(ctx) > 0 {
			warnings = append(warnings, "group "+s.Spec.Group+" of source "+s.Name+" has members: what a bridge reads now, the catch-up publishes once more (with the same ids), and nothing is handed over while it runs: stop it")
		}
	}
	if err := c.named(req); err != nil {
		return nil, err
	}
	all, err := measure(ctx, parts, c.reading.sample, c.cfg.Samples, c.cfg.Parallel)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		m.Curve = m.calibrated()
	}
	id := make([]byte, 6)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	p := newPlan(hex.EncodeToString(id), time.Now(), req.arguments(), parts, req.Splits)
	p.Warnings = warnings
	return p, nil
}

// Load finds the plan that is in Kafka; nil if there is none. A plan that was
// only written in part, before anything was read, is dropped, and so is what is
// left of one that was handed over.
func (c *Catchup) Load(ctx context.Context) (*Plan, error) {
	var found []stored
	for _, s := range c.cfg.Sources {
		of, err := c.clusters[s.Name].load(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, of...)
	}
	p, err := assemble(found)
	var incomplete *errIncomplete
	if errors.As(err, &incomplete) {
		handed := false
		if incomplete.finished() {
			if handed, err = c.passed(ctx, incomplete.found); err != nil {
				return nil, err
			}
		}
		if !handed && !incomplete.untouched() {
			return nil, exit.Environmentf("%w", incomplete).
				WithHint("positions go with a topic that is deleted, and expire when nobody commits them for the brokers' offsets.retention.minutes; drop the plan with kappa bridge catchup --discard: the group's own offsets are untouched, so that a new plan reads everything that was not handed over")
		}
		c.cfg.Log.Info("what is left of a plan is dropped", "ranges", len(incomplete.found), "handed_over", handed)
		_, err = c.Discard(ctx)
		return nil, err
	}
	if err != nil || p == nil {
		return nil, err
	}
	return p, c.check(ctx, p)
}

// passed reports whether the group is at or beyond the end of all ranges.
func (c *Catchup) passed(ctx context.Context, found []stored) (bool, error) {
	for _, s := range c.cfg.Sources {
		one := c.clusters[s.Name]
		committed, err := one.committed(ctx)
		if err != nil {
			return false, err
		}
		for _, f := range found {
			if o, ok := committed.Lookup(f.Topic, f.Partition); f.Source == s.Name && (!ok || o.At < f.To) {
				return false, nil
			}
		}
	}
	return true, nil
}

// check compares a plan from Kafka with what the sources hold now (invariant
// B3): the same topics.
func (c *Catchup) check(ctx context.Context, p *Plan) error {
	for _, s := range c.cfg.Sources {
		one := c.clusters[s.Name]
		meta, err := one.metadata(ctx)
		if err != nil {
			return one.wrap("look up topics", err)
		}
		for r := range p.ranges {
			if r.Source != s.Name {
				continue
			}
			if !slices.Contains(one.topics, r.Topic) {
				return exit.Usagef("the plan reads %s/%s, which the spec does not name any more", r.Source, r.Topic).
					WithHint("name it in spec.sources.%s.topics again, or drop the plan with kappa bridge catchup --discard", r.Source)
			}
			if now := meta.Topics[r.Topic].ID.String(); now != r.TopicID {
				return recreated(r.String(), r.TopicID, now)
			}
		}
	}
	return nil
}

// Save writes a plan before anything is read. There must be no other.
func (c *Catchup) Save(ctx context.Context, p *Plan) error {
	for _, s := range c.cfg.Sources {
		if err := c.clusters[s.Name].anchor(ctx, p, c.cfg.Log); err != nil {
			return err
		}
	}
	return c.write(ctx, p)
}

// write commits the positions of all ranges as they are in p.
func (c *Catchup) write(ctx context.Context, p *Plan) error {
	for i := range p.Splits {
		for _, s := range c.cfg.Sources {
			var ranges []*Range
			for j := range p.Splits[i].Ranges {
				if r := &p.Splits[i].Ranges[j]; r.Source == s.Name {
					ranges = append(ranges, r)
				}
			}
			if err := c.clusters[s.Name].commit(ctx, p, i, ranges); err != nil {
				return err
			}
		}
	}
	return nil
}

// Discard drops the plan and returns how many splits it had. The group's own
// offsets stay where they are.
func (c *Catchup) Discard(ctx context.Context) (int, error) {
	most := 0
	for _, s := range c.cfg.Sources {
		n, err := c.clusters[s.Name].drop(ctx)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, nil
}

// HandOver moves the group to the end of a range that was read completely, and
// drops its plan.
func (c *Catchup) HandOver(ctx context.Context, p *Plan) ([]Handed, error) {
	if !p.Done() {
		return nil, errors.New("the range was not read completely")
	}
	var all []Handed
	spans := p.spans()
	for _, s := range c.cfg.Sources {
		handed, err := c.clusters[s.Name].handOver(ctx, spans)
		if err != nil {
			return nil, err
		}
		all = append(all, handed...)
	}
	_, err := c.Discard(ctx)
	return all, err
}

// Look looks up where the partitions of a plan end now.
func (c *Catchup) look(ctx context.Context) (ends, error) {
	found := ends{offsets: make(map[string]int64)}
	for _, s := range c.cfg.Sources {
		listed, err := c.clusters[s.Name].ends(ctx)
		if err != nil {
			return found, err
		}
		listed.Each(func(o kadm.ListedOffset) { found.offsets[position(s.Name, o.Topic, o.Partition)] = o.Offset })
	}
	found.at = time.Now()
	return found, nil
}

// Inflow measures what is produced to the topics of a plan, over some time.
func (c *Catchup) Inflow(ctx context.Context, p *Plan, over time.Duration) (Inflow, error) {
	a, err := c.look(ctx)
	if err != nil {
		return Inflow{}, err
	}
	select {
	case <-time.After(over):
	case <-ctx.Done():
		return Inflow{}, ctx.Err()
	}
	b, err := c.look(ctx)
	if err != nil {
		return Inflow{}, err
	}
	return inflow(a, b, p.density(b))
}

// density is the bytes per offset of each partition, as at the end of the range;
// of partitions without a range, as of all the others together.
func (p *Plan) density(of ends) map[string]float64 {
	found := make(map[string]float64)
	mean := 0.0
	if p.Offsets > 0 {
		mean = float64(p.Bytes) / float64(p.Offsets)
	}
	for name := range of.offsets {
		found[name] = mean
	}
	last := make(map[string]int64)
	for r := range p.ranges {
		if name := r.String(); r.To > last[name] {
			last[name] = r.To
			found[name] = float64(r.Bytes) / float64(r.To-r.From)
		}
	}
	return found
}
