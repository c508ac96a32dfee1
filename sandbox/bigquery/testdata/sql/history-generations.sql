SELECT job, generation, kind, state, supersedes, dataflow_job_id, recorded_at, seq
FROM `kappa-demo.kappa.generations`
ORDER BY job, generation, recorded_at, seq
