SELECT * FROM `kappa-demo`.`kappa`.`stream_flights` WHERE window_start = TIMESTAMP '2001-01-08 07:00:00+00' AND `origin` = 'ATL' ORDER BY job, generation, pane;
