package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/typex"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func init() {
	beam.RegisterDoFn(&partialFn{})
	beam.RegisterDoFn(&paneFn{})
	beam.RegisterDoFn(&gatherFn{})
	register.Emitter3[beam.EventTime, []byte, []byte]()
	register.Iter1[[]byte]()
}

// partialFn aggregates the events of a bundle by set of dimensions, key and
// window before they are shuffled: a late pane then comes from all late events
// of a bundle, not from each. What it emits stands at the smallest event time
// it holds, which is in the window.
type partialFn struct {
	Plan  *Plan
	Index int // of the aggregation

	formulas *formulas
	groups   map[string]*group
	scratch  []byte
	dims     dimensions // of the event
	adds     []partial  // what it adds to each measure
}

type group struct {
	least    int64
	partials []partial
}

// mostGroups bounds what a bundle gathers before it emits.
const mostGroups = 1 << 16

// Setup compiles the expressions.
func (f *partialFn) Setup() (err error) {
	agg := &f.Plan.Aggregations[f.Index]
	f.adds = make([]partial, len(agg.Measures))
	if f.formulas, err = f.Plan.formulas(agg); err != nil {
		return fmt.Errorf("aggregation %s: %w", agg.Name, err)
	}
	return nil
}

// StartBundle forgets what a failed bundle may have left.
func (f *partialFn) StartBundle(func(beam.EventTime, []byte, []byte)) {
	f.groups = make(map[string]*group, len(f.groups))
}

// ProcessElement adds the events of a pack.
func (f *partialFn) ProcessElement(ctx context.Context, data []byte, emit func(beam.EventTime, []byte, []byte)) error {
	agg := &f.Plan.Aggregations[f.Index]
	var e packed
	var err error
	for len(data) > 0 {
		if data, err = f.Plan.readPacked(data, &e); err != nil {
			return fmt.Errorf("aggregate %s: %w", agg.Name, err)
		}
		if taken, err := f.measure(ctx, agg, &e); err != nil {
			return err
		} else if !taken {
			continue
		}
		f.Plan.dimensions(&f.dims, agg, &e)
		for set := range max(1, len(agg.Sets)) {
			if err := f.add(ctx, agg, set, &e); err != nil {
				return err
			}
		}
		if len(f.groups) >= mostGroups {
			f.FinishBundle(emit)
		}
	}
	return nil
}

// measure computes what an event adds to each measure, the same in every set;
// false: nothing, for it is filtered out.
func (f *partialFn) measure(ctx context.Context, agg *Aggregation, e *packed) (bool, error) {
	if f.formulas != nil {
		if taken, err := f.formulas.takes(e); err != nil {
			return false, f.Plan.unevaluated(ctx, agg, "filter", e, err)
		} else if !taken {
			return false, nil
		}
	}
	for i, m := range agg.Measures {
		if m.Expression == "" {
			f.adds[i] = partialOf(m, e.values)
			continue
		}
		var err error
		if f.adds[i], err = f.formulas.partialOf(i, m.Op, e); err != nil {
			return false, f.Plan.unevaluated(ctx, agg, "measure "+m.Name, e, err)
		}
	}
	return true, nil
}

// add adds an event to its group in a set.
func (f *partialFn) add(ctx context.Context, agg *Aggregation, set int, e *packed) error {
	f.scratch = binary.BigEndian.AppendUint64(f.scratch[:0], uint64(floor(e.time, agg.Window.Microseconds())))
	f.scratch = agg.appendKey(f.scratch, set, &f.dims)
	g, ok := f.groups[string(f.scratch)]
	if !ok {
		g = &group{least: e.time, partials: make([]partial, len(agg.Measures))}
		f.groups[string(f.scratch)] = g
	}
	g.least = min(g.least, e.time)
	for i, m := range agg.Measures {
		if err := g.partials[i].merge(m.Op, f.adds[i]); err != nil {
			return f.Plan.overflow(ctx, agg, i, f.scratch[8:], e.time, err)
		}
	}
	return nil
}

// FinishBundle emits the partial aggregates.
func (f *partialFn) FinishBundle(emit func(beam.EventTime, []byte, []byte)) {
	for k, g := range f.groups {
		emit(eventTime(g.least), []byte(k[8:]), appendPartials(nil, g.partials))
	}
	clear(f.groups)
}

// paneFn merges the partial aggregates of one pane of a key and window. It
// follows a GroupByKey, because CombinePerKey of the Go SDK loses the pane.
type paneFn struct {
	Plan  *Plan
	Index int

	rt *runtime
}

// Setup finds the run.
func (f *paneFn) Setup(ctx context.Context) (err error) {
	f.rt, err = openRuntime(ctx, f.Plan)
	return err
}

// ProcessElement emits the pane (see paneRow).
func (f *paneFn) ProcessElement(ctx context.Context, pane beam.PaneInfo, w beam.Window, key []byte, parts func(*[]byte) bool, emit func([]byte)) error {
	agg := &f.Plan.Aggregations[f.Index]
	start := int64(w.(window.IntervalWindow).Start) * 1000
	if err := f.rt.claimPane(f.Plan, f.Index, key, start, pane.Index); err != nil {
		return err
	}
	row := paneRow{start: start, pane: pane.Index, timing: pane.Timing, key: key, partials: make([]partial, len(agg.Measures))}
	one := make([]partial, len(agg.Measures))
	for part := ([]byte)(nil); parts(&part); {
		if _, err := readPartials(part, one); err != nil {
			return fmt.Errorf("aggregate %s: %w", agg.Name, err)
		}
		for i, m := range agg.Measures {
			if err := row.partials[i].merge(m.Op, one[i]); err != nil {
				return f.Plan.overflow(ctx, agg, i, key, start, err)
			}
		}
	}
	emit(row.append(nil))
	return nil
}

// gatherFn puts the panes of a bundle, each as paneRow has it behind its
// length, into one element, so that the sinks write them together.
type gatherFn struct{ panes []byte }

// mostGathered bounds an element.
const mostGathered = 256 << 10

// StartBundle forgets what a failed bundle may have left.
func (f *gatherFn) StartBundle(func([]byte)) { f.panes = nil }

// ProcessElement adds a pane.
func (f *gatherFn) ProcessElement(pane []byte, emit func([]byte)) {
	f.panes = appendPane(f.panes, pane)
	if len(f.panes) >= mostGathered {
		f.FinishBundle(emit)
	}
}

// FinishBundle hands the panes on.
func (f *gatherFn) FinishBundle(emit func([]byte)) {
	if len(f.panes) > 0 {
		emit(f.panes)
		f.panes = nil
	}
}

func appendPane(b, pane []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(pane))), pane...)
}

// readPanes calls fn for each pane of an element.
func readPanes(data []byte, measures int, fn func(*paneRow) error) error {
	for len(data) > 0 {
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return errPack
		}
		pane, err := readPaneRow(data[n:n+int(size)], measures)
		if err == nil {
			err = fn(&pane)
		}
		if err != nil {
			return err
		}
		data = data[n+int(size):]
	}
	return nil
}

// overflow fails the job for good: to go on would mean a wrong number.
func (p *Plan) overflow(ctx context.Context, agg *Aggregation, measure int, key []byte, at int64, err error) error {
	err = fmt.Errorf("aggregation %s, measure %s, key (%s), window of %s: %w", agg.Name, agg.Measures[measure].Name,
		p.describeKey(agg, key), time.UnixMicro(at).UTC().Format(time.RFC3339), err)
	return p.failed(ctx, err)
}

// paneRow is one pane of a key and window, as it is shuffled to the sinks.
type paneRow struct {
	start    int64 // of the window, microseconds
	pane     int64 // index, from 0
	timing   typex.PaneTiming
	key      []byte
	partials []partial
}

func (r *paneRow) append(b []byte) []byte {
	b = binary.AppendVarint(b, r.start)
	b = binary.AppendVarint(b, r.pane)
	b = append(b, byte(r.timing))
	b = binary.AppendUvarint(b, uint64(len(r.key)))
	b = append(b, r.key...)
	return appendPartials(b, r.partials)
}

func readPaneRow(b []byte, measures int) (r paneRow, err error) {
	var n int
	if r.start, n = binary.Varint(b); n <= 0 {
		return r, errPack
	}
	b = b[n:]
	if r.pane, n = binary.Varint(b); n <= 0 || len(b) == n {
		return r, errPack
	}
	r.timing, b = typex.PaneTiming(b[n]), b[n+1:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return r, errPack
	}
	r.key, b = b[n:n+int(size)], b[n+int(size):]
	r.partials = make([]partial, measures)
	_, err = readPartials(b, r.partials)
	return r, err
}

// timingName is the pane's timing as the tables have it.
func timingName(t typex.PaneTiming) string {
	switch t {
	case typex.PaneEarly:
		return "early"
	case typex.PaneLate:
		return "late"
	default:
		return "on_time"
	}
}

// text is a value as text, nil for null: the form of Bigtable's row keys.
func (v Value) text(k Kind) *string {
	if !v.Valid {
		return nil
	}
	s := v.Str
	switch k {
	case Int64:
		s = fmt.Sprint(v.Int)
	case Timestamp:
		s = formatMicros(v.Int)
	}
	return &s
}
