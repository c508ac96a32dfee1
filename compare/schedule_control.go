package compare

import (
	"fmt"
	"strings"
	"time"

	"github.com/kappa-migrate/kappa/internal/tables"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// A scheduled query has to find by itself what a run decides in Go: which windows
// are settled (settle.go, rule C4) and which rows count (tables.Standings, rule
// P2). This file writes those rules as common table expressions. A property test
// holds them to be the rules of Go. It does no I/O.

// scheduled writes the SQL of a scheduled query. It takes no parameters but
// @run_time: all else is literals.
type scheduled struct {
	q    queries
	name string // of the comparison
	hash string // of its spec
}

// micros is a duration as an INT64 literal of microseconds.
func micros(d time.Duration) string { return fmt.Sprint(d.Microseconds()) }

// floorSQL is the start of the window that a TIMESTAMP is in. Times before 1970
// are none of a schedule's, so DIV, which cuts towards zero, is a floor.
func (s scheduled) floorSQL(t string) string {
	size, offset := micros(s.q.windowing.size), s.q.windowing.offset
	if offset == 0 {
		return fmt.Sprintf("TIMESTAMP_MICROS(DIV(UNIX_MICROS(%s), %s) * %s)", t, size, size)
	}
	return fmt.Sprintf("TIMESTAMP_MICROS(DIV(UNIX_MICROS(%s) - %s, %s) * %s + %s)", t, micros(offset), size, size, micros(offset))
}

// ceilSQL is the first start of a window that is not before a TIMESTAMP.
func (s scheduled) ceilSQL(t string) string {
	return s.floorSQL(fmt.Sprintf("TIMESTAMP_ADD(%s, INTERVAL %s MICROSECOND)", t, micros(s.q.windowing.size-time.Microsecond)))
}

// to and from are the bounds of the range: the whole windows, range.last long,
// before the time of the run. They are made of @run_time and literals alone, so
// that BigQuery prunes partitions by them.
func (s scheduled) to() string { return s.floorSQL("@run_time") }

func (s scheduled) from() string {
	size := s.q.windowing.size
	return fmt.Sprintf("TIMESTAMP_SUB(%s, INTERVAL %s MICROSECOND)", s.to(), micros(s.q.spec.Range.Last.D()/size*size))
}

// cte is a common table expression.
type cte struct{ name, sql string }

// control are the tables that say what is compared. kappa_spans holds the settled
// spans f to t, apart and whole windows; kappa_rows, where writers count, of each
// of them the spans in which its rows do.
func (s scheduled) control() []cte {
	all := []cte{{"kappa_bounds", fmt.Sprintf("SELECT %s AS f, %s AS t", s.from(), s.to())}}
	if s.writers() {
		all = append(all, s.standings()...)
	}
	all = append(all, s.settled()...)
	return all
}

// writers reports whether rows of a side count as their writers do.
func (s scheduled) writers() bool { return s.q.spec.Stream.Job != "" || s.q.spec.Batch.Shadow != "" }

// standings are tables.Standings in SQL (invariant P2): kappa_counting are the
// writers of which some rows count, kappa_rows their spans within the range.
func (s scheduled) standings() []cte {
	return []cte{
		{"kappa_newest", fmt.Sprintf(`SELECT job, generation, kind, state, supersedes, recorded_at, job_group, window_from, window_to, %s AS writer
  FROM %s
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY recorded_at DESC, seq DESC) = 1`, writerExpression, s.q.table(tables.Generations))},
		// What is not known to count does not.
		{"kappa_candidates", fmt.Sprintf(`SELECT *
  FROM kappa_newest
  WHERE kind = '%s' AND state IN ('%s', '%s')
    OR kind = '%s' AND state = '%s' AND window_from IS NOT NULL AND window_to IS NOT NULL`,
			tables.WriterStream, tables.StateOpen, tables.StateDrained, tables.WriterBackfill, tables.StateDrained)},
		{"kappa_counting", `SELECT c.*
  FROM kappa_candidates AS c LEFT JOIN (SELECT DISTINCT supersedes AS writer FROM kappa_candidates) AS s ON s.writer = c.writer
  WHERE s.writer IS NULL`},
		// A backfill has its own windows alone; a stream all of the range.
		{"kappa_own", fmt.Sprintf(`SELECT writer, job, generation, kind, recorded_at, job_group,
    IF(kind = '%[1]s', GREATEST(window_from, f), f) AS f, IF(kind = '%[1]s', LEAST(window_to, t), t) AS t
  FROM kappa_counting CROSS JOIN kappa_bounds`, tables.WriterBackfill)},
		// Where spans begin and end, and no other place, others may count.
		{"kappa_cuts", "SELECT DISTINCT cut FROM kappa_own CROSS JOIN UNNEST([f, t]) AS cut"},
		{"kappa_pieces", "SELECT cut AS f, LEAD(cut) OVER (ORDER BY cut) AS t FROM kappa_cuts"},
		// In its windows a backfill takes the place of the others of its group, and of
		// backfills that were complete before it.
		{"kappa_rows", fmt.Sprintf(`SELECT o.writer, p.f, p.t
  FROM kappa_own AS o JOIN kappa_pieces AS p ON o.f <= p.f AND p.t <= o.t
  WHERE TRUE
  QUALIFY COUNTIF(o.kind = '%[1]s') OVER (PARTITION BY o.job_group, p.f) = 0
    OR o.kind = '%[1]s' AND ROW_NUMBER() OVER (PARTITION BY o.job_group, p.f ORDER BY o.kind = '%[1]s' DESC, o.recorded_at DESC, o.job DESC, o.generation DESC) = 1`, tables.WriterBackfill)},
	}
}

// settled is decideScope in SQL (invariant C4).
func (s scheduled) settled() []cte {
	spec := s.q.spec
	after := max(spec.Stream.SettleAfter.D(), spec.Batch.Cutoff.D())
	var all []cte
	switch {
	case tables.IsShadow(spec.Stream.Job):
		all = append(all, cte{"kappa_stream", fmt.Sprintf("SELECT %s AS through", s.to())})
	case spec.Stream.Settled() == jobspecs.SettledByClock:
		all = append(all, cte{"kappa_stream", fmt.Sprintf("SELECT %s AS through", s.floorSQL(before("@run_time", after)))})
	default:
		all = append(all, s.jobs(after)...)
	}
	all = append(all, s.batch()...)
	spans := `SELECT GREATEST(c.f, b.f) AS f, LEAST(c.t, b.t, j.through) AS t
  FROM kappa_complete AS c CROSS JOIN kappa_bounds AS b CROSS JOIN kappa_stream AS j
  WHERE GREATEST(c.f, b.f) < LEAST(c.t, b.t, j.through)`
	if !tables.IsShadow(spec.Stream.Job) {
		return append(all, cte{"kappa_spans", spans})
	}
	// What the shadow has not computed is not settled.
	all = append(all, s.merged("kappa_computed", fmt.Sprintf("SELECT window_from AS f, window_to AS t FROM kappa_counting WHERE kind = '%s' AND job_group = %s",
		tables.WriterBackfill, stringLiteral(spec.Stream.Job)))...)
	return append(all, cte{"kappa_both", spans}, cte{"kappa_spans", `SELECT GREATEST(s.f, c.f) AS f, LEAST(s.t, c.t) AS t
  FROM kappa_both AS s CROSS JOIN kappa_computed AS c
  WHERE GREATEST(s.f, c.f) < LEAST(s.t, c.t)`})
}

func before(t string, d time.Duration) string {
	if d == 0 {
		return t
	}
	return fmt.Sprintf("TIMESTAMP_SUB(%s, INTERVAL %s MICROSECOND)", t, micros(d))
}

// jobs is decideStream in SQL: kappa_stream has how far the jobs of the group have
// settled windows. NULL, and so nothing, while one of them has a problem or there
// is none.
func (s scheduled) jobs(after time.Duration) []cte {
	group := s.q.spec.Stream.Job
	return []cte{
		{"kappa_marks", fmt.Sprintf(`SELECT job, generation, watermark, at_maximum
  FROM %s
  WHERE job_group = %s
  QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY observed_at DESC) = 1`, s.q.table(tables.Watermarks), stringLiteral(group))},
		{"kappa_streams", fmt.Sprintf(`SELECT job, generation, state
  FROM kappa_newest
  WHERE kind = '%s'
  QUALIFY ROW_NUMBER() OVER (PARTITION BY job ORDER BY generation DESC) = 1`, tables.WriterStream)},
		{"kappa_jobs", fmt.Sprintf(`SELECT job FROM kappa_streams WHERE REGEXP_CONTAINS(job, %s)
  UNION DISTINCT
  SELECT m.job
  FROM kappa_marks AS m LEFT JOIN kappa_newest AS b ON b.job = m.job AND b.generation = m.generation AND b.kind = '%s'
  WHERE b.job IS NULL`, stringLiteral("^"+group+"-[0-9]+$"), tables.WriterBackfill)},
		{"kappa_states", fmt.Sprintf(`SELECT COALESCE(m.at_maximum, FALSE) AS at_maximum, m.watermark,
    COALESCE(s.state IN ('%s', '%s') AND (m.at_maximum OR m.watermark IS NOT NULL), FALSE) AS known
  FROM kappa_jobs AS j LEFT JOIN kappa_streams AS s ON s.job = j.job
    LEFT JOIN kappa_marks AS m ON m.job = s.job AND m.generation = s.generation`, tables.StateOpen, tables.StateDrained)},
		{"kappa_stream", fmt.Sprintf(`SELECT CASE
      WHEN COUNT(*) = 0 OR COUNTIF(NOT known) > 0 THEN NULL
      WHEN COUNTIF(at_maximum) = COUNT(*) THEN %s
      ELSE %s
    END AS through
  FROM kappa_states`, s.to(), s.floorSQL(before("MIN(IF(at_maximum, NULL, watermark))", after)))},
	}
}

// batch is what is complete on the batch side: kappa_complete has whole windows.
func (s scheduled) batch() []cte {
	spec := s.q.spec
	var loads string
	switch {
	case spec.Batch.Shadow != "":
		loads = fmt.Sprintf("SELECT window_from AS f, window_to AS t FROM kappa_counting WHERE kind = '%s' AND job_group = %s", tables.WriterBackfill, stringLiteral(spec.Batch.Shadow))
	case spec.Batch.Settled() == jobspecs.SettledByClock:
		return []cte{{"kappa_complete", fmt.Sprintf("SELECT f, %s AS t FROM kappa_bounds", s.floorSQL(before("@run_time", spec.Batch.SettleAfter.D())))}}
	default:
		loads = fmt.Sprintf("SELECT range_start AS f, range_end AS t FROM %s WHERE target = %s", s.q.table(tables.BatchLoads), stringLiteral(s.q.batch.name.table))
	}
	all := s.merged("kappa_loaded", loads)
	return append(all, cte{"kappa_complete", fmt.Sprintf("SELECT %s AS f, %s AS t FROM kappa_loaded", s.ceilSQL("f"), s.floorSQL("t"))})
}

// merged merges spans that overlap or touch.
func (s scheduled) merged(name, spans string) []cte {
	return []cte{
		{name + "_begin", fmt.Sprintf(`SELECT f, t, MAX(t) OVER (ORDER BY f, t ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
  FROM (%s)
  WHERE f < t`, spans)},
		{name + "_island", fmt.Sprintf(`SELECT f, t, COUNTIF(reached IS NULL OR f > reached) OVER (ORDER BY f, t) AS island
  FROM %s_begin`, name)},
		{name, fmt.Sprintf(`SELECT MIN(f) AS f, MAX(t) AS t
  FROM %s_island
  GROUP BY island`, name)},
	}
}

// with writes a WITH clause.
func with(all []cte) string {
	parts := make([]string, len(all))
	for i, c := range all {
		parts[i] = c.name + " AS (\n  " + c.sql + "\n)"
	}
	return "WITH\n" + strings.Join(parts, ",\n") + "\n"
}
