SELECT origin, window_start, job, generation, pane, flights, delay_sum, distance_sum FROM `kappa-demo.kappa.stream_flights`
