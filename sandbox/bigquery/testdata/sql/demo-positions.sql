SELECT COUNT(DISTINCT position) AS n FROM `kappa-demo`.`kappa`.`raw_flights`
