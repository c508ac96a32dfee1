package compare

import (
	"fmt"
	"strings"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// Bounds on what the reconciliation query returns, so that memory does not
// grow with the tables.
const (
	maxDifferingKeys = 100_000 // keys that evidence is looked for
	maxWindows       = 100_000
	maxWriters       = 1_000
	maxSegments      = 20 // values per key column
)

// queries builds the SQL of one comparison. Key columns are aliased k0…,
// metrics m0…, so that names of the user never clash with ours.
type queries struct {
	spec          *jobspecs.ComparisonSpec
	windowing     windowing
	batch, stream side
	// rollup is the set of dimensions whose rows are compared, where the stream's
	// table holds several; nil: it does not.
	rollup *string
	shifts []shift // of the windows in a query's range, where they are calendar days
}

// newQueries checks every identifier, expression and query of the spec.
func newQueries(spec *jobspecs.ComparisonSpec) (q queries, err error) {
	q = queries{spec: spec, shifts: []shift{{}}}
	if q.windowing, err = newWindowing(spec); err != nil {
		return q, err
	}
	if err := checkIdentifier("project", spec.Project, projectPattern); err != nil {
		return q, err
	}
	if err := checkIdentifier("dataset", spec.Dataset, datasetPattern); err != nil {
		return q, err
	}
	for _, k := range spec.Keys {
		if err := checkIdentifier("key", k.Name, columnPattern); err != nil {
			return q, err
		}
	}
	for _, m := range spec.Metrics {
		if err := checkIdentifier("metric", m.Name, columnPattern); err != nil {
			return q, err
		}
		if m.Field != "" {
			if err := checkIdentifier("metric field", m.Field, columnPattern); err != nil {
				return q, err
			}
		}
		if err := checkTolerance(m); err != nil {
			return q, err
		}
	}
	for what, name := range map[string]string{"evidence.raw": spec.Evidence.Raw, "evidence.late": spec.Evidence.Late, "evidence.deadLetters": spec.Evidence.DeadLetters} {
		if name == "" {
			continue
		}
		if err := checkIdentifier(what, name, tablePattern); err != nil {
			return q, err
		}
	}
	if q.batch, err = newSide(spec, roleBatch); err != nil {
		return q, err
	}
	q.stream, err = newSide(spec, roleStream)
	return q, err
}

// Roles of sides.
const (
	roleBatch  = "batch"
	roleStream = "stream"
)

func (q queries) table(name string) table {
	return quoteTable(q.spec.Project, q.spec.Dataset, name)
}

// generations returns the newest row of every writer.
func (q queries) generations() string {
	return fmt.Sprintf(`SELECT job, generation, kind, state, supersedes, recorded_at, seq, job_group, window_from, window_to
FROM %s
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY recorded_at DESC, seq DESC) = 1
ORDER BY job, generation`, q.table(tables.Generations))
}

// watermarks returns the newest row of every job and generation of @group.
func (q queries) watermarks() string {
	return fmt.Sprintf(`SELECT job_group, job, generation, watermark, at_maximum, observed_at
FROM %s
WHERE job_group = @group
QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY observed_at DESC) = 1
ORDER BY job, generation`, q.table(tables.Watermarks))
}

// batchLoads returns the newest load of every range of @target, and how often
// the range was loaded.
func (q queries) batchLoads() string {
	return fmt.Sprintf("SELECT `load`, target, range_start, range_end, row_count, source, job_id, loaded_at,"+`
  COUNT(*) OVER (PARTITION BY range_start, range_end) AS loads
FROM %s
WHERE target = @target
QUALIFY ROW_NUMBER() OVER (PARTITION BY range_start, range_end ORDER BY loaded_at DESC) = 1
ORDER BY range_start, range_end`, q.table(tables.BatchLoads))
}

// reconcile is the one query that reads both sides (invariant C1): each table
// is named once, and each CTE is used once, for a CTE that is used twice is
// read twice. Its parameters are those of reconcileQuery.
func (q queries) reconcile(spans int, counting rowsThatCount) string {
	var b strings.Builder
	b.WriteString("WITH\n")
	q.streamRows(&b, spans, counting)
	q.sides(&b, spans, counting)
	q.keyed(&b)
	q.classed(&b)
	q.levels(&b)
	q.bounded(&b)
	return b.String()
}

func (q queries) keyAliases() []string {
	aliases := make([]string, len(q.spec.Keys))
	for i := range aliases {
		aliases[i] = fmt.Sprintf("k%d", i)
	}
	return aliases
}
