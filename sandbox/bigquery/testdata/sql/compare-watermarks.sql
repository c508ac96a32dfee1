-- @group STRING
SELECT job_group, job, generation, watermark, at_maximum, observed_at
FROM `kappa-demo`.`kappa`.`watermarks`
WHERE job_group = @group
QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY observed_at DESC) = 1
ORDER BY job, generation
