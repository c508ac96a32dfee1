WITH writers AS (
  SELECT job, generation, state
  FROM (
    SELECT job, generation, state,
      ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY recorded_at DESC, seq DESC) AS newest
    FROM `kappa-demo`.`kappa`.`generations`
  )
  WHERE newest = 1 AND state != 'void'
),
panes AS (
  SELECT origin, window_start, job, generation, pane, MAX(flights) AS flights, MAX(timing) AS timing
  FROM `kappa-demo`.`kappa`.`stream_flights`
  GROUP BY origin, window_start, job, generation, pane
)
SELECT IFNULL(SUM(p.flights), 0) AS counted, IFNULL(SUM(IF(p.timing = 'late', p.flights, 0)), 0) AS late
FROM panes AS p JOIN writers AS w ON p.job = w.job AND p.generation = w.generation
