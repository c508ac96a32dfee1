-- @target STRING
SELECT `load`, target, range_start, range_end, row_count, source, job_id, loaded_at,
  COUNT(*) OVER (PARTITION BY range_start, range_end) AS loads
FROM `kappa-demo`.`kappa`.`batch_loads`
WHERE target = @target
QUALIFY ROW_NUMBER() OVER (PARTITION BY range_start, range_end ORDER BY loaded_at DESC) = 1
ORDER BY range_start, range_end
