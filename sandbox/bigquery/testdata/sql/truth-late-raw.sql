SELECT r.event_id, r.message_id, r.job, r.generation FROM `kappa-demo.kappa.raw_flights` AS r JOIN (SELECT DISTINCT event_id FROM `kappa-demo.kappa.late_flights`) AS l ON r.event_id = l.event_id
