package compare

import (
	"github.com/kappa-migrate/kappa/internal/tables"
)

// A shadow is a backfill into tables of its own (kappa backfill --shadow). It can
// be either side: as the stream side it is a spec that is tried against the batch
// layer, as the batch side one that is held against what is live. It has no
// watermark and no load: the windows that its complete backfills span are settled,
// and loaded. This file does no I/O.

// shadowSpans are the windows that a shadow has computed, sorted and disjoint.
func shadowSpans(standings []tables.Standing, group string) []Range {
	var spans []Range
	for _, s := range standings {
		if s.Group == group && s.Counts && s.Within != nil {
			spans = append(spans, Range{s.Within.From.UTC(), s.Within.To.UTC()})
		}
	}
	return union(spans)
}

// shadowLoads are the complete backfills of a shadow as loads of a batch layer.
func shadowLoads(standings []tables.Standing, group string) []tables.BatchLoad {
	var loads []tables.BatchLoad
	for _, s := range standings {
		if s.Group == group && s.Counts && s.Within != nil {
			loads = append(loads, tables.BatchLoad{RangeStart: s.Within.From.UTC(), RangeEnd: s.Within.To.UTC(), LoadedAt: s.RecordedAt})
		}
	}
	return loads
}

// withinShadow keeps of the settled windows those that a shadow has computed.
func withinShadow(settled []Range, left []LeftOut, computed []Range, w windowing) ([]Range, []LeftOut) {
	var both []Range
	for _, c := range computed {
		both = append(both, clip(settled, c)...)
	}
	if missing := subtract(settled, both); len(missing) > 0 {
		left = append(left, LeftOut{LeftOutStreamOpen, "the shadow has not computed them", w.count(missing), missing})
	}
	return both, left
}
