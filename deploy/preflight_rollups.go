package deploy

import (
	"slices"
	"strings"

	"cloud.google.com/go/bigquery"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// setsDiffer says why the table of an aggregation cannot have its rows: rows of
// one set of dimensions and rows that say which set they are of cannot share a
// table, for a reader takes those of all sets together or those of one. Adding
// the column, or leaving it empty, would make numbers wrong. Empty: it can.
// invariant P2
func setsDiffer(want tables.Table, have bigquery.Schema) string {
	if want.PartitionBy != "window_start" { // no aggregate
		return ""
	}
	holds := func(s bigquery.Schema) bool {
		return slices.ContainsFunc(s, func(f *bigquery.FieldSchema) bool { return strings.EqualFold(f.Name, jobspecs.RollupColumn) })
	}
	switch wanted, there := holds(want.Schema), holds(have); {
	case wanted && !there:
		return "has rows of one set of dimensions, and no column " + jobspecs.RollupColumn + " to tell those of rollups apart"
	case there && !wanted:
		return "has rows of several sets of dimensions, by its column " + jobspecs.RollupColumn + ", but the aggregation has no rollups"
	}
	return ""
}

// otherRollupTable is what can be done about that.
const otherRollupTable = "name another table in the spec; a backfill computes the windows of the past for it"
