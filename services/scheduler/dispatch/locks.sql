-- name: try_lock
SELECT locks.try_hold('dispatch.' || :partition::text);

-- name: is_alive
SELECT true;
