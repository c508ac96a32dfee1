-- @from, @to TIMESTAMP; @size, @cutoff INT64; @windows ARRAY<TIMESTAMP>; @key0 ARRAY<STRING>; @key1 ARRAY<INT64>; @key2 ARRAY<TIMESTAMP>; @null0, @null1, @null2 ARRAY<BOOL>; @writers ARRAY<STRING>
WITH
wanted AS (
  SELECT i, w, IF(@null0[OFFSET(i)], NULL, @key0[OFFSET(i)]) AS k0, IF(@null1[OFFSET(i)], NULL, @key1[OFFSET(i)]) AS k1, IF(@null2[OFFSET(i)], NULL, @key2[OFFSET(i)]) AS k2
  FROM UNNEST(@windows) AS w WITH OFFSET AS i
),
deliveries AS (
  SELECT event_id, message_id, position, source_time, TIMESTAMP_MICROS(UNIX_MICROS(event_time) - MOD(MOD(UNIX_MICROS(event_time), @size) + @size, @size)) AS w, 0 AS late, `origin` AS k0, `gate` AS k1, `slot` AS k2, `delay` AS m1, `delay` AS m2, `distance` AS m3
  FROM `kappa-demo`.`kappa`.`raw_flights`
  WHERE event_time >= @from AND event_time < @to
  UNION ALL
  SELECT event_id, message_id, position, source_time, TIMESTAMP_MICROS(UNIX_MICROS(event_time) - MOD(MOD(UNIX_MICROS(event_time), @size) + @size, @size)) AS w, 1 AS late, `origin` AS k0, `gate` AS k1, `slot` AS k2, `delay` AS m1, `delay` AS m2, `distance` AS m3
  FROM `kappa-demo`.`kappa`.`late_flights`
  WHERE event_time >= @from AND event_time < @to
    AND CONCAT(job, '@', CAST(generation AS STRING)) IN UNNEST(@writers)
),
once AS (
  SELECT q.i, d.event_id, d.message_id, MIN(d.position) AS position, MAX(d.late) AS late,
    UNIX_MICROS(MIN(d.source_time)) <= UNIX_MICROS(q.w) + @size + @cutoff AS in_time, MIN(d.m1) AS m1, MAX(d.m1) AS x1, MIN(d.m2) AS m2, MAX(d.m2) AS x2, MIN(d.m3) AS m3, MAX(d.m3) AS x3
  FROM deliveries AS d
  JOIN wanted AS q
  ON q.w = d.w AND q.k0 IS NOT DISTINCT FROM d.k0 AND q.k1 IS NOT DISTINCT FROM d.k1 AND q.k2 IS NOT DISTINCT FROM d.k2
  GROUP BY q.i, q.w, d.event_id, d.message_id
),
events AS (
  SELECT i, event_id,
    COUNT(*) AS d_all, COUNT(DISTINCT position) AS r_all,
    COUNTIF(in_time) AS d_cut, COUNT(DISTINCT IF(in_time, position, NULL)) AS r_cut,
    COUNTIF(late = 0) AS d_ontime, COUNT(DISTINCT IF(late = 0, position, NULL)) AS r_ontime,
    MIN(m1) AS m1,
    MIN(m2) AS m2,
    MIN(m3) AS m3,
    IFNULL(MIN(m1) != MAX(x1) OR COUNT(m1) NOT IN (0, COUNT(*)) OR MIN(m2) != MAX(x2) OR COUNT(m2) NOT IN (0, COUNT(*)) OR MIN(m3) != MAX(x3) OR COUNT(m3) NOT IN (0, COUNT(*)), FALSE) AS inconsistent
  FROM once
  GROUP BY i, event_id
)
SELECT i, COUNTIF(inconsistent) AS inconsistent,
  COUNTIF(d_all > 0) AS n_ids_all, SUM(r_all) AS n_records_all, SUM(d_all) AS n_deliveries_all,
  MIN(IF(d_all > 0, m1, NULL)) AS m1_ids_all,
  MAX(IF(d_all > 0, m2, NULL)) AS m2_ids_all,
  SUM(IF(d_all > 0, m3, NULL)) AS m3_ids_all,
  SUM(IF(d_all > 0, m3 * r_all, NULL)) AS m3_records_all,
  SUM(IF(d_all > 0, m3 * d_all, NULL)) AS m3_deliveries_all,
  COUNTIF(d_cut > 0) AS n_ids_cut, SUM(r_cut) AS n_records_cut, SUM(d_cut) AS n_deliveries_cut,
  MIN(IF(d_cut > 0, m1, NULL)) AS m1_ids_cut,
  MAX(IF(d_cut > 0, m2, NULL)) AS m2_ids_cut,
  SUM(IF(d_cut > 0, m3, NULL)) AS m3_ids_cut,
  SUM(IF(d_cut > 0, m3 * r_cut, NULL)) AS m3_records_cut,
  SUM(IF(d_cut > 0, m3 * d_cut, NULL)) AS m3_deliveries_cut,
  COUNTIF(d_ontime > 0) AS n_ids_ontime, SUM(r_ontime) AS n_records_ontime, SUM(d_ontime) AS n_deliveries_ontime,
  MIN(IF(d_ontime > 0, m1, NULL)) AS m1_ids_ontime,
  MAX(IF(d_ontime > 0, m2, NULL)) AS m2_ids_ontime,
  SUM(IF(d_ontime > 0, m3, NULL)) AS m3_ids_ontime,
  SUM(IF(d_ontime > 0, m3 * r_ontime, NULL)) AS m3_records_ontime,
  SUM(IF(d_ontime > 0, m3 * d_ontime, NULL)) AS m3_deliveries_ontime
FROM events
GROUP BY i
ORDER BY i

