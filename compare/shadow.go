package compare

import (
	"fmt"
	"strings"
	"time"

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
func withinShadow(settled []Range, left []LeftOut, computed []Range, size time.Duration) ([]Range, []LeftOut) {
	var both []Range
	for _, c := range computed {
		both = append(both, clip(settled, c)...)
	}
	if missing := subtract(settled, both); len(missing) > 0 {
		left = append(left, LeftOut{LeftOutStreamOpen, "the shadow has not computed them", windows(missing, size), missing})
	}
	return both, left
}

// batchRows is what is read of the batch side: the table, or, of a shadow, the rows
// that count of it, each once (invariants P1 and P2). Two that differ stay two, and
// make their key nonunique.
func (q queries) batchRows(spans int, counting rowsThatCount) string {
	table, where := q.table(q.spec.Batch.Table), inScope("window_start", spans)
	if q.spec.Batch.Shadow == "" {
		return fmt.Sprintf("%s\n  WHERE %s", table, where)
	}
	var columns []string
	for _, k := range q.spec.Keys {
		columns = append(columns, column(k.Name))
	}
	columns = append(columns, "window_start", "job", "generation", "pane")
	for _, m := range q.spec.Metrics {
		columns = append(columns, column(m.Name))
	}
	return fmt.Sprintf("(\n    SELECT DISTINCT %s\n    FROM %s\n    WHERE %s AND (%s)%s\n  )",
		strings.Join(columns, ", "), table, where, counting.predicate(writerExpression, "window_start"), q.inRollup("@rollup"))
}
