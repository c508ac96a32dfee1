SELECT COUNT(*) AS deliveries, COUNT(DISTINCT event_id) AS events, COUNT(DISTINCT message_id) AS messages
FROM (SELECT DISTINCT event_id, message_id FROM `kappa-demo`.`kappa`.`raw_flights`)
