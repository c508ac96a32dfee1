SELECT DISTINCT position FROM `kappa-demo`.`kappa`.`raw_flights`
