-- name: try_lock
SELECT pg_try_advisory_lock(hashtextextended('headrace.dispatch.' || :partition::text, 0));

-- name: is_alive
SELECT true;
