package verify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Config is what a verification needs. All fields but those that say so must
// be set.
type Config struct {
	Bridge   string // name of the bridge
	Clusters []Cluster
	Range    Range
	Expecter Expecter
	IDs      IDs
	Arrived  Arrived
	Letters  DeadLetters    // where dead letters went; nil: they are not looked for
	Memory   jobspecs.Bytes // most that the accounts may take; 0: no bound
	Missing  io.Writer      // where every missing event is written, a line each; may be nil
	Progress func(Progress) // may be nil
	Log      *slog.Logger   // may be nil
	Now      func() time.Time
}

// Progress is how far a run is. Done and Total are offsets while Kafka is
// read, and events then.
type Progress struct {
	Phase       string
	Done, Total int64
}

// Phases of a run.
const (
	PhaseKafka   = "read Kafka"
	PhaseArrived = "read what arrived"
	PhaseLetters = "read dead letters"
)

// Arrived reads what arrived.
type Arrived interface {
	// Read hands every event that arrived of the window to each, from one
	// goroutine at a time. An error of each ends it.
	Read(ctx context.Context, w *Window, each func(*Arrival) error) (Report, error)
}

// Window is what a reader of arrivals may leave out the rest of.
type Window struct {
	Spans []Span
	// EventFrom and EventTo are the least and the greatest event time that is
	// expected, in milliseconds since the Unix epoch.
	EventFrom, EventTo int64
	Complete           func() bool  // whether all that is expected has arrived
	News               func() int64 // number of arrivals from the range so far, without redeliveries
}

// Report is what a reader of arrivals says when it is done.
type Report struct {
	Destination Destination
	Unreadable  int64  // messages without an id or a position
	CutShort    string // why it did not read to the end; empty: it did
}

// DefaultMemory bounds the accounts of a run that says nothing else.
const DefaultMemory = 512 << 20

// Validate checks a Config.
func (c *Config) Validate() error {
	if c.Expecter == nil || c.IDs == nil || c.Arrived == nil {
		return errors.New("verify: Config needs Expecter, IDs and Arrived")
	}
	for _, cl := range c.Clusters {
		if cl.Client == nil || cl.Reader == nil {
			return fmt.Errorf("verify: source %s needs Client and Reader", cl.Name)
		}
	}
	if !c.Range.From.IsZero() && !c.Range.To.IsZero() && !c.Range.From.Before(c.Range.To) {
		return exit.Usagef("the range ends at %s, before it begins (%s)", c.Range.To.Format(time.RFC3339), c.Range.From.Format(time.RFC3339))
	}
	return nil
}

// run is a verification on its way.
type run struct {
	Config
	m       meter
	ledgers map[string]*reading // by cluster/topic/partition
	order   []*reading
	result  *Result
}

// Run verifies a range. A verdict is no error: an error means that there is
// no result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Progress) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &run{Config: cfg, m: meter{limit: int64(cfg.Memory)}, ledgers: map[string]*reading{}, result: &Result{
		Version: ResultVersion, Bridge: cfg.Bridge, Started: cfg.Now().UTC(), Partitions: []Partition{},
		WrongIDs: []Finding{}, Conflicts: []Finding{}, Unexpected: []Finding{}, Warnings: []string{},
	}}
	if err := v.expect(ctx); err != nil {
		return nil, err
	}
	if err := v.arrive(ctx); err != nil {
		return nil, err
	}
	if err := v.letters(ctx); err != nil {
		return nil, err
	}
	if err := v.finish(); err != nil {
		return nil, err
	}
	v.result.Seconds = cfg.Now().Sub(v.result.Started).Seconds()
	cfg.Log.Info("verified", "bridge", cfg.Bridge, "verdict", v.result.Verdict, "expected", v.result.Totals.Expected, "missing", v.result.Totals.Missing)
	return v.result, nil
}

// expect reads Kafka.
func (v *run) expect(ctx context.Context) error {
	byCluster, total := make([][]*reading, len(v.Clusters)), int64(0)
	named := make([]int, len(v.Range.Offsets))
	for i := range v.Clusters {
		spans, warnings, err := resolve(ctx, &v.Clusters[i], &v.Range)
		if err != nil {
			return err
		}
		v.result.Warnings = append(v.result.Warnings, warnings...)
		for _, s := range spans {
			r := &reading{Span: s, ledger: newLedger(&v.m, v.IDs, s)}
			byCluster[i] = append(byCluster[i], r)
			v.order = append(v.order, r)
			v.ledgers[r.key] = r
			total += s.To - s.From
		}
		for j := range v.Range.Offsets {
			if v.Clusters[i].has(&v.Range.Offsets[j]) {
				named[j]++
			}
		}
	}
	for j, n := range named {
		if o := &v.Range.Offsets[j]; n != 1 {
			what := map[bool]string{true: "no source of the bridge reads topic %s", false: "several sources of the bridge read topic %s"}[n == 0]
			return exit.Usagef(what, o.Topic).WithHint("name the partition as [SOURCE/]TOPIC/PARTITION")
		}
	}
	done := int64(0)
	v.Progress(Progress{PhaseKafka, 0, total})
	for i := range v.Clusters {
		err := read(ctx, &v.Clusters[i], byCluster[i], func(r *reading, rec *kgo.Record) error {
			return v.record(ctx, r, rec)
		}, func(n int64) {
			done += n
			v.Progress(Progress{PhaseKafka, done, total})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) has(o *OffsetRange) bool {
	if o.Source != "" && o.Source != c.Name {
		return false
	}
	for _, t := range c.Topics {
		if t == o.Topic {
			return true
		}
	}
	return false
}

func (v *run) record(ctx context.Context, r *reading, rec *kgo.Record) error {
	x, err := v.Expecter.Expect(ctx, r.Cluster, r.TopicID, rec)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.position(rec.Offset), err)
	}
	r.record(rec.Offset, rec.Timestamp.UnixMilli(), &x)
	return v.room()
}

// room ends a run whose accounts have become too large.
func (v *run) room() error {
	if v.m.over() {
		return exit.Usagef("the range is too large to verify within %s of memory", v.Memory).
			WithHint("verify a part of it at a time (--from, --to, --offsets), or raise --memory")
	}
	return nil
}

// arrive reads what arrived.
func (v *run) arrive(ctx context.Context) error {
	w := &Window{EventFrom: 1<<63 - 1, EventTo: -1 << 63}
	var expected, arrived, news int64
	for _, r := range v.order {
		w.Spans = append(w.Spans, r.Span)
		w.EventFrom, w.EventTo = min(w.EventFrom, r.first), max(w.EventTo, r.last)
		expected += r.total.Expected
	}
	w.Complete = func() bool { return arrived == expected }
	w.News = func() int64 { return news }
	v.Progress(Progress{PhaseArrived, 0, expected})
	report, err := v.Arrived.Read(ctx, w, func(a *Arrival) error {
		r := v.ledgers[a.Partition]
		if r == nil || a.Offset < r.from || a.Offset >= r.to {
			v.result.Outside += a.Count
			return nil
		}
		before := r.total
		r.arrive(a)
		if r.total.Redelivered == before.Redelivered {
			news++
		}
		if r.total.Arrived != before.Arrived {
			arrived++
			v.Progress(Progress{PhaseArrived, arrived, expected})
		}
		return v.room()
	})
	v.result.Arrived, v.result.Unreadable, v.result.cutShort = report.Destination, report.Unreadable, report.CutShort
	return err
}

// letters reads the dead letters, where they are looked for.
func (v *run) letters(ctx context.Context) error {
	if v.Letters == nil {
		return nil
	}
	w := &Window{Complete: func() bool {
		for _, r := range v.order {
			if r.total.LettersFound < r.total.DeadLettered || r.total.Arrived+r.total.Rejected < r.total.Expected {
				return false
			}
		}
		return true
	}}
	v.Progress(Progress{Phase: PhaseLetters})
	n := int64(0)
	err := v.Letters.Letters(ctx, w, func(partition string, offset int64) {
		n++
		v.Progress(Progress{PhaseLetters, n, 0})
		if r := v.ledgers[partition]; r != nil && offset >= r.from && offset < r.to {
			r.letter(offset)
		}
	})
	v.result.Letters = true
	var short *cutShort
	if errors.As(err, &short) {
		v.result.lettersShort = short.Error()
		return nil
	}
	return err
}

// finish makes the result.
func (v *run) finish() error {
	res := v.result
	for _, r := range v.order {
		p := r.finish(res.Letters)
		res.Partitions = append(res.Partitions, p)
		res.Totals.add(&p.Counts)
		res.WrongIDs = append(res.WrongIDs, r.wrong...)
		res.Conflicts = append(res.Conflicts, r.conflicts...)
		res.Unexpected = append(res.Unexpected, r.unexpected...)
	}
	res.decide()
	if v.Missing == nil {
		return nil
	}
	w := bufio.NewWriter(v.Missing)
	for _, r := range v.order {
		r.missing(func(offset int64, ordinal int) {
			line := r.position(offset)
			if ordinal > 0 {
				line += "\t" + strconv.Itoa(ordinal)
			}
			_, _ = w.WriteString(line + "\n") // Flush says what failed
		})
	}
	if err := w.Flush(); err != nil {
		return exit.Environmentf("write the missing positions: %w", err)
	}
	return nil
}
