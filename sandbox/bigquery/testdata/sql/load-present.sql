SELECT window_start, COUNT(*) AS n FROM `kappa-demo`.`kappa`.`batch_flights` WHERE window_start >= @first AND window_start < @last GROUP BY window_start
-- @first TIMESTAMP, @last TIMESTAMP
