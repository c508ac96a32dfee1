SELECT `load`, target, range_start, range_end, row_count, source, job_id, loaded_at FROM `kappa-demo`.`kappa`.`batch_loads` WHERE target = @target ORDER BY loaded_at
-- @target STRING
