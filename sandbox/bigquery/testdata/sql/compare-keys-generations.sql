-- no parameters
SELECT job, generation, kind, state, supersedes, recorded_at, seq
FROM `kappa-demo`.`kappa`.`generations`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY job, generation ORDER BY recorded_at DESC, seq DESC) = 1
ORDER BY job, generation
