-- name: lock
SELECT pg_try_advisory_lock(hashtextextended('headrace.migrate.' || $1::text, 0));

-- name: unlock
SELECT pg_advisory_unlock(hashtextextended('headrace.migrate.' || $1::text, 0));

-- name: create_table
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT name, checksum FROM schema_migrations;

-- name: timeouts
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '60s';

-- name: record
INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2);
