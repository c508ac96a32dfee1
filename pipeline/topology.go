package pipeline

import (
	"fmt"

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
	events := beam.ParDo(s.Scope("Deduplicate"), newDedupFn(p), all)
	for i := range p.Aggregations {
		aggregate(s, p, i, events)
	}
}

// read returns one collection of messages for each subscription: two in one
// read would share a watermark, and the faster would close the slower one's
// windows.
func read(s beam.Scope, p *Plan) []beam.PCollection {
	if len(p.Archive) > 0 {
		s := s.Scope("ReadArchive")
		files := beam.Reshuffle(s, beam.CreateList(s, p.Archive))
		return []beam.PCollection{beam.ParDo(s, &archiveFn{Plan: p}, files)}
	}
	var out []beam.PCollection
	for i, sub := range p.Subscriptions {
		s := s.Scope(fmt.Sprintf("Source%d", i))
		if p.Native {
			out = append(out, readNative(s, p, sub))
		} else {
			out = append(out, beam.ParDo(s.Scope("Pull"), &pullFn{Plan: p, Subscription: sub}, beam.Impulse(s)))
		}
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

// aggregate computes one aggregation and writes it.
func aggregate(s beam.Scope, p *Plan, i int, events beam.PCollection) {
	agg := p.Aggregations[i]
	s = s.Scope("Aggregate_" + agg.Name)
	parts := beam.ParDo(s, &partialFn{Plan: p, Index: i}, events)
	windowed := beam.WindowInto(s, window.NewFixedWindows(agg.Window), parts,
		beam.Trigger(trigger.AfterEndOfWindow().LateFiring(trigger.AfterCount(1))),
		beam.AllowedLateness(p.Horizon), // invariant P4: covers the horizon
		beam.PanesDiscard())             // invariant P2: panes add up
	panes := beam.ParDo(s, &paneFn{Plan: p, Index: i}, beam.GroupByKey(s, windowed))
	// A pane must not change once a sink may have seen it. invariant P1
	rows := beam.Reshuffle(s, panes)
	rows = beam.ParDo(s.Scope("ToBigQuery"), &paneRowsFn{Plan: p, Index: i}, rows)
	written := beam.ParDo(s.Scope("ToBigtable"), &paneCellsFn{Plan: p, Index: i}, rows)
	// Prism waits for the end of a stage's outputs and for its answer, and
	// spins in between. With an output, empty as it is, that ends only once the
	// sinks have written, it does not spin while they wait for the services.
	beam.ParDo0(s.Scope("End"), &endFn{}, beam.Reshuffle(s, written))
}

// endFn takes nothing.
type endFn struct{}

// ProcessElement is never called.
func (*endFn) ProcessElement([]byte) {}
