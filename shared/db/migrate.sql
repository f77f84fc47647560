-- name: lock
SELECT locks.try_hold('migrate.' || :schema::text);

-- name: unlock
SELECT locks.release('migrate.' || :schema::text);

-- name: is_of_before
-- The table in which migrations were noted until the schemas were squashed.
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: create_table
CREATE TABLE IF NOT EXISTS schema_files (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT name, checksum FROM schema_files;

-- name: timeouts
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '60s';

-- name: leave_bodies_unchecked
SET LOCAL check_function_bodies = off;

-- name: check_bodies
SET LOCAL check_function_bodies = on;

-- name: overloaded
SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace GROUP BY proname HAVING count(*) > 1 LIMIT 1;

-- name: record
INSERT INTO schema_files (name, checksum) VALUES (:name, :checksum)
ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, applied_at = now();
