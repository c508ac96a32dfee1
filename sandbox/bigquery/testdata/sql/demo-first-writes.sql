SELECT position, MIN(write_time) AS first_write FROM `kappa-demo`.`kappa`.`raw_flights` GROUP BY position
