-- @from, @to TIMESTAMP; @writers ARRAY<STRING> (may be empty)
WITH
panes AS (
  SELECT
    `origin` AS k0,
    `gate` AS k1,
    `slot` AS k2,
    window_start AS w, pane,
    IF(CONCAT(job, '@', CAST(generation AS STRING)) IN UNNEST(@writers), NULL, CONCAT(job, '@', CAST(generation AS STRING))) AS ignored,
    MIN(`flights`) AS m0,
    MIN(`delay_min`) AS m1,
    MIN(`delay_max`) AS m2,
    MIN(`distance_sum`) AS m3,
    IF(MIN(`flights`) != MAX(`flights`) OR COUNT(`flights`) NOT IN (0, COUNT(*)) OR MIN(`delay_min`) != MAX(`delay_min`) OR COUNT(`delay_min`) NOT IN (0, COUNT(*)) OR MIN(`delay_max`) != MAX(`delay_max`) OR COUNT(`delay_max`) NOT IN (0, COUNT(*)) OR MIN(`distance_sum`) != MAX(`distance_sum`) OR COUNT(`distance_sum`) NOT IN (0, COUNT(*)), 1, 0) AS conflict,
    COUNT(*) - 1 AS copies,
    SUM(8 + IF(`origin` IS NULL, 0, 2 + BYTE_LENGTH(`origin`)) + IF(`gate` IS NULL, 0, 8) + IF(`slot` IS NULL, 0, 8) + IF(`flights` IS NULL, 0, 8) + IF(`delay_min` IS NULL, 0, 8) + IF(`delay_max` IS NULL, 0, 8) + IF(`distance_sum` IS NULL, 0, 8) + 2 + BYTE_LENGTH(job) + 8 + 8) AS bytes
  FROM `kappa-demo`.`kappa`.`stream_flights`
  WHERE window_start >= @from AND window_start < @to
  GROUP BY `origin`, `gate`, `slot`, window_start, job, generation, pane
),
sides AS (
  SELECT
    `origin` AS k0,
    `gate` AS k1,
    `slot` AS k2,
    window_start AS w, CAST(NULL AS STRING) AS ignored,
    1 AS batch_rows, 0 AS stream_rows, 0 AS ignored_rows, 0 AS copies, 0 AS conflicts,
    8 + IF(`origin` IS NULL, 0, 2 + BYTE_LENGTH(`origin`)) + IF(`gate` IS NULL, 0, 8) + IF(`slot` IS NULL, 0, 8) + IF(`flights` IS NULL, 0, 8) + IF(`delay_min` IS NULL, 0, 8) + IF(`delay_max` IS NULL, 0, 8) + IF(`distance_sum` IS NULL, 0, 8) AS batch_bytes, 0 AS stream_bytes,
    `flights` AS b0, CAST(NULL AS INT64) AS s0,
    `delay_min` AS b1, CAST(NULL AS INT64) AS s1,
    `delay_max` AS b2, CAST(NULL AS INT64) AS s2,
    `distance_sum` AS b3, CAST(NULL AS INT64) AS s3
  FROM `kappa-demo`.`kappa`.`batch_flights`
  WHERE window_start >= @from AND window_start < @to
  UNION ALL
  SELECT
    k0, k1, k2, w, ignored,
    0, IF(ignored IS NULL, 1, 0), IF(ignored IS NULL, 0, 1), copies, conflict,
    0, bytes,
    CAST(NULL AS INT64), IF(ignored IS NULL, m0, NULL),
    CAST(NULL AS INT64), IF(ignored IS NULL, m1, NULL),
    CAST(NULL AS INT64), IF(ignored IS NULL, m2, NULL),
    CAST(NULL AS INT64), IF(ignored IS NULL, m3, NULL)
  FROM panes
),
keyed AS (
  SELECT
    k0, k1, k2, w, ignored,
    SUM(batch_rows) AS batch_rows, SUM(stream_rows) AS stream_rows, SUM(ignored_rows) AS ignored_rows,
    SUM(copies) AS copies, SUM(conflicts) AS conflicts,
    SUM(batch_bytes) AS batch_bytes, SUM(stream_bytes) AS stream_bytes,
    SUM(b0) AS b0, SUM(s0) AS s0,
    MIN(b1) AS b1, MIN(s1) AS s1,
    MAX(b2) AS b2, MAX(s2) AS s2,
    SUM(b3) AS b3, SUM(s3) AS s3
  FROM sides
  GROUP BY k0, k1, k2, w, ignored
),
classed AS (
  SELECT *,
    CASE
      WHEN ignored IS NOT NULL THEN 'ignored'
      WHEN batch_rows > 1 OR conflicts > 0 THEN 'nonunique'
      WHEN batch_rows = 0 THEN 'extra'
      WHEN stream_rows = 0 THEN 'missing'
      WHEN b0 IS NOT DISTINCT FROM s0 AND b1 IS NOT DISTINCT FROM s1 AND b2 IS NOT DISTINCT FROM s2 AND b3 IS NOT DISTINCT FROM s3 THEN 'exact'
      ELSE 'mismatch'
    END AS class,
    CAST(COALESCE(s0, 0) AS NUMERIC) - CAST(COALESCE(b0, 0) AS NUMERIC) AS d0, GREATEST(ABS(CAST(COALESCE(b0, 0) AS NUMERIC)), ABS(CAST(COALESCE(s0, 0) AS NUMERIC))) AS v0,
    CAST(COALESCE(s1, 0) AS NUMERIC) - CAST(COALESCE(b1, 0) AS NUMERIC) AS d1, GREATEST(ABS(CAST(COALESCE(b1, 0) AS NUMERIC)), ABS(CAST(COALESCE(s1, 0) AS NUMERIC))) AS v1,
    CAST(COALESCE(s2, 0) AS NUMERIC) - CAST(COALESCE(b2, 0) AS NUMERIC) AS d2, GREATEST(ABS(CAST(COALESCE(b2, 0) AS NUMERIC)), ABS(CAST(COALESCE(s2, 0) AS NUMERIC))) AS v2,
    CAST(COALESCE(s3, 0) AS NUMERIC) - CAST(COALESCE(b3, 0) AS NUMERIC) AS d3, GREATEST(ABS(CAST(COALESCE(b3, 0) AS NUMERIC)), ABS(CAST(COALESCE(s3, 0) AS NUMERIC))) AS v3
  FROM keyed
),
grouped AS (
  SELECT
    CASE
      WHEN GROUPING(class) = 0 THEN 'key'
      WHEN GROUPING(ignored) = 0 THEN 'writer'
      WHEN GROUPING(w) = 0 THEN 'window'
      WHEN GROUPING(k0) = 0 THEN 'segment0'
      WHEN GROUPING(k1) = 0 THEN 'segment1'
      WHEN GROUPING(k2) = 0 THEN 'segment2'
      ELSE 'total'
    END AS level,
    k0, k1, k2, w, ignored, class,
    COUNTIF(class NOT IN ('exact', 'ignored')) AS differing,
    COUNTIF(class = 'exact') AS exact_keys,
    COUNTIF(class = 'tolerated') AS tolerated_keys,
    COUNTIF(class = 'mismatch') AS mismatch_keys,
    COUNTIF(class = 'missing') AS missing_keys,
    COUNTIF(class = 'extra') AS extra_keys,
    COUNTIF(class = 'nonunique') AS nonunique_keys,
    SUM(batch_rows) AS batch_rows, SUM(stream_rows) AS stream_rows, SUM(ignored_rows) AS ignored_rows,
    SUM(copies) AS copies, SUM(conflicts) AS conflicts,
    SUM(batch_bytes) AS batch_bytes, SUM(stream_bytes) AS stream_bytes,
    SUM(CAST(b0 AS NUMERIC)) AS batch0, SUM(CAST(s0 AS NUMERIC)) AS stream0,
    SUM(IF(class = 'ignored', 0, d0)) AS diff0, SUM(IF(class = 'ignored', 0, ABS(d0))) AS abs0,
    SUM(IF(class = 'exact', v0, 0)) AS exact0,
    SUM(IF(class = 'tolerated', v0, 0)) AS tolerated0,
    SUM(IF(class = 'mismatch', v0, 0)) AS mismatch0,
    SUM(IF(class = 'missing', v0, 0)) AS missing0,
    SUM(IF(class = 'extra', v0, 0)) AS extra0,
    SUM(IF(class = 'nonunique', v0, 0)) AS nonunique0,
    SUM(CAST(b1 AS NUMERIC)) AS batch1, SUM(CAST(s1 AS NUMERIC)) AS stream1,
    SUM(IF(class = 'ignored', 0, d1)) AS diff1, SUM(IF(class = 'ignored', 0, ABS(d1))) AS abs1,
    SUM(IF(class = 'exact', v1, 0)) AS exact1,
    SUM(IF(class = 'tolerated', v1, 0)) AS tolerated1,
    SUM(IF(class = 'mismatch', v1, 0)) AS mismatch1,
    SUM(IF(class = 'missing', v1, 0)) AS missing1,
    SUM(IF(class = 'extra', v1, 0)) AS extra1,
    SUM(IF(class = 'nonunique', v1, 0)) AS nonunique1,
    SUM(CAST(b2 AS NUMERIC)) AS batch2, SUM(CAST(s2 AS NUMERIC)) AS stream2,
    SUM(IF(class = 'ignored', 0, d2)) AS diff2, SUM(IF(class = 'ignored', 0, ABS(d2))) AS abs2,
    SUM(IF(class = 'exact', v2, 0)) AS exact2,
    SUM(IF(class = 'tolerated', v2, 0)) AS tolerated2,
    SUM(IF(class = 'mismatch', v2, 0)) AS mismatch2,
    SUM(IF(class = 'missing', v2, 0)) AS missing2,
    SUM(IF(class = 'extra', v2, 0)) AS extra2,
    SUM(IF(class = 'nonunique', v2, 0)) AS nonunique2,
    SUM(CAST(b3 AS NUMERIC)) AS batch3, SUM(CAST(s3 AS NUMERIC)) AS stream3,
    SUM(IF(class = 'ignored', 0, d3)) AS diff3, SUM(IF(class = 'ignored', 0, ABS(d3))) AS abs3,
    SUM(IF(class = 'exact', v3, 0)) AS exact3,
    SUM(IF(class = 'tolerated', v3, 0)) AS tolerated3,
    SUM(IF(class = 'mismatch', v3, 0)) AS mismatch3,
    SUM(IF(class = 'missing', v3, 0)) AS missing3,
    SUM(IF(class = 'extra', v3, 0)) AS extra3,
    SUM(IF(class = 'nonunique', v3, 0)) AS nonunique3
  FROM classed
  GROUP BY GROUPING SETS ((), (w), (ignored), (k0, k1, k2, w, class), (k0), (k1), (k2))
)
SELECT *
FROM grouped
WHERE (level != 'key' OR class NOT IN ('exact', 'ignored'))
  AND (level != 'writer' OR ignored IS NOT NULL)
QUALIFY ROW_NUMBER() OVER (PARTITION BY level ORDER BY differing DESC, w, k0, k1, k2, ignored) <=
  CASE level WHEN 'key' THEN 100000 WHEN 'window' THEN 100000 WHEN 'writer' THEN 1000 ELSE 21 END

