SELECT event_id, message_id, event_time, job, generation, origin, delay, distance FROM `kappa-demo.kappa.late_flights`
