SELECT job, generation, state, recorded_at, seq FROM `kappa-demo.kappa.generations`
