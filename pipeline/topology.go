package pipeline

import (
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window/trigger"
)

func init() { beam.RegisterDoFn(&endFn{}) }

// Build adds the topology of a plan to a pipeline.
func Build(s beam.Scope, p *Plan) {
	var packs []beam.PCollection
	for _, messages := range read(s, p) {
		packs = append(packs, receive(s, p, messages))
	}
	all := packs[0]
	if len(packs) > 1 {
		all = beam.Flatten(s, packs...)
	}
	events := beam.ParDo(s.Scope("Deduplicate_"+p.dedupLayout()), newDedupFn(p), all)
	for i := range p.Aggregations {
		aggregate(s, p, i, events)
	}
}

// read returns collections of messages. The runner's own reads are one for each
// subscription, as each has a watermark of its own.
func read(s beam.Scope, p *Plan) []beam.PCollection {
	switch {
	case p.Batch.Given():
		return []beam.PCollection{readBatch(s, p)}
	case !p.Native:
		s := s.Scope("Pull")
		return []beam.PCollection{beam.ParDo(s, &pullFn{Plan: p}, beam.Impulse(s))}
	}
	var out []beam.PCollection
	for i := range p.Subscriptions {
		out = append(out, readNative(s.Scope(fmt.Sprintf("Source%d", i)), p, i))
	}
	return out
}

// receive writes the raw and the late rows of a source and packs the rest.
func receive(s beam.Scope, p *Plan, messages beam.PCollection) beam.PCollection {
	s = s.Scope("Receive")
	raw, late, fresh := beam.ParDo3(s, &decodeFn{Plan: p}, messages)
	beam.ParDo0(s.Scope("RawToBigQuery"), &eventRowsFn{Plan: p}, raw)
	beam.ParDo0(s.Scope("LateToBigQuery"), &eventRowsFn{Plan: p, Late: true}, late) // invariant P4
	return beam.ParDo(s.Scope("Pack"), &packFn{Plan: p}, fresh)
}

// latePeriod is how often late panes of a key and window may come.
const latePeriod = time.Second

// aggregate computes one aggregation and writes it.
//
// Late events are gathered for a moment before their pane fires, all at once:
// panes are fewer, and so are the bundles in which Prism groups, each of which
// fails if the machine holds it up for a tenth of a second at the wrong moment.
func aggregate(s beam.Scope, p *Plan, i int, events beam.PCollection) {
	agg := p.Aggregations[i]
	s = s.Scope("Aggregate_" + agg.Name + "_" + p.aggregateLayout(&agg))
	parts := beam.ParDo(s, &partialFn{Plan: p, Index: i}, events)
	late := trigger.AfterProcessingTime().AlignedTo(latePeriod, time.Time{})
	windowed := beam.WindowInto(s, window.NewFixedWindows(agg.Window), parts,
		beam.Trigger(trigger.AfterEndOfWindow().LateFiring(late)),
		beam.AllowedLateness(p.Horizon), // invariant P4: covers the horizon
		beam.PanesDiscard())             // invariant P2: panes add up
	panes := beam.ParDo(s, &paneFn{Plan: p, Index: i}, beam.GroupByKey(s, windowed))
	// What is gathered when a bundle finishes has no window of its own.
	gathered := beam.ParDo(s, &gatherFn{}, beam.WindowInto(s, window.NewGlobalWindows(), panes))
	// A pane must not change once a sink may have seen it. invariant P1
	rows := beam.Reshuffle(s, gathered)
	rows = beam.ParDo(s.Scope("ToBigQuery"), &paneRowsFn{Plan: p, Index: i}, rows)
	written := rows
	if p.Table != "" { // a shadow has none
		written = beam.ParDo(s.Scope("ToBigtable"), &paneCellsFn{Plan: p, Index: i}, rows)
	}
	// Prism waits for the end of a stage's outputs and for its answer, and
	// spins in between. With an output, empty as it is, that ends only once the
	// sinks have written, it does not spin while they wait for the services.
	beam.ParDo0(s.Scope("End"), &endFn{}, beam.Reshuffle(s, written))
}

// endFn takes nothing.
type endFn struct{}

// ProcessElement is never called.
func (*endFn) ProcessElement([]byte) {}
