SELECT * FROM `kappa-demo`.`kappa`.`raw_flights` WHERE event_time >= TIMESTAMP '2001-01-08 07:00:00+00' AND event_time < TIMESTAMP '2001-01-08 08:00:00+00' AND `origin` = 'ATL' ORDER BY source_time;
